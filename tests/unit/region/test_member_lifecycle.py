"""Names of members, indexes that stay, and ports that somebody else holds."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pincompute.region import member_lifecycle
from pincompute.region.layout import MAX_MEMBERS, Layout, MemberSpec, RegionSpec
from pincompute.region.machine import port_conflicts
from pincompute.region.region_error import RegionError


def region(*names: str) -> Layout:
    members = tuple(MemberSpec(name=name, zone=name[0], index=index) for index, name in enumerate(names))
    return Layout(Path("/var/region"), RegionSpec(slot=0, members=members))


@pytest.mark.parametrize("good", ["a", "d1", "zone-d", "a" * 15, "1a"])
def test_labels_are_accepted(good: str) -> None:
    member_lifecycle.check_label("--name", good)


@pytest.mark.parametrize("bad", ["", "D1", "d_1", "-d", "d-", "a" * 16, "d.1", "d 1", "é"])
def test_what_is_no_label_is_refused_with_option_and_expectation(bad: str) -> None:
    with pytest.raises(RegionError, match=r"--zone .* expected at most 15 lower-case letters"):
        member_lifecycle.check_label("--zone", bad)


def test_a_new_member_gets_an_index_that_no_member_had() -> None:
    layout = region("a1", "b1", "c1")
    without_b1 = Layout(layout.home, RegionSpec(slot=0, members=(layout.spec.members[0], layout.spec.members[2])))
    grown = member_lifecycle.layout_with(without_b1, "d1", "d")
    assert grown.spec.members[-1] == MemberSpec(name="d1", zone="d", index=3)


def test_an_index_is_used_again_when_none_is_left() -> None:
    full = region(*(f"m{i}" for i in range(MAX_MEMBERS)))
    without_first = Layout(full.home, RegionSpec(slot=0, members=full.spec.members[1:]))
    assert member_lifecycle.layout_with(without_first, "again", "z").spec.members[-1].index == 0


def test_adding_again_after_a_crash_is_the_same_member() -> None:
    grown = member_lifecycle.layout_with(region("a1"), "d1", "d")
    assert member_lifecycle.layout_with(grown, "d1", "d") == grown


@pytest.mark.parametrize(
    ("name", "zone", "message"),
    [
        ("a1", "d", "--name a1: already taken, it is member of zone a; choose another name"),
        ("host", "d", "--name host: already taken, it is the host cluster"),
    ],
)
def test_a_name_that_is_taken_is_refused(name: str, zone: str, message: str) -> None:
    with pytest.raises(RegionError, match=message):
        member_lifecycle.layout_with(region("a1"), name, zone)


def test_a_full_region_takes_no_more_members() -> None:
    with pytest.raises(RegionError, match=f"{MAX_MEMBERS} members, which is as many as fit"):
        member_lifecycle.layout_with(region(*(f"m{i}" for i in range(MAX_MEMBERS))), "one-more", "z")


def test_an_unknown_member_is_refused_with_those_there_are() -> None:
    with pytest.raises(RegionError, match="no member is called 'zz': expected one of a1, b1"):
        member_lifecycle.member(region("a1", "b1"), "zz")


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_in_use_is_named_with_its_holder(listener: int, tmp_path: Path) -> None:
    with pytest.raises(RegionError) as refused:
        port_conflicts.check([("127.0.0.1", listener, "host-etcd")], tmp_path)
    for part in (f"port {listener}", "wanted by host-etcd", f"process {os.getpid()}", "PINCOMPUTE_HOME"):
        assert part in str(refused.value)


def test_ports_that_are_free_are_fine(listener: int, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    port_conflicts.check([("127.0.0.1", port, "host-etcd")], tmp_path)


def test_ports_that_the_regions_own_programs_hold_are_fine(tmp_path: Path) -> None:
    script = (
        "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); print(s.getsockname()[1], flush=True)"
    )
    environment = {"PATH": os.environ["PATH"], "PINCOMPUTE_HOME": str(tmp_path), "PINCOMPUTE_PROGRAM": "host-etcd"}
    command = (sys.executable, "-c", f"{script}; time.sleep(600)")
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as own:
        try:
            assert own.stdout is not None
            port = int(own.stdout.readline())
            port_conflicts.check([("127.0.0.1", port, "host-etcd")], tmp_path)
            with pytest.raises(RegionError, match=f"is held by process {own.pid}"):
                port_conflicts.check([("127.0.0.1", port, "host-etcd")], tmp_path / "another")
        finally:
            own.kill()
