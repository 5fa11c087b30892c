"""Keys that encrypt Secrets: made once, one for each cluster, never lost by a repeated command."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import msgspec
import pytest
import yaml

from pincompute.region.cluster import secret_encryption
from pincompute.region.layout import Layout, MemberSpec, RegionSpec


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path, RegionSpec(slot=0, members=(MemberSpec(name="a1", zone="a", index=0),)))


def providers(layout: Layout, cluster: str) -> list[dict[str, dict[str, list[dict[str, str]]]]]:
    content = yaml.safe_load(secret_encryption.configuration_file(layout, cluster).read_bytes())
    (rule,) = content["resources"]
    assert rule["resources"] == ["secrets"]
    return rule["providers"]


def test_every_cluster_has_a_key_of_its_own_that_only_the_owner_reads(layout: Layout) -> None:
    secret_encryption.issue(layout)
    keys = [providers(layout, cluster)[0]["secretbox"]["keys"] for cluster in ("host", "a1")]
    assert keys[0] != keys[1]
    assert [len(base64.b64decode(key["secret"])) for found in keys for key in found] == [32, 32]
    files = [secret_encryption.configuration_file(layout, cluster) for cluster in ("host", "a1")]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_what_is_not_encrypted_can_be_read_and_is_never_written(layout: Layout) -> None:
    secret_encryption.issue(layout)
    assert [list(provider) for provider in providers(layout, "host")] == [["secretbox"], ["identity"]]


def test_a_repeated_command_keeps_the_key(layout: Layout) -> None:
    secret_encryption.issue(layout)
    before = providers(layout, "host")
    secret_encryption.issue(layout)
    assert providers(layout, "host") == before


def test_a_new_key_stands_first_and_the_former_one_still_reads(layout: Layout) -> None:
    secret_encryption.issue(layout)
    (former,) = providers(layout, "host")[0]["secretbox"]["keys"]
    secret_encryption.issue(Layout(layout.home, msgspec.structs.replace(layout.spec, encryption_key=1)))
    new, kept = providers(layout, "host")[0]["secretbox"]["keys"]
    assert kept == former
    assert (former["name"], new["name"]) == ("key0", "key1")
    assert new["secret"] != former["secret"]
