"""Reads cluster addresses and credentials: kubeconfig files, Secrets, and the pod's service account.

A kubeconfig from a Secret may hold data only, no paths and no exec plugin, because whoever may write Secrets in the host must
not thereby read our files or run programs in our process.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import msgspec
import yaml

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

Material: TypeAlias = bytes | Path
"""A certificate or key in PEM: the bytes themselves, or a file that is read again when it changes."""


class ConfigError(Exception):
    """A kubeconfig cannot be used. The message names the origin, the field, and what was expected."""


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """A program that prints an ExecCredential: a token or a client certificate, with or without an expiry."""

    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    api_version: str = "client.authentication.k8s.io/v1"
    install_hint: str = ""


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """Everything needed to speak to one API server. Two configs with the same `server` differ only in credentials."""

    server: str
    ca: Material | None = None
    verify: bool = True
    server_name: str = ""  # name expected in the server's certificate, where it differs from the address
    proxy: str = ""
    certificate: Material | None = None
    key: Material | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    basic: tuple[str, str] | None = field(default=None, repr=False)
    exec: ExecPlugin | None = None
    namespace: str = "default"


class _Kebab(msgspec.Struct, frozen=True, rename="kebab"):
    pass


class _Cluster(_Kebab, frozen=True):
    server: str = ""
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""


class _Variable(msgspec.Struct, frozen=True):
    name: str
    value: str = ""


class _Exec(msgspec.Struct, frozen=True, rename="camel"):
    command: str
    api_version: str
    args: list[str] | None = None
    env: list[_Variable] | None = None
    install_hint: str | None = None


class _User(_Kebab, frozen=True):
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    username: str = ""
    password: str = ""
    exec: _Exec | None = None


class _Context(msgspec.Struct, frozen=True):
    cluster: str = ""
    user: str = ""
    namespace: str = "default"


class _NamedCluster(msgspec.Struct, frozen=True):
    name: str
    cluster: _Cluster


class _NamedUser(msgspec.Struct, frozen=True):
    name: str
    user: _User = _User()


class _NamedContext(msgspec.Struct, frozen=True):
    name: str
    context: _Context


class _Kubeconfig(_Kebab, frozen=True):
    clusters: list[_NamedCluster] = []
    users: list[_NamedUser] = []
    contexts: list[_NamedContext] = []
    current_context: str = ""


def load(path: Path | None = None, context: str = "") -> ClusterConfig:
    """Loads a kubeconfig file: `path`, else $KUBECONFIG, else ~/.kube/config; `context`, else the file's current one."""
    file = path or Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"kubeconfig {file}: cannot be read: {error.strerror}") from error
    return _Reader(f"kubeconfig {file}", file.parent.resolve()).read(data, context)


def from_bytes(data: bytes, origin: str, context: str = "") -> ClusterConfig:
    """Loads a kubeconfig that came over the network; `origin` names it in errors, such as "Secret system/member-a1"."""
    return _Reader(f"kubeconfig of {origin}", None).read(data, context)


