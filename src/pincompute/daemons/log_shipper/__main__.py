"""The process of the log shipper: it ships the logs of its node round after round until a signal ends it."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.process_collector import ProcessCollector

from pincompute.daemons import daemon_arguments, health_endpoints
from pincompute.daemons.log_shipper.output_store import OutputLimits, OutputStore
from pincompute.daemons.log_shipper.shipper_metrics import ShipperMetrics
from pincompute.daemons.log_shipper.shipping_loop import RETENTION, ShippingLoop

ENDS = (signal.SIGTERM, signal.SIGINT)
PERIOD = 1.0  # seconds between two rounds when nothing waits
LOCK = ".lock"  # in the output, held by the one shipper that writes there


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Ends the process with a sentence when an argument is wrong."""
    parser = argparse.ArgumentParser("log_shipper", description="Copy logs of a node's containers to a folder per project.")
    parser.add_argument("--listen", type=daemon_arguments.listen, default=("0.0.0.0", 9101), metavar="ADDRESS:PORT")  # noqa: S104
    parser.add_argument("--source", type=Path, default=Path("/host/pods"), help="the node's /var/log/pods")
    parser.add_argument("--output", type=Path, default=Path("/host/projects"), help="the folder that gets a folder per project")
    parser.add_argument("--period", type=float, default=PERIOD, help="seconds between two rounds when nothing waits")
    limits, size = OutputLimits(), daemon_arguments.size
    parser.add_argument("--max-file-size", type=size, default=limits.file, help="bytes of one file, such as 10Mi")
    parser.add_argument("--max-container-size", type=size, default=limits.container, help="bytes of one container's files")
    parser.add_argument("--max-project-size", type=size, default=limits.project, help="bytes of one project's files")
    parser.add_argument("--max-total-size", type=size, default=limits.total, help="bytes of all files")
    parser.add_argument("--min-free", type=size, default=limits.min_free, help="bytes of the disk that stay free for others")
    stays = "seconds for which the files stay of a project without containers on the node"
    parser.add_argument("--absent-project-retention", type=float, default=RETENTION, help=stays)
    chosen = parser.parse_args(argv)
    sizes = (chosen.max_file_size, chosen.max_container_size, chosen.max_project_size, chosen.max_total_size)
    if list(sizes) != sorted(sizes):
        names = "--max-file-size, --max-container-size, --max-project-size, --max-total-size"
        parser.error(f"{names}: expected each to be at most the next")
    return chosen


def main(argv: Sequence[str] | None = None) -> None:
    chosen = arguments(argv)
    os.umask(0o027)
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    registry = CollectorRegistry()
    metrics = ShipperMetrics(registry)
    ProcessCollector(registry=registry)
    limits = OutputLimits(
        file=chosen.max_file_size,
        container=chosen.max_container_size,
        project=chosen.max_project_size,
        total=chosen.max_total_size,
        min_free=chosen.min_free,
    )
    loop = ShippingLoop(
        chosen.source, OutputStore(chosen.output, limits, metrics.drop), metrics, chosen.absent_project_retention
    )
    address, port = chosen.listen
    with health_endpoints.serve(registry, address, port, lambda: loop.trouble) as served:
        print(f"log shipper serves {address}:{served}", flush=True)
        ship(loop, chosen.output, chosen.period)


def ship(loop: ShippingLoop, output: Path, period: float) -> None:
    """Ships until a signal ends it. Two shippers never write to one output: the second waits for the first to end."""
    output.mkdir(parents=True, exist_ok=True)
    with (output / LOCK).open("w") as lock:
        if not _locked(lock.fileno(), period):
            return
        while True:
            more = loop.round()
            if signal.sigtimedwait(ENDS, 0 if more else period) is not None:
                return


def _locked(lock: int, period: float) -> bool:
    """Waits for the lock; returns False when a signal ends the wait."""
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if signal.sigtimedwait(ENDS, period) is not None:
                return False
        else:
            return True


if __name__ == "__main__":
    main()
