"""Runs a real API server for the contract: etcd, kube-apiserver, and the parts of kube-controller-manager that end
objects.

There is one instance per session, on free loopback ports, in a temporary folder. Programs are ended by pid, clients of etcd
first.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pincompute.region.build import binary_cache

TOKEN = "contract"
START = 60.0  # seconds to readiness


@dataclass(frozen=True)
class RealServer:
    url: str
    etcd: str
    programs: Path

    def compact(self) -> None:
        """Forget all history up to now, as the API server has it done every five minutes."""
        revision = self._ask_etcd("maintenance/status", {})["header"]["revision"]
        self._ask_etcd("kv/compaction", {"revision": revision})

    def stored(self, key: str) -> bytes:
        """What etcd holds under the key, as it holds it."""
        (found,) = self._ask_etcd("kv/range", {"key": base64.b64encode(key.encode()).decode()})["kvs"]
        return base64.b64decode(found["value"])

    def _ask_etcd(self, path: str, body: dict[str, str]) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.etcd}/v3/{path}", json.dumps(body).encode(), timeout=20) as answer:
            return json.load(answer)


def programs() -> Path:
    """The folder of binaries: the one the user names, or the region's cache."""
    found = binary_cache.given(os.environ) or binary_cache.BinaryCache(binary_cache.cache_root(os.environ)).complete(None)
    if found is None:
        raise AssertionError(
            "the contract needs etcd and kube-apiserver: run `make test`, or `pincompute region build` once, "
            f"or set {binary_cache.VARIABLE} to a folder that has them"
        )
    return found


@contextmanager
def running(folder: Path, *flags: str, users: Iterable[str] = ()) -> Iterator[RealServer]:
    """Users beside the administrator log in with their own name as the token. The same folder has the same objects again."""
    found = programs()
    etcd_port, peer_port, port = _free_ports(3)
    etcd, url = f"http://127.0.0.1:{etcd_port}", f"https://127.0.0.1:{port}"
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(_start(folder, _etcd(found, folder, etcd, f"http://127.0.0.1:{peer_port}")))
        _wait(f"{etcd}/readyz", started[0], folder / "etcd.log")
        started.append(_start(folder, (*_apiserver(found, folder, etcd, port, users), *flags)))
        _wait(f"{url}/readyz", started[1], folder / "kube-apiserver.log")
        started.append(_start(folder, _controllers(found, folder, url)))
        yield RealServer(url, etcd, found)
    finally:
        for process in reversed(started):
            _end(process)


def _etcd(found: Path, folder: Path, client: str, peer: str) -> tuple[str, ...]:
    return (
        str(found / "etcd"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    )


def _apiserver(found: Path, folder: Path, etcd: str, port: int, users: Iterable[str]) -> tuple[str, ...]:
    key = folder / "service-account.key"
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = serialization.NoEncryption()
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain))
    tokens = folder / "tokens.csv"
    tokens.write_text("".join((f"{TOKEN},contract,1,system:masters\n", *(f"{user},{user},{user},\n" for user in users))))
    return (
        str(found / "kube-apiserver"),
        f"--etcd-servers={etcd}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'certificates'}",
        f"--token-auth-file={tokens}",
        "--feature-gates=ListFromCacheSnapshot=false",  # pages come from etcd, so that its compaction shows at once
        "--authorization-mode=RBAC",
        "--allow-privileged=true",  # as the region: not a flag, but Pod Security, refuses such a pod
        "--disable-admission-plugins=ServiceAccount",  # pods here have no account, nobody runs them
        "--service-cluster-ip-range=10.0.0.0/24",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://kubernetes.default.svc",
    )


def _controllers(found: Path, folder: Path, url: str) -> tuple[str, ...]:
    config = folder / "kubeconfig"
    cluster = {"server": url, "insecure-skip-tls-verify": True}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "contract",
        "clusters": [{"name": "contract", "cluster": cluster}],
        "users": [{"name": "contract", "user": {"token": TOKEN}}],
        "contexts": [{"name": "contract", "context": {"cluster": "contract", "user": "contract"}}],
    }
    config.write_text(yaml.safe_dump(content))
    return (
        str(found / "kube-controller-manager"),
        f"--kubeconfig={config}",
        "--controllers=garbage-collector-controller,namespace-controller,resourcequota-controller",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
    )


def _start(folder: Path, argv: tuple[str, ...]) -> subprocess.Popen[bytes]:
    with (folder / f"{Path(argv[0]).name}.log").open("wb") as log:
        return subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
    deadline = time.monotonic() + START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(request, timeout=2, context=trusting if url.startswith("https") else None):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"{log.stem} is not ready: {log.read_text()[-2000:]}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