def in_cluster(directory: Path = SERVICE_ACCOUNT) -> ClusterConfig:
    """Loads the service account of the pod that we run in; its token is read again when it is rotated."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    token, ca, namespace = directory / "token", directory / "ca.crt", directory / "namespace"
    if not host or not token.exists():
        raise ConfigError(
            f"no service account: expected $KUBERNETES_SERVICE_HOST and {token}; outside of a Pod, give a kubeconfig instead"
        )
    address = f"[{host}]" if ":" in host else host
    return ClusterConfig(
        server=f"https://{address}:{port}",
        ca=ca,
        token_file=token,
        namespace=namespace.read_text().strip() if namespace.exists() else "default",
    )


def contexts(path: Path) -> tuple[str, ...]:
    """Returns the names of the contexts in a kubeconfig file, in its order."""
    return tuple(c.name for c in _parse(f"kubeconfig {path}", path.read_bytes()).contexts)


def _parse(origin: str, data: bytes) -> _Kubeconfig:
    try:
        content: Any = yaml.safe_load(data)
        return msgspec.convert(content, _Kubeconfig)
    except yaml.YAMLError as error:
        raise ConfigError(f"{origin}: is not YAML: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{origin}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads a kubeconfig. Relative paths start from `base`; None forbids paths and programs."""

    origin: str
    base: Path | None

    def read(self, data: bytes, context: str) -> ClusterConfig:
        config = _parse(self.origin, data)
        chosen = self._context(config, context)
        cluster = next((c.cluster for c in config.clusters if c.name == chosen.cluster), None)
        if cluster is None:
            raise self._error(f"contexts: cluster {chosen.cluster!r} is not among clusters")
        user = next((u.user for u in config.users if u.name == chosen.user), None)
        if user is None and chosen.user:
            raise self._error(f"contexts: user {chosen.user!r} is not among users")
        return self._resolve(cluster, user or _User(), chosen.namespace)

    def _context(self, config: _Kubeconfig, name: str) -> _Context:
        wanted = name or config.current_context
        found = next((c.context for c in config.contexts if c.name == wanted), None)
        if found is not None:
            return found
        known = ", ".join(c.name for c in config.contexts) or "none"
        if not wanted:
            raise self._error(f"current-context is not set; name one of its contexts: {known}")
        raise self._error(f"context {wanted!r} does not exist; its contexts: {known}")

    def _resolve(self, cluster: _Cluster, user: _User, namespace: str) -> ClusterConfig:
        if urlsplit(cluster.server).scheme not in ("https", "http"):
            raise self._error(f"clusters.cluster.server: expected an https:// address, found {cluster.server!r}")
        certificate = self._material("client-certificate", user.client_certificate, user.client_certificate_data)
        key = self._material("client-key", user.client_key, user.client_key_data)
        if (certificate is None) != (key is None):
            raise self._error("users.user: client-certificate and client-key go together; one is missing")
        return ClusterConfig(
            server=cluster.server.rstrip("/"),
            ca=self._material("certificate-authority", cluster.certificate_authority, cluster.certificate_authority_data),
            verify=not cluster.insecure_skip_tls_verify,
            server_name=cluster.tls_server_name,
            proxy=cluster.proxy_url,
            certificate=certificate,
            key=key,
            token=user.token,
            token_file=self._location("tokenFile", user.token_file),  # a token may come later, when its account exists
            basic=(user.username, user.password) if user.username else None,
            exec=self._exec(user.exec),
            namespace=namespace,
        )

    def _material(self, name: str, path: str, data: str) -> Material | None:
        if not data:
            return self._path(name, path)
        try:
            pem = base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise self._error(f"{name}-data: is not base64: {error}") from error
        if b"-----BEGIN " not in pem:
            raise self._error(f"{name}-data: expected PEM after base64 decoding")
        return pem

    def _path(self, name: str, path: str) -> Path | None:
        file = self._location(name, path)
        if file is not None and not file.is_file():
            raise self._error(f"{name}: file {file} does not exist")
        return file

    def _location(self, name: str, path: str) -> Path | None:
        if not path:
            return None
        if self.base is None:
            raise self._error(f"{name}: a path is not allowed here; put the content into the kubeconfig")
        return self.base / path

    def _exec(self, plugin: _Exec | None) -> ExecPlugin | None:
        if plugin is None:
            return None
        if self.base is None:
            raise self._error("exec: a program is not allowed here; use a token or a client certificate")
        command = plugin.command
        if "/" in command and not command.startswith("/"):
            command = str(self.base / command)
        env = tuple((variable.name, variable.value) for variable in plugin.env or ())
        return ExecPlugin((command, *(plugin.args or ())), env, plugin.api_version, plugin.install_hint or "")

    def _error(self, message: str) -> ConfigError:
        return ConfigError(f"{self.origin}: {message}")
