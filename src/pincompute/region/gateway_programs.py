"""Describes the gateway of a region and the issuer of its users' tokens: their programs, and the settings they read.

The issuer is a real one, small and for development; `gateway/gateway.yaml` names it as any other would be named.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml
from pincompute_sdk.images.build import image_recipe

from pincompute.api.labels import HOST
from pincompute.region.cluster import certificates
from pincompute.region.images import image_registry
from pincompute.region.layout import Layout
from pincompute.region.process.program import HttpReady, Liveness, Program, TcpReady

GATEWAY = "gateway"
ISSUER = "issuer"
PASSWORDS = "passwords"  # in the issuer's folder, of the users it made
GARBAGE_COLLECTION_PERIOD = 20.0  # seconds; one machine has little room for images that nothing uses
ROLES = {"admin": ["group:admins", "pincompute:admin"], "project-creator": ["group:developers"]}
CLIENT = "client.yaml"  # in the home: what a client of this region must know, read by `pin`


def programs(layout: Layout) -> tuple[Program, ...]:
    kubeconfig = certificates.cluster(layout, HOST).kubeconfig(certificates.GATEWAY)
    health = f"http://127.0.0.1:{layout.gateway_health}"
    gateway = _own(layout, GATEWAY, health, f"--kubeconfig={kubeconfig}", f"--port={layout.gateway_health}")
    return gateway, _issuer(layout)


def configuration(layout: Layout) -> dict[Path, bytes]:
    return {
        settings(layout): yaml.safe_dump(_settings(layout), sort_keys=False).encode(),
        layout.home / CLIENT: yaml.safe_dump(
            {"server": url(layout), "ca": str(_host(layout).certificate(certificates.CA))}, sort_keys=False
        ).encode(),
    }


def url(layout: Layout) -> str:
    return f"https://{layout.gateway}"


def settings(layout: Layout) -> Path:
    return layout.gateway_dir / "gateway.yaml"


def _settings(layout: Layout) -> dict[str, Any]:
    address, _, port = layout.gateway.rpartition(":")
    return {
        "listen": {"address": address, "port": int(port)} | _certificate(layout) | {"clientCa": str(_authority(layout))},
        "issuers": [{"url": issuer_url(layout), "ca": str(_authority(layout))}],
        "access": {"platformRoles": ROLES},
        "registry": {
            "address": layout.registry,
            "key": str(certificates.registry(layout).token_key),
            "ca": str(_authority(layout)),
            "platform": image_recipe.here(),
            "storage": str(image_registry.storage(layout)),
            "garbageCollectionPeriod": GARBAGE_COLLECTION_PERIOD,
        },
    }


def issuer_url(layout: Layout) -> str:
    return f"https://{layout.issuer}"


def _certificate(layout: Layout) -> dict[str, str]:
    host = _host(layout)
    return {
        "certificate": str(host.certificate(certificates.GATEWAY_SERVER)),
        "key": str(host.key(certificates.GATEWAY_SERVER)),
    }


def _authority(layout: Layout) -> Path:
    return _host(layout).certificate(certificates.CA)


def _host(layout: Layout) -> certificates.ClusterCredentials:
    return certificates.cluster(layout, HOST)


def _own(layout: Layout, name: str, health: str, *arguments: str) -> Program:
    argv = (sys.executable, "-m", "pincompute.main", name, "serve", f"--config={settings(layout)}", *arguments)
    live = Liveness(http=HttpReady(url=f"{health}/livez"))
    ready = HttpReady(url=f"{health}/readyz")
    return Program(name=name, argv=argv, ready=ready, live=live, needs=(f"{HOST}-apiserver",), grace=12.0)


def _issuer(layout: Layout) -> Program:
    address, _, port = layout.issuer.rpartition(":")
    tls = _certificate(layout)
    argv = (sys.executable, "-m", "pincompute.main", ISSUER, f"--folder={layout.issuer_dir}", f"--url={issuer_url(layout)}")
    listen = (f"--address={address}", f"--port={port}", f"--certificate={tls['certificate']}", f"--key={tls['key']}")
    live = Liveness(http=HttpReady(url=f"{issuer_url(layout)}/healthz"))
    return Program(name=ISSUER, argv=(*argv, *listen), ready=TcpReady(host=address, port=int(port)), live=live, grace=5.0)
