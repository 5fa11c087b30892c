"""Nobody takes, changes or runs an image of another project or of the platform; the same request for one's own succeeds."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import re
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cluster_client import ApiRefusal
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey
from live_region import Region
from pincompute_sdk.core.errors import ForbiddenError, InvalidError
from story_manifests import web
from terminal_user import TerminalUser, plain_client

from pincompute.api.workloads import PINAPPS

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
HELLO = "/v2/hello/manifests/1"
LAYER = gzip.compress(b"", mtime=0)


class Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Registry:
    """The region's registry as any program on the machine reaches it."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.pki = region.home / "pki" / "registry.internal"

    def ask(
        self, method: str, path: str, token: str = "", body: bytes | None = None, kind: str = MANIFEST, node: str = ""
    ) -> Reply:
        trust = ssl.create_default_context(cafile=str(self.region.home / "pki/host/ca.crt"))
        if node:
            trust.load_cert_chain(self.pki / f"{node}.crt", self.pki / f"{node}.key")
        connection = http.client.HTTPSConnection(self.region.layout.registry, context=trust, timeout=10)
        headers = {"Accept": MANIFEST, "Content-Type": kind} | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def blob(self, repository: str, token: str, content: bytes) -> int:
        begun = self.ask("POST", f"/v2/{repository}/blobs/uploads/", token)
        if begun.status != 202:
            return begun.status
        place = re.sub(r"^https://[^/]+", "", begun.headers["Location"])
        return self.ask("PUT", f"{place}&digest={digest(content)}", token, content, "application/octet-stream").status

    def push(self, repository: str, token: str, tag: str = "1") -> int:
        """An image without files; the status of the first refusal, or of the last step."""
        config = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [digest(b"")]}})
        parts = {"config": config.encode(), "layer": LAYER}
        for content in parts.values():
            if (status := self.blob(repository, token, content)) != 201:
                return status
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described("application/vnd.oci.image.config.v1+json", parts["config"]),
            "layers": [described("application/vnd.oci.image.layer.v1.tar+gzip", LAYER)],
        }
        return self.ask("PUT", f"/v2/{repository}/manifests/{tag}", token, json.dumps(manifest).encode()).status

    def signed(self, key: Any = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token that lets pull hello, as the gateway would sign it, but for what is given."""
        own = ECKey.import_key((self.pki / "token.key").read_text())
        now = int(time.time())
        said = {"iss": "pincompute", "aud": "pincompute-registry", "sub": "mallory", "iat": now, "nbf": now, "exp": now + 60}
        access = [{"type": "repository", "name": "hello", "actions": ["pull"]}]
        algorithms = ["ES256", "HS256", "none"]
        head = {"alg": "ES256", "kid": own.thumbprint()} | (header or {})
        return jwt.encode(head, said | {"access": access} | claims, key or own, algorithms=algorithms)


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def described(kind: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "size": len(content), "digest": digest(content)}


@pytest.fixture(scope="module")
def registry(region: Region) -> Registry:
    return Registry(region)


@pytest.fixture(scope="module")
def other(admin: TerminalUser, registry: Registry, shop: str) -> Iterator[str]:
    """Another project, of which dev is no member, with an image. `shop` has one as well."""
    name = f"{shop}x"
    admin.pin("project", "create", name, status=None)
    for project in (name, shop):
        assert registry.push(f"{project}/secret", token(admin, f"repository:{project}/secret:pull,push")) == 201
    return name


def token(user: TerminalUser, *scopes: str) -> str:
    with user.client() as pin:
        return pin.registry.token(scope=scopes).token


ANONYMOUS = {
    "see that it is one": ("GET", "/v2/"),
    "pull": ("GET", HELLO),
    "list": ("GET", "/v2/_catalog"),
    "list tags": ("GET", "/v2/hello/tags/list"),
    "push": ("PUT", HELLO),
    "upload": ("POST", "/v2/hello/blobs/uploads/"),
    "delete": ("DELETE", HELLO),
}


@pytest.mark.parametrize("case", ANONYMOUS)
def test_strangers_get_nothing(registry: Registry, case: str):
    assert registry.ask(*ANONYMOUS[case]).status == 401


def test_a_login_gets_the_platforms_images_and_no_list(registry: Registry, dev: TerminalUser):
    held = token(dev, "repository:hello:pull")
    assert registry.ask("GET", HELLO, held).status == 200
    assert registry.ask("GET", "/v2/_catalog", held).status == 401


def test_a_push_stays_in_ones_own_project(registry: Registry, dev: TerminalUser, shop: str, other: str):
    held = token(dev, f"repository:{shop}/web:pull,push")
    assert registry.push(f"{shop}/web", held) == 201
    for target in (f"{other}/web", f"{shop}/web2", "web", f"pincompute/{shop}"):
        assert registry.push(target, held) == 401, target


DENIED = {
    "another's image": ("repository:{other}/secret:pull", "there is no project {other}, or you may not see it"),
    "a push to another": ("repository:{other}/web:pull,push", "there is no project {other}, or you may not see it"),
    "a project that is not": ("repository:nowhere/web:push", "there is no project nowhere, or you may not see it"),
    "the platform's image": ("repository:hello:pull,push", "may not push hello: it is an image of the platform"),
    "the platform's folder": ("repository:pincompute/pause:push", "may not push pincompute/pause"),
    "its deletion": ("repository:hello:delete", "may not delete hello"),
    "a deletion, which the gateway judges": ("repository:{shop}/secret:delete", "the gateway deletes images"),
}


@pytest.mark.parametrize("case", DENIED)
def test_no_token_for_what_is_not_ones_own(dev: TerminalUser, shop: str, other: str, case: str):
    scope, why = (text.format(shop=shop, other=other) for text in DENIED[case])
    assert token(dev, f"repository:{shop}/secret:pull,push")
    with pytest.raises(ForbiddenError, match=re.escape(why)):
        token(dev, scope)


CONFUSING = [
    "repository:{shop}/../{other}/secret:pull",
    "repository:{shop}%2F..%2F{other}/secret:pull",
    "repository:{other}%2Fsecret:pull",
    "repository:{upper}/secret:pull",
    "repository:/{other}/secret:pull",
    "repository:{shop}/:pull",
    "repository:{shop}/secret:pull,*",
    "repository(plugin):{other}/secret:pull",
    "registry:catalog:*",
    "repository:{shop}/secret\\n:pull",
]


@pytest.mark.parametrize("scope", CONFUSING)
def test_a_scope_has_one_spelling(dev: TerminalUser, shop: str, other: str, scope: str):
    with pytest.raises(InvalidError, match="scope"):
        token(dev, scope.format(shop=shop, other=other, upper=other.upper()))


PATHS = ["{shop}/../{other}/secret", "{shop}%2F..%2F{other}/secret", "{shop}/secret/../../{other}/secret", "{other}%2Fsecret"]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_has_one_spelling(registry: Registry, dev: TerminalUser, shop: str, other: str, path: str):
    held = token(dev, f"repository:{shop}/secret:pull")
    assert registry.ask("GET", f"/v2/{shop}/secret/manifests/1", held).status == 200
    assert registry.ask("GET", f"/v2/{path.format(shop=shop, other=other)}/manifests/1", held).status in (301, 401, 404)


def test_a_layer_of_another_project_cannot_be_mounted(registry: Registry, dev: TerminalUser, shop: str, other: str):
    scopes = [f"repository:{shop}/copy:pull,push", f"repository:{shop}/secret:pull", f"repository:{other}/secret:pull"]
    held = token(dev, *scopes)  # what it may not pull is left out, as docker expects
    mount = f"/v2/{shop}/copy/blobs/uploads/?mount={digest(LAYER)}&from="
    assert registry.ask("POST", f"{mount}{other}/secret", held).status == 401
    assert registry.ask("GET", f"/v2/{shop}/copy/blobs/{digest(LAYER)}", held).status == 404
    assert registry.ask("POST", f"{mount}{shop}/secret", held).status == 201


def test_the_platforms_tags_stay(registry: Registry, dev: TerminalUser, shop: str, other: str):
    held = token(dev, "repository:hello:pull", f"repository:{shop}/secret:pull,push")
    image = registry.ask("GET", f"/v2/{shop}/secret/manifests/1", held)
    before = registry.ask("GET", HELLO, held).headers["Docker-Content-Digest"]
    assert registry.ask("PUT", HELLO, held, image.body).status == 401
    assert registry.ask("DELETE", f"/v2/hello/manifests/{before}", held).status == 401
    assert registry.ask("GET", HELLO, held).headers["Docker-Content-Digest"] == before
    assert registry.ask("PUT", f"/v2/{shop}/secret/manifests/2", held, image.body).status == 201


FORGED: dict[str, dict[str, Any]] = {
    "expired": {"exp": int(time.time()) - 90},
    "not yet valid": {"nbf": int(time.time()) + 3600},
    "for another service": {"aud": "somebody-else"},
    "of another issuer": {"iss": "somebody-else"},
    "signed by a stranger": {"key": ECKey.generate_key("P-256")},
    "signed by a stranger who brings the key": {"key": ECKey.generate_key("P-256"), "header": {"kid": "mallory"}},
    "signed with the public key": {"header": {"alg": "HS256"}},
    "not signed": {"header": {"alg": "none"}},
}


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_token_is_nothing(registry: Registry, case: str):
    change = dict(FORGED[case])
    algorithm = change.get("header", {}).get("alg")
    if algorithm == "HS256":
        change["key"] = OctKey.import_key((registry.pki / "token.jwks").read_bytes())
    forged = unsigned(registry.signed()) if algorithm == "none" else registry.signed(**change)
    assert registry.ask("GET", HELLO, registry.signed()).status == 200
    assert registry.ask("GET", HELLO, forged).status == 401


def unsigned(good: str) -> str:
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    return f"{header}.{good.split('.')[1]}."


def test_a_node_pulls_and_does_nothing_else(registry: Registry, region: Region):
    node = region.layout.node_name(region.layout.spec.members[0])
    pulled = registry.ask("GET", HELLO, node=node)
    assert pulled.status == 200
    assert registry.ask("PUT", HELLO, body=pulled.body, node=node).status == 401
    assert registry.ask("DELETE", f"/v2/hello/manifests/{digest(pulled.body)}", node=node).status == 401
    assert registry.ask("GET", "/v2/_catalog", node=node).status == 401


def test_clients_of_registries_log_in_with_a_password(dev: TerminalUser, shop: str):
    """As `docker login` does. Nowhere else is a password taken."""
    with plain_client(dev.context()) as client:
        asked = {"service": "pincompute-registry", "scope": f"repository:{shop}/web:pull,push", "account": "x"}
        secret = dev.context().token
        assert client.get("/v1/registry/token", params=asked, auth=("x", secret)).status_code == 200
        assert client.get("/v1/registry/token", params=asked, auth=("x", secret[:-6] + "aaaaaa")).status_code == 401
        assert client.get("/v1/registry/token", params=asked).status_code == 401
        assert client.get("/v1/session", auth=("x", secret)).status_code == 401


FOREIGN: dict[str, tuple[dict[str, Any], str]] = {
    "a container": ({"containers": [{"image": "registry.internal/{other}/secret:1"}]}, "containers[0].image"),
    "an init container": (
        {"initContainers": [{"name": "first", "image": "registry.internal/{other}/secret@sha256:" + "a" * 64}]},
        "initContainers[0].image",
    ),
    "a volume": (
        {"volumes": [{"name": "v", "image": {"reference": "registry.internal/{other}/secret:1"}}]},
        "volumes[0].image.reference",
    ),
    "an id": ({"containers": [{"image": "sha256:a"}]}, "containers[0].image"),
}


def template(shop: str, other: str, case: str) -> dict[str, Any]:
    """An app of shop that runs its own image, or with what the case says."""
    app = web(shop, "taker", image=f"{shop}/secret:1", replicas=0)
    spec = app["spec"]["template"]["spec"]
    if case:
        changes = json.loads(json.dumps(FOREIGN[case][0]).replace("{other}", other))
        for key, (item,) in changes.items():
            if key == "containers":
                spec["containers"][0].update(item)
            elif key == "initContainers":
                plain = {name: value for name, value in spec["containers"][0].items() if not name.endswith("Probe")}
                spec["initContainers"] = [{**plain, **item}]
            else:
                spec["volumes"] = [*spec.get("volumes", ()), item]
    return app


@pytest.mark.parametrize("case", FOREIGN)
def test_an_app_runs_no_image_of_another_project(region: Region, shop: str, other: str, case: str):
    region.apply(template(shop, other, ""))
    with pytest.raises(ApiRefusal, match=re.escape(f"spec.template.spec.{FOREIGN[case][1]}: ")):
        region.apply(template(shop, other, case))
    region.host.delete(PINAPPS, shop, "taker")


@pytest.mark.parametrize("case", FOREIGN)
def test_a_member_runs_no_image_of_another_project_for_anybody(region: Region, shop: str, other: str, case: str):
    member = next(iter(region.members.values()))

    def pod(case: str) -> None:
        spec = template(shop, other, case)["spec"]["template"]["spec"]
        security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            container["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        body = {"metadata": {"name": "taker"}, "spec": {**spec, "securityContext": security}}
        member.request("POST", f"/api/v1/namespaces/{shop}/pods", json.dumps(body).encode(), "application/json", dryRun="All")

    pod("")
    with pytest.raises(ApiRefusal, match=re.escape(f"spec.{FOREIGN[case][1]}: ")):
        pod(case)


def test_pin_names_the_field_and_the_remedy(dev: TerminalUser, shop: str, other: str):
    app = "kind: App\nname: taker\nreplicas: 0\ncontainers: [{{name: web, image: 'registry.internal/{}/secret:1'}}]\n"
    dev.pin("deploy", "-f", dev.write("own.yaml", app.format(shop)), "--dry-run")
    said = dev.pin("deploy", "-f", dev.write("foreign.yaml", app.format(other)), "--dry-run", status=None)
    assert said.status != 0
    assert (
        "containers[0].image: the image belongs to another project: name an image of this project or of the platform"
        in said.err
    )


def test_a_projects_own_image_runs(registry: Registry, region: Region, dev: TerminalUser, shop: str):
    """Copied from the platform's as docker would: its parts are mounted, and only the manifest is sent."""
    held = token(dev, "repository:hello:pull", f"repository:{shop}/hello:pull,push")
    manifest = registry.ask("GET", HELLO, held).body
    parsed = json.loads(manifest)
    for part in (parsed["config"], *parsed["layers"]):
        mount = f"/v2/{shop}/hello/blobs/uploads/?mount={part['digest']}&from=hello"
        assert registry.ask("POST", mount, held).status == 201
    assert registry.ask("PUT", f"/v2/{shop}/hello/manifests/1", held, manifest).status == 201
    region.apply(web(shop, "own", image=f"{shop}/hello:1", replicas=1))
    region.settled(shop, "own")


def test_keys_of_the_registry_are_its_owners_alone(registry: Registry):
    assert {oct(path.stat().st_mode & 0o777) for path in Path(registry.pki).glob("*.key")} == {"0o600"}
