"""What the bearer of a service token must not keep, get or hide."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from gateway.served_gateway import Running, running
from gateway_access.access_fixtures import START, InMemoryTokenStorage, Time, World, project, user
from msgspec.structs import replace

from pincompute.gateway.access import ServiceTokens, TokenScope
from pincompute.gateway.access.service_tokens import GROUPS_LIFETIME, KEPT, MOST, PRUNE, ServiceToken, caller
from pincompute.gateway.call_context import Caller, Operation
from pincompute.gateway.gateway_settings import AccessSettings, RoleRule
from pincompute.gateway.problems import Problem
from pincompute.store.history_store import HistoryStore
from pincompute.store.token_table import TokenTable

VIEWER = TokenScope("demo", role="viewer")
READ = Operation("apps", "get")


async def made(world: World, who: Caller, days: float = 365) -> ServiceToken:
    return (await world.tokens.create("ci", who, who.name, VIEWER, timedelta(days=days)))[1]


def may_read(world: World, token: ServiceToken) -> bool:
    present = world.tokens.in_force(token.id)
    assert present is not None
    return world.authorizer.decide(world.tokens.caller(present), READ, "demo").allowed


async def test_who_leaves_a_group_leaves_it_with_their_tokens():
    world = World()
    token = await made(world, user("gerd", "readers"))
    assert may_read(world, token)
    world.tokens.logged_in(user("gerd"))
    await world.tokens.write_groups()
    assert not may_read(world, token)
    world.tokens.logged_in(user("gerd", "readers"))
    await world.tokens.write_groups()
    assert may_read(world, token)


async def test_a_group_that_no_login_confirms_ends():
    world = World()
    token = await made(world, user("gerd", "readers"))
    world.time.pass_by((GROUPS_LIFETIME - timedelta(seconds=1)).total_seconds())
    present = caller(token)
    assert may_read(world, token)
    world.time.pass_by(1)
    assert not may_read(world, token)
    assert not world.authorizer.decide(present, READ, "demo").allowed, "also of a call that began before, as a stream has"
    platform = await made(world, user("wim", "watchers"))
    assert may_read(world, platform)
    assert world.authorizer.everywhere(caller(platform), READ) is False, "its scope is one project"
    world.time.pass_by(GROUPS_LIFETIME.total_seconds())
    decision = world.authorizer.decide(caller(platform), Operation("clusters", "list"))
    assert decision.remedy == "log in once as wim"
    world.tokens.logged_in(user("gerd", "readers"))
    await world.tokens.write_groups()
    assert may_read(world, token)


async def test_a_role_that_somebody_has_by_name_needs_no_confirmation():
    world = World()
    token = await made(world, user("vera"))
    world.time.pass_by(2 * GROUPS_LIFETIME.total_seconds())
    assert may_read(world, token)


async def test_the_groups_of_a_token_of_an_earlier_version_end_as_well():
    """They count from the first time that a gateway of this version sees the token, so that no upgrade ends them."""
    storage, time = InMemoryTokenStorage(), Time()
    token = ServiceToken(
        id="t",
        name="ci",
        subject="gerd",
        groups=("readers",),
        scope=VIEWER,
        digest="d",
        created_by="gerd",
        created_at=START - timedelta(days=200),
        expires_at=START + timedelta(days=100),
    )
    await storage.add(token)
    tokens = ServiceTokens(storage, time.clock)
    await tokens.refresh()
    await tokens.write_groups()
    present = tokens.in_force("t")
    assert present is not None
    assert caller(present).groups_until == (START + GROUPS_LIFETIME).timestamp()


async def test_a_token_of_a_former_project_without_members_does_not_open_a_later_one():
    """A platform administrator needs no membership, so nothing but the project's uid tells the two apart."""
    world, admin = World(), user("anna", "admins")
    tokens: list[Caller] = []
    for uid, founded in (("first", START), ("second", START - timedelta(seconds=2))):
        bare = project("bare", uid)
        world.projects["bare"] = replace(bare, metadata=replace(bare.metadata, creation_timestamp=founded))
        tokens.append(await world.service(admin, TokenScope("bare", role="viewer")))
        assert world.authorizer.decide(tokens[-1], READ, "bare").allowed
    assert not world.authorizer.decide(tokens[0], READ, "bare").allowed


