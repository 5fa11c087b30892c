"""Service tokens, and retention."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from record_builders import DEADLINE, NOW, after, everything, exit_of, opened, revision, state

from pincompute.store.history_store import HistoryStore
from pincompute.store.retention import BATCH, Retention, RetentionLimits
from pincompute.store.token_table import ServiceToken, TokenScope, TokenTable


def token(name: str, revoked: datetime | None = None) -> ServiceToken:
    return ServiceToken(
        id=name,
        name=name,
        subject="ci",
        groups=(),
        scope=TokenScope("demo"),
        digest=name,
        created_by="ci",
        created_at=NOW,
        expires_at=after(60),
        revoked_at=revoked,
    )


async def test_tokens_are_kept_and_stay_revoked_since_the_first_time(url: str, tmp_path: Path) -> None:
    async with opened(url, tmp_path / "outbox") as store:
        await store.until_ready()
        tokens = TokenTable(store.database)
        for name in ("t1", "t2"):
            await tokens.add(token(name))
        assert await tokens.revoke("t1", after(1))
        assert await tokens.revoke("t1", after(2))
        assert not await tokens.revoke("nobody", after(3))
        assert list(await tokens.everything()) == [token("t1", after(1)), token("t2")]


async def _filled(store: HistoryStore) -> None:
    store.record(*(exit_of(1, second) for second in range(BATCH + 100)), revision(at=NOW), state(BATCH + 200))
    assert await store.settled(DEADLINE)


async def test_what_is_too_old_goes_and_revisions_stay_longer(url: str, tmp_path: Path) -> None:
    async with opened(url, tmp_path / "outbox") as store:
        await _filled(store)
        limits = RetentionLimits(age=timedelta(seconds=110), age_of_revisions=timedelta(days=1))
        assert await Retention(store.database, limits).sweep(after(BATCH + 200)) == BATCH + 90
        wanted = [revision(at=NOW), *(exit_of(1, s) for s in range(BATCH + 90, BATCH + 100)), state(BATCH + 200)]
        assert await everything(store) == wanted


async def test_what_is_too_much_goes_the_oldest_first(url: str, tmp_path: Path) -> None:
    async with opened(url, tmp_path / "outbox") as store:
        await _filled(store)
        before = await everything(store)
        size = await Retention(store.database, RetentionLimits()).size()
        retention = Retention(store.database, RetentionLimits(age=timedelta(days=9), size=size - 1))
        removed = await retention.sweep(NOW)
        assert removed == BATCH
        assert await everything(store) == before[BATCH:]


async def test_nothing_goes_while_there_is_room(url: str, tmp_path: Path) -> None:
    async with opened(url, tmp_path / "outbox") as store:
        await _filled(store)
        assert await Retention(store.database, RetentionLimits()).sweep(after(BATCH)) == 0
