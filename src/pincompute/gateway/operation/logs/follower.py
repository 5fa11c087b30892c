"""Follows logs as they are written, over restarts, moves, rotations and broken connections (S-261).

A log that ends or breaks is requested again from its watermark, so that no line is lost or doubled. A quiet log is requested
again once a minute as well, because a kubelet may lose its followers when it rotates the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from pincompute.api.builtin import ContainerStateTerminated, ContainerStatus
from pincompute.domain import zone_text
from pincompute.gateway.operation.logs import line_format, source_selection, volume_logs
from pincompute.gateway.operation.logs.line_buffer import LineBuffer
from pincompute.gateway.operation.logs.line_format import LogSource
from pincompute.gateway.operation.logs.line_ordering import WAIT, ClockSkew, ReorderBuffer
from pincompute.gateway.operation.logs.log_query import LogQuery
from pincompute.gateway.operation.logs.replica_succession import Arrival, ReplicaSuccession
from pincompute.gateway.operation.logs.watermark import Watermark
from pincompute.gateway.operation.replica_access import ReplicaAccess
from pincompute.gateway.operation.replica_lookup import Replica, ReplicaLookup, WorkloadRef
from pincompute.kube.api_errors import KubeError
from pincompute.kube.cache_views import Unknown
from pincompute.kube.streams.pod_logs import LogOptions

PAUSE = 0.5  # seconds before a log that ended or broke is requested again
LONGEST_PAUSE = 10.0
RECHECK = 30.0  # seconds between two checks when no change is reported
SOON = 1.0  # seconds between two checks while nothing is left to follow: the end of a workload is no change of its replicas
HELD = 5_000_000_000  # nanoseconds; a log that was followed for longer ended in an orderly way
FRESH = 2_000_000_000  # nanoseconds after the opening of a log; later lines were written just now


@dataclass(slots=True)
class _FollowedSource:
    """One source: which run of its container is read, and how far.

    `pushed` is the place of its last line: a later line of the same log never stands before it, whatever the clocks say.
    """

    source: LogSource
    watermark: Watermark
    restarts: int
    skew: ClockSkew = field(default_factory=ClockSkew)
    gap: bool = False
    lost: bool = False
    pushed: int = 0


@dataclass(slots=True)
class LogFollower:
    """Follows all sources of a query for as long as the workload exists."""

    target: WorkloadRef
    query: LogQuery
    replicas: ReplicaLookup
    access: ReplicaAccess
    buffer: LineBuffer
    now: Callable[[], int]
    exists: Callable[[], bool]
    marks: dict[tuple[str, str], Watermark]
    _order: ReorderBuffer = field(init=False)
    _began: int = field(init=False)
    _by_uid: dict[str, Replica] = field(default_factory=dict[str, Replica], init=False)

    def __post_init__(self) -> None:
        self._order = ReorderBuffer(self.buffer.offer)
        self._began = self.now()

    async def run(self) -> None:
        with self.replicas.changes(self.target) as changed:
            async with asyncio.TaskGroup() as group:
                flusher = group.create_task(self._flush())
                await self._follow_all(group, changed)
                flusher.cancel()
        self._order.flush(self.now() + WAIT)

    async def _follow_all(self, group: asyncio.TaskGroup, changed: asyncio.Event) -> None:
        """Follow every source that appears; its task ends by itself when its replica is gone."""
        tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        present_replicas = self.replicas.of(self.target)
        succession = ReplicaSuccession.of(present_replicas)
        followed = {source.replica.uid for source in source_selection.select(present_replicas, self.query)}
        first = True
        while True:
            changed.clear()
            present_replicas = self.replicas.of(self.target)
            self._by_uid = {replica.uid: replica for replica in present_replicas}
            exists = self.exists()
            if exists:  # else they are those of a later workload of this name
                followed |= self._mark_moves(succession.update(present_replicas), followed)
            chosen = source_selection.of((replica for replica in present_replicas if replica.uid in followed), self.query)
            for source in chosen:
                if source.key not in tasks:
                    tasks[source.key] = group.create_task(self._follow(_followed(source, self.marks, present=first)))
            alive = {source.key for source in chosen}
            tasks = {key: task for key, task in tasks.items() if key in alive or not task.done()}
            if not exists and not chosen:
                self._mark("ended", f"{self.target.name} does not exist any more")
                break
            first = False
            await _until_changed(changed, RECHECK if chosen else SOON)
        for task in tasks.values():
            task.cancel()

    def _mark_moves(self, arrivals: Sequence[Arrival], followed: set[str]) -> set[str]:
        """Mark arrivals, and return those that the stream follows: all, or the replacement of the one that was named."""
        for replica, before in arrivals:
            if before is None:
                self._mark("started", f"{replica.name} started in zone {replica.zone}", replica)
            elif before.cluster == replica.cluster:
                self._mark(
                    "replaced", f"{before.name} was replaced in zone {replica.zone}{_with_name(before, replica)}", replica
                )
            else:
                self._mark("moved", f"{before.name} moved {_way(before, replica)}{_with_name(before, replica)}", replica)
        replacements = {replica.uid for replica, before in arrivals if before is not None and before.uid in followed}
        named = {source.replica.uid for source in source_selection.select((replica for replica, _ in arrivals), self.query)}
        return replacements if self.query.replica.isdecimal() else replacements | named

    async def _follow(self, followed: _FollowedSource) -> None:
        """Follow one source. It has a change event of its own, because a shared one would be cleared by others."""
        source, pause = followed.source, PAUSE
        with self.replicas.changes(self.target) as changed:
            while (replica := self._replica(source, changed)) is not None:
                status = replica.status(source.container)
                if not replica.answers:
                    self._mark_gap(followed)
                    await _until_changed(changed)
                elif status is None or not status.container_id:
                    await _until_changed(changed)
                elif await self._read(followed, status):
                    pause = PAUSE
                else:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)

    async def _read(self, followed: _FollowedSource, status: ContainerStatus) -> bool:
        """Read one run of the container until its log ends or breaks; false when nothing new came."""
        await self._catch_up(followed, status)
        if followed.gap:
            followed.gap = False
            self._mark("back", f"zone {followed.source.replica.zone} answers again", followed.source.replica)
        before, opened = followed.watermark.newest, self.now()
        with suppress(KubeError, Unknown):
            await self._pass_on(followed, previous=False, follow=True)
        return followed.watermark.newest > before or self.now() - opened > HELD

    async def _catch_up(self, followed: _FollowedSource, status: ContainerStatus) -> None:
        """Reads the rest of the previous run of a container that restarted, then marks the restart."""
        if self.query.file or status.restart_count <= followed.restarts:
            return
        with suppress(KubeError, Unknown):
            await self._pass_on(followed, previous=True, follow=False)
        followed.restarts = status.restart_count
        ended = status.last_state.terminated if status.last_state else None
        name = followed.source.container
        text = f"{name} restarted{_exit(ended)}"
        at = int(ended.finished_at.timestamp() * 1e9) if ended is not None and ended.finished_at is not None else self.now()
        line = line_format.mark("restarted", text, at, LogSource(followed.source.replica, name))
        self._order.push(at + followed.skew.offset, line, self.now())

    async def _pass_on(self, followed: _FollowedSource, *, previous: bool, follow: bool) -> None:
        source, watermark = followed.source, followed.watermark
        watermark.reopened()
        opened = self.now()
        since = watermark.since or self._since()
        if self.query.file:
            stream = volume_logs.read(self.access, source, self.query, follow=True)
        else:
            stream = self.access.logs(
                source.replica.place, LogOptions(source.container, since, previous=previous, follow=follow)
            )
        async with stream as raws:
            async for raw in raws:
                if line_format.is_lost(raw) and not self.query.file:
                    self._mark_lost(followed, previous=previous)
                else:
                    self._take(followed, raw, opened, previous=previous)

    def _since(self) -> str | float:
        """Returns from when to read. A duration counts from the time of the request."""
        asked = self.query.since
        return asked if isinstance(asked, str) else asked + (self.now() - self._began) / 1e9

    def _take(self, followed: _FollowedSource, raw: bytes, opened: int, *, previous: bool) -> None:
        arrived = self.now()
        replica = self._by_uid.get(followed.source.replica.uid, followed.source.replica)
        source = LogSource(replica, followed.source.container)
        if self.query.file:
            stamped = line_format.untimed(raw, source, arrived, self.query.file)
        else:
            stamped = line_format.parse(raw, source, arrived)
            if line_format.is_timed(stamped, raw) and not followed.watermark.is_new(stamped.at, raw):
                return
            if followed.skew.judge(stamped.at, arrived, fresh=arrived - opened > FRESH):
                self._mark_skew(followed)
        if not self.query.matches(stamped.line.text):
            return
        at = arrived if followed.skew.offset else stamped.at
        if not previous:
            at = followed.pushed = max(at, followed.pushed)
        self._order.push(at, stamped, arrived)

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(WAIT / 3e9)
            self._order.flush(self.now())

    def _replica(self, source: LogSource, changed: asyncio.Event) -> Replica | None:
        """The replica as it is now; every later change sets the event."""
        changed.clear()
        return next((r for r in self.replicas.of(self.target) if r.uid == source.replica.uid), None)

    def _mark_gap(self, followed: _FollowedSource) -> None:
        if followed.gap:
            return
        followed.gap = True
        replica = followed.source.replica
        self._mark("gap", f"{zone_text.unreachable(replica.zone)}: no lines of {replica.name} until it is back", replica)

    def _mark_lost(self, followed: _FollowedSource, *, previous: bool) -> None:
        """Once, although a log that cannot be read is requested again and again."""
        if not followed.lost:
            followed.lost = True
            self._mark("trouble", line_format.lost(followed.source, previous=previous), followed.source.replica)

    def _mark_skew(self, followed: _FollowedSource) -> None:
        replica, offset = followed.source.replica, followed.skew.offset / 1e9
        if not offset:
            self._mark("skew", f"the clocks of {replica.name}'s node and of the gateway agree again", replica)
            return
        way = "behind" if offset > 0 else "ahead of"
        clock = f"the clock of {replica.name}'s node is {abs(offset):.0f} s {way} the gateway's"
        self._mark("skew", f"{clock}; its lines are ordered by their arrival", replica)

    def _mark(self, kind: line_format.Mark, text: str, replica: Replica | None = None) -> None:
        """Put a mark in its place among the lines."""
        at = self.now()
        source = LogSource(replica, "") if replica else None
        self._order.push(at, line_format.mark(kind, text, at, source), at)


def _way(before: Replica, replica: Replica) -> str:
    """Says zones and not clusters, of which a zone may have several."""
    return f"within zone {replica.zone}" if before.zone == replica.zone else f"from zone {before.zone} to zone {replica.zone}"


def _with_name(before: Replica, replica: Replica) -> str:
    return "" if before.name == replica.name else f", as {replica.name}"


async def _until_changed(changed: asyncio.Event, seconds: float = RECHECK) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await changed.wait()


def _followed(source: LogSource, marks: dict[tuple[str, str], Watermark], *, present: bool) -> _FollowedSource:
    """`present`: it exists since the beginning, so its former restarts and an unreachable cluster need no mark."""
    status = source.replica.status(source.container)
    restarts = status.restart_count if present and status is not None else 0
    watermark = marks.setdefault(source.key, Watermark())
    return _FollowedSource(source, watermark, restarts, gap=present and not source.replica.answers)


def _exit(ended: ContainerStateTerminated | None) -> str:
    if ended is None:
        return ""
    reason = f" ({ended.reason})" if ended.reason not in ("", "Error", "Completed") else ""
    return f", exit code {ended.exit_code}{reason}"