async def test_no_token_is_made_ahead_for_a_project_that_somebody_will_create(tmp_path: Path):
    access = AccessSettings(platform_roles={"admin": ("root",)})
    async with running(tmp_path, access=access) as gateway:
        root = gateway.issuer.token("root")
        for project_name, status in (("shop", 201), ("to-come", 404)):
            asked = {"name": "ci", "project": project_name, "role": "viewer"}
            answer = await gateway.send("POST", "/v1/tokens", asked, root)
            assert answer.status == status, answer.text


async def test_nobody_fills_the_store_with_tokens():
    world = World()
    tokens = [await made(world, user("olga"), days=1) for _ in range(MOST)]
    with pytest.raises(Problem, match="which is the limit"):
        await made(world, user("olga"))
    await made(world, user("vera"))
    await world.tokens.revoke(tokens[0].id)
    await made(world, user("olga"))
    assert len(world.tokens.all()) == MOST + 2


async def test_what_ended_long_ago_is_removed_from_the_store(tmp_path: Path):
    time, url = Time(), f"sqlite+aiosqlite:///{tmp_path}/gateway.db"
    async with HistoryStore(url, outbox=tmp_path / "outbox") as store:
        await store.until_ready()
        tokens = ServiceTokens(TokenTable(store.database), time.clock)
        create = [tokens.create(name, user("olga"), "olga", VIEWER, timedelta(days=9)) for name in ("revoked", "expired")]
        (_, revoked), (_, expired) = [await each for each in create]
        await tokens.create("lives", user("olga"), "olga", VIEWER, timedelta(days=366))
        await tokens.revoke(revoked.id)
        time.pass_by(KEPT.total_seconds() + PRUNE)
        await tokens.prune()
        await tokens.refresh()
        assert {token.name for token in tokens.all()} == {"expired", "lives"}
        time.pass_by(9 * 86_400)
        await tokens.prune()
        await tokens.refresh()
        assert {token.name for token in tokens.all()} == {"lives"}
        del expired


EMPTY: dict[str, dict[str, Any]] = {
    "a role that allows nothing": {"role": "empty"},
    "operations that the role does not allow": {"role": "viewer", "operations": ["apps:delete"]},
    "what no token may do": {"operations": ["tokens:create", "tokens:delete"]},
    "nothing at all": {},
    "a name that could be read as somebody else's": {"name": "x, made by root", "role": "viewer"},
    "a name that controls a terminal": {"name": "x\x1b[2J", "role": "viewer"},
    "days that no calendar holds": {"days": 10**15, "role": "viewer"},
    "days before today": {"days": -1, "role": "viewer"},
}


async def test_no_token_is_made_that_allows_nothing_or_hides_its_maker(tmp_path: Path):
    access = AccessSettings(platform_roles={"admin": ("root",)}, custom_roles={"empty": (RoleRule((), ("get",)),)})
    async with running(tmp_path, access=access) as gateway:
        alice = gateway.issuer.token("alice")
        for what, asked in EMPTY.items():
            refused = await gateway.send("POST", "/v1/tokens", {"name": "ci", "project": "shop"} | asked, alice)
            assert refused.status == 422, (what, refused.text)
        await _check_principal(gateway, alice)


async def _check_principal(gateway: Running, alice: str) -> None:
    """Who acts is the token, in the answer to who it is, in the object, its history and the audit log; its maker's name alone
    never is.
    """
    made = await gateway.send("POST", "/v1/tokens", {"name": "ci-deploy", "project": "shop", "role": "developer"}, alice)
    secret = made.body["secret"]
    assert (await gateway.send("GET", "/v1/session", None, secret)).body["name"] == "ci-deploy, made by alice"
    app = {"name": "web", "containers": [{"name": "web", "image": "r/web:1"}]}
    created = await gateway.send("POST", "/v1/projects/shop/apps", app, secret)
    assert (created.status, created.body["item"]["author"]) == (201, "ci-deploy, made by alice")
    stopped = await gateway.send("POST", "/v1/projects/shop/apps/web/scale", {"replicas": 2}, secret)
    assert stopped.status == 200, stopped.text
    records = gateway.gateway.settings.path("audit.log").read_text().splitlines()
    written = [line for line in records if '"resource":"apps"' in line]
    assert written
    assert all('"caller":"ci-deploy, made by alice"' in line for line in written)
