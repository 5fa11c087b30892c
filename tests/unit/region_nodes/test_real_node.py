"""What a node's programs and files say, as far as a mistake in them would not show before a pod misbehaves."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest
import yaml

from pincompute.api import image_ownership
from pincompute.region.cluster import certificates, cluster_dns
from pincompute.region.images import image_registry
from pincompute.region.layout import Layout, MemberSpec, RegionSpec
from pincompute.region.nodes import node_network, real_node, simulated_nodes
from pincompute.region.nodes.node_init import NodeSettings

MEMBERS = (MemberSpec(name="a1", zone="a", index=0), MemberSpec(name="b1", zone="b", index=1))
A1, B1 = MEMBERS
BINARIES = Path("/opt/programs")


def region(slot: int = 3, *, real_nodes: bool = True) -> Layout:
    return Layout(Path("/srv/home"), RegionSpec(slot=slot, members=MEMBERS, real_nodes=real_nodes))


def files(member: MemberSpec = A1) -> dict[str, bytes]:
    return {path.name: data for path, data in real_node.configuration(region(), member, BINARIES).items()}


def test_node_is_one_program_in_namespaces_of_its_own() -> None:
    (program,) = real_node.programs(region(), A1, BINARIES)
    assert program.argv[:2] == ("nsenter", "--net=/run/netns/pc3-a1-node-0")
    assert {"--kill-child", "--mount", "--pid", "--fork", "--mount-proc"} <= set(program.argv)
    assert program.prepare[:-1] == node_network.node_commands(region(), A1)
    assert set(program.needs) == {"a1-apiserver", "registry"}


def test_without_real_nodes_there_is_no_program_and_no_dns_service() -> None:
    assert real_node.programs(region(real_nodes=False), A1, BINARIES) == ()
    assert cluster_dns.manifests(region(real_nodes=False), 1) == ()


def test_containerd_restricts_the_oom_score_and_uses_the_regions_runc_and_registry() -> None:
    config = tomllib.loads(files()["containerd.toml"].decode())
    runtime = config["plugins"]["io.containerd.cri.v1.runtime"]
    images = config["plugins"]["io.containerd.cri.v1.images"]
    assert config["version"] == 3
    assert runtime["restrict_oom_score_adj"] is True
    assert runtime["ignore_image_defined_volumes"] is True  # kubelet counts no volume that containerd makes of itself
    assert runtime["containerd"]["runtimes"]["runc"]["options"]["BinaryName"] == "/opt/programs/runc"
    assert images["pinned_images"]["sandbox"] == f"{image_ownership.REGISTRY}/{real_node.PAUSE}"
    assert Path(images["registry"]["config_path"]) / image_ownership.REGISTRY / "hosts.toml" in real_node.configuration(
        region(), A1, BINARIES
    )


def test_hosts_file_sends_the_registrys_name_to_its_address() -> None:
    hosts = tomllib.loads(files()["hosts.toml"].decode())
    assert hosts["server"] == f"https://{region().registry}"
    assert hosts["client"] == [[f"/srv/home/pki/registry.internal/a1-node-0.{part}" for part in ("crt", "key")]]


def test_registry_has_one_name_by_which_pods_are_judged() -> None:
    known = {path.parent.name for path in real_node.configuration(region(), A1, BINARIES) if path.name == "hosts.toml"}
    assert known == {"registry.internal"}


def test_kubelet_serves_with_the_certificate_made_for_its_node() -> None:
    config = yaml.safe_load(files()["kubelet.yaml"])
    credentials = certificates.cluster(region(), "a1")
    assert config["tlsCertFile"] == str(credentials.certificate(certificates.kubelet("a1-node-0")))
    assert config["authentication"]["x509"]["clientCAFile"] == str(credentials.certificate(certificates.CA))
    assert config["authentication"]["anonymous"]["enabled"] is False


def test_kubelet_limits_what_one_pod_may_take_and_answers_nobody_it_does_not_know() -> None:
    config = yaml.safe_load(files()["kubelet.yaml"])
    assert (config["readOnlyPort"], config["authorization"]) == (0, {"mode": "Webhook"})
    assert config["podPidsLimit"] == 1024
    assert config["seccompDefault"] is True
    assert config["protectKernelDefaults"] is True
    assert (config["containerLogMaxSize"], config["containerLogMaxFiles"]) == ("10Mi", 5)
    assert config["maxParallelImagePulls"] > 1  # only without serializeImagePulls
    assert config["serializeImagePulls"] is False


def test_kubelet_evicts_by_inodes_too_and_on_a_file_system_without_inodes_never() -> None:
    thresholds = yaml.safe_load(files()["kubelet.yaml"])["evictionHard"]
    signals = {"nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree"}
    assert thresholds.keys() == {*signals, "memory.available"}
    assert all(thresholds[signal].endswith("%") for signal in signals)  # of 0 inodes that is 0, and 0 is not below 0


def test_the_first_process_bounds_files_in_the_folders_that_kubelet_and_containerd_have() -> None:
    settings = msgspec.json.decode(files()["init.json"], type=NodeSettings)
    assert settings.kubelet_directory == "/srv/home/nodes/a1-node-0/kubelet"
    assert settings.containerd_directory == tomllib.loads(files()["containerd.toml"].decode())["root"]


def test_logs_are_where_programs_of_a_node_look_for_them() -> None:
    settings = msgspec.json.decode(files()["init.json"], type=NodeSettings)
    logs = yaml.safe_load(files()["kubelet.yaml"])["podLogsDir"]
    assert settings.bound == {"/var/log/pods": logs, "/var/log/pincompute": "/srv/home/nodes/a1-node-0/project-logs"}


def test_a_node_reads_the_limit_of_processes_of_the_machine_and_not_of_its_own_namespace() -> None:
    (program,) = real_node.programs(region(), A1, BINARIES)
    settings = msgspec.json.decode(files()["init.json"], type=NodeSettings)
    assert program.prepare[-1] == ("cp", "/proc/sys/kernel/pid_max", settings.pid_max)


def test_kubelet_tolerates_version_1_cgroups_swap_and_no_capability_to_lower_the_oom_score() -> None:
    config = yaml.safe_load(files()["kubelet.yaml"])
    assert (config["failCgroupV1"], config["failSwapOn"], config["oomScoreAdj"]) == (False, False, 0)
    assert config["cgroupRoot"] == "/pincompute-pc3/a1-node-0"


def test_pods_ask_the_dns_of_their_own_cluster() -> None:
    for member in MEMBERS:
        config = yaml.safe_load(files(member)["kubelet.yaml"])
        service = next(m for m in cluster_dns.manifests(region(), 1 + member.index) if m["kind"] == "Service")
        assert config["clusterDNS"] == [service["spec"]["clusterIP"]]


def test_dns_service_leads_to_the_port_coredns_listens_on() -> None:
    layout = region()
    (corefile,) = cluster_dns.configuration(layout, 2).values()
    endpoints = next(m for m in cluster_dns.manifests(layout, 2) if m["kind"] == "EndpointSlice")
    assert {port["port"] for port in endpoints["ports"]} == {layout.ports(2).dns}
    assert f"cluster.local:{layout.ports(2).dns} " in corefile.decode()
    assert f"bind {endpoints['endpoints'][0]['addresses'][0]}\n" in corefile.decode()


def test_dns_of_the_host_and_of_a_member_are_different_programs() -> None:
    assert cluster_dns.program(region(), 0, BINARIES).name == "host-coredns"
    assert cluster_dns.program(region(), 2, BINARIES).name == "b1-coredns"


def test_nodes_carry_their_zone_under_both_names() -> None:
    settings = msgspec.json.decode(files(B1)["init.json"], type=NodeSettings)
    kubelet = next(process for process in settings.processes if process.name == "kubelet")
    (labels,) = (flag.removeprefix("--node-labels=") for flag in kubelet.argv if flag.startswith("--node-labels="))
    assert {"topology.kubernetes.io/zone=b", "pincompute.io/zone=b", "pincompute.io/cluster=b1"} <= set(labels.split(","))


def test_container_runtime_is_the_first_daemon_because_it_ends_last() -> None:
    settings = msgspec.json.decode(files()["init.json"], type=NodeSettings)
    assert [process.name for process in settings.processes] == ["containerd", "kubelet", "kube-proxy"]


def test_pod_addresses_come_from_the_range_that_is_routed_to_the_node() -> None:
    for member in MEMBERS:
        bridge, ports = msgspec.json.decode(files(member)["10-pincompute.conflist"])["plugins"]
        assert bridge["ipam"]["ranges"] == [[{"subnet": region().pod_range(member)}]]
        assert region().pod_range(member) in node_network.node_network(region(), member).ranges
        assert ports["backend"] == "nftables"


@pytest.mark.parametrize("slot", [0, 31])
def test_link_names_fit_the_kernels_15_characters(slot: int) -> None:
    layout = Layout(
        Path("/h"), RegionSpec(slot=slot, members=(MemberSpec(name="a-very-long-member-name", zone="a", index=13),))
    )
    wired = node_network.node_network(layout, layout.spec.members[0])
    assert all(len(name) <= 15 for name in (wired.bridge, wired.link))


def test_simulated_nodes_are_marked_for_kwok_and_bring_their_capacity() -> None:
    first, second = simulated_nodes.nodes(B1, 2)
    assert (first["metadata"]["name"], second["metadata"]["name"]) == ("b1-sim-0", "b1-sim-1")
    assert first["metadata"]["annotations"] == {"kwok.x-k8s.io/node": "fake"}
    assert first["metadata"]["labels"]["topology.kubernetes.io/zone"] == "b"
    assert first["metadata"]["labels"]["type"] == "kwok"
    assert first["status"]["allocatable"] == simulated_nodes.CAPACITY
    assert "spec" not in first  # no taint


def test_kwok_only_plays_the_nodes_that_are_marked_for_it() -> None:
    argv = simulated_nodes.program(region(), A1, BINARIES).argv
    ((key, value),) = simulated_nodes.nodes(A1, 1)[0]["metadata"]["annotations"].items()
    assert f"--manage-nodes-with-annotation-selector={key}={value}" in argv


def test_stages_cover_a_pods_life_and_never_strip_finalizers() -> None:
    stages = {stage["metadata"]["name"]: stage["spec"] for stage in yaml.safe_load_all(simulated_nodes.STAGES.read_text())}
    assert set(stages) == {"node-ready", "pod-running", "pod-ready", "pod-succeeded", "pod-gone"}
    assert stages["pod-gone"]["next"] == {"delete": True}


def test_registry_keeps_images_in_the_home() -> None:
    ((path, data),) = image_registry.configuration(region()).items()
    config = yaml.safe_load(data)
    assert str(path) in image_registry.program(region(), BINARIES).argv
    assert Path(config["storage"]["filesystem"]["rootdirectory"]).is_relative_to(region().home)
    assert config["http"]["addr"] == region().registry


def test_registry_answers_nobody_without_a_certificate_or_a_token() -> None:
    (data,) = image_registry.configuration(region()).values()
    config = yaml.safe_load(data)
    assert config["http"]["tls"]["clientcas"] == ["/srv/home/pki/registry.internal/ca.crt"]
    assert config["auth"]["region"]["signingalgorithms"] == ["ES256"]
    assert "rootcertbundle" not in config["auth"]["region"]  # else a certificate of that authority could sign tokens
    assert "token.key" not in data.decode()
