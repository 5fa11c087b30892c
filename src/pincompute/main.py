"""The server program `pincompute`: one subcommand per process. The composition root; everything is imported late.

pincompute region up        a whole region on this machine
pincompute federation       the control loop of a region, beside its host cluster
pincompute operator         the control loop of one member cluster
pincompute install          CRDs, policies and RBAC into a cluster that exists
pincompute explain NAME     why a workload runs where it runs
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from pincompute import __version__
from pincompute.api.meta import Manifest
from pincompute.region import platform

app = App(
    name="pincompute",
    help="An open compute platform over many Kubernetes clusters: the server program.",
    version=__version__,
)
app.command(
    "pincompute.region.cli:app",
    name="region",
    help="A whole region on this machine. Its state lies in $PINCOMPUTE_HOME (~/.pincompute).",
)

Kubeconfig = Annotated[Path, Parameter(help="kubeconfig file with a context for the cluster")]
Port = Annotated[int, Parameter(help="loopback port of /livez, /readyz and /metrics; 0 takes a free one")]
LogFormat = Annotated[Literal["json", "text"], Parameter(help="json for machines, text for people")]


@app.command
def federation(*, kubeconfig: Kubeconfig, context: str = "host", port: Port = 0, log_format: LogFormat = "json") -> None:
    """Run the region's control loop: placement, dispatch, status, cluster health. Talks to the host and all members."""
    from pincompute.engine import logs
    from pincompute.federation import process

    logs.configure(log_format)
    asyncio.run(process.run(kubeconfig, context, port))


@app.command
def operator(*, kubeconfig: Kubeconfig, context: str, port: Port = 0, log_format: LogFormat = "json") -> None:
    """Run one member's control loop: shards become pods. Talks to that member only."""
    from pincompute.engine import logs
    from pincompute.operator import process

    logs.configure(log_format)
    asyncio.run(process.run(kubeconfig, context, port))


@app.command
def install(role: Literal["host", "member"], /, *, kubeconfig: Kubeconfig, context: str) -> None:
    """Install or update CRDs, admission policies and RBAC in a cluster that exists. Doing it again is harmless."""
    from pincompute import installation

    asyncio.run(installation.install(role, kubeconfig, context))


@app.command
def explain(
    name: str,
    /,
    *,
    project: Annotated[str, Parameter(alias="-p", help="the project, which is the namespace")] = "demo",
    kind: Literal["pinapp", "pinpod"] = "pinapp",
    kubeconfig: Kubeconfig | None = None,
    context: str = "host",
) -> None:
    """Say why a workload runs where it runs, or why it does not run yet and what to do."""
    from pincompute import explaining

    asyncio.run(explaining.explain(kind, project, name, kubeconfig, context))


def _definitions(role: platform.Role) -> list[Manifest]:
    from pincompute import installation

    return installation.of(role)


def run() -> None:
    """Entry point of the console script."""
    try:
        _refusals_told()
    except KeyboardInterrupt:
        print("interrupted; the same command again repairs what is half done", file=sys.stderr)
        sys.exit(130)


def _refusals_told() -> None:
    """What a user can mend is one message on stderr and exit status 1."""
    from pincompute.explaining import NoSuchWorkload
    from pincompute.kube.config import ConfigError
    from pincompute.kube.errors import KubeError
    from pincompute.region.errors import RegionError

    platform.provide(_definitions)
    try:
        app()
    except (ConfigError, KubeError, NoSuchWorkload, RegionError) as refusal:
        print(refusal, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run()
