"""A node's own view of the file system, in real mount and process namespaces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pincompute.region.nodes import cgroups

pytestmark = [pytest.mark.programs, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

GROUP = "/pincompute-test-arrange"
ISOLATE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
PROBE = """
import json, sys
from pathlib import Path
from pincompute.region.nodes import node_init
home = Path(sys.argv[1])
kubelet, cgroup = str(home / "kubelet"), sys.argv[2] + "/n"
node_init.arrange(
    node_init.NodeSettings(
        name="n", logs="", keep=(str(home),), kubelet_directory=kubelet, containerd_directory="", cgroup=cgroup, path="",
        processes=(), pid_max=str(home / "pid_max"), bound={"/var/log/pods": str(home / "pods")},
    )
)
Path("/var/lib/kubelet/lasts").write_text("")
Path("/var/log/pods/lasts").write_text("")
Path("/run/vanishes").write_text("")
seen = {name: Path("/proc/sys", name).read_text().strip() for name in node_init.KERNEL}
print(json.dumps({
    "kernel": seen,
    "kept": (home / "mark").exists(),
    "private": sorted(path.name for path in Path("/var/lib").iterdir() if path.name != home.name),
    "forwards": Path("/proc/sys/net/ipv4/ip_forward").read_text().strip(),
    "pid_max": Path("/proc/sys/kernel/pid_max").read_text(),
    "groups": Path("/proc/self/cgroup").read_text().count(sys.argv[2]),
}))
"""


@pytest.fixture(params=["/tmp", "/run", "/var/lib"])
def home(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A home in an ordinary place, and below folders that a node hides."""
    with tempfile.TemporaryDirectory(dir=request.param) as folder:
        yield Path(folder)
    cgroups.remove(GROUP)


def arranged(home: Path) -> dict[str, Any]:
    (home / "mark").touch()
    (home / "pid_max").write_text("4000\n")
    command = (*ISOLATE, sys.executable, "-c", PROBE, str(home), GROUP)
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)


def test_node_sees_its_home_and_its_own_folders(home: Path) -> None:
    seen = arranged(home)
    assert seen["kept"]
    assert seen["private"] == ["kubelet"]
    assert (home / "kubelet" / "lasts").exists()
    assert (home / "pods" / "lasts").exists()
    assert not Path("/run/vanishes").exists()
    assert seen["forwards"] == "1"
    assert seen["groups"] == len(cgroups.hierarchies())


def test_kubelet_finds_the_kernel_as_it_wants_it_and_the_machine_stays_as_it_is(home: Path) -> None:
    names = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "kernel/pid_max")
    before = {name: Path("/proc/sys", name).read_text() for name in names}
    found = arranged(home)
    assert found["pid_max"] == "1000\n"  # a fourth of what the machine has
    assert found["kernel"] == {
        "vm/overcommit_memory": "1",
        "vm/panic_on_oom": "0",
        "kernel/panic": "10",
        "kernel/panic_on_oops": "1",
        "kernel/keys/root_maxkeys": "1000000",
        "kernel/keys/root_maxbytes": "25000000",
    }
    assert {name: Path("/proc/sys", name).read_text() for name in names} == before
