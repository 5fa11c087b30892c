"""Describes the region's OCI registry. Images lie in the home, and every node pulls them over the bridge. No I/O here.

Manifests call it `registry.internal`, whatever its address is: nodes translate the name, so a manifest fits every region.
Nodes pull with a client certificate. Everybody else needs a token, which the gateway issues, for five minutes and for the
repositories that it names; nothing is answered without one of the two.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from pincompute.api import labels
from pincompute.domain import registry_access
from pincompute.region.cluster import certificates
from pincompute.region.layout import Layout
from pincompute.region.process.program import Program, TcpReady

NAME = "registry"
QUIET = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}  # by default it connects to a collector on loopback


def program(layout: Layout, binaries: Path) -> Program:
    host, _, port = layout.registry.rpartition(":")
    return Program(
        name=NAME,
        argv=(str(binaries / "registry"), "serve", str(_directory(layout) / "config.yaml")),
        environment=QUIET,
        ready=TcpReady(host=host, port=int(port)),
        grace=3.0,
    )


def configuration(layout: Layout) -> dict[Path, bytes]:
    """The file the registry reads, to be written before it starts."""
    pki, host = certificates.registry(layout), certificates.cluster(layout, labels.HOST)
    config = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(storage(layout))},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": True, "age": "24h", "interval": "24h", "dryrun": False}},
        },
        "http": {
            "addr": layout.registry,
            "tls": {
                "certificate": str(host.certificate(certificates.REGISTRY_SERVER)),
                "key": str(host.key(certificates.REGISTRY_SERVER)),
                "clientcas": [str(pki.certificate(certificates.CA))],
                "clientauth": "verify-client-cert-if-given",
            },
        },
        "auth": {
            "region": {
                "nodes": certificates.REGISTRY_NODES,
                "realm": f"https://{layout.gateway}/v1/registry/token",
                "service": registry_access.SERVICE,
                "issuer": registry_access.ISSUER,
                "jwks": str(pki.token_key_set),
                "signingalgorithms": [registry_access.ALGORITHM],
            }
        },
    }
    return {_directory(layout) / "config.yaml": yaml.safe_dump(config, sort_keys=False).encode()}


def storage(layout: Layout) -> Path:
    """The folder with all images. The gateway frees what nothing uses."""
    return _directory(layout) / "data"


def _directory(layout: Layout) -> Path:
    return layout.home / NAME
