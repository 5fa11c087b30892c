"""A stream of logs from beginning to end, over restarts, moves, breaks and silent clusters (S-261)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from replica_samples import EPOCH, SECOND, TARGET, FakeReplicas, ScriptedAccess, ScriptedLog, pod, restarted

from pincompute.gateway.operation.logs import follower, log_query
from pincompute.gateway.operation.logs.line_buffer import BufferBudget, LineBuffer
from pincompute.gateway.operation.logs.line_format import LogLine
from pincompute.gateway.operation.logs.log_query import LogQuery
from pincompute.gateway.operation.logs.reader import LogReader

WITHIN = 10.0


@dataclass
class LogClient:
    """One who reads a stream, and waits for what should come."""

    fleet: FakeReplicas
    access: ScriptedAccess
    out: LineBuffer = field(default_factory=lambda: LineBuffer(BufferBudget()))
    got: list[LogLine] = field(default_factory=list)
    exists: bool = True
    now: int = EPOCH + 100 * SECOND

    def clock(self) -> int:
        self.now += SECOND // 10
        return self.now

    async def run(self, query: LogQuery) -> None:
        placed = {"a1": "a", "b1": "b"}
        await LogReader(TARGET, query, self.fleet, self.access, self.out, self.clock, lambda: self.exists, placed).run()  # type: ignore[arg-type]

    async def take(self) -> None:
        while batch := await self.out.take():
            self.got += [stamped.line for stamped in batch]

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN):
            while not what():  # noqa: ASYNC110 - many things may bring it about
                await asyncio.sleep(0.01)

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.got if not line.mark]

    @property
    def marks(self) -> list[str]:
        return [line.text for line in self.got if line.mark]


@asynccontextmanager
async def reading(reader: LogClient, query: LogQuery) -> AsyncIterator[LogClient]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(reader.run(query)), group.create_task(reader.take())]
        yield reader
        for task in tasks:
            task.cancel()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "PAUSE", 0.01)


def two() -> LogClient:
    journals = {"web-a1-0": ScriptedLog(), "web-b1-0": ScriptedLog()}
    for n in range(6):
        journals["web-a1-0" if n % 2 else "web-b1-0"].write(EPOCH + n * SECOND, f"line {n}")
    return LogClient(FakeReplicas([("a1", pod("a1", 0)), ("b1", pod("b1", 0))]), ScriptedAccess(journals))


async def past(reader: LogClient, query: LogQuery) -> LogClient:
    async with asyncio.TaskGroup() as group:
        group.create_task(reader.run(query))
        group.create_task(reader.take())
    return reader


async def test_past_lines_of_all_zones_come_in_order_of_time() -> None:
    reader = await past(two(), LogQuery())
    assert reader.texts == [f"line {n}" for n in range(6)]
    assert {(line.zone, line.replica) for line in reader.got} == {("a", "web/0"), ("b", "web/1")}


async def test_a_tail_counts_the_lines_of_all_replicas_together() -> None:
    assert (await past(two(), LogQuery(tail=3))).texts == ["line 3", "line 4", "line 5"]


async def test_a_tail_of_a_pattern_counts_what_matches() -> None:
    query = LogQuery(tail=2, pattern=log_query.compile_pattern("[024]$"))
    assert (await past(two(), query)).texts == ["line 2", "line 4"]


async def test_one_replica_is_read_by_its_number_or_its_cluster() -> None:
    assert (await past(two(), LogQuery(replica="1"))).texts == ["line 0", "line 2", "line 4"]
    assert (await past(two(), LogQuery(replica="a1-0"))).texts == ["line 1", "line 3", "line 5"]


async def test_a_silent_cluster_is_a_gap_and_not_an_error() -> None:
    reader = two()
    reader.fleet.away = {"a1"}
    await past(reader, LogQuery())
    assert reader.texts == ["line 0", "line 2", "line 4"]
    assert reader.marks == ["zone a does not answer, at least in part: no lines of web/0"]


GONE = "unable to retrieve container logs for containerd://4f1c"


@pytest.mark.parametrize("query", [LogQuery(previous=True), LogQuery()])
async def test_a_log_that_its_node_does_not_keep_is_told_in_our_words(query: LogQuery) -> None:
    """The runtime's sentence comes in place of the log, with the status of success, and names ids that no user knows."""
    reader = two()
    reader.fleet.pods = [("a1", pod("a1", 0, container_statuses=restarted(1, 1)))]
    journal = reader.access.journals["web-a1-0"]
    journal.before, journal.written = [(0, GONE)], [(0, GONE)]
    await past(reader, query)
    which = "the run of web/0 main before its last restart" if query.previous else "web/0 main"
    assert reader.texts == []
    assert reader.marks == [f"the log of {which} is gone: its node has cleaned it up; `pin events` shows how containers ended"]


