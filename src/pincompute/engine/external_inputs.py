"""Provides inputs beyond the caches, such as a metric or an HTTP check, to controllers that declare them.

The engine asks a question repeatedly while some key needs the answer, and not otherwise. The answer is a value, or Unknown
while there is none yet or when the last one is too old. A changed answer queues the keys that asked, and so does the first
try, whatever came of it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from pincompute.api.meta import Object, Resource
from pincompute.engine.fair_slots import FairSlots
from pincompute.engine.interfaces import ConnectedClusters, Poller
from pincompute.engine.object_backoff import ObjectBackoff
from pincompute.kube.cache_views import Question, Unknown, View

T = TypeVar("T", bound=Object)
V = TypeVar("V")

MOST = 200  # questions of one type that one process asks for one project at a time; further ones wait for room
AT_ONCE = 32  # questions on their way to one server, of all projects in turn

Pollers: TypeAlias = Mapping[type[Question[Any]], Poller]
Asker: TypeAlias = tuple[str, tuple[str, ...]]
"""A controller's name and one of its keys."""


class Unasked(Unknown):
    """This process has not asked the question to its end once, for example because it has only just started."""


class NoRoom(Unasked):
    """This process asks as many questions for the project as it may. It asks this one when another is settled."""


@dataclass(frozen=True, slots=True)
class HttpStatusQuery(Question[int]):
    """Asks for the status code with which a URL answers a GET; no answer is unknown."""

    url: str

    def __str__(self) -> str:
        return f"the answer of {self.url}"


@dataclass(frozen=True, slots=True)
class MetricQuery(Question[float]):
    """Asks for the one number that a PromQL query yields, by the Prometheus that an administrator has named.
    `awaits_approval`: somebody has to decide before anything goes on.
    """

    query: str
    awaits_approval: bool = field(default=False, compare=False)

    @property
    def can_wait(self) -> bool:
        return self.awaits_approval

    def __str__(self) -> str:
        return self.query


@dataclass(frozen=True, slots=True)
class EventDelivery(Question[bool]):
    """Asks whether the endpoint that an administrator has named takes a CloudEvent: `content` is the event in JSON, and `id`
    alone identifies it. The endpoint may get an event more than once.
    """

    id: str
    content: bytes = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"the delivery of event {self.id}"


@dataclass(frozen=True, slots=True)
class HookVerdict:
    """What a hook answers: it agrees, wants to be asked again, or refuses; `text` is its own, in one line."""

    state: Literal["Accepted", "Waiting", "Refused"]
    text: str = ""


@dataclass(frozen=True, slots=True)
class HookCall(Question[HookVerdict]):
    """Asks a hook that an administrator has named: `content` is a CloudEvent in JSON, and `id` alone identifies it. The hook
    may get it more than once.
    """

    id: str
    hook: str = field(compare=False)
    content: bytes = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"the verdict on {self.id}"

    @property
    def server(self) -> str:
        return self.hook


@dataclass(frozen=True, slots=True)
class ExternalInput:
    """A kind of question that a controller may ask. All times are in seconds: the engine asks every `period`, waits for an
    answer until the `deadline`, and uses the answer until it is `stale_after` old.
    """

    question: type[Question[Any]]
    what: str
    period: float = 15.0
    deadline: float = 5.0
    stale_after: float = 60.0


_Place: TypeAlias = tuple[ExternalInput, Question[Any]]
_Shown: TypeAlias = tuple[bool, Any, bool]


class _Room(NamedTuple):
    """What a bound counts: the questions of one type for one project, so that nobody takes the room of others. Those that
    `can_wait` have room of their own, so that they take none of the others.
    """

    type: type[Question[Any]]
    project: str
    can_wait: bool


@dataclass(slots=True)
class _PolledQuestion:
    """One question that the engine asks, with its last answer."""

    place: _Place
    room: _Room
    wakes: dict[Asker, Callable[[], None]] = field(default_factory=dict[Asker, Callable[[], None]])
    answer: Any = None
    answered: float = float("-inf")
    trouble: str = ""  # empty until it has been asked once
    task: asyncio.Task[None] | None = None

    def shown(self, now: float) -> _Shown:
        """Returns whether the answer is known, the answer, and whether the question has been asked to its end."""
        known = now - self.answered <= self.place[0].stale_after
        return known, self.answer if known else None, bool(self.trouble)

    def read(self, now: float) -> Any:
        known, answer, _ = self.shown(now)
        if not known and not self.trouble:
            raise Unasked(f"{self.place[1]} is unknown: it has not been answered yet")
        if not known:
            raise Unknown(f"{self.place[1]} is unknown: {self.trouble}")
        return answer


