"""The process of the metrics agent: it serves the figures of its node until a signal ends it."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.process_collector import ProcessCollector

from pincompute.daemons import daemon_arguments, health_endpoints
from pincompute.daemons.metrics_agent import container_cgroups
from pincompute.daemons.metrics_agent.file_systems import FileSystems
from pincompute.daemons.metrics_agent.node_collector import LONGEST, MOST, NodeCollector, NodePaths

ENDS = (signal.SIGTERM, signal.SIGINT)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Ends the process with a sentence when an argument is wrong."""
    parser = argparse.ArgumentParser("metrics_agent", description="Serve figures of a node and its containers for Prometheus.")
    parser.add_argument("--listen", type=daemon_arguments.listen, default=("0.0.0.0", 9100), metavar="ADDRESS:PORT")  # noqa: S104
    parser.add_argument("--proc", type=Path, default=Path("/host/proc"), help="the node's /proc")
    parser.add_argument("--cgroups", type=Path, default=Path("/host/cgroup"), help="the node's /sys/fs/cgroup")
    parser.add_argument(
        "--cgroup-root", default="/", help="the control group below which kubelet keeps kubepods: its cgroupRoot"
    )
    parser.add_argument("--containers", type=Path, default=Path("/host/containers"), help="the node's /var/log/containers")
    mounts = "a file system of the node, and where it is seen; may be repeated"
    parser.add_argument(
        "--filesystem", type=daemon_arguments.mount, action="append", default=[], metavar="MOUNTPOINT=PATH", help=mounts
    )
    parser.add_argument("--max-containers", type=int, default=MOST, help="containers of one scrape")
    parser.add_argument("--scrape-timeout", type=float, default=LONGEST, help="seconds")
    return parser.parse_args(argv)


def missing(paths: NodePaths) -> str:
    """Returns which of the node's files the agent does not see; empty when it sees all."""
    mounts = container_cgroups.mounts(paths.cgroups)
    if not (paths.proc / "stat").exists():
        return f"{paths.proc}/stat, the node's /proc"
    if not mounts.walked.is_dir():
        return f"{mounts.walked}, the node's control groups"
    return ""


def main(argv: Sequence[str] | None = None) -> None:
    chosen = arguments(argv)
    paths = NodePaths(chosen.proc, chosen.cgroups, chosen.containers, chosen.cgroup_root)
    registry = CollectorRegistry()
    registry.register(NodeCollector(paths, FileSystems(dict(chosen.filesystem)), chosen.scrape_timeout, chosen.max_containers))
    ProcessCollector(registry=registry)
    address, port = chosen.listen
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    with health_endpoints.serve(registry, address, port, lambda: missing(paths)) as served:
        print(f"metrics agent serves {address}:{served}", flush=True)
        signal.sigwait(ENDS)


if __name__ == "__main__":
    main()
