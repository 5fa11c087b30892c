"""Describes a real node: containerd, kubelet and kube-proxy in namespaces of their own, one supervised program per node.

The program enters the node's network, then gets its own processes and mounts; ending it is a power failure of the node: the
kernel ends everything that runs in it. What must survive that (images, volumes, container records) lies in the node's folder.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml

from pincompute.api import image_ownership
from pincompute.api.labels import CLUSTER, HOST, ZONE
from pincompute.api.meta import Manifest
from pincompute.region.cluster import certificates
from pincompute.region.images import image_registry
from pincompute.region.layout import Layout, MemberSpec
from pincompute.region.nodes import node_network
from pincompute.region.nodes.node_init import CONTAINERD_SOCKET, PID_MAX, DaemonCommand, NodeSettings
from pincompute.region.process.program import HttpReady, Program

PAUSE = "pincompute/pause:1"  # in the region's registry, made from the folder `pause` beside this file
PAUSE_SOURCE = Path(__file__).parents[1] / "images" / "pause"
KUBELET_HEALTH = 10248
PROXY_HEALTH = 10256
POD_SLOTS = 250
POD_PROCESSES = (
    1024  # and threads: servers have tens or hundreds, and 32 such pods fit in 32768, the fewest that Linux allows a machine
)
DISK_SIGNALS = ("nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree")
"""Their threshold is a percentage: a file system that does not count inodes has 0 of them, and any number would evict all."""

POD_LOGS = "/var/log/pods"  # where programs of a node look for the logs that kubelet keeps elsewhere
PROJECT_LOGS = "/var/log/pincompute"  # where the log shipper keeps a folder for each project; it lasts as the node's disk does
IPAM = "/run/cni"  # addresses are forgotten with the node's processes, which held them


@dataclass(frozen=True, slots=True)
class RealNode:
    """Paths of one node, and where its programs are."""

    layout: Layout
    member: MemberSpec
    binaries: Path

    @property
    def name(self) -> str:
        return self.layout.node_name(self.member)

    @property
    def directory(self) -> Path:
        return self.layout.node_dir(self.member)

    @property
    def address(self) -> str:
        return self.layout.node_address(self.member)

    @property
    def credentials(self) -> certificates.ClusterCredentials:
        return certificates.cluster(self.layout, self.member.name)

    @property
    def containerd(self) -> Path:
        return self.directory / "containerd"

    @property
    def pod_logs(self) -> Path:
        return self.layout.logs / "pods" / self.name

    @property
    def pid_max(self) -> Path:
        return self.directory / "pid_max"

    @property
    def cgroup(self) -> str:
        return f"{cgroup_root(self.layout)}/{self.name}"


def cgroup_root(layout: Layout) -> str:
    """Above the control groups of every node of the region."""
    return f"/pincompute-{layout.prefix}"


def programs(layout: Layout, member: MemberSpec, binaries: Path) -> tuple[Program, ...]:
    """What the supervisor runs for the member's node; none where only simulated nodes run."""
    if not layout.spec.real_nodes:
        return ()
    node = RealNode(layout, member, binaries)
    enter = ("nsenter", f"--net={node_network.NAMESPACES / node_network.namespace(layout, member)}")
    isolate = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
    init = (sys.executable, "-m", "pincompute.region.nodes.node_init", str(node.directory / "init.json"))
    return (
        Program(
            name=f"{member.name}-node",
            argv=(*enter, *isolate, *init),
            prepare=(*node_network.node_commands(layout, member), ("cp", str(PID_MAX), str(node.pid_max))),
            ready=HttpReady(url=f"http://{node.address}:{KUBELET_HEALTH}/healthz"),
            needs=(f"{member.name}-apiserver", image_registry.NAME),
            grace=15.0,
            umask=0o022,  # users other than root read what containerd unpacks from images
        ),
    )


def configuration(layout: Layout, member: MemberSpec, binaries: Path) -> dict[Path, bytes]:
    """Every file the node's program reads, to be written before it starts."""
    node = RealNode(layout, member, binaries)
    at = node.directory
    return {
        at / "init.json": msgspec.json.encode(settings(node)),
        at / "containerd.toml": containerd(node).encode(),
        at / "registry" / image_ownership.REGISTRY / "hosts.toml": registry_hosts(node).encode(),
        at / "cni" / "10-pincompute.conflist": msgspec.json.format(msgspec.json.encode(cni(node))),
        at / "kubelet.yaml": _yaml(kubelet(node)),
        at / "kube-proxy.yaml": _yaml(kube_proxy(node)),
        at / "resolv.conf": b"",  # pods with dnsPolicy Default: nothing outside the region is to be found
    }


def settings(node: RealNode) -> NodeSettings:
    """What the node's first process sets up and keeps running."""
    at, binaries = node.directory, node.binaries
    return NodeSettings(
        name=node.member.name,
        logs=str(node.layout.logs),
        keep=(str(node.layout.home), str(binaries)),
        kubelet_directory=str(at / "kubelet"),
        containerd_directory=str(node.containerd),
        cgroup=node.cgroup,
        pid_max=str(node.pid_max),
        bound={POD_LOGS: str(node.pod_logs), PROJECT_LOGS: str(at / "project-logs")},
        path=f"{binaries}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        processes=(
            DaemonCommand(name="containerd", argv=(str(binaries / "containerd"), f"--config={at}/containerd.toml")),
            DaemonCommand(name="kubelet", argv=_kubelet_argv(node), after=CONTAINERD_SOCKET),
            DaemonCommand(name="kube-proxy", argv=(str(binaries / "kube-proxy"), f"--config={at}/kube-proxy.yaml", "--v=1")),
        ),
    )