async def test_a_log_that_is_gone_is_told_once_while_it_is_followed() -> None:
    reader = two()
    journal = reader.access.journals["web-a1-0"]
    async with reading(reader, LogQuery(follow=True)):
        await reader.until(lambda: len(reader.texts) == 6)
        journal.write(0, GONE)
        journal.write(0, GONE)
        journal.write(EPOCH + 9 * SECOND, "later")
        await reader.until(lambda: "later" in reader.texts and bool(reader.marks))
    assert len(reader.marks) == 1
    assert GONE not in reader.texts


async def test_what_is_written_between_past_and_live_is_shown_once() -> None:
    reader = two()
    async with reading(reader, LogQuery(follow=True, tail=2)):
        await reader.until(lambda: len(reader.texts) == 2)
        reader.access.journals["web-a1-0"].write(EPOCH + 5 * SECOND + 1, "later")
        await reader.until(lambda: "later" in reader.texts)
    assert reader.texts == ["line 4", "line 5", "later"]


async def test_lines_of_one_log_that_come_late_together_keep_their_order() -> None:
    """A machine under load delivers a log in bursts: the first lines look like those of a slow clock, the last ones do not."""
    reader = two()
    journal = reader.access.journals["web-a1-0"]
    async with reading(reader, LogQuery(follow=True)):
        await reader.until(lambda: len(reader.texts) == 6 and len(journal.asked) == 2)
        reader.now += 60 * SECOND
        begin = reader.now - 12 * SECOND
        for n in range(20):
            journal.write(begin + n * SECOND // 2, f"burst {n}")
        await reader.until(lambda: len(reader.texts) == 26)
    assert reader.texts[6:] == [f"burst {n}" for n in range(20)]


async def test_a_broken_stream_loses_and_doubles_nothing() -> None:
    reader = two()
    journal = reader.access.journals["web-a1-0"]
    async with reading(reader, LogQuery(follow=True)):
        await reader.until(lambda: len(reader.texts) == 6)
        for n in range(20):
            journal.write(EPOCH + 6 * SECOND + n, f"live {n}")
            if n % 5 == 0:
                journal.cut(broken=n % 2 == 0)
                await asyncio.sleep(0.02)
        await reader.until(lambda: "live 19" in reader.texts)
    assert [text for text in reader.texts if text.startswith("live")] == [f"live {n}" for n in range(20)]


async def test_a_runtimes_own_message_is_no_sign_of_how_far_the_log_was_read() -> None:
    """A kubelet out of inotify instances says so in the log and ends it; what was written meanwhile is asked for."""
    reader = two()
    journal = reader.access.journals["web-a1-0"]
    async with reading(reader, LogQuery(follow=True)):
        await reader.until(lambda: len(reader.texts) == 6)
        journal.write(0, "failed to create fsnotify watcher: too many open files")
        await reader.until(lambda: len(reader.texts) == 7)
        journal.written.append((EPOCH + 6 * SECOND, "meanwhile"))
        journal.cut()
        await reader.until(lambda: "meanwhile" in reader.texts)


async def test_a_duration_is_counted_by_the_nodes_clocks_from_when_it_was_asked_for() -> None:
    reader = two()
    journal = reader.access.journals["web-a1-0"]
    journal.written.clear()
    async with reading(reader, LogQuery(follow=True, since=60.0)):
        await reader.until(lambda: len(journal.asked) == 2)
        reader.now += 300 * SECOND
        journal.cut(broken=True)
        await reader.until(lambda: len(journal.asked) == 3)
    first, _, again = [options.since for options in journal.asked]
    assert first == 60
    assert isinstance(again, float)
    assert again > 360


async def test_a_restart_is_marked_after_the_last_words_of_the_run_before() -> None:
    reader = two()
    journal = reader.access.journals["web-a1-0"]
    async with reading(reader, LogQuery(follow=True)):
        await reader.until(lambda: len(reader.texts) == 6 and bool(journal.asked))
        journal.cut()  # the stream is gone before the last words
        journal.written.append((EPOCH + 7 * SECOND, "last words"))
        journal.restart()
        journal.write(EPOCH + 9 * SECOND, "first words")
        reader.fleet.change(("a1", pod("a1", 0, container_statuses=restarted(1, 1))), ("b1", pod("b1", 0)))
        await reader.until(lambda: "first words" in reader.texts and bool(reader.marks))
    assert reader.texts[-2:] == ["last words", "first words"]
    assert reader.marks == ["main restarted, exit code 1"]


async def test_a_stream_of_one_replica_goes_on_with_the_one_that_takes_its_place() -> None:
    """Its number may be another one after a move."""
    reader = two()
    reader.access.journals["web-b1-1"] = ScriptedLog()
    async with reading(reader, LogQuery(follow=True, replica="0")):
        await reader.until(lambda: len(reader.texts) == 3)
        reader.fleet.change(("b1", pod("b1", 0)), ("b1", pod("b1", 1)))
        reader.access.journals["web-b1-1"].write(EPOCH + 200 * SECOND, "here I am")
        await reader.until(lambda: "here I am" in reader.texts)
    assert reader.marks == ["web/0 moved from zone a to zone b, as web/1"]
    assert reader.got[-1].replica == "web/1"
    assert not [text for text in reader.texts if text in ("line 0", "line 2", "line 4")], "of the other replica"


async def test_a_move_is_told_although_replicas_grow_before_they_shrink() -> None:
    reader = two()
    reader.access.journals["web-b1-1"] = ScriptedLog()
    both = [("a1", pod("a1", 0)), ("b1", pod("b1", 0)), ("b1", pod("b1", 1))]
    async with reading(reader, LogQuery(follow=True, replica="a1-0")):
        await reader.until(lambda: len(reader.texts) == 3)
        reader.fleet.placed = {("b", "b1"): 2}
        reader.fleet.change(*both)
        await reader.until(lambda: len(reader.marks) == 1)
        reader.fleet.change(*both[1:])
        reader.access.journals["web-b1-1"].write(EPOCH + 200 * SECOND, "here I am")
        await reader.until(lambda: "here I am" in reader.texts)
    assert reader.marks == ["web/1 started in zone b", "web/2 moved from zone a to zone b, as web/1"]


async def test_the_stream_ends_with_the_workload() -> None:
    reader = two()
    async with reading(reader, LogQuery(follow=True)):
        await reader.until(lambda: len(reader.texts) == 6)
        reader.exists = False
        for journal in reader.access.journals.values():
            journal.cut()
        reader.fleet.change()
        await reader.until(lambda: bool(reader.marks))
    assert reader.marks == ["web does not exist any more"]


async def test_the_stream_ends_soon_where_the_workload_goes_after_its_replicas() -> None:
    """No change of a replica tells it: the last one has gone before."""
    reader = two()
    async with reading(reader, LogQuery(follow=True)):
        await reader.until(lambda: len(reader.texts) == 6)
        reader.fleet.change()
        await asyncio.sleep(0.1)
        reader.exists = False
        await reader.until(lambda: bool(reader.marks))
    assert reader.marks == ["web does not exist any more"]


async def test_a_later_workload_of_the_name_is_not_followed() -> None:
    reader = two()
    reader.access.journals["web-a1-7"] = ScriptedLog()
    async with reading(reader, LogQuery(follow=True)):
        await reader.until(lambda: len(reader.texts) == 6)
        reader.exists = False
        reader.fleet.change(("a1", pod("a1", 7)))
        await reader.until(lambda: bool(reader.marks))
    assert reader.marks == ["web does not exist any more"]


async def test_a_container_that_is_only_starting_is_waited_for_without_turning() -> None:
    """One event for all followers once let the gateway spin for ever."""
    reader = two()
    polls = 0
    of = reader.fleet.of

    def counted(target):
        nonlocal polls
        polls += 1
        return of(target)

    reader.fleet.of = counted  # type: ignore[method-assign]
    reader.fleet.pods[0] = ("a1", pod("a1", 0, container_statuses=()))
    async with reading(reader, LogQuery(follow=True)):
        await reader.until(lambda: len(reader.texts) >= 3)
        before = polls
        await asyncio.sleep(0.2)
        assert polls - before < 100
        reader.fleet.change(("a1", pod("a1", 0)), ("b1", pod("b1", 0)))
        await reader.until(lambda: "line 5" in reader.texts)
    assert sorted(set(reader.texts)) == [f"line {n}" for n in range(6)]
