"""Defines what commands wait for: a workload has settled, one replica has restarted, or a new value is rolled out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pincompute_sdk.cli import status_tree, target
from pincompute_sdk.cli.output.human_values import count

if TYPE_CHECKING:
    from pincompute_sdk.generated.kinds import Workload, WorkloadsResource
    from pincompute_sdk.generated.models import ReplicaContainerStatus, ReplicaStatus

ASKED = (
    "containers",
    "init_containers",
    "sidecars",
    "volumes",
    "zones",
    "tier",
    "replicas",
    "stopped",
    "advanced",
    "termination_grace_period",
    "restart_policy",
    "active_deadline",
)  # fields of a workload that say what runs
ENDED = ("Complete", "RolledBack")  # states of an update in which nothing is left to do
STEADY = 4.0  # seconds that replicas without a health check are seen to run before they are taken to run


def settled(app: Workload) -> bool:
    """Tells whether all replicas run in the present revision, none of an older one is left, and the update is complete."""
    status, wanted = app.status, status_tree.wanted(app)
    if status is None or not status.settled:
        return False
    if wanted and status.rollout is not None and status.rollout.state not in ENDED:
        return False
    return status.ready == status.updated == status.replicas == wanted


def replaced(asked: Workload, app: Workload) -> tuple[str, ...]:
    """Returns the fields in which the workload asks for something else than the command did; empty where nobody changed it.

    Another number of replicas without an author is an autoscaler's, and replaces nothing that was deployed.
    """
    if asked.generation is None or app.generation is None or app.generation <= asked.generation:
        return ()
    fields = ASKED if app.author else tuple(name for name in ASKED if name != "replicas")
    return tuple(name for name in fields if getattr(asked, name, None) != getattr(app, name, None))


def awaits_approval(app: Workload) -> bool:
    """Tells whether the update goes on only when somebody approves it."""
    status = app.status
    made = status.rollout if status is not None and status.settled else None  # else it speaks of what was deployed before
    return made is not None and made.state == "AwaitingApproval"


def held(app: Workload) -> str:
    """Says why no change reaches the replicas: it is stopped or paused."""
    typed = target.typed(app)
    if app.stopped:
        return f"{app.name} is stopped: 0 replicas run until `pin start {typed}`"
    ready, wanted = app.status.ready if app.status else 0, status_tree.wanted(app)
    running = f"{ready} of {count(wanted, 'replica')} {'runs' if 1 in (ready, wanted) else 'run'} as before"
    return f"{app.name} is paused: {running}, and the change waits for `pin resume {typed}`"


@dataclass(slots=True)
class SteadyRun:
    """Since when each container is seen to run, by the clock of this machine: that of the region may differ."""

    seen: dict[tuple[str, str, int], float] = field(default_factory=dict[tuple[str, str, int], float])

    def is_steady(self, app: Workload, replicas: Sequence[ReplicaStatus], now: float) -> bool:
        """Tells whether all containers of these replicas that have no health check have run for a while. They count as ready
        when they start, and a crash may follow.
        """
        checked = {container.name for container in app.containers if container.health}
        watched = [(replica.name, c) for replica in replicas for c in replica.containers if c.name not in checked]
        running = [(name, c.name, c.restarts) for name, c in watched if c.started is not None]
        self.seen = {key: self.seen.get(key, now) for key in running}
        return len(running) == len(watched) and all(now - since >= STEADY for since in self.seen.values())


@dataclass(slots=True)
class SteadyReadyCount:
    """How long the same number of replicas has been ready. Without a health check a replica is ready when it starts, so what
    is said to serve may be about to crash as the others did.
    """

    ready: int = 0
    since: float = 0.0

    def stands(self, app: Workload, now: float) -> bool:
        """Tells whether the number may be told."""
        ready = app.status.ready if app.status is not None else 0
        if ready != self.ready:
            self.ready, self.since = ready, now
        return not ready or all(each.health for each in app.containers) or now - self.since >= STEADY


@dataclass
class Settled:
    """All replicas run in the present revision, and none of an older one is left; or the update waits for an approval."""

    them: WorkloadsResource
    runs: SteadyRun = field(default_factory=SteadyRun)
    shown: Sequence[ReplicaStatus] = ()  # replicas to show meanwhile
    undoes = False  # whether the command itself undoes an update
    asks = True  # whether the command asks for a specification, which another one may replace meanwhile

    def replaced(self, app: Workload) -> str:
        """Says that what the command asks for beside a specification was replaced meanwhile; empty while it was not. Is asked
        with one version of the workload after another.
        """
        del app
        return ""

    def met(self, app: Workload) -> bool:
        """Is asked with one version of the workload after another."""
        return awaits_approval(app) or (settled(app) and self._is_steady(app))

    def sentence(self, app: Workload) -> str:
        """Says that it is so."""
        if app.stopped:
            return held(app)
        if awaits_approval(app):
            typed = target.typed(app)
            return f"{app.name} waits for an approval: `pin rollout approve {typed}`, or `pin rollout abort {typed}`"
        return f"{app.name} runs: {status_tree.wanted(app)} of {status_tree.wanted(app)} ready"

    def missing(self, app: Workload) -> str:
        """Says that it is not so yet, as the beginning of a sentence."""
        return f"{app.name} is not {'stopped' if app.stopped else 'ready'}"

    def _is_steady(self, app: Workload) -> bool:
        if not status_tree.wanted(app) or (all(each.health for each in app.containers) and not app.init_containers):
            return True
        replicas = self.them.replicas(app.project, app.name).items
        return len(replicas) >= status_tree.wanted(app) and self.runs.is_steady(app, replicas, time.monotonic())


@dataclass
class ReplicaRestarted(Settled):
    """The replica `before`, or one container of it, has restarted and is ready."""

    before: ReplicaStatus = field(kw_only=True)
    container: str = ""
    asks = False

    def met(self, app: Workload) -> bool:
        replicas = self.them.replicas(app.project, app.name).items
        self.shown = [each for each in replicas if each.name == self.before.name and each.state != status_tree.STOPPING]
        restarted = [each for each in self.shown if each.ready and self._has_restarted(each)]
        return self.runs.is_steady(app, restarted, time.monotonic()) and bool(restarted)

    def sentence(self, app: Workload) -> str:
        del app
        return f"{self._what} has restarted and is ready"

    def missing(self, app: Workload) -> str:
        del app
        return f"{self._what} has not restarted"

    @property
    def _what(self) -> str:
        return f"container {self.container} of {self.before.name}" if self.container else self.before.name

    def _has_restarted(self, now: ReplicaStatus) -> bool:
        if not self.container:
            return (now.started, now.address) != (self.before.started, self.before.address)
        return _start(now, self.container) != _start(self.before, self.container)


def _start(replica: ReplicaStatus, container: str) -> tuple[object, ...]:
    """Tells one run of the container from the next."""
    found: ReplicaContainerStatus | None = next((each for each in replica.containers if each.name == container), None)
    return (found.started, found.restarts) if found is not None else ()


@dataclass
class RolledOut(Settled):
    """All replicas run in another revision than `former`, which a new value of a secret or config makes. `later` says that
    another value is in use by now; empty while none is.
    """

    former: str = field(kw_only=True)
    later: Callable[[], str] = field(kw_only=True)
    asks = False
    asked_at: str = ""  # the last revision for which `later` was asked

    def replaced(self, app: Workload) -> str:
        revision = app.status.revision if app.status is not None else ""
        if revision in ("", self.former, self.asked_at):
            return ""
        self.asked_at = revision
        return self.later()

    def met(self, app: Workload) -> bool:
        return app.status is not None and app.status.revision != self.former and super().met(app)

    def missing(self, app: Workload) -> str:
        return f"{app.name} does not run with the new value everywhere"


@dataclass
class Approved(Settled):
    """The update has gone past the `step` that is approved now, and has come to its end or to the next approval."""

    step: int = field(kw_only=True)
    asks = False

    def met(self, app: Workload) -> bool:
        made = app.status.rollout if app.status is not None else None
        return (made is None or made.state == "Complete" or made.step > self.step) and super().met(app)


@dataclass
class Undone(Settled):
    """The update is undone, and all replicas have the revision before it."""

    undoes = True
    asks = False

    def met(self, app: Workload) -> bool:
        made = app.status.rollout if app.status is not None else None
        return made is not None and made.state == "RolledBack" and settled(app)

    def sentence(self, app: Workload) -> str:
        return f"the update of {app.name} is undone: {status_tree.wanted(app)} of {status_tree.wanted(app)} ready as before"

    def missing(self, app: Workload) -> str:
        return f"the update of {app.name} is not undone"
