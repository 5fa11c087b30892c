"""Describes the region's OCI registry. Images lie in the home, and every node pulls them over the bridge. No I/O here.

Manifests call it `registry.internal`, whatever its address is: nodes translate the name, so a manifest fits every region.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from pincompute.region.layout import Layout
from pincompute.region.process.program import HttpReady, Program

NAME = "registry"
HOST = "registry.internal"
QUIET = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}  # by default it connects to a collector on loopback


def program(layout: Layout, binaries: Path) -> Program:
    return Program(
        name=NAME,
        argv=(str(binaries / "registry"), "serve", str(_directory(layout) / "config.yaml")),
        environment=QUIET,
        ready=HttpReady(url=f"http://{layout.registry}/v2/"),
        grace=3.0,
    )


def configuration(layout: Layout) -> dict[Path, bytes]:
    """The file the registry reads, to be written before it starts."""
    config = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(_directory(layout) / "data")},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": True, "age": "24h", "interval": "24h", "dryrun": False}},
        },
        "http": {"addr": layout.registry},
    }
    return {_directory(layout) / "config.yaml": yaml.safe_dump(config, sort_keys=False).encode()}


def _directory(layout: Layout) -> Path:
    return layout.home / NAME
