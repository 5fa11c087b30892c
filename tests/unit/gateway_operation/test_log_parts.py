"""The parts of which a stream of logs is made, each for itself (S-261)."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replica_samples import EPOCH, SECOND, TARGET, app, pod, raw

from pincompute.gateway.operation.logs import line_format, log_query, source_selection
from pincompute.gateway.operation.logs.line_buffer import ALL, LARGEST, SMALLEST, BufferBudget, LineBuffer
from pincompute.gateway.operation.logs.line_format import LogLine, LogSource, Stamped
from pincompute.gateway.operation.logs.line_ordering import WAIT, ClockSkew, ReorderBuffer
from pincompute.gateway.operation.logs.log_query import LogCursor, LogQuery
from pincompute.gateway.operation.logs.response_format import LogFormatter, media_type
from pincompute.gateway.operation.logs.watermark import Watermark
from pincompute.gateway.operation.replica_lookup import Replica
from pincompute.gateway.problems import Problem
from pincompute.kube.streams import pod_logs as streams


def line(at: int, text: str = "x") -> Stamped:
    return Stamped(at, LogLine(time=line_format.rfc3339(at), text=text))


@given(st.lists(st.tuples(st.integers(0, 5 * SECOND), st.sampled_from("abc")), max_size=40).map(sorted), st.integers(0, 40))
def test_a_log_that_is_asked_for_again_is_shown_once(entries: list[tuple[int, str]], cut: int) -> None:
    watermark, shown = Watermark(), list[bytes]()
    written = [(EPOCH + at, raw(EPOCH + at, text)) for at, text in entries]
    for at, text in written[:cut]:
        shown += [text] if watermark.is_new(at, text) else []
    since = line_format.nanoseconds(watermark.since) if watermark.since else 0
    watermark.reopened()
    for at, text in written:
        if at >= since:
            shown += [text] if watermark.is_new(at, text) else []
    assert shown == [text for _, text in written]


def test_lines_that_a_rotation_took_away_hide_no_new_ones() -> None:
    """Counting the repeated lines instead of matching them would drop the new ones."""
    watermark = Watermark()
    for n in range(10):
        watermark.is_new(EPOCH + n, raw(EPOCH + n, "old"))
    watermark.reopened()
    assert watermark.is_new(EPOCH + 20, raw(EPOCH + 20, "new"))
    assert not watermark.is_new(EPOCH + 9, raw(EPOCH + 9, "old"))


def test_times_keep_their_nanoseconds() -> None:
    assert line_format.nanoseconds("2026-11-21T14:00:00.123456789Z") == EPOCH + 123456789
    assert line_format.nanoseconds("2026-11-21T15:00:00+01:00") == EPOCH
    with pytest.raises(ValueError, match="time zone"):
        line_format.nanoseconds("2026-11-21T14:00:00")


def test_a_line_without_a_time_is_of_now() -> None:
    source = LogSource(Replica("web", 0, "a1", pod("a1", 0)), "main")
    assert line_format.parse(b"failed to open log", source, EPOCH).line.text == "failed to open log"


def test_no_pattern_takes_longer_than_its_line() -> None:
    evil = log_query.compile_pattern("(a|a)*(a|aa)+$")
    began = time.process_time()
    assert not evil.search("a" * 50_000 + "b")
    assert time.process_time() - began < 5, "a backtracking machine would not end in this century"


@pytest.mark.parametrize("pattern", ["(a", r"(a)\1", "(?=a)", "x" * 2000])
def test_a_pattern_that_cannot_be_used_is_named(pattern: str) -> None:
    with pytest.raises(Problem) as caught:
        log_query.compile_pattern(pattern)
    assert caught.value.errors[0].field == "grep"


def test_lines_of_many_nodes_come_in_order_of_time() -> None:
    out: list[Stamped] = []
    order = ReorderBuffer(out.append)
    order.push(EPOCH + 2, line(EPOCH + 2), EPOCH)
    order.push(EPOCH + 1, line(EPOCH + 1), EPOCH + WAIT // 2)
    order.flush(EPOCH + WAIT - 1)
    assert out == []
    order.flush(EPOCH + WAIT)
    assert [stamped.at for stamped in out] == [EPOCH + 1, EPOCH + 2]
    assert order.empty


def test_a_clock_that_is_ahead_is_noticed_at_once_and_one_behind_after_some_lines() -> None:
    ahead, behind = ClockSkew(), ClockSkew()
    assert ahead.judge(EPOCH + 600 * SECOND, EPOCH, fresh=False)
    assert ahead.offset == -600 * SECOND
    verdicts = [behind.judge(EPOCH - 600 * SECOND, EPOCH + n, fresh=True) for n in range(4)]
    assert verdicts == [False, False, True, False]
    assert behind.judge(EPOCH, EPOCH, fresh=True), "and when it is right again"


def test_old_lines_prove_nothing_about_a_clock() -> None:
    skew = ClockSkew()
    assert not any(skew.judge(EPOCH - 600 * SECOND, EPOCH, fresh=False) for _ in range(10))


async def test_a_slow_reader_loses_live_lines_and_is_told_how_many() -> None:
    budget = BufferBudget(streams=1)
    out = LineBuffer(budget)
    for n in range(10_000):
        out.offer(line(EPOCH + n, "x" * 100))
    kept = await out.take()
    assert sum(stamped.line.size for stamped in kept) <= LARGEST + 1000
    out.offer(line(EPOCH, "later"))
    out.close()
    told, later = await out.take()
    assert told.line.mark == "dropped"
    assert told.line.text.startswith(f"{10_000 - len(kept)} lines were dropped")
    assert later.line.text == "later"
    assert await out.take() == []


async def test_past_lines_wait_for_a_slow_reader_and_none_is_lost() -> None:
    out, texts = LineBuffer(BufferBudget()), [str(n) for n in range(5000)]

    async def write() -> None:
        for n, text in enumerate(texts):
            await out.put(line(EPOCH + n, text))
        out.close()

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        got: list[str] = []
        while batch := await out.take():
            assert sum(stamped.line.size for stamped in batch) <= LARGEST + 1000
            got += [stamped.line.text for stamped in batch]
    assert got == texts


def test_the_more_streams_there_are_the_less_each_may_hold() -> None:
    assert BufferBudget(streams=1).share == LARGEST
    assert BufferBudget(streams=1000).share == ALL // 1000
    assert BufferBudget(streams=10_000).share == SMALLEST


def test_a_stream_goes_on_after_the_event_that_was_seen_last() -> None:
    stamps = [EPOCH, EPOCH, EPOCH, EPOCH + 1]
    whole = LogFormatter(line_format.as_event).format(line(at, str(n)) for n, at in enumerate(stamps))
    assert f"id: {EPOCH}.2".encode() in whole
    rest = LogFormatter(line_format.as_event, LogCursor(EPOCH, 2)).format(line(at, str(n)) for n, at in enumerate(stamps))
    assert whole.endswith(rest)
    assert rest.count(b"event:") == 2


def test_a_line_that_comes_too_late_is_no_place_to_go_on_from() -> None:
    event = LogFormatter(line_format.as_event).format([line(EPOCH + 5), line(EPOCH)])
    assert event.count(b"id: ") == 1


FORMATS = {
    "": "text/plain",
    "*/*": "text/plain",
    "text/event-stream": "text/event-stream",
    "application/json": "application/x-ndjson",
    "image/png, application/x-ndjson;q=0.5": "application/x-ndjson",
}


@pytest.mark.parametrize("accept", FORMATS)
def test_the_format_is_chosen_by_accept(accept: str) -> None:
    assert media_type(accept) == FORMATS[accept]


def test_a_query_is_read_whole() -> None:
    query = log_query.read(since="1h30m", tail=10, grep="e+")
    assert query.since == 5400
    assert query.tail == 10
    assert log_query.read(since="90").since == 90, "as for --timeout"
    assert log_query.read(since="2026-11-21T14:00:00+02:00").since == "2026-11-21T12:00:00.000000Z"
    assert log_query.read(after=f"{EPOCH + 5}.1", tail=3).tail == -1


WRONG = {
    "since": {"since": "yesterday"},
    "tail": {"tail": -1},
    "grep": {"grep": "("},
    "previous": {"previous": True, "follow": True},
    "file": {"file": "/var/../etc/passwd"},
}


@pytest.mark.parametrize("field", WRONG)
def test_a_query_that_cannot_be_used_names_the_parameter(field: str) -> None:
    with pytest.raises(Problem) as caught:
        log_query.read(**WRONG[field])  # type: ignore[arg-type]
    assert caught.value.errors[0].field == field


def test_only_files_on_a_declared_volume_are_read() -> None:
    there = (Replica("web", 0, "a1", pod("a1", 0)),)
    source_selection.check(app(), TARGET, there, LogQuery(file="/var/log/web/access.log"))
    for path in ("/etc/passwd", "/var/log/web2/x", "/var/log/web"):
        with pytest.raises(Problem, match="main has: /var/log/web"):
            source_selection.check(app(), TARGET, there, LogQuery(file=path))
    with pytest.raises(Problem, match="container nope"):
        source_selection.check(app(), TARGET, there, LogQuery(container="nope"))


@given(st.lists(st.binary(max_size=30), max_size=10), st.integers(1, 20))
async def test_lines_are_the_same_however_the_bytes_were_cut(texts: list[bytes], size: int) -> None:
    whole = b"\n".join(text.replace(b"\n", b"") for text in texts)

    async def pieces():
        for start in range(0, len(whole), size):
            yield whole[start : start + size]

    found = [text async for text in streams.split(pieces())]
    assert b"\n".join(found) == whole.removesuffix(b"\n")


async def test_a_line_without_an_end_comes_in_pieces() -> None:
    async def pieces():
        for _ in range(10):
            yield b"x" * 100

    assert [len(text) async for text in streams.split(pieces(), longest=300)] == [300, 300, 300, 100]
