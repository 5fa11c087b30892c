"""Builders of workloads and their pods, and a way to replicas whose logs and programs are written by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pincompute.api import labels
from pincompute.api.builtin import (
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStatus,
    Pod,
    PodSpec,
    PodStatus,
)
from pincompute.api.conditions import Condition
from pincompute.api.kinds import PINAPP
from pincompute.api.meta import Key, ObjectMeta
from pincompute.api.workloads import PinApp, PinAppSpec, PinPod, PinPodSpec
from pincompute.gateway.operation.replica_access import ReplicaPlace
from pincompute.gateway.operation.replica_lookup import Replica, Where, WorkloadRef, number
from pincompute.kube.api_errors import RequestInfo, Unreachable
from pincompute.kube.streams.channel_protocol import Channel, ExitStatus
from pincompute.kube.streams.pod_logs import LogOptions

NOW = datetime(2026, 11, 21, 14, tzinfo=UTC)
SECOND = 1_000_000_000
EPOCH = int(NOW.timestamp()) * SECOND
TARGET = WorkloadRef(PINAPP, "shop", "web")
TEMPLATE = {
    "spec": {
        "containers": [{"name": "main", "image": "r/web:1", "volumeMounts": [{"name": "logs", "mountPath": "/var/log/web"}]}],
        "volumes": [{"name": "logs", "emptyDir": {}}],
    }
}


def app(**spec: Any) -> PinApp:
    annotations = spec.pop("annotations", {})
    metadata = ObjectMeta(name="web", namespace="shop", uid="u", resource_version="7", generation=3, annotations=annotations)
    return PinApp(metadata=metadata, spec=PinAppSpec(**{"template": TEMPLATE, "replicas": 3, **spec}))


def unit(**spec: Any) -> PinPod:
    metadata = ObjectMeta(name="nb", namespace="shop", uid="u", resource_version="7", generation=3)
    return PinPod(metadata=metadata, spec=PinPodSpec(**{"template": TEMPLATE, **spec}))


def pod(cluster: str, ordinal: int, *, uid: str = "", ready: bool = True, leaving: bool = False, **status: Any) -> Pod:
    marks = {labels.APP: "web", labels.WORKLOAD: "PinApp", labels.CLUSTER: cluster, labels.ZONE: cluster[0]}
    metadata = ObjectMeta(
        name=f"web-{cluster}-{ordinal}",
        namespace="shop",
        uid=uid or f"{cluster}-{ordinal}",
        labels=marks,
        annotations={labels.ORDINAL: str(ordinal)},
        deletion_timestamp=NOW if leaving else None,
    )
    main = ContainerStatus(name="main", container_id="c1", state=ContainerState(running=ContainerStateRunning(started_at=NOW)))
    conditions = (Condition(type="Ready", status="True" if ready else "False", last_transition_time=NOW),)
    facts = {"phase": "Running", "conditions": conditions, "container_statuses": (main,), **status}
    return Pod(
        metadata=metadata, spec=PodSpec(containers=(Container(name="main", image="r/web:1"),)), status=PodStatus(**facts)
    )


def restarted(count: int, code: int) -> tuple[ContainerStatus, ...]:
    ended = ContainerStateTerminated(exit_code=code, reason="Error")
    running = ContainerState(running=ContainerStateRunning(started_at=NOW))
    state = ContainerState(terminated=ended)
    return (ContainerStatus(name="main", container_id=f"c{count}", restart_count=count, state=running, last_state=state),)


@dataclass
class FakeReplicas:
    """Replaces `ReplicaLookup`: its pods are those of the test, and `change` announces them."""

    pods: list[tuple[str, Pod]]
    away: set[str] = field(default_factory=set)
    placed: dict[Where, int] = field(default_factory=dict)
    _listeners: set[asyncio.Event] = field(default_factory=set)

    def of(self, _target: WorkloadRef) -> tuple[Replica, ...]:
        found = [pod for _, pod in self.pods]
        numbers = number(found, self.placed)
        made = [Replica("web", numbers[p.metadata.uid], c, p, c not in self.away) for c, p in self.pods]
        return tuple(sorted(made, key=lambda replica: replica.number))

    def unreachable_clusters(self) -> tuple[str, ...]:
        return tuple(sorted(self.away))

    def changes(self, _target: WorkloadRef) -> Any:
        return _Listening(self._listeners)

    def change(self, *pods: tuple[str, Pod]) -> None:
        self.pods = list(pods)
        for event in self._listeners:
            event.set()


class _Listening:
    def __init__(self, listeners: set[asyncio.Event]) -> None:
        self._listeners, self._event = listeners, asyncio.Event()

    def __enter__(self) -> asyncio.Event:
        self._listeners.add(self._event)
        return self._event

    def __exit__(self, *_: object) -> None:
        self._listeners.discard(self._event)


@dataclass
class ScriptedLog:
    """A container's log as its node keeps it: whole, and asked for from a second on. `cut` ends all who follow it."""

    written: list[tuple[int, str]] = field(default_factory=list)
    before: list[tuple[int, str]] = field(default_factory=list)
    asked: list[LogOptions] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _cuts: int = 0
    _broken: bool = False

    def write(self, at: int, text: str) -> None:
        self.written.append((at, text))
        self._wake()

    def restart(self) -> None:
        self.before, self.written = self.written, []
        self.cut()

    def cut(self, *, broken: bool = False) -> None:
        self._cuts += 1
        self._broken = broken
        self._wake()

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()

    async def lines(self, options: LogOptions) -> AsyncIterator[bytes]:
        self.asked.append(options)
        asked = options.since if isinstance(options.since, str) else ""
        since = int(datetime.fromisoformat(asked).timestamp()) * SECOND if asked else 0
        source = self.before if options.previous else self.written
        found = [entry for entry in source if entry[0] >= since]
        found = found[len(found) - options.tail :] if 0 <= options.tail < len(found) else found
        for entry in found:
            yield raw(*entry)
        if not options.follow:
            return
        position, cuts = len(self.written), self._cuts
        while self._cuts == cuts:
            while position < len(self.written):
                yield raw(*self.written[position])
                position += 1
            await self._more.wait()
        if self._broken:
            raise Unreachable(RequestInfo("a1", "GET", "log"), "the stream broke")


