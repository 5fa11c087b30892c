"""Inputs beyond the caches: asked while somebody wants to know, believed for a while, events when they change."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest
from engine.slow_members import SlowRegion
from engine.virtual_time import run

from pincompute.api.builtin import NAMESPACES
from pincompute.api.labels import HOST
from pincompute.api.meta import Key
from pincompute.engine import controller_docs, reconciler
from pincompute.engine.controller import Card, Controller, ReadAccess, own_key
from pincompute.engine.engine import Engine
from pincompute.engine.error_classification import Outcome, UndeclaredAccessError
from pincompute.engine.external_inputs import (
    AT_ONCE,
    ExternalInput,
    ExternalInputs,
    HookCall,
    HttpStatusQuery,
    MetricQuery,
    NoRoom,
    Unasked,
)
from pincompute.engine.plan import Plan
from pincompute.kube.cache_views import Unknown, Views
from pincompute.testing.laws import Case, Scenario, SimulatedProcess, SimulatedWorld
from pincompute.testing.laws.simulated_clusters import SimulatedViews, in_order
from pincompute.testing.laws.simulation import Simulation

LOAD = MetricQuery("load")
METRIC = ExternalInput(MetricQuery, "load", period=10, deadline=2, stale_after=35)
PLACE = (METRIC, LOAD)
WEB = ("test.scaler", ("shop", "web"))
DB = ("test.scaler", ("shop", "db"))
QUEUE = ("test.scaler", ("shop", "queue"))


class Source:
    """Answers what a test says: a number, a failure, or nothing at all (None)."""

    def __init__(self, answer: float | Exception | None = 1.0) -> None:
        self.answer = answer
        self.asked: list[float] = []
        self.on_its_way = 0
        self.most = 0

    async def poll(self, _question: Any) -> float:
        self.asked.append(asyncio.get_running_loop().time())
        self.on_its_way += 1
        self.most = max(self.most, self.on_its_way)
        try:
            await asyncio.sleep(0.01 if self.answer is not None else 3600)
        finally:
            self.on_its_way -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        assert self.answer is not None
        return self.answer


class InputBench:
    """Inputs with one source, and the keys that were woken."""

    def __init__(self, group: asyncio.TaskGroup, source: Source, most: int = 10) -> None:
        self.group, self.source = group, source
        self.inputs = ExternalInputs({MetricQuery: source}, asyncio.get_running_loop().time, most)
        self.woken: list[str] = []

    def want(self, asker: tuple[str, tuple[str, ...]], *places: Any) -> None:
        self.inputs.want(asker, frozenset(places), lambda: self.woken.append(asker[1][1]), self.group)

    def read(self, place: Any = PLACE) -> Any:
        try:
            return self.inputs.read(place, "shop")
        except Unknown as unknown:
            return str(unknown)


def scene(play: Callable[[InputBench], Awaitable[None]], source: Source, most: int = 10) -> None:
    """Plays in virtual time; what is asked at the end ends with it."""

    async def played() -> None:
        async with asyncio.TaskGroup() as group:
            bench = InputBench(group, source, most)
            await play(bench)
            for asker in (WEB, DB, QUEUE):
                bench.want(asker)

    run(played())


UNKNOWN = "load is unknown: "
STATES: dict[str, tuple[float | Exception | None, float, Any]] = {
    "before the first answer": (1.0, 0.0, UNKNOWN + "it has not been answered yet"),
    "when it is answered": (1.5, 1.0, 1.5),
    "when it fails": (RuntimeError("no sample"), 1.0, UNKNOWN + "no sample"),
    "while nothing comes": (None, 1.0, UNKNOWN + "it has not been answered yet"),
    "when nothing came within the deadline": (None, 3.0, UNKNOWN + "no answer within 2 s"),
}


@pytest.mark.parametrize("case", STATES)
def test_an_input_reads_as_a_value_or_as_unknown(case: str) -> None:
    answer, after, expected = STATES[case]

    async def play(bench: InputBench) -> None:
        assert bench.read() == UNKNOWN + "it has not been asked yet"
        bench.want(WEB, PLACE)
        await asyncio.sleep(after)
        assert bench.read() == expected

    scene(play, Source(answer))


def test_an_answer_is_believed_until_it_is_too_old_and_that_is_news() -> None:
    async def play(bench: InputBench) -> None:
        bench.want(WEB, PLACE)
        await asyncio.sleep(5)
        assert (bench.read(), bench.woken) == (1.0, ["web"])
        bench.source.answer = RuntimeError("no route")
        await asyncio.sleep(25)
        assert (bench.read(), bench.woken) == (1.0, ["web"]), "failures that are not too long change nothing"
        await asyncio.sleep(20)
        assert (bench.read(), bench.woken) == (UNKNOWN + "no route", ["web", "web"])
        bench.source.answer = 1.0
        await asyncio.sleep(10)
        assert (bench.read(), bench.woken) == (1.0, ["web"] * 3)

    scene(play, Source())


def test_all_who_ask_are_woken_by_a_change_and_by_nothing_else() -> None:
    async def play(bench: InputBench) -> None:
        bench.want(WEB, PLACE)
        bench.want(DB, PLACE)
        await asyncio.sleep(35)
        assert len(bench.source.asked) == 4, "once a period, however many ask"
        assert bench.woken == ["web", "db"]
        bench.source.answer = 2.0
        await asyncio.sleep(10)
        assert bench.woken == ["web", "db"] * 2

    scene(play, Source())


def test_nothing_is_asked_that_nobody_wants_to_know_any_more() -> None:
    async def play(bench: InputBench) -> None:
        bench.want(WEB, PLACE)
        bench.want(DB, PLACE)
        await asyncio.sleep(15)
        bench.want(WEB)
        await asyncio.sleep(10)
        assert len(bench.source.asked) == 3, "one still asks"
        bench.want(DB, (METRIC, MetricQuery("another")))
        await asyncio.sleep(0)
        assert len(bench.inputs) == 1
        assert bench.read() == UNKNOWN + "it has not been asked yet"

    scene(play, Source())


def test_the_number_of_questions_and_of_requests_is_bounded() -> None:
    async def play(bench: InputBench) -> None:
        many = [(METRIC, MetricQuery(str(number))) for number in range(60)]
        bench.want(WEB, *many)
        await asyncio.sleep(5)
        assert len(bench.inputs) == 50
        answers = [bench.read(place) for place in many]
        assert sum(answer == 1.0 for answer in answers) == 50
        assert sum("the platform asks 50 such questions for project shop already" in str(answer) for answer in answers) == 10
        assert bench.source.most <= AT_ONCE

    scene(play, Source(), most=50)


def test_who_found_no_room_is_woken_when_there_is_some() -> None:
    """A notification that had to wait for others is delivered, though nothing else happens to its workload."""

    async def play(bench: InputBench) -> None:
        first, second = (METRIC, MetricQuery("first")), (METRIC, MetricQuery("second"))
        bench.want(WEB, first)
        await asyncio.sleep(5)
        bench.want(DB, second)
        bench.woken.clear()
        bench.want(WEB)
        assert bench.woken == [DB[1][1]]
        bench.want(DB, second)
        await asyncio.sleep(5)
        assert bench.read(second) == 1.0

    scene(play, Source(), most=1)


def test_who_needs_the_room_no_more_passes_it_on() -> None:
    async def play(bench: InputBench) -> None:
        first, others = (METRIC, MetricQuery("first")), [(METRIC, MetricQuery(name)) for name in ("second", "third")]
        bench.want(WEB, first)
        bench.want(DB, others[0])
        bench.want(QUEUE, others[1])
        bench.want(WEB)
        assert bench.woken == ["db"]
        bench.want(DB)
        assert bench.woken == ["db", "queue"]

    scene(play, Source(), most=1)


def test_no_project_takes_the_room_of_another() -> None:
    """A question without room is one that has not been asked, so no time for its answer runs."""

    async def play(bench: InputBench) -> None:
        bench.want(WEB, *((METRIC, MetricQuery(str(number))) for number in range(60)))
        with pytest.raises(NoRoom):
            bench.inputs.read(PLACE, "shop")
        with pytest.raises(Unasked, match="it has not been asked yet"):
            bench.inputs.read(PLACE, "bank")
        bench.want(("test.scaler", ("bank", "app")), PLACE)
        await asyncio.sleep(5)
        assert bench.inputs.read(PLACE, "bank") == 1.0
        bench.want(("test.scaler", ("bank", "app")))

    scene(play, Source(), most=50)


class Hooks:
    """Hooks of which one never answers."""

    async def poll(self, question: HookCall) -> str:
        await asyncio.sleep(3600 if question.hook == "hangs" else 0.01)
        return "yes"


def test_a_server_that_hangs_delays_no_question_to_another() -> None:
    wanted = ExternalInput(HookCall, "hooks", period=10, deadline=8)
    answers, waits = (wanted, HookCall("web", "answers", b"")), range(3 * AT_ONCE)

    async def play() -> None:
        async with asyncio.TaskGroup() as group:
            inputs = ExternalInputs({HookCall: Hooks()}, asyncio.get_running_loop().time)
            hanging = frozenset((wanted, HookCall(str(number), "hangs", b"")) for number in waits)
            inputs.want(DB, hanging, lambda: None, group)
            inputs.want(WEB, frozenset({answers}), lambda: None, group)
            await asyncio.sleep(1)
            assert inputs.read(answers, "shop") == "yes"
            for asker in (WEB, DB):
                inputs.want(asker, frozenset(), lambda: None, group)

    run(play())


def test_questions_of_one_project_to_a_server_that_hangs_delay_another_project_by_one_turn() -> None:
    """The slots of a server are shared by project, so 200 questions of one do not come before one of another."""
    wanted = ExternalInput(HookCall, "hooks", period=10, deadline=8)
    asked: list[float] = []

    class Hook:
        async def poll(self, question: HookCall) -> str:
            if question.id == "web":
                asked.append(asyncio.get_running_loop().time())
                return "yes"
            await asyncio.sleep(3600)
            return ""

    async def play() -> None:
        async with asyncio.TaskGroup() as group:
            inputs = ExternalInputs({HookCall: Hook()}, asyncio.get_running_loop().time)
            many = frozenset((wanted, HookCall(str(number), "hangs", b"")) for number in range(6 * AT_ONCE))
            inputs.want(DB, many, lambda: None, group)
            other = ("test.scaler", ("bank", "web"))
            await asyncio.sleep(1)
            inputs.want(other, frozenset({(wanted, HookCall("web", "hangs", b""))}), lambda: None, group)
            await asyncio.sleep(100)
            for asker in (DB, other):
                inputs.want(asker, frozenset(), lambda: None, group)

    run(play())
    turns = [later - earlier for earlier, later in itertools.pairwise((1.0, *asked))]
    assert len(asked) >= 5
    assert max(turns) <= 10 + 8 + 1  # its period, and one turn of those on their way


def test_what_can_wait_takes_no_room_of_the_others() -> None:
    """An update that waits for an approval, perhaps for days, holds up none that goes on."""

    async def play(bench: InputBench) -> None:
        first, second, third = (MetricQuery(name, awaits_approval=True) for name in ("first", "second", "third"))
        bench.want(WEB, (METRIC, first), (METRIC, second))
        bench.want(QUEUE, (METRIC, third))
        bench.want(DB, PLACE)
        await asyncio.sleep(5)
        assert (bench.read(), len(bench.inputs)) == (1.0, 3)
        approved = [(METRIC, MetricQuery(each.query)) for each in (first, second)]
        bench.want(WEB, *approved)  # they are not asked anew
        assert (bench.read(approved[0]), len(bench.inputs)) == (1.0, 3)
        assert bench.woken[-1] == "queue"  # the room that they had is another's

    scene(play, Source(), most=2)


def test_room_that_a_question_leaves_for_another_asker_is_offered() -> None:
    async def play(bench: InputBench) -> None:
        bench.want(WEB, (METRIC, MetricQuery("shared", awaits_approval=True)))
        bench.want(QUEUE, (METRIC, MetricQuery("other", awaits_approval=True)))
        bench.want(DB, (METRIC, MetricQuery("shared")))
        assert bench.woken == ["queue"]

    scene(play, Source(), most=1)


# -- a controller that asks ---------------------------------------------------------------------------------------------------


def observe(key: Key, views: Views, _now: datetime) -> float:
    return views.answer(MetricQuery(key.name))


def card(*inputs: ExternalInput) -> Card[Key]:
    reads = (ReadAccess("host", NAMESPACES, own_key),)
    return Card(name="test.scaler", promise="Tests.", key="Widget", reads=reads, writes=(), inputs=inputs)


def test_a_key_is_looked_at_again_when_what_it_asked_for_has_another_answer() -> None:
    seen: list[float] = []

    def decide(load: float) -> Plan:
        seen.append(load)
        return Plan()

    async def play() -> None:
        source, clock = Source(), asyncio.get_running_loop().time
        controller = Controller(card(METRIC), observe, decide)
        engine = Engine([controller], SlowRegion({}), clock=clock, pollers={MetricQuery: source})
        task = asyncio.create_task(engine.run())
        engine.enqueue("test.scaler", Key("shop", "web"))
        await asyncio.sleep(15)
        source.answer = 7.0
        await asyncio.sleep(200)
        task.cancel()
        await asyncio.wait([task])

    run(play())
    assert seen == [1.0, 7.0]


def test_a_question_that_is_not_on_the_card_is_a_bug() -> None:
    world = SimulatedWorld((HOST,), ())
    for mine, question in ((card(), LOAD), (card(METRIC), HttpStatusQuery("http://web"))):
        with pytest.raises(UndeclaredAccessError, match="which its card does not name"):
            SimulatedViews(world, {HOST: HOST}, mine, {}, None, in_order).answer(question)

    async def reconcile() -> Outcome:
        controller = Controller(card(ExternalInput(HttpStatusQuery, "its URL")), observe, lambda _: Plan())
        clock = asyncio.get_running_loop().time
        engine = Engine([controller], SlowRegion({}), clock=clock, rng=random.Random(1))  # whose first delay is longer
        task = asyncio.create_task(engine.run())
        engine.enqueue("test.scaler", Key("shop", "web"))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        sample = {"controller": "test.scaler", "outcome": Outcome.BUG.value}
        assert engine.metrics.registry.get_sample_value("pincompute_reconcile_total", sample) == 1
        return Outcome.BUG

    assert run(reconcile()) is Outcome.BUG


def test_a_law_s_world_gives_answers_and_a_new_one_is_an_event() -> None:
    reasons: list[float | str] = []

    def hook(_simulation: Simulation, _state: Any, _key: Any, result: reconciler.ReconcileResult) -> None:
        reasons.append(result.plan.why or str(result.error))

    def begin(world: SimulatedWorld) -> None:
        world.make(HOST, NAMESPACES, {"metadata": {"name": "load"}})

    controller = Controller(
        card(METRIC),
        lambda key, views, _: views.answer(MetricQuery(key.name)) if key.name == "load" else None,
        lambda load: Plan(why=f"load {load:g}"),
    )
    edits = tuple((lambda world, answer=answer: world.tell(LOAD, answer)) for answer in (3.0, None, 0.0))
    process = SimulatedProcess((controller,), {HOST: HOST})
    Simulation(Case((process,), Scenario((HOST,), begin, edits)), hook=hook).run()
    told = [reason for reason in reasons if reason]
    assert list(dict.fromkeys(told)) == ["load is unknown", "load 3", "load 0"]


def test_the_page_lists_the_inputs() -> None:
    text = controller_docs.page(Controller(card(METRIC), observe, lambda _: Plan()))
    assert "## Inputs" in text
    assert "| load | 10 s | 2 s | 35 s |" in text
    assert "## Inputs" not in controller_docs.page(Controller(card(), observe, lambda _: Plan()))
