"""Describes the daemons that a region has on its real nodes: a metrics agent and a log shipper. No I/O.

Both have access to files of their node, so only an administrator of the host cluster writes them.
"""

from __future__ import annotations

from pincompute.api import image_ownership, merge_patch, node_access
from pincompute.api.daemons import (
    PINDAEMONS,
    DaemonContainer,
    DaemonHealth,
    DaemonPort,
    DaemonSecurity,
    DaemonToleration,
    DaemonVolume,
    HostPath,
    PinDaemonSpec,
)
from pincompute.api.meta import Manifest
from pincompute.region.images.daemon_images import IMAGES, LOG_SHIPPER, METRICS_AGENT, DaemonImage
from pincompute.region.nodes import real_node

EVERY_TAINT = (DaemonToleration(),)
METRICS_PORT, LOGS_PORT = 9100, 9101
MEMORY = "64Mi"  # twice what each takes at work


def manifest(image: DaemonImage, digest: str, cgroup_root: str) -> Manifest:
    """Returns the PinDaemon of an image that the registry has under this digest."""
    made = _spec(image, f"{image_ownership.REGISTRY}/{image.tag}@{digest}", cgroup_root)
    kind = {"apiVersion": PINDAEMONS.api_version, "kind": PINDAEMONS.kind, "metadata": {"name": image.name}}
    return {**kind, "spec": merge_patch.to_json(made)}


def grants(cgroup_root: str) -> Manifest:
    """Returns the ConfigMap by which a member lets these daemons have the access to nodes that they need."""
    specs = {image.name: _spec(image, f"{image_ownership.REGISTRY}/{image.tag}", cgroup_root) for image in IMAGES}
    return node_access.grants({name: merge_patch.to_json(spec.container) for name, spec in specs.items()})


def _spec(image: DaemonImage, reference: str, cgroup_root: str) -> PinDaemonSpec:
    return {METRICS_AGENT: metrics_agent(reference, cgroup_root), LOG_SHIPPER: log_shipper(reference)}[image]


def metrics_agent(image: str, cgroup_root: str) -> PinDaemonSpec:
    """Reads what everybody on the node may read. `cgroup_root` is the control group above those of the nodes."""
    container = DaemonContainer(
        image=image,
        args=(f"--cgroup-root={cgroup_root}/$(NODE)", "--filesystem=/=/host/pods"),
        pod_fields={"NODE": "spec.nodeName"},
        ports=(DaemonPort(name="metrics", port=METRICS_PORT),),
        memory=MEMORY,
        volumes=(
            _of_node("proc", "/host/proc", "/proc"),
            _of_node("cgroup", "/host/cgroup", "/sys/fs/cgroup"),
            _of_node("containers", "/host/containers", "/var/log/containers"),
            _of_node("pods", "/host/pods", real_node.POD_LOGS),
        ),
        health=DaemonHealth(port=METRICS_PORT, path="/readyz"),
    )
    about = "serves the figures of the node and its containers for Prometheus"
    return PinDaemonSpec(container=container, description=about, tolerations=EVERY_TAINT)


def log_shipper(image: str) -> PinDaemonSpec:
    """Reads logs, which belong to root, and writes them to a folder of the node."""
    container = DaemonContainer(
        image=image,
        ports=(DaemonPort(name="metrics", port=LOGS_PORT),),
        memory=MEMORY,
        volumes=(
            _of_node("pods", "/host/pods", real_node.POD_LOGS),
            DaemonVolume(
                name="projects",
                mount_path="/host/projects",
                host_path=HostPath(path=real_node.PROJECT_LOGS, type="DirectoryOrCreate"),
            ),
        ),
        health=DaemonHealth(port=LOGS_PORT, path="/readyz"),
        security_context=DaemonSecurity(run_as_user=0),
    )
    about = "copies the logs of containers to a folder of the node for each project"
    return PinDaemonSpec(container=container, description=about, tolerations=EVERY_TAINT)


def _of_node(name: str, mount_path: str, of_node: str) -> DaemonVolume:
    return DaemonVolume(name=name, mount_path=mount_path, read_only=True, host_path=HostPath(path=of_node))
