"""A registry of somebody else that lets nobody in without a password, in the network of one node.

It is the program of the region's own registry, with the token protocol that most public registries speak. A node reaches
nothing beyond the region, so the registry and its issuer of tokens listen in the network namespace of the node that pulls.
"""

from __future__ import annotations

import base64
import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import msgspec
import yaml
from joserfc import jwt
from joserfc.jwk import ECKey
from live_region import Region
from pincompute_sdk.generated.models import RegistryToken
from pincompute_sdk.images.image_name import ImageName
from pincompute_sdk.images.oci_layout import LayoutImage
from pincompute_sdk.images.registry_client import RegistryClient
from pincompute_sdk.images.registry_connection import RegistryConnection, Scopes

from pincompute.region.images import image_registry
from pincompute.region.nodes import node_network

HOST = "images.acme.example"
USER, PASSWORD = "ann", "correct-horse"
_NAME = "acme"
_WITHIN = 20.0
_NETWORK = 0x40000000  # CLONE_NEWNET


@dataclass(frozen=True)
class PrivateRegistry:
    """`address` is where it listens; the node knows it as `HOST`."""

    address: str
    key: ECKey

    def client(self) -> RegistryClient:
        """Of somebody with all rights."""
        http = httpx2.Client(base_url=f"http://{self.address}", trust_env=False)
        return RegistryClient(RegistryConnection(self.address, http, self._issued))

    def token(self, scopes: Scopes) -> str:
        parts = [scope.split(":") for scope in scopes]
        access = [{"type": kind, "name": name, "actions": actions.split(",")} for kind, name, actions in parts]
        now = int(time.time())
        claims = {"iss": _NAME, "aud": _NAME, "sub": USER, "iat": now, "nbf": now - 30, "exp": now + 300, "access": access}
        return jwt.encode({"alg": "ES256", "kid": self.key.thumbprint()}, claims, self.key)

    def _issued(self, scopes: Scopes) -> RegistryToken:
        token = self.token(scopes)
        return RegistryToken(token=token, access_token=token, expires_in=300, issued_at=datetime.now(UTC))


@contextmanager
def serving(region: Region, zone: str, folder: Path, image: LayoutImage, name: ImageName) -> Generator[None]:
    """A registry with the image, and its name on a node of the zone, as an administrator of nodes adds one to containerd."""
    member = next(each for each in region.layout.spec.members if each.zone == zone)
    network = node_network.NAMESPACES / node_network.namespace(region.layout, member)
    place = region.layout.node_dir(member) / "registry" / HOST
    with ThreadPoolExecutor(1, initializer=_enter, initargs=(network,)) as inside:
        key = ECKey.generate_key("P-256")
        issuer = inside.submit(ThreadingHTTPServer, ("127.0.0.1", 0), _issuer(key)).result()
        registry = PrivateRegistry(f"127.0.0.1:{inside.submit(_free_port).result()}", key)
        threading.Thread(target=issuer.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        place.mkdir(exist_ok=True)  # a run that was killed leaves it
        (place / "hosts.toml").write_text(f'server = "http://{registry.address}"\ncapabilities = ["pull", "resolve"]\n')
        try:
            with _program(region, network, folder, registry, f"http://127.0.0.1:{issuer.server_port}/token"):
                inside.submit(_push, registry, image, name).result()
                yield
        finally:
            (place / "hosts.toml").unlink()
            place.rmdir()
            issuer.shutdown()
            issuer.server_close()


def _enter(network: Path) -> None:
    """Only this thread: sockets that it makes are in the network namespace, whoever uses them."""
    with network.open() as namespace:
        assert ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _NETWORK) == 0, os.strerror(ctypes.get_errno())


def _push(registry: PrivateRegistry, image: LayoutImage, name: ImageName) -> None:
    _wait(registry.address)
    with registry.client() as client:
        client.push(image, name)


@contextmanager
def _program(region: Region, network: Path, folder: Path, registry: PrivateRegistry, realm: str) -> Generator[None]:
    public = registry.key.as_dict(private=False, use="sig", alg="ES256", kid=registry.key.thumbprint())
    (folder / "keys").write_bytes(msgspec.json.encode({"keys": [public]}))
    auth = {"realm": realm, "service": _NAME, "issuer": _NAME, "jwks": str(folder / "keys"), "signingalgorithms": ["ES256"]}
    storage = {"filesystem": {"rootdirectory": str(folder / "data")}}
    config = {"version": "0.1", "storage": storage, "http": {"addr": registry.address}, "auth": {"token": auth}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    environment = {**image_registry.QUIET, "PATH": os.environ["PATH"]}
    with (folder / "log").open("ab") as log:
        command = ("nsenter", f"--net={network}", region.program("registry"), "serve", folder / "config.yaml")
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)


def _wait(address: str) -> None:
    deadline = time.monotonic() + _WITHIN
    while True:
        try:
            assert httpx2.get(f"http://{address}/v2/", trust_env=False).status_code == 401
        except httpx2.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def _free_port() -> int:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as found:
        return found.server_port


def _issuer(key: ECKey) -> type[BaseHTTPRequestHandler]:
    """Issues tokens to whoever has the password."""
    wanted = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers.get("Authorization") == wanted
            scopes = tuple(parse_qs(urlsplit(self.path).query).get("scope", ()))
            body: Mapping[str, Any] = {"token": PrivateRegistry("", key).token(scopes)} if known else {"errors": []}
            self.send_response(200 if known else 401)
            self.end_headers()
            self.wfile.write(msgspec.json.encode(body))

        def do_POST(self) -> None:
            """As many registries answer to the newer form of the protocol, after which containerd asks in the older one."""
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    return Handler
