"""Service tokens in the real store: what one gateway made, another one knows, also after a restart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from access_fixtures import Time, user

from pincompute.gateway.access import ServiceTokens, TokenScope
from pincompute.store.history_store import HistoryStore
from pincompute.store.token_table import ServiceToken, TokenTable


async def test_tokens_survive_in_the_store(tmp_path: Path) -> None:
    time, url = Time(), f"sqlite+aiosqlite:///{tmp_path}/gateway.db"
    scope = TokenScope("demo", role="developer", operations=("apps:*",))
    async with HistoryStore(url, outbox=tmp_path / "outbox") as store:
        await store.until_ready()
        tokens = ServiceTokens(TokenTable(store.database), time.clock)
        secret, made = await tokens.create("deploys", user("olga", "devs"), "olga", scope, timedelta(days=1))
        _, other = await tokens.create("gone", user("olga"), "olga", scope, timedelta(days=1))
        await tokens.revoke(other.id)
    async with HistoryStore(url, outbox=tmp_path / "outbox") as store:
        await store.until_ready()
        again = ServiceTokens(TokenTable(store.database), time.clock)
        assert await again.find(secret) == made
        assert again.in_force(made.id) == made
        assert again.in_force(other.id) is None
        assert [token.revoked_at is None for token in again.all() if token.id == other.id] == [False]
    assert secret.removeprefix("pct_").encode() not in _on_disk(tmp_path)


async def test_the_store_is_read_whole_only_after_a_change(tmp_path: Path) -> None:
    """And once in a while: groups change without another sign."""
    time, url = Time(), f"sqlite+aiosqlite:///{tmp_path}/gateway.db"
    reads = 0

    class Counting(TokenTable):
        async def everything(self) -> Sequence[ServiceToken]:
            nonlocal reads
            reads += 1
            return await super().everything()

    async with HistoryStore(url, outbox=tmp_path / "outbox") as store:
        await store.until_ready()
        here, there = (ServiceTokens(table(store.database), time.clock) for table in (Counting, TokenTable))

        async def kept_up() -> int:
            before = reads
            await here.keep_up()
            return reads - before

        assert await kept_up() == 1
        assert await kept_up() == 0
        scope = TokenScope("demo", role="viewer")
        _, made = await there.create("t", user("olga"), "olga", scope, timedelta(days=1))
        assert (await kept_up(), await kept_up()) == (1, 0)
        assert here.in_force(made.id) == made
        await there.revoke(made.id)
        assert (await kept_up(), await kept_up()) == (1, 0)
        assert here.in_force(made.id) is None
        time.pass_by(61)
        assert (await kept_up(), await kept_up()) == (1, 0)


def _on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