def containerd(node: RealNode) -> str:
    """Configuration of containerd. `restrict_oom_score_adj`: without CAP_SYS_RESOURCE runc may not lower the score.

    `required_plugins`: without its CRI plugin, which needs an inotify instance, it ends and is started again, instead of
    serving a socket no kubelet can use for as long as the node lives. `ignore_image_defined_volumes`: what a program writes to
    a VOLUME of its image goes to the container's own file system, which counts; a volume of containerd's own counts nowhere.
    """
    at = node.directory
    return f"""\
version = 3
root = "{node.containerd}"
state = "/run/containerd"
imports = []
required_plugins = ["io.containerd.grpc.v1.cri"]

[grpc]
address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{image_ownership.REGISTRY}/{PAUSE}"

[plugins."io.containerd.cri.v1.images".registry]
config_path = "{at}/registry"

[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
ignore_image_defined_volumes = true

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{node.binaries}/runc"
SystemdCgroup = false

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{node.binaries}"]
conf_dir = "{at}/cni"
"""


def registry_hosts(node: RealNode) -> str:
    """Where the region's registry is, which authority it has, and the certificate with which the node pulls.

    containerd reads the file at every pull. It knows the registry under this name alone, so that an image has one name, by
    which a pod is judged before it runs.
    """
    pki, host = certificates.registry(node.layout), certificates.cluster(node.layout, HOST)
    return f"""\
server = "https://{node.layout.registry}"
capabilities = ["pull", "resolve"]
ca = "{host.certificate(certificates.CA)}"
client = [["{pki.certificate(node.name)}", "{pki.key(node.name)}"]]
"""


def cni(node: RealNode) -> Manifest:
    """Pods hang on a bridge inside the node; the node routes, so nothing is masqueraded and pods see true addresses."""
    ranges = [[{"subnet": node.layout.pod_range(node.member)}]]
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "dataDir": IPAM, "ranges": ranges},
    }
    ports = {"type": "portmap", "backend": "nftables", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "pincompute", "plugins": [bridge, ports]}


def kubelet(node: RealNode) -> Manifest:
    """KubeletConfiguration. Thresholds are low: a laptop's disk is often 90 % full, and its swap is on."""
    credentials, own = node.credentials, certificates.kubelet(node.name)
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address,
        "healthzBindAddress": node.address,
        "healthzPort": KUBELET_HEALTH,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(credentials.certificate(certificates.CA))},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(credentials.certificate(own)),
        "tlsPrivateKeyFile": str(credentials.key(own)),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": node.cgroup,
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,  # may not be lowered without CAP_SYS_RESOURCE
        "clusterDNS": [node.layout.dns_address(1 + node.member.index)],
        "clusterDomain": "cluster.local",
        "resolvConf": str(node.directory / "resolv.conf"),
        "podLogsDir": str(node.pod_logs),
        "volumePluginDir": str(node.directory / "volume-plugins"),
        "maxPods": POD_SLOTS,
        "readOnlyPort": 0,
        "seccompDefault": True,
        "protectKernelDefaults": True,  # the node's first process shows kubelet the values that it wants
        "podPidsLimit": POD_PROCESSES,
        "serializeImagePulls": False,
        "maxParallelImagePulls": 8,
        "registryPullQPS": 0,
        "eventRecordQPS": 50,
        "containerLogMaxSize": "10Mi",
        "containerLogMaxFiles": 5,
        "containerLogMaxWorkers": 2,
        "containerLogMonitorInterval": "3s",  # the shortest there is: a container may write beyond the size until then
        "evictionHard": {"memory.available": "100Mi", **dict.fromkeys(DISK_SIGNALS, "1%")},
        "imageGCHighThresholdPercent": 100,  # other programs fill the same disk
        "imageMaximumGCAge": "1h0m0s",
    }


def kube_proxy(node: RealNode) -> Manifest:
    """KubeProxyConfiguration; connection tracking limits belong to the machine and stay as they are."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(node.credentials.kubeconfig(certificates.KUBE_PROXY))},
        "hostnameOverride": node.name,
        "clusterCIDR": node.layout.pod_range(node.member),
        "bindAddress": "0.0.0.0",  # noqa: S104 - of the node's own namespace; makes kube-proxy serve IPv4
        "healthzBindAddress": f"{node.address}:{PROXY_HEALTH}",
        "metricsBindAddress": "127.0.0.1:10249",
        "oomScoreAdj": 0,
        "conntrack": {"maxPerCore": 0, "min": 0},
        "nftables": {"minSyncPeriod": "100ms"},
    }


def _kubelet_argv(node: RealNode) -> tuple[str, ...]:
    member = node.member
    labels = {
        "topology.kubernetes.io/zone": member.zone,
        "topology.kubernetes.io/region": "local",
        ZONE: member.zone,
        CLUSTER: member.name,
    }
    return (
        str(node.binaries / "kubelet"),
        f"--config={node.directory}/kubelet.yaml",
        f"--kubeconfig={node.credentials.kubeconfig(certificates.kubelet(node.name))}",
        "--root-dir=/var/lib/kubelet",
        f"--cert-dir={node.directory}/kubelet-pki",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        f"--node-labels={','.join(f'{key}={value}' for key, value in labels.items())}",
        "--v=1",
    )


def _yaml(manifest: Manifest) -> bytes:
    return yaml.safe_dump(manifest, sort_keys=False).encode()
