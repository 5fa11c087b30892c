"""Provides a request's credentials: a header, and a TLS context with or without a client certificate.

Every request checks the files and reads those that changed. An exec plugin runs again when its output is about to expire or
was refused. A rotated credential therefore serves the next request, while open connections, watches among them, continue
(S-012).
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import tempfile
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from pincompute.kube.clock import SYSTEM, Clock
from pincompute.kube.kubeconfig import ClusterConfig, ConfigError, ExecPlugin, Material

PLUGIN_DEADLINE = 30.0  # seconds an exec plugin may take
MARGIN = timedelta(seconds=30)  # a plugin's credential is renewed so long before it expires


@dataclass(frozen=True, slots=True)
class Identity:
    """What a request presents; `context` is None for plain http."""

    authorization: str
    context: ssl.SSLContext | None


@dataclass(frozen=True, slots=True)
class _CredentialFile:
    """A file as it was read: inode, time of change, and content."""

    stamp: tuple[int, int]
    content: bytes


class _ExecStatus(msgspec.Struct, frozen=True, rename="camel"):
    token: str = ""
    expiration_timestamp: datetime | None = None
    client_certificate_data: str = ""
    client_key_data: str = ""


class _ExecCredential(msgspec.Struct, frozen=True):
    status: _ExecStatus


@dataclass(slots=True)
class ApiCredentials:
    """The credentials of one cluster, kept fresh."""

    config: ClusterConfig
    clock: Clock = SYSTEM
    _tls: tuple[tuple[bytes | None, ...], ssl.SSLContext] | None = field(default=None, init=False)
    _files: dict[Path, _CredentialFile] = field(default_factory=dict[Path, _CredentialFile], init=False)
    _plugin: _ExecStatus | None = field(default=None, init=False)
    _running: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def identity(self) -> Identity:
        """Returns the present identity; raises ConfigError when a file or a plugin does not return what it should."""
        plugin = await self._from_plugin(self.config.exec) if self.config.exec is not None else _ExecStatus()
        return Identity(self._authorization(plugin), self._context(plugin))

    def refused(self) -> None:
        """Records that the API server did not accept the credentials: the plugin runs again before the next request."""
        self._plugin = None

    def _authorization(self, plugin: _ExecStatus) -> str:
        if plugin.token:
            return f"Bearer {plugin.token}"
        if self.config.token_file is not None:
            return f"Bearer {self._read(self.config.token_file).decode().strip()}"
        if self.config.token:
            return f"Bearer {self.config.token}"
        if self.config.basic is not None:
            return "Basic " + base64.b64encode(":".join(self.config.basic).encode()).decode()
        return ""

    def _context(self, plugin: _ExecStatus) -> ssl.SSLContext | None:
        if not self.config.server.startswith("https:"):
            return None
        ca, certificate, key = (self._pem(m) for m in (self.config.ca, self.config.certificate, self.config.key))
        if plugin.client_certificate_data:
            certificate, key = plugin.client_certificate_data.encode(), plugin.client_key_data.encode()
        material = (ca, certificate, key)
        if self._tls is None or self._tls[0] != material:
            self._tls = (material, _tls_context(self.config, ca, certificate, key))
        return self._tls[1]

    def _pem(self, material: Material | None) -> bytes | None:
        return self._read(material) if isinstance(material, Path) else material

    def _read(self, file: Path) -> bytes:
        """Returns the file's content, read again only when its inode or time of change is new (a Secret volume swaps links)."""
        try:
            stat = file.stat()
            stamp = (stat.st_ino, stat.st_mtime_ns)
            if file not in self._files or self._files[file].stamp != stamp:
                self._files[file] = _CredentialFile(stamp, file.read_bytes())
        except OSError as error:
            raise ConfigError(f"credential file {file}: cannot be read: {error.strerror}") from error
        return self._files[file].content

    async def _from_plugin(self, plugin: ExecPlugin) -> _ExecStatus:
        async with self._running:  # requests that wait share one run
            if self._plugin is None or self._expires_soon(self._plugin):
                self._plugin = await _run(plugin)
            return self._plugin

    def _expires_soon(self, status: _ExecStatus) -> bool:
        return status.expiration_timestamp is not None and status.expiration_timestamp - MARGIN <= self.clock.wall()


def _tls_context(config: ClusterConfig, ca: bytes | None, certificate: bytes | None, key: bytes | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=ca.decode() if ca is not None else None)
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise ConfigError(f"certificate authority for {config.server}: is not PEM: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not config.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate is None or key is None:
        return context
    with tempfile.NamedTemporaryFile(mode="wb", suffix=".pem") as file:  # the ssl module loads key pairs from files only
        file.write(certificate + b"\n" + key)
        file.flush()
        try:
            context.load_cert_chain(file.name)
        except ssl.SSLError as error:
            raise ConfigError(f"client certificate for {config.server}: does not fit its key or is not PEM: {error}") from error
    return context


async def _run(plugin: ExecPlugin) -> _ExecStatus:
    """Runs the program once; its standard error goes to ours."""
    name = plugin.command[0]
    request = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
    info = msgspec.json.encode(request).decode()
    env = os.environ | dict(plugin.env) | {"KUBERNETES_EXEC_INFO": info}
    try:
        process = await asyncio.create_subprocess_exec(
            *plugin.command, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
    except OSError as error:
        hint = f" ({plugin.install_hint.strip()})" if plugin.install_hint else ""
        raise ConfigError(f"exec plugin {name}: cannot be started: {error.strerror}{hint}") from error
    try:
        async with asyncio.timeout(PLUGIN_DEADLINE):
            output, _ = await process.communicate()
    except TimeoutError as error:
        raise ConfigError(f"exec plugin {name}: gave no credential within {PLUGIN_DEADLINE:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _parse(name, process.returncode, output)


def _parse(name: str, code: int | None, output: bytes) -> _ExecStatus:
    if code != 0:
        raise ConfigError(f"exec plugin {name}: ended with status {code}")
    try:
        status = msgspec.json.decode(output, type=_ExecCredential).status
    except msgspec.MsgspecError as error:
        raise ConfigError(f"exec plugin {name}: expected an ExecCredential in JSON: {error}") from error
    if not status.token and not (status.client_certificate_data and status.client_key_data):
        raise ConfigError(f"exec plugin {name}: gave neither a token nor a client certificate with its key")
    return status
