// Command registry is the distribution registry as a region runs it: the filesystem driver alone, since each of the others brings
// a cloud's SDK, and access control for nodes and for holders of tokens.
package main

import (
	"fmt"
	"net/http"
	"os"
	"slices"

	"github.com/distribution/distribution/v3/registry"
	"github.com/distribution/distribution/v3/registry/auth"
	_ "github.com/distribution/distribution/v3/registry/auth/token"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

// access lets a node pull whatever it names. A node proves itself by a client certificate whose organization is `nodes`;
// the TLS layer has verified it. Everything else needs a token of the gateway or of the region's administrator.
type access struct {
	nodes  string
	tokens auth.AccessController
}

func (a access) Authorized(request *http.Request, asked ...auth.Access) (*auth.Grant, error) {
	if name := a.node(request); name != "" && onlyPulls(asked) {
		return &auth.Grant{User: auth.UserInfo{Name: name}}, nil
	}
	return a.tokens.Authorized(request, asked...)
}

// node is the name in the client certificate of a node; empty for everybody else.
func (a access) node(request *http.Request) string {
	if request.TLS == nil || len(request.TLS.VerifiedChains) == 0 {
		return ""
	}
	subject := request.TLS.VerifiedChains[0][0].Subject
	if !slices.Contains(subject.Organization, a.nodes) {
		return ""
	}
	return subject.CommonName
}

func onlyPulls(asked []auth.Access) bool {
	for _, each := range asked {
		if each.Type != "repository" || each.Action != "pull" {
			return false
		}
	}
	return true
}

func newAccess(options map[string]any) (auth.AccessController, error) {
	nodes, _ := options["nodes"].(string)
	if nodes == "" {
		return nil, fmt.Errorf(`auth.region requires "nodes": the organization in the certificates of nodes`)
	}
	tokens, err := auth.GetAccessController("token", options)
	if err != nil {
		return nil, err
	}
	return access{nodes, tokens}, nil
}

func main() {
	if err := auth.Register("region", newAccess); err != nil {
		fmt.Fprintf(os.Stderr, "registry: %s\n", err)
		os.Exit(1)
	}
	if registry.RootCmd.Execute() != nil {
		os.Exit(1)
	}
}
