"""What is recorded is there once, whoever and however often it is recorded, and is found again page by page."""

from __future__ import annotations

from pathlib import Path

import pytest
from record_builders import DEADLINE, NOW, OF_HELLO, after, event, everything, exit_of, opened, operation, revision, state

from pincompute.api.workloads import ClusterReplicas, Rejection, Scheduling
from pincompute.store import records
from pincompute.store.history_store import HistoryStore
from pincompute.store.history_table import CursorError, RecordFilter
from pincompute.store.records import DecisionRecord

SCHEDULING = Scheduling(
    generation=1,
    placement=(ClusterReplicas(cluster="a1", zone="a", replicas=2, added=2),),
    rejections=(Rejection(cluster="b1", reason="NoRoom", message="has room for 0 more"),),
)
ONE_OF_EACH = (
    revision(spec={"replicas": 3, "template": {"spec": {"containers": [{"name": "web", "image": "hello:1"}] * 50}}}),
    DecisionRecord(**OF_HELLO, at=after(2), scheduling=SCHEDULING),
    state(3, before="Pending", message="all is well"),
    exit_of(137, 4, reason="OOMKilled", memory_limit="32Mi"),
    operation(at=after(5), reason="load test", outcome="done"),
    event(seconds=60, at=after(6)),
)


async def _stored(store: HistoryStore, *found: records.AnyRecord) -> None:
    store.record(*found)
    assert await store.settled(DEADLINE), store.health


async def test_every_type_comes_back_as_it_was(url: str, tmp_path: Path) -> None:
    async with opened(url, tmp_path / "outbox") as store:
        await _stored(store, *ONE_OF_EACH)
        assert await everything(store) == list(ONE_OF_EACH)


async def test_what_two_gateways_record_is_there_once(url: str, tmp_path: Path) -> None:
    async with opened(url, tmp_path / "outbox1") as one, opened(url, tmp_path / "outbox2") as two:
        for _ in range(5):
            one.record(*ONE_OF_EACH)
            two.record(*reversed(ONE_OF_EACH))
        assert await one.settled(DEADLINE)
        assert await two.settled(DEADLINE)
        assert await everything(one) == list(ONE_OF_EACH)


async def test_an_events_count_rises_and_never_falls_back(url: str, tmp_path: Path) -> None:
    async with opened(url, tmp_path / "outbox") as store:
        for count, seconds in ((3, 30), (12, 120), (5, 50)):
            await _stored(store, event(count, seconds))
        assert await everything(store) == [event(12, 120)]


async def test_an_author_who_is_known_later_is_added_and_one_who_is_known_stays(url: str, tmp_path: Path) -> None:
    async with opened(url, tmp_path / "outbox") as store:
        for author in ("", "alice", ""):
            await _stored(store, revision(author=author))
        assert await everything(store) == [revision(author="alice")]


async def test_the_outcome_of_an_operation_completes_its_beginning_whichever_comes_first(url: str, tmp_path: Path) -> None:
    async with opened(url, tmp_path / "outbox") as store:
        await _stored(store, operation("r1"), operation("r1", outcome="done"))
        await _stored(store, operation("r2", outcome="conflict"), operation("r2"))
        assert [(o.request_id, o.outcome) for o in await everything(store)] == [("r1", "done"), ("r2", "conflict")]  # type: ignore[union-attr]


async def test_a_record_keeps_its_place_when_more_becomes_known(url: str, tmp_path: Path) -> None:
    """Else a page that was asked for already would have had it, or the next one would have it again."""
    async with opened(url, tmp_path / "outbox") as store:
        await _stored(store, revision(at=after(1)), state(5))
        await _stored(store, revision(at=after(9), author="alice"))
        assert await everything(store) == [revision(at=after(1), author="alice"), state(5)]


async def test_pages_are_stable_while_records_arrive(url: str, tmp_path: Path) -> None:
    """S-252."""
    async with opened(url, tmp_path / "outbox") as store:
        old = [exit_of(1, seconds) for seconds in range(20)]
        await _stored(store, *old)
        seen, cursor, more = list[records.AnyRecord](), "", 100
        while True:
            page = await store.history.page(RecordFilter("demo"), cursor, 3)
            seen += page.records
            cursor = page.cursor
            if not cursor:
                break
            more += 1
            await _stored(store, exit_of(2, more))
        assert seen == old[::-1]


