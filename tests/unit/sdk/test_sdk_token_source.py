"""Programs that share a login, against an issuer that takes a refresh token once and ends the login at its second use."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs

import pytest
from msgspec.structs import replace
from pincompute_sdk import AsyncClient, errors
from pincompute_sdk.core import configuration, websocket
from pincompute_sdk.core.configuration import Configuration, Context
from pincompute_sdk.core.exchange import ClientSession
from pincompute_sdk.core.token_source import TokenSource
from pincompute_sdk.core.websocket import Socket
from sdk.fake_server import Asked, Reply, answering, document

PROGRAMS = 6


@dataclass
class RotatingIssuer:
    """`given` counts renewals. A refresh token that comes twice ends the login, as RFC 9700 recommends."""

    url: str = ""
    given: int = 0
    over: bool = False
    trouble: Mapping[str, Reply] = field(default_factory=dict[str, Reply])  # by method
    lock: Lock = field(default_factory=Lock)

    def answer(self, asked: Asked) -> Reply:
        if found := self.trouble.get(asked.method):
            return found
        if asked.method == "GET":
            return document({"token_endpoint": f"{self.url}/token"})
        with self.lock:
            if self.over or parse_qs(asked.body.decode())["refresh_token"] != [f"r{self.given}"]:
                self.over = True
                return document({"error": "invalid_grant"}, 400)
            self.given += 1
            time.sleep(0.02)  # an issuer far away: others ask meanwhile
            said = {"exp": time.time() + 900, "email": "dev@example.com"}
            return document({"access_token": jwt(self.given, said), "refresh_token": f"r{self.given}"})


def jwt(number: int, said: dict[str, object]) -> str:
    body = base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=").decode()
    return f"head.{body}.{number}"


@pytest.fixture
def issuer() -> Iterator[RotatingIssuer]:
    found = RotatingIssuer()
    with answering(found.answer) as server:
        found.url = server.url
        yield found


@pytest.fixture
def login(issuer: RotatingIssuer, tmp_path: Path) -> tuple[Path, Context]:
    at = tmp_path / "pin" / "config.yaml"
    context = Context(server="https://one", issuer=issuer.url, user="dev", token="t0", refresh_token="r0", expires=1)
    configuration.save(at, Configuration(current="one", contexts={"one": context}))
    return at, context


def used(source: TokenSource) -> str:
    """The token that a call takes."""
    if source.renewal_due():
        source.renew(source.token())
    return source.token()


def test_programs_at_once_renew_a_login_once(issuer: RotatingIssuer, login: tuple[Path, Context]) -> None:
    at, context = login
    programs = [TokenSource(context, at) for _ in range(PROGRAMS)]
    with ThreadPoolExecutor(PROGRAMS) as pool:
        tokens = set(pool.map(used, programs))
    assert (issuer.given, issuer.over, len(tokens)) == (1, False, 1)
    assert {configuration.load(at).contexts["one"].token} == tokens


def test_threads_of_one_client_renew_once(issuer: RotatingIssuer, tmp_path: Path, login: tuple[Path, Context]) -> None:
    alone = TokenSource(login[1], tmp_path / "none" / "config.yaml")  # a login that no file holds
    with ThreadPoolExecutor(PROGRAMS) as pool:
        tokens = set(pool.map(lambda _: used(alone), range(PROGRAMS)))
    assert (issuer.given, issuer.over, len(tokens)) == (1, False, 1)


def test_a_program_that_runs_for_long_renews_with_what_another_one_stored(
    issuer: RotatingIssuer, login: tuple[Path, Context]
) -> None:
    at, context = login
    old, other = TokenSource(context, at), TokenSource(context, at)
    other.renew(other.token())
    stored = configuration.load(at)
    late = {"one": replace(stored.contexts["one"], expires=1)}
    configuration.save(at, replace(stored, contexts=late))  # what the other one got is over by now
    old.renew(old.token())
    assert (issuer.given, issuer.over) == (2, False)
    other.renew(other.token())
    assert (issuer.given, other.context.token) == (2, old.context.token)


def test_a_refused_renewal_asks_for_a_login(issuer: RotatingIssuer, login: tuple[Path, Context]) -> None:
    at, context = login
    issuer.over = True
    source = TokenSource(context, at)
    assert used(source) == "t0"
    assert not source.renewable()
    assert configuration.load(at).contexts["one"].refresh_token == ""


TROUBLE = {
    "a token endpoint that fails": {"POST": document({"error": "server_error"}, 503)},
    "a token endpoint that is busy": {"POST": document({"error": "slow_down"}, 429)},
    "a discovery that fails": {"GET": document({}, 503)},
    "a discovery that is not there": {"GET": document({}, 404)},
    "a page of a proxy": {"POST": Reply(200, b"<html>")},
    "a refusal of the client": {"POST": document({"error": "invalid_client"}, 401)},
}


@pytest.mark.parametrize("case", TROUBLE)
def test_an_issuer_in_trouble_ends_no_login(issuer: RotatingIssuer, login: tuple[Path, Context], case: str) -> None:
    """A token that still holds is used; later the call fails, and the next one tries again."""
    at, context = login
    issuer.trouble = TROUBLE[case]
    assert used(TokenSource(replace(context, expires=time.time() + 10), at)) == "t0"
    source = TokenSource(context, at)
    with pytest.raises(errors.PinError):
        used(source)
    assert configuration.load(at).contexts["one"].refresh_token == "r0"
    issuer.trouble = {}
    used(source)
    assert (issuer.given, source.renewable()) == (1, True)


def test_a_logout_elsewhere_ends_the_login_here(issuer: RotatingIssuer, login: tuple[Path, Context]) -> None:
    at, context = login
    source = TokenSource(context, at)
    configuration.change(at, lambda found: replace(found, contexts={"one": replace(context, token="", refresh_token="")}))
    source.renew(source.token())
    assert (issuer.given, source.renewable()) == (0, False)


REMOVALS = {
    "removed": lambda _: Configuration(),
    "as `pin logout` leaves it": lambda context: Configuration(
        contexts={"one": replace(context, token="", refresh_token="", expires=0, user="")}
    ),
    "taken by another user": lambda context: Configuration(contexts={"one": replace(context, user="ann", token="a0")}),
}


@pytest.mark.parametrize("case", REMOVALS)
def test_a_login_that_is_gone_from_the_file_is_not_renewed(
    case: str, issuer: RotatingIssuer, login: tuple[Path, Context]
) -> None:
    """Of two programs that still hold it, the second would present a refresh token again and end every login of the user."""
    at, context = login
    programs = [TokenSource(context, at) for _ in range(2)]
    left = REMOVALS[case](context)
    configuration.save(at, left)
    assert [used(source) for source in programs] == ["t0", "t0"]
    assert (issuer.given, issuer.over, [source.renewable() for source in programs]) == (0, False, [False, False])
    assert configuration.load(at) == left


def test_changes_at_once_lose_nothing(tmp_path: Path) -> None:
    at = tmp_path / "config.yaml"

    def add(number: int) -> None:
        context = Context(server=f"https://{number}")
        configuration.change(at, lambda found: replace(found, contexts={**found.contexts, str(number): context}))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(24)))
    assert len(configuration.load(at).contexts) == 24
    assert not configuration.exposed(at)


async def test_an_asynchronous_client_renews_outside_its_event_loop(
    issuer: RotatingIssuer, login: tuple[Path, Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program holds the lock of the configuration; everything else in the loop goes on."""
    at, context = login
    monkeypatch.setattr(configuration, "path", lambda: at)
    with answering(document({"name": "hello"})) as server:
        async with AsyncClient(replace(context, server=server.url)) as pin:
            with configuration.locked(at):
                call = asyncio.create_task(pin.apps.get("demo", "hello"))
                await asyncio.sleep(0.2)
                assert (issuer.given, server.asked, call.done()) == (0, [], False)
            assert (await call).name == "hello"
            await asyncio.gather(*(pin.apps.get("demo", "hello") for _ in range(PROGRAMS)))
        assert issuer.given == 1
        assert {asked.headers["authorization"] for asked in server.asked} == {f"Bearer {pin.state.token()}"}


