// Command etcd is the etcd server under its usual name; Go would call the program after its module's folder, `server`.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
