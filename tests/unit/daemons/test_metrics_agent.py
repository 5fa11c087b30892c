"""The metrics agent reads recorded trees of both cgroup versions, and names and bounds what it finds."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import recorded_cgroups as recorded
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from pincompute.daemons import daemon_arguments, health_endpoints
from pincompute.daemons.metrics_agent import __main__ as process
from pincompute.daemons.metrics_agent import container_cgroups, container_figures, container_names, file_systems, node_proc
from pincompute.daemons.metrics_agent.container_figures import ContainerFigures
from pincompute.daemons.metrics_agent.container_names import ContainerName
from pincompute.daemons.metrics_agent.file_systems import FileSystems
from pincompute.daemons.metrics_agent.node_collector import NodeCollector, NodePaths, read_containers

FIGURES = ContainerFigures(
    cpu_seconds=2.5,
    periods=40,
    throttled_periods=7,
    throttled_seconds=0.35,
    cpu_quota=50000,
    cpu_period=100000,
    memory=10485760,
    memory_limit=67108864,
    working_set=8388608,
    anonymous=4194304,
    cached=6291456,
    oom_kills=2,
    tasks=9,
    tasks_limit=1024,
)
PROC = {
    "stat": "cpu  10 0 0 0 0 0 0 0 0 0\ncpu0 1234 5 678 90000 12 0 3 4 0 0\nbtime 1700000000\nprocs_running 2\n",
    "meminfo": "MemTotal:       1000 kB\nActive(anon):     20 kB\nHugePages_Total:       3\n",
    "1/net/dev": "Inter-|\n face |\n  eth0: 100 2 3 4 0 0 0 0 500 6 7 8 0 0 0 0\nbroken: 1\n",
    "loadavg": "0.50 0.25 0.10 1/100 42\n",
    "vmstat": "pgfault 1\noom_kill 7\n",
}


@pytest.fixture
def paths(tmp_path: Path) -> NodePaths:
    """A node with one container that has a name and the sandbox of its pod."""
    links = tmp_path / "containers"
    links.mkdir()
    (links / f"web-0_shop_main-{recorded.WEB}.log").symlink_to("/nowhere")
    for name, text in PROC.items():
        recorded.write((tmp_path / "proc" / name).parent, {Path(name).name: text})
    return NodePaths(tmp_path / "proc", tmp_path / "cgroup", links)


@pytest.mark.parametrize("version", [1, 2])
def test_both_versions_give_the_same_figures(version: int, paths: NodePaths):
    for container in (recorded.WEB, recorded.SANDBOX):
        if version == 2:
            recorded.unified(paths.cgroups, f"{recorded.SYSTEMD}/cri-containerd-{container}.scope")
        else:
            recorded.separate(paths.cgroups, f"{recorded.CGROUPFS}/{container}")
    reading = read_containers(paths, 10, time.monotonic() + 10)
    assert [(each.name, each.figures) for each in reading.found] == [(ContainerName("shop", "web-0", "main"), FIGURES)]
    assert (reading.unnamed, reading.left_out) == (1, 0)


@pytest.mark.parametrize(
    ("path", "uid"),
    [
        (f"kubepods/pod{recorded.UID}/{recorded.WEB}", recorded.UID),
        (f"kubepods/besteffort/pod{recorded.UID}/{recorded.WEB}", recorded.UID),
        (f"kubepods/burstable/pod{recorded.STATIC}/{recorded.WEB}", recorded.STATIC),
        (f"{recorded.SYSTEMD}/cri-containerd-{recorded.WEB}.scope", recorded.UID),
        (f"{recorded.SYSTEMD}/crio-{recorded.WEB}.scope", recorded.UID),
        (
            f"kubepods.slice/kubepods-pod{recorded.UID.replace('-', '_')}.slice/cri-containerd-{recorded.WEB}.scope",
            recorded.UID,
        ),
    ],
)
@pytest.mark.parametrize("group", ["/", "/region/node"])
def test_kubelets_names_are_understood(path: str, uid: str, group: str, tmp_path: Path):
    (tmp_path / group.lstrip("/") / path).mkdir(parents=True)
    found = list(container_cgroups.containers(tmp_path, group))
    assert [(each.path, each.pod_uid, each.container_id) for each in found] == [
        (f"{group.rstrip('/')}/{path}", uid, recorded.WEB)
    ]


@pytest.mark.parametrize(
    "path",
    ["system.slice/ssh.service", f"kubepods/{recorded.WEB}", "kubepods/burstable/podX/" + recorded.WEB, recorded.CGROUPFS],
)
def test_other_groups_are_no_containers(path: str, tmp_path: Path):
    (tmp_path / path).mkdir(parents=True)
    assert list(container_cgroups.containers(tmp_path, "/")) == []


def test_missing_files_are_unknown_and_not_0():
    nothing = ContainerFigures()
    assert container_figures.version_1(lambda *_: "") == nothing
    assert container_figures.version_2(lambda *_: "") == nothing


@pytest.mark.parametrize(
    ("files", "limit"), [({"memory.max": "max\n"}, 0), ({"memory.max": "64"}, 64), ({"memory.max": "many"}, None)]
)
def test_no_limit_is_0(files: dict[str, str], limit: int | None):
    assert container_figures.version_2(lambda _, name: files.get(name, "")).memory_limit == limit


def test_version_1_says_no_limit_as_a_number():
    files = {"memory.limit_in_bytes": "9223372036854771712\n", "cpu.cfs_quota_us": "-1\n"}
    found = container_figures.version_1(lambda _, name: files.get(name, ""))
    assert (found.memory_limit, found.cpu_quota) == (0, 0)


@pytest.mark.parametrize(
    "link",
    [
        f"web_shop_main-{'a' * 63}.log",
        f"web_shop-main-{recorded.WEB}.log",
        f'web"}}_shop_main-{recorded.WEB}.log',
        f"web_shop_main-{recorded.WEB}.log\n",
        f"Web_shop_main-{recorded.WEB}.log",
        f"{'w' * 254}_shop_main-{recorded.WEB}.log",
    ],
)
def test_a_name_that_kubelet_would_not_give_is_left_out(link: str):
    assert container_names.by_id([link]) == {}


def test_names_with_dashes_and_dots_are_understood():
    found = container_names.by_id([f"web.v2-0_my-shop_side-car-{recorded.WEB}.log"])
    assert found == {recorded.WEB: ContainerName("my-shop", "web.v2-0", "side-car")}


def test_the_node_has_the_names_of_node_exporter():
    found = {
        (each.name, *(value for _, value in each.labels)): each.value for each in node_proc.samples(lambda name: PROC[name])
    }
    assert found["node_cpu_seconds", "0", "user"] == 12.34
    assert found["node_cpu_seconds", "0", "steal"] == 0.04
    assert found["node_memory_MemTotal_bytes",] == 1024000
    assert found["node_memory_Active_anon_bytes",] == 20480
    assert found["node_memory_HugePages_Total",] == 3
    assert found["node_network_receive_bytes", "eth0"] == 100
    assert found["node_network_transmit_drop", "eth0"] == 8
    assert (found["node_load1",], found["node_vmstat_oom_kill",], found["node_boot_time_seconds",]) == (0.5, 7, 1.7e9)
    assert not any("broken" in key for key in found)


def test_a_node_without_files_has_no_figures():
    assert list(node_proc.samples(lambda _: "")) == []


def test_too_many_containers_are_left_out_and_counted(paths: NodePaths):
    recorded.unified(paths.cgroups, f"{recorded.CGROUPFS}/{recorded.WEB}")
    assert read_containers(paths, 0, time.monotonic() + 10).left_out == 1
    assert read_containers(paths, 10, time.monotonic() - 1).left_out == 1


def test_projects_share_the_containers_of_a_scrape(paths: NodePaths):
    """The project with many containers has the names and the ids that are listed first."""
    for number, namespace in enumerate(["aaa", "aaa", "aaa", "aaa", "bank", "shop"]):
        container = f"{number:064x}"
        (paths.links / f"web-{number}_{namespace}_main-{container}.log").symlink_to("/nowhere")
        recorded.unified(paths.cgroups, f"{recorded.CGROUPFS}/{container}")
    reading = read_containers(paths, 4, time.monotonic() + 10)
    assert sorted(each.name.namespace for each in reading.found) == ["aaa", "aaa", "bank", "shop"]
    assert reading.left_out == 2


def test_a_scrape_is_openmetrics_with_the_names_of_cadvisor(paths: NodePaths):
    recorded.unified(paths.cgroups, f"{recorded.CGROUPFS}/{recorded.WEB}")
    registry = CollectorRegistry()
    registry.register(NodeCollector(paths, FileSystems({"/data": str(paths.proc)})))
    answer = health_endpoints.answer("/metrics", "application/openmetrics-text; version=1.0.0", registry, str)
    samples = {
        sample.name: sample for family in text_string_to_metric_families(answer.body.decode()) for sample in family.samples
    }
    cpu = samples["container_cpu_usage_seconds_total"]
    assert cpu.value == 2.5
    assert cpu.labels == {
        "namespace": "shop",
        "pod": "web-0",
        "container": "main",
        "id": f"/{recorded.CGROUPFS}/{recorded.WEB}",
        "cpu": "total",
    }
    assert samples["container_oom_events_total"].value == 2
    assert samples["container_cpu_cfs_throttled_seconds_total"].value == 0.35
    assert samples["container_memory_working_set_bytes"].value == 8388608
    assert samples["node_network_receive_bytes_total"].value == 100
    assert samples["node_filesystem_size_bytes"].labels == {"mountpoint": "/data"}
    assert samples["pincompute_metrics_agent_containers"].value == 1


def test_a_file_system_that_does_not_answer_delays_one_scrape_and_keeps_others(monkeypatch: pytest.MonkeyPatch):
    hung = threading.Event()
    measure = file_systems.measure
    monkeypatch.setattr(file_systems, "PATIENCE", 0.2)
    monkeypatch.setattr(file_systems, "measure", lambda path: measure("/") if path == "/" else hung.wait() and measure("/"))
    asked = FileSystems({"/": "/", "/hung": "/hung"})
    began, threads = time.monotonic(), threading.active_count()
    assert [set(asked.figures()) for _ in range(3)] == [{"/"}] * 3
    assert time.monotonic() - began < 2
    assert threading.active_count() <= threads + 2
    hung.set()


def test_the_process_serves_and_says_what_it_misses(paths: NodePaths):
    assert process.missing(paths) == f"{paths.cgroups}/cpuacct, the node's control groups"
    recorded.unified(paths.cgroups, f"{recorded.CGROUPFS}/{recorded.WEB}")
    assert process.missing(paths) == ""
    assert process.missing(NodePaths(paths.cgroups, paths.cgroups, paths.links)).startswith(f"{paths.cgroups}/stat")


@pytest.mark.parametrize(("text", "expected"), [("0.0.0.0:9100", ("0.0.0.0", 9100)), ("[::]:1", ("::", 1))])
def test_addresses(text: str, expected: tuple[str, int]):
    assert daemon_arguments.listen(text) == expected


@pytest.mark.parametrize("arguments", [["--listen", "9100"], ["--listen", "a:99999"], ["--filesystem", "var"], ["--other"]])
def test_a_wrong_argument_ends_the_process(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        process.arguments(arguments)
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err