async def test_records_of_one_moment_are_all_paged_through(url: str, tmp_path: Path) -> None:
    async with opened(url, tmp_path / "outbox") as store:
        same = [exit_of(1, pod_uid=f"p{number}") for number in range(20)]
        await _stored(store, *same)
        found = await everything(store)
        assert sorted(r.key for r in found) == sorted(r.key for r in same)


FILTERS = {
    "another project has nothing": (RecordFilter("other"), []),
    "by name": (RecordFilter("demo", name="bye"), ["bye"]),
    "by type": (RecordFilter("demo", types=frozenset({"state"})), ["hello"]),
    "by text in any case": (RecordFilter("demo", text="ooMkILLED"), ["bye"]),
    "a percent sign is itself": (RecordFilter("demo", text="%"), []),
    "since counts until it ended": (RecordFilter("demo", since=after(50)), ["bye", "events"]),
    "until counts when it began": (RecordFilter("demo", until=after(10)), ["hello", "events"]),
    "a NUL is in nothing": (RecordFilter("demo", text="\0"), []),
    "half a character is in nothing": (RecordFilter("demo", name="\udcff"), []),
}


@pytest.mark.parametrize("case", FILTERS)
async def test_filters(case: str, url: str, tmp_path: Path) -> None:
    wanted, names = FILTERS[case]
    async with opened(url, tmp_path / "outbox") as store:
        await _stored(
            store, state(1), exit_of(137, 99, name="bye", reason="OOMKilled"), event(5, 60, at=after(2), name="events")
        )
        page = await store.history.page(wanted)
        assert sorted(record.name for record in page.records) == sorted(names)


@pytest.mark.parametrize("cursor", ["x", "!!", "MTIz", "", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTkuMQ"])
async def test_a_cursor_that_is_none_is_refused(cursor: str, url: str, tmp_path: Path) -> None:
    async with opened(url, tmp_path / "outbox") as store:
        await store.until_ready()
        if not cursor:
            assert (await store.history.page(RecordFilter("demo"), cursor)).records == ()
            return
        with pytest.raises(CursorError, match="is no cursor"):
            await store.history.page(RecordFilter("demo"), cursor)


async def test_a_nul_in_a_message_keeps_nothing_out(url: str, tmp_path: Path) -> None:
    """PostgreSQL cannot store one in text."""
    async with opened(url, tmp_path / "outbox") as store:
        bad = state(1, message="a\0b")
        await _stored(store, bad, state(2, "Degraded"))
        assert await everything(store) == [bad, state(2, "Degraded")]


async def test_a_record_that_can_never_be_stored_does_not_keep_others_out(url: str, tmp_path: Path) -> None:
    async with opened(url, tmp_path / "outbox") as store:
        await _stored(store, state(1), state(2, project="p\0"), state(3, "Degraded"))
        found = await everything(store)
        assert [r for r in found if "\0" not in r.project] == [state(1), state(3, "Degraded")]
        assert store.health.written + store.health.refused == 3


async def test_the_latest_of_each_workload(url: str, tmp_path: Path) -> None:
    async with opened(url, tmp_path / "outbox") as store:
        await _stored(store, state(1), state(5, "Degraded"), state(2, uid="other"), revision())
        assert await store.history.latest("state") == {"uid-hello": state(5, "Degraded"), "other": state(2, uid="other")}


async def test_a_name_used_twice_is_two_workloads(url: str, tmp_path: Path) -> None:
    async with opened(url, tmp_path / "outbox") as store:
        await _stored(store, state(1), state(9, "Deleted"), state(20, uid="second"))
        for uid, times in (("", [20, 9, 1]), ("second", [20]), ("uid-hello", [9, 1])):
            page = await store.history.page(RecordFilter("demo", "PinApp", "hello", uid=uid))
            assert [record.at for record in page.records] == [after(time) for time in times]


async def test_a_record_of_a_newer_version_is_left_out_not_an_error(url: str, tmp_path: Path) -> None:
    assert records.decode(b'{"type":"dream","project":"demo","at":"2026-11-01T12:00:00Z"}') is None
    async with opened(url, tmp_path / "outbox") as store:
        await store.until_ready()
        assert await store.history.write([b'{"type":"dream"}', records.encode(state(1))]) == 1
        assert await everything(store) == [state(1)]


def test_times_keep_their_microseconds() -> None:
    for micro in (0, 1, 999_999):
        at = NOW.replace(microsecond=micro)
        assert records.moment(records.micros(at)) == at