class ExternalInputs:
    """All questions of a process. `group` holds the tasks that ask them."""

    def __init__(self, pollers: Pollers, clock: Callable[[], float], most: int = MOST) -> None:
        self._pollers = pollers
        self._clock = clock
        self._most = most
        self._lines: dict[_Place, _PolledQuestion] = {}
        self._counts = Counter[_Room]()
        self._turned_away: dict[_Room, dict[Asker, Callable[[], None]]] = {}
        self._asked: dict[Asker, frozenset[_Place]] = {}
        self._slots = defaultdict[tuple[type[Question[Any]], str], FairSlots](lambda: FairSlots(AT_ONCE))

    def __len__(self) -> int:
        """Returns how many questions the engine asks."""
        return len(self._lines)

    def read(self, place: _Place, project: str) -> Any:
        """Returns the answer. Raises Unknown while there is none."""
        line = self._lines.get(place)
        if line is not None:
            return line.read(self._clock())
        if self._full(_room(place, project)):
            raise NoRoom(
                f"{place[1]} is unknown: the platform asks {self._most} such questions for project {project} already, "
                "and this one when another of them is settled"
            )
        raise Unasked(f"{place[1]} is unknown: it has not been asked yet")

    def want(self, asker: Asker, places: frozenset[_Place], wake: Callable[[], None], group: asyncio.TaskGroup) -> None:
        """Starts asking what this reconciliation needs, and stops asking what only earlier ones needed."""
        before = self._asked.pop(asker, frozenset())
        rooms = {_room(place, project_of(asker)) for place in (*before, *places)}
        for room in rooms:
            self._forget_turned_away(asker, room)
        for place in before - places:
            self._drop(asker, place)
        for place in places:
            self._add(asker, place, wake, group)
        if places:
            self._asked[asker] = places
        for room in rooms:
            self._offer(room)

    def _add(self, asker: Asker, place: _Place, wake: Callable[[], None], group: asyncio.TaskGroup) -> None:
        line, room = self._lines.get(place), _room(place, project_of(asker))
        if line is None:
            if self._full(room):
                self._turned_away.setdefault(room, {})[asker] = wake
                return
            self._counts[room] += 1
            line = self._lines[place] = _PolledQuestion(place, room)
            line.task = group.create_task(self._follow(line), name=f"input {place[1]}")
        self._move(line, room)
        line.wakes[asker] = wake

    def _move(self, line: _PolledQuestion, room: _Room) -> None:
        """Counts a question that is asked already where it belongs now, also where there is no room for another."""
        former = line.room
        if room != former:
            self._leave(former)
            self._counts[room] += 1
            line.room = room
            self._offer(former)

    def _leave(self, room: _Room) -> None:
        self._counts[room] -= 1
        if not self._counts[room]:
            del self._counts[room]

    def _drop(self, asker: Asker, place: _Place) -> None:
        line = self._lines.get(place)
        if line is None:
            return
        line.wakes.pop(asker, None)
        if not line.wakes and line.task is not None:
            line.task.cancel()
            del self._lines[place]
            self._leave(line.room)

    def _offer(self, room: _Room) -> None:
        """Wakes who has waited longest for room that there is now. One that needs it no more passes it on."""
        waiting = self._turned_away.get(room)
        if not waiting or self._full(room):
            return
        asker, wake = next(iter(waiting.items()))
        self._forget_turned_away(asker, room)
        wake()

    def _forget_turned_away(self, asker: Asker, room: _Room) -> None:
        waiting = self._turned_away.get(room, {})
        waiting.pop(asker, None)
        if not waiting:
            self._turned_away.pop(room, None)

    def _full(self, room: _Room) -> bool:
        return self._counts[room] >= self._most

    async def _follow(self, line: _PolledQuestion) -> None:
        """Asks repeatedly until it is cancelled."""
        told: _Shown = (False, None, False)
        while True:
            await self._ask(line)
            before, told = told, line.shown(self._clock())
            if told != before:
                for wake in tuple(line.wakes.values()):
                    wake()
            await asyncio.sleep(line.place[0].period)

    async def _ask(self, line: _PolledQuestion) -> None:
        wanted, question = line.place
        try:
            slots = self._slots[wanted.question, question.server]
            async with slots.taken(line.room.project), asyncio.timeout(wanted.deadline):
                answer = await self._pollers[wanted.question].poll(question)
        except TimeoutError:
            line.trouble = f"no answer within {wanted.deadline:g} s"
        except Exception as error:  # noqa: BLE001 - whatever a poller meets, it has no answer
            line.trouble = str(error) or type(error).__name__
        else:
            line.answer, line.answered, line.trouble = answer, self._clock(), "the last answer is too old"


class ViewsWithInputs:
    """Implements `ObserveContext` for one reconciliation and notes its questions. `asker` is who reconciles, `inputs` are those
    of the controller's card, `setbacks` its objects that are backing off.
    """

    def __init__(
        self,
        clusters: ConnectedClusters,
        known: ExternalInputs,
        asker: Asker,
        inputs: tuple[ExternalInput, ...],
        setbacks: ObjectBackoff,
    ) -> None:
        self.resting = setbacks.resting
        self._clusters = clusters
        self._known = known
        self._project = project_of(asker)
        self._inputs = inputs
        self.places: set[_Place] = set()

    def view(self, cluster: str, resource: Resource[T]) -> View[T]:
        return self._clusters.view(cluster, resource)

    def members(self) -> tuple[str, ...]:
        return self._clusters.members()

    def reachable(self, cluster: str) -> bool:
        return self._clusters.reachable(cluster)

    def answer(self, question: Question[V]) -> V:
        place = (of_card(self._inputs, question), question)
        self.places.add(place)
        return self._known.read(place, self._project)


def project_of(asker: Asker) -> str:
    """Returns the project whose object asks; empty for an object of the cluster."""
    return asker[1][0]


def _room(place: _Place, project: str) -> _Room:
    return _Room(place[0].question, project, place[1].can_wait)


def of_card(inputs: tuple[ExternalInput, ...], question: Question[Any]) -> ExternalInput:
    """Returns the card's input for a question; raises LookupError when it has none."""
    found = next((wanted for wanted in inputs if isinstance(question, wanted.question)), None)
    if found is None:
        raise LookupError(f"{type(question).__name__} is asked, which is no input on the card: add it to the card's inputs")
    return found