async def test_an_asynchronous_client_renews_once_for_calls_at_once(
    issuer: RotatingIssuer, login: tuple[Path, Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    at, context = login
    monkeypatch.setattr(configuration, "path", lambda: at)
    with answering(document({"name": "hello"})) as server:
        async with AsyncClient(replace(context, server=server.url)) as pin:
            await asyncio.gather(*(pin.apps.get("demo", "hello") for _ in range(PROGRAMS)))
    assert (issuer.given, issuer.over) == (1, False)


@pytest.mark.parametrize(("renewable", "renewals"), [(True, ["old"]), (False, [])])
async def test_a_shell_renews_a_refused_token_once(
    renewable: bool, renewals: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clocks may differ, so a token may be refused before it is due. Calls renew it, and so do WebSockets."""
    held, renewed, opened = ["old"], list[str](), list[str]()

    def renew(token: str) -> None:
        renewed.append(token)
        held[0] = "new"

    async def open_(session: ClientSession, *_: Any) -> str:
        opened.append(session.token())
        if session.token() == "old":
            raise errors.TokenExpiredError(errors.ProblemDocument(title="expired"))
        return "connection"

    monkeypatch.setattr(websocket, "_open", open_)
    session = ClientSession("https://gateway.example", lambda: held[0], lambda: renewable, renew=renew)
    opening = websocket.connect(session, "", Socket("/v1/x", {}))
    if renewable:
        assert await opening == "connection"
    else:
        with pytest.raises(errors.TokenExpiredError):
            await opening
    assert (renewed, opened) == (renewals, ["old", "new"] if renewable else ["old"])
