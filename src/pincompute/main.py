"""The server program `pincompute`: one subcommand per process. It imports everything late to start fast.

pincompute region up        an embedded region: a whole region on this machine
pincompute federation       the control loop of a region, beside its host cluster
pincompute operator         the control loop of one member cluster
pincompute usage            the reader of what containers of one member use
pincompute network          the enforcer of NetworkPolicies on one node
pincompute gateway serve    the API for users: apps, logs, shells, history
pincompute issuer           a small OIDC issuer for development
pincompute install          CRDs, policies and RBAC into a cluster that exists
pincompute explain NAME     why a workload runs where it runs
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from pincompute import __version__
from pincompute.api.meta import Manifest
from pincompute.region.cluster import manifest_provider

app = App(
    name="pincompute",
    help="An open compute platform over many Kubernetes clusters: the server program.",
    version=__version__,
    suppress_keyboard_interrupt=False,  # else it would end the process without a word; `run` says what to do
)
app.command(
    "pincompute.region.cli:app",
    name="region",
    help="An embedded region, all of it on this machine. Its state is in $PINCOMPUTE_HOME (~/.pincompute).",
)

Kubeconfig = Annotated[Path, Parameter(help="kubeconfig file with a context for the cluster")]
Settings = Annotated[Path, Parameter(help="the gateway's settings, a YAML file")]
Port = Annotated[int, Parameter(help="loopback port of /livez, /readyz and /metrics; 0 takes a free one")]
LogFormat = Annotated[Literal["json", "text"], Parameter(help="json for machines, text for people")]


@app.command
def federation(
    *,
    kubeconfig: Kubeconfig,
    context: str = "host",
    settings: Annotated[Path | None, Parameter(help="the federation's settings, a YAML file; it may be missing")] = None,
    port: Port = 0,
    log_format: LogFormat = "json",
) -> None:
    """Run the region's control loop: placement, dispatch, status, cluster health. Talks to the host and all members."""
    import uvloop

    from pincompute.engine import structured_logs
    from pincompute.federation import federation_process, federation_settings

    structured_logs.configure(log_format)
    uvloop.run(federation_process.run(kubeconfig, context, port, federation_settings.load(settings)))


@app.command
def operator(*, kubeconfig: Kubeconfig, context: str, port: Port = 0, log_format: LogFormat = "json") -> None:
    """Run one member's control loop: shards become pods. Talks to that member only."""
    import uvloop

    from pincompute.engine import structured_logs
    from pincompute.operator import operator_process

    structured_logs.configure(log_format)
    uvloop.run(operator_process.run(kubeconfig, context, port))


@app.command
def usage(
    *,
    kubeconfig: Kubeconfig,
    context: str,
    listen: Annotated[str, Parameter(help="ADDRESS:PORT where the figures are served over HTTPS")],
    certificate: Annotated[Path, Parameter(help="certificate of that address, a PEM file")],
    key: Annotated[Path, Parameter(help="its private key, a PEM file")],
    kubelet_authority: Annotated[
        Path | None, Parameter(help="authority of kubelets' certificates, a PEM file; default: that of the kubeconfig")
    ] = None,
    port: Port = 0,
    log_format: LogFormat = "json",
) -> None:
    """Read what the containers of one member use from its kubelets, while somebody asks, and serve it to the gateway."""
    import uvloop

    from pincompute.engine import structured_logs
    from pincompute.usage import usage_process

    structured_logs.configure(log_format)
    settings = usage_process.settings(kubeconfig, context, listen, certificate, key, kubelet_authority, port)
    uvloop.run(usage_process.run(settings))


@app.command
def network(
    *,
    kubeconfig: Kubeconfig,
    context: str,
    settings: Annotated[Path, Parameter(help="the node's addresses, a JSON file")],
    log_format: LogFormat = "json",
) -> None:
    """Enforce the NetworkPolicies of a member on this node, in whose network namespace it runs. Needs root."""
    from pincompute.engine import structured_logs
    from pincompute.region.network_policy import policy_enforcer

    structured_logs.configure(log_format)
    policy_enforcer.main(kubeconfig, context, settings)


gateway = App(name="gateway", help="The users' entry point: one address for all clusters.")
app.command(gateway)


@gateway.command
def serve(
    *, kubeconfig: Kubeconfig, config: Settings, context: str = "host", port: Port = 0, log_format: LogFormat = "json"
) -> None:
    """Serve users until asked to end. Keeps no state except its store and audit log: run as many as you like."""
    import uvloop

    from pincompute.engine import structured_logs
    from pincompute.gateway import gateway_process, gateway_settings

    structured_logs.configure(log_format)
    uvloop.run(gateway_process.run(kubeconfig, context, gateway_settings.load(config), port))


@gateway.command
def openapi() -> None:
    """Print the interface as OpenAPI 3.1."""
    from pincompute.gateway import composition

    sys.stdout.write(composition.printed_document())


@app.command
def issuer(
    *,
    folder: Annotated[Path, Parameter(help="folder of users and keys; created if missing")],
    url: Annotated[str, Parameter(help="the issuer's address, as in tokens")],
    address: str = "127.0.0.1",
    port: Port = 8444,
    certificate: Path | None = None,
    key: Path | None = None,
    log_format: LogFormat = "json",
) -> None:
    """Run the small OIDC issuer for development. Production has an issuer of its own; name it in the gateway's settings."""
    from pincompute.engine import structured_logs
    from pincompute.issuer import issuer_process

    structured_logs.configure(log_format)
    asyncio.run(issuer_process.run(folder, url, address, port, certificate, key))


@app.command
def install(role: Literal["host", "member"], /, *, kubeconfig: Kubeconfig, context: str) -> None:
    """Install or update CRDs, admission policies and RBAC in a cluster that exists. Doing it again is harmless."""
    from pincompute import installation

    left = asyncio.run(installation.install(role, kubeconfig, context))
    if left:
        print(left, file=sys.stderr)


@app.command
def explain(
    name: str,
    /,
    *,
    project: Annotated[str, Parameter(alias="-p", help="the project, which is the namespace")] = "demo",
    kind: Annotated[str, Parameter(help="kind of the workload as kubectl or users call it; default: an app")] = "",
    kubeconfig: Kubeconfig | None = None,
    context: str = "host",
) -> None:
    """Say why a workload runs where it runs, or why it does not run yet and what to do."""
    from pincompute import explain_command

    asyncio.run(explain_command.explain(kind, project, name, kubeconfig, context))


def _definitions(role: manifest_provider.Role) -> list[Manifest]:
    from pincompute import installation

    return installation.of(role)


def run() -> None:
    """Entry point of the console script."""
    try:
        _refusals_told()
    except BrokenPipeError:  # nobody reads the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("interrupted; the same command again repairs what is half done", file=sys.stderr)
        sys.exit(130)


def _refusals_told() -> None:
    """What a user can mend is one message on stderr and exit status 1."""
    from pincompute.explain_command import NoSuchWorkload
    from pincompute.federation.federation_settings import FederationSettingsError
    from pincompute.gateway.gateway_settings import SettingsError
    from pincompute.issuer.issuer_folder import IssuerError
    from pincompute.kube.api_errors import KubeError
    from pincompute.kube.kubeconfig import ConfigError
    from pincompute.region.region_error import RegionError

    manifest_provider.provide(_definitions)
    try:
        app()
    except (
        ConfigError,
        KubeError,
        NoSuchWorkload,
        RegionError,
        FederationSettingsError,
        SettingsError,
        IssuerError,
    ) as refusal:
        print(refusal, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run()
