"""Fetches the last lines of a container that crashed, and says which container it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pincompute_sdk.cli import status_tree
from pincompute_sdk.core.errors import PinError

if TYPE_CHECKING:
    from pincompute_sdk.generated.kinds import Workload, WorkloadsResource
    from pincompute_sdk.generated.models import ReplicaContainerStatus, ReplicaStatus

LINES = 5
NAMED = 3  # replicas with the same reason
RUNNING = "Running"
OUT_OF_MEMORY = "out of memory"  # in the message of an app: why a container ended is known
WITHIN = 5.0  # seconds; the answer must not wait for a zone that is unreachable


def of(them: WorkloadsResource, app: Workload, replicas: Sequence[ReplicaStatus] = ()) -> tuple[str, ...]:
    """Returns a heading and the lines, or why they cannot be read; nothing when no container crashed."""
    try:
        crashed = _crashed(app, replicas or them.replicas(app.project, app.name).items)
    except PinError as error:
        return (f"the replicas of {app.name} cannot be read now: {error}",)
    if crashed is None:
        return ()
    replica, container = crashed
    try:
        return _lines(them, app, replica, container)
    except PinError as error:
        return (f"the last lines of {container.name} in {replica.name} cannot be read now: {error}",)


def reported(replicas: Sequence[ReplicaStatus]) -> tuple[str, ...]:
    """Returns what is reported of replicas that are not ready, or what their containers wait for, each thing once."""
    told: dict[str, list[str]] = {}
    for replica in replicas:
        reason = replica.reason or _awaited(replica)
        if reason and not replica.ready:
            told.setdefault(reason, []).append(replica.name)
    return tuple(f"{', '.join(names[:NAMED])}: {reason}" for reason, names in told.items())


def _awaited(replica: ReplicaStatus) -> str:
    """Returns what a container that runs waits for; why others do not run is in the status of the workload."""
    if replica.state == status_tree.STOPPING:
        return ""
    return next((f"{c.name} {c.reason}" for c in replica.containers if c.state == RUNNING and not c.ready and c.reason), "")


def _lines(
    them: WorkloadsResource, app: Workload, replica: ReplicaStatus, container: ReplicaContainerStatus
) -> tuple[str, ...]:
    number = replica.name.rpartition("/")[2]
    gaps: list[str] = []
    # The run that ended is the present one of a container that is down, and the former one if it restarts meanwhile.
    for previous in (True,) if container.state == RUNNING else (None, True):
        found = tuple(
            them.logs(
                app.project, app.name, replica=number, container=container.name, tail=LINES, previous=previous, within=WITHIN
            )
        )
        lines = tuple(line.text.rstrip() for line in found if not line.mark and line.text.strip())
        if lines:
            return (f"last lines of {container.name} in {replica.name}:", *(f"  {line}" for line in lines[-LINES:]))
        gaps.append(next((line.text for line in found if line.mark), ""))
    if gaps[0]:
        return (f"the last lines of {container.name} in {replica.name} cannot be read now: {gaps[0]}",)
    silent = f"{container.name} in {replica.name} wrote nothing before it ended"
    if app.status is not None and OUT_OF_MEMORY in app.status.message:
        return (silent,)
    return (f"{silent}, so its logs do not say why: check its command and arguments, or let it write what it does",)


def _crashed(app: Workload, replicas: Sequence[ReplicaStatus]) -> tuple[ReplicaStatus, ReplicaContainerStatus] | None:
    """Returns the container that tells why: one that is down or, when the app is stalled, one that runs between two crashes."""
    every = [
        (replica, container)
        for replica in replicas
        if replica.state != status_tree.STOPPING
        for container in replica.containers
    ]
    found = next((each for each in every if each[1].crashed), None)
    if found is not None or app.status is None or not app.status.stalled:
        return found
    running = (each for each in every if each[1].restarts and each[1].state == RUNNING)
    return max(running, key=lambda each: each[1].restarts, default=None)
