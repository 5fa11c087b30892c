"""Links, namespaces and control groups in the real kernel: made twice, removed whole, another region's left alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import msgspec
import pytest

from pincompute.region.layout import Layout, MemberSpec, RegionSpec
from pincompute.region.machine import leftovers
from pincompute.region.nodes import cgroups, node_network, real_node
from pincompute.region.process import region_processes

ROOT = os.geteuid() == 0 and all(map(shutil.which, ("ip", "nft", "nsenter")))
pytestmark = [pytest.mark.programs, pytest.mark.skipif(not ROOT, reason="needs root, iproute2 and nftables")]

A1, B1 = MemberSpec(name="a1", zone="a", index=0), MemberSpec(name="b1", zone="b", index=1)
GROUP = "/pincompute-test"


def region(home: Path, slot: int) -> Layout:
    return Layout(home, RegionSpec(slot=slot, members=(A1, B1)))


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    """A region in a slot that regions of users, which count from 0, do not reach in a test run."""
    made = region(tmp_path / "home", 30)
    made.home.mkdir()
    yield made
    leftovers.remove_all(made)


def connect(layout: Layout, member: MemberSpec) -> None:
    """By the command the supervisor runs."""
    for command in node_network.node_commands(layout, member):
        subprocess.run(command, check=True, timeout=20)


def reaches(layout: Layout, source: MemberSpec, target: str, port: int = 0) -> bool:
    """Whether a TCP connection from a node's namespace finds the address, at the registry's port when none is given.

    Nothing listens, so a refusal is an arrival.
    """
    port = port or int(layout.registry.rpartition(":")[2])
    code = f"import socket; s = socket.socket(); s.settimeout(0.5); print(s.connect_ex(('{target}', {port})))"
    command = ("nsenter", f"--net=/run/netns/{node_network.namespace(layout, source)}", sys.executable, "-c", code)
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip() == "111"


def test_nodes_reach_the_machine_and_each_other_and_nobody_outside(layout: Layout) -> None:
    node_network.prepare_region(layout)
    for member in (A1, B1, A1):  # the second time changes nothing
        connect(layout, member)
    assert reaches(layout, A1, layout.address)
    assert reaches(layout, A1, layout.node_address(B1))
    assert reaches(layout, A1, layout.address, layout.ports(1).apiserver)
    assert not reaches(layout, A1, layout.address, layout.ports(0).apiserver), "the host's API server is open to a node"
    assert not reaches(layout, A1, layout.address, layout.ports(2).apiserver), "another member's API server is open to a node"
    assert not reaches(layout, A1, layout.address, 9), "any port of the machine is open to a node"
    rules = subprocess.run(
        ("nft", "list", "chain", "inet", node_network.table(layout.bridge), "forward"), capture_output=True, text=True
    )
    assert rules.stdout.count("reject") == 1


def test_connect_repairs_a_namespace_that_was_removed(layout: Layout) -> None:
    connect(layout, A1)
    subprocess.run(("ip", "netns", "delete", node_network.namespace(layout, A1)), check=True)
    connect(layout, A1)
    assert reaches(layout, A1, layout.address)


def test_remove_all_leaves_nothing_of_this_region_and_all_of_the_next(layout: Layout, tmp_path: Path) -> None:
    other = region(tmp_path / "other", 31)
    other.home.mkdir()
    try:
        for each in (layout, other):
            connect(each, A1)
            cgroups.ensure(f"{real_node.cgroup_root(each)}/a1-node-0")
        before = leftovers.leftovers(other)
        assert leftovers.leftovers(layout)
        leftovers.remove_all(layout)
        assert leftovers.leftovers(layout) == []
        assert leftovers.leftovers(other) == before != []
    finally:
        leftovers.remove_all(other)
    assert leftovers.leftovers(other) == []


def test_remove_node_leaves_the_other_node_connected(layout: Layout) -> None:
    for member in (A1, B1):
        connect(layout, member)
    leftovers.remove_node(layout, A1)
    assert node_network.namespace(layout, A1) not in str(leftovers.leftovers(layout))
    assert reaches(layout, B1, layout.address)


def test_processes_are_found_by_their_marks_and_by_their_control_group(layout: Layout) -> None:
    marks = os.environ | {region_processes.HOME: str(layout.home), region_processes.PROGRAM: "a1-etcd"}
    group = f"{real_node.cgroup_root(layout)}/a1-node-0"
    join = f"from pincompute.region.nodes import cgroups; cgroups.enter({group!r}, 'pod'); print(1, flush=True); input()"
    script = "print(1, flush=True); input()"
    with (
        subprocess.Popen((sys.executable, "-c", script), env=marks, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as marked,
        subprocess.Popen((sys.executable, "-c", join), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as contained,
    ):
        for child in (marked, contained):
            assert child.stdout is not None
            child.stdout.readline()
        found = leftovers.leftovers(layout)
        assert f"process {marked.pid} (a1-etcd)" in found
        assert f"process {contained.pid} (in a container)" in found
        leftovers.remove_all(layout)
        assert (marked.wait(10), contained.wait(10)) == (-9, -9)
    assert leftovers.leftovers(layout) == []


def test_users_shell_with_the_home_in_its_environment_is_not_the_regions(layout: Layout) -> None:
    with subprocess.Popen(("sleep", "60"), env=os.environ | {region_processes.HOME: str(layout.home)}) as shell:
        try:
            assert leftovers.leftovers(layout) == []
        finally:
            shell.kill()


def test_mounts_below_the_home_are_removed(layout: Layout) -> None:
    point = layout.home / "a folder" / "m"
    point.mkdir(parents=True)
    subprocess.run(("mount", "-t", "tmpfs", "test", str(point)), check=True)
    assert leftovers.leftovers(layout) == [f"mount {point}"]
    leftovers.remove_all(layout)
    assert leftovers.leftovers(layout) == []


def test_kernels_refusal_is_told_with_the_command() -> None:
    with pytest.raises(node_network.NetworkError, match="`ip link set absent-link up` failed: Cannot find device"):
        node_network.ip("link", "set", "absent-link", "up")


def test_command_is_built_from_what_it_decodes(layout: Layout) -> None:
    ((*_, described),) = node_network.node_commands(layout, A1)
    assert msgspec.json.decode(described, type=node_network.NodeNetwork) == node_network.node_network(layout, A1)


def test_group_in_which_processes_can_run_is_removed_with_everything_below() -> None:
    try:
        cgroups.ensure(f"{GROUP}/node")
        assert {path.name for path in cgroups.exists(f"{GROUP}/node")} == {"node"}
        assert len(cgroups.exists(GROUP)) == len(cgroups.hierarchies())
    finally:
        cgroups.remove(GROUP)
    assert cgroups.exists(GROUP) == ()


def test_daemons_of_a_node_are_not_starved_by_many_processes_outside() -> None:
    """A busy process among them gets several times what each of eight others gets, though two more groups stand around it."""
    spin = """
import time
end, used = time.monotonic() + 2, time.process_time()
while time.monotonic() < end:
    pass
print(time.process_time() - used)
"""
    inside = f"from pincompute.region.nodes import cgroups\ncgroups.enter({f'{GROUP}/node'!r}, 'system')\n{spin}"
    try:
        spinning = [
            subprocess.Popen((sys.executable, "-c", code), stdout=subprocess.PIPE, text=True, start_new_session=True)
            for code in (inside, *[spin] * 8)
        ]
        own, *others = (float(process.communicate(timeout=60)[0]) for process in spinning)
    finally:
        cgroups.remove(GROUP)
    assert own > 2 * median(others)


def test_only_cgroup_mounts_at_the_usual_place_count() -> None:
    mounts = """\
cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
cgroup /srv/chroot/sys/fs/cgroup/cpu cgroup ro,cpu 0 0
tmpfs /sys/fs/cgroup tmpfs rw 0 0
"""
    found = cgroups.hierarchies(mounts)
    assert [(str(tree.path), tree.unified) for tree in found] == [
        ("/sys/fs/cgroup/cpu", False),
        ("/sys/fs/cgroup/unified", True),
    ]
