"""Describes a program that the supervisor runs. The supervisor reads the description from a file, so it restarts alone."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class HttpReady(msgspec.Struct, frozen=True, kw_only=True, tag="http"):
    """Ready when GET answers 200. `ca`, `cert`, `key` are paths; empty for plain HTTP."""

    url: str
    ca: str = ""
    cert: str = ""
    key: str = ""


class TcpReady(msgspec.Struct, frozen=True, kw_only=True, tag="tcp"):
    """Ready when the port accepts a connection."""

    host: str
    port: int


class FileReady(msgspec.Struct, frozen=True, kw_only=True, tag="file"):
    """Ready when the path exists (a socket, a pid file)."""

    path: str


Ready: TypeAlias = HttpReady | TcpReady | FileReady


class Liveness(msgspec.Struct, frozen=True, kw_only=True):
    """When a program that has been ready hangs: `http` gives no answer, whatever its status, to so many requests in succession,
    each of which may take a period. A program that starts is not judged, nor one that a signal stopped.

    The rule is that of a livenessProbe behind a startupProbe, with a failureThreshold of 6.
    Source: https://kubernetes.io/docs/concepts/workloads/pods/probes/
    """

    http: HttpReady
    period: float = 10.0  # seconds
    failures: int = 6


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is unique in the region and names its log, `<home>/logs/<name>.log` ("a1-kubelet").

    `prepare` are commands run to completion before each start (idempotent set-up of links, mounts); `needs` names programs
    that must be ready first; `stop_after` names programs that must have ended before this one is stopped (an API server ends
    before its etcd). A program that hangs by its `live` is started again. A program is ended by SIGTERM to its process group,
    then SIGKILL after `grace` seconds. Only its owner can read what it writes, unless its `umask` says otherwise.
    """

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str] = {}
    directory: str = "/"
    prepare: tuple[tuple[str, ...], ...] = ()
    ready: Ready | None = None
    live: Liveness | None = None
    needs: tuple[str, ...] = ()
    stop_after: tuple[str, ...] = ()
    grace: float = 10.0
    umask: int = 0o077
