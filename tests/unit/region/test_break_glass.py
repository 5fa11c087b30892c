"""A credential for an emergency is short-lived, names a person, and is on record before it exists."""

from __future__ import annotations

import base64
import json
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from pincompute.region.cluster import break_glass, certificates
from pincompute.region.cluster.break_glass import EmergencyAccess
from pincompute.region.layout import Layout, MemberSpec, RegionSpec
from pincompute.region.region_error import RegionError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACCESS = EmergencyAccess("ada", "the gateway is down", "a1", 30)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path, RegionSpec(slot=2, members=(MemberSpec(name="a1", zone="a", index=0),)))
    certificates._issue_cluster(made, "a1", 1, made.spec.members[0], NOW)
    return made


def test_the_certificate_names_the_person_and_ends_soon(layout: Layout) -> None:
    file, record = break_glass.issue(layout, ACCESS, NOW)
    content = yaml.safe_load(file.read_text())
    found = x509.load_pem_x509_certificate(base64.b64decode(content["users"][0]["user"]["client-certificate-data"]))
    names = {
        oid: [a.value for a in found.subject.get_attributes_for_oid(oid)]
        for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
    }
    assert names == {
        NameOID.COMMON_NAME: ["pincompute:break-glass:ada"],
        NameOID.ORGANIZATION_NAME: ["pincompute:break-glass"],
    }
    assert found.not_valid_after_utc == record.until == NOW + timedelta(minutes=30)
    authority = certificates.cluster(layout, "a1").certificate(certificates.CA)
    found.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.read_bytes()))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_every_access_is_a_line_of_the_log(layout: Layout) -> None:
    for user in ("ada", "bob"):
        break_glass.issue(layout, replace(ACCESS, user=user), NOW)
    log = layout.home / break_glass.LOG
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["user"], line["reason"], line["cluster"]) for line in lines] == [
        ("ada", "the gateway is down", "a1"),
        ("bob", "the gateway is down", "a1"),
    ]
    assert all(line["account"] for line in lines)
    assert len({line["serial"] for line in lines}) == 2
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_log_that_cannot_be_written_gives_no_access(layout: Layout) -> None:
    (layout.home / break_glass.LOG).mkdir()
    with pytest.raises(OSError, match=break_glass.LOG):
        break_glass.issue(layout, ACCESS, NOW)
    assert not list(layout.home.glob("break-glass/*"))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"user": ""}, "--user"),
        ({"user": "../ada"}, "--user"),
        ({"user": "ada\n"}, "--user"),
        ({"reason": " "}, "--reason"),
        ({"reason": "x" * 501}, "--reason"),
        ({"cluster": "z9"}, "--cluster"),
        ({"minutes": 0}, "--minutes"),
        ({"minutes": 481}, "--minutes"),
    ],
)
def test_what_cannot_be_recorded_is_refused(layout: Layout, wrong: dict[str, str], named: str) -> None:
    with pytest.raises(RegionError, match=named):
        break_glass.issue(layout, replace(ACCESS, **wrong), NOW)
    assert not (layout.home / break_glass.LOG).exists()