def raw(at: int, text: str) -> bytes:
    """Without a time where `at` is 0: a runtime's own message, which comes once and not again."""
    if not at:
        return text.encode()
    seconds, rest = divmod(at, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z {text}".encode()


@dataclass
class ScriptedProgram:
    """A program that says what it was told to say, and remembers what it was given."""

    says: list[tuple[Channel, bytes]]
    ends: ExitStatus
    given: bytearray = field(default_factory=bytearray)
    sizes: list[Any] = field(default_factory=list)
    exit: ExitStatus = field(default_factory=lambda: ExitStatus(None))
    input_ended: bool = False
    waits: asyncio.Event | None = None
    reads_on: bool = False  # it ends when its input does

    async def write(self, piece: bytes) -> None:
        self.given += piece

    async def end_input(self) -> None:
        self.input_ended = True
        if self.reads_on and self.waits is not None:
            self.waits.set()

    async def resize(self, size: Any) -> None:
        self.sizes.append(size)

    async def output(self) -> AsyncIterator[tuple[Channel, bytes]]:
        for piece in self.says:
            yield piece
        if self.waits is not None:
            await self.waits.wait()
        self.exit = self.ends


@dataclass
class ScriptedAccess:
    """Stands where the members' API servers stand."""

    journals: dict[str, ScriptedLog] = field(default_factory=dict)
    program: ScriptedProgram | None = None
    commands: list[Any] = field(default_factory=list)

    @asynccontextmanager
    async def logs(self, place: ReplicaPlace, options: LogOptions) -> AsyncIterator[AsyncIterator[bytes]]:
        yield self.journals[place.pod.name].lines(options)

    @asynccontextmanager
    async def exec(self, _place: ReplicaPlace, command: Any) -> AsyncIterator[ScriptedProgram]:
        self.commands.append(command)
        assert self.program is not None
        yield self.program


def key(name: str) -> Key:
    return Key("shop", name)
