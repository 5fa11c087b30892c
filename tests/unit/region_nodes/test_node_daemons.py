"""The daemons of a region fit the programs that they run: their arguments, their folders and their ports."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pincompute.api import merge_patch, node_access
from pincompute.api.daemons import PINDAEMONS, PinDaemonSpec
from pincompute.daemons.log_shipper import __main__ as log_shipper
from pincompute.daemons.metrics_agent import __main__ as metrics_agent
from pincompute.region import node_daemons
from pincompute.region.images.daemon_images import LOG_SHIPPER, METRICS_AGENT, DaemonImage

DIGEST = f"sha256:{'a' * 64}"
Arguments = Callable[[list[str]], argparse.Namespace]
every_daemon = pytest.mark.parametrize(
    ("image", "arguments"), [(METRICS_AGENT, metrics_agent.arguments), (LOG_SHIPPER, log_shipper.arguments)]
)


def spec(image: DaemonImage) -> PinDaemonSpec:
    manifest: dict[str, Any] = node_daemons.manifest(image, DIGEST, "/pincompute-pc0")
    assert (manifest["kind"], manifest["metadata"]) == (PINDAEMONS.kind, {"name": image.name})
    return msgspec.convert(manifest["spec"], PinDaemonSpec)


@every_daemon
def test_the_program_finds_its_port_and_its_folders(image: DaemonImage, arguments: Arguments):
    container = spec(image).container
    chosen = arguments([arg.replace("$(NODE)", "a1-node-0") for arg in container.args])
    assert container.health is not None
    assert chosen.listen[1] == container.ports[0].port == container.health.port
    folders = {value for value in vars(chosen).values() if isinstance(value, Path)}
    folders |= {Path(path) for _, path in getattr(chosen, "filesystem", [])}
    assert {str(folder) for folder in folders} == {volume.mount_path for volume in container.volumes}


@every_daemon
def test_the_image_is_pinned_and_every_node_has_a_copy(image: DaemonImage, arguments: Arguments):
    made = spec(image)
    assert made.container.image == f"registry.internal/{image.tag}@{DIGEST}"
    assert [(each.key, each.operator, each.effect) for each in made.tolerations] == [("", "Exists", "")]
    assert made.node_selector == {}


def test_daemons_have_no_more_rights_than_they_need():
    """Only the shipper is root, without capabilities, and only its own folder is written."""
    rights = {image.name: spec(image).container for image in (METRICS_AGENT, LOG_SHIPPER)}
    assert {name: each.security_context.run_as_user for name, each in rights.items()} == {
        "metrics-agent": None,
        "log-shipper": 0,
    }
    written = {
        name: [volume.host_path.path for volume in each.volumes if volume.host_path is not None and not volume.read_only]
        for name, each in rights.items()
    }
    assert written == {"metrics-agent": [], "log-shipper": ["/var/log/pincompute"]}
    for each in rights.values():
        security = each.security_context
        assert (security.privileged, security.capabilities, security.host_network, security.host_pid) == (
            False,
            (),
            False,
            False,
        )
        assert security.read_only_root_filesystem


def test_members_grant_the_daemons_what_they_need_and_no_more():
    granted = {name: set(words.split()) for name, words in node_daemons.grants("/pincompute-pc0")["data"].items()}
    needed = {
        image.name: set(node_access.words(merge_patch.to_json(spec(image).container))) for image in (METRICS_AGENT, LOG_SHIPPER)
    }
    assert granted == needed
    assert all(f"registry.internal/pincompute/{name}" in words for name, words in granted.items())
