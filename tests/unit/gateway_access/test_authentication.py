"""Who calls: tokens of issuers, service tokens, certificates, and what is said when one is not good."""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from access_fixtures import START, InMemoryTokenStorage, Time, World, project, user
from aiohttp import web
from aiohttp.test_utils import TestServer
from issuer_doubles import GOOD, NOW, URL, Fixture, scope
from joserfc.jwk import ECKey, RSAKey

from pincompute.gateway.access import Authenticator, ServiceTokens, TokenScope
from pincompute.gateway.access.issuer_keys import FRESH, PAUSE, fetch_json
from pincompute.gateway.access.service_tokens import ServiceToken, digest
from pincompute.gateway.call_context import ANONYMOUS, Caller, Operation
from pincompute.gateway.gateway_settings import IssuerSettings
from pincompute.gateway.problems import Problem
from pincompute.issuer import endpoints
from pincompute.issuer.endpoints import IssuerService
from pincompute.issuer.token_signing import Consent


async def test_a_good_token_names_user_and_groups() -> None:
    fixture = Fixture()
    found = await fixture.identify(fixture.issuers.token(GOOD))
    assert found == Caller("alice", frozenset({"devs"}), "user", expires=NOW + 930.0, display="Alice")


async def test_a_token_is_verified_once_and_never_kept() -> None:
    fixture = Fixture()
    token = fixture.issuers.token(GOOD)
    first = await fixture.identify(token)
    assert await fixture.identify(token) is first
    assert token not in repr(vars(fixture.authenticator._verifier))
    fixture.time.pass_by(931)
    assert (await fixture.refusal(token)).code == "token-expired"


async def test_rsa_keys_and_several_issuers() -> None:
    fixture = Fixture(
        IssuerSettings(url="https://other.test"),
        IssuerSettings(
            url=URL, username_claim="preferred_username", groups_claim="roles", username_prefix="", groups_prefix="one:"
        ),
    )
    fixture.issuers.keys = [RSAKey.generate_key(2048, auto_kid=True)]
    found = await fixture.identify(fixture.issuers.token(GOOD | {"roles": "one"}))
    assert (found.name, found.groups) == ("Alice", frozenset({"one:one"}))


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "expired": ({"exp": NOW - 331}, "token-expired", "expired 5 min 31 s ago, at 2025-12-31T23:54:29Z"),
    "issued in the future": ({"iat": NOW + 600}, "clock-wrong", "10 min in the future.*2026-01-01T00:00:00Z.*30 s"),
    "not valid yet": ({"nbf": NOW + 7200}, "clock-wrong", "2 h in the future"),
    "both expired and from the future": ({"iat": NOW + 600, "exp": NOW - 600}, "clock-wrong", "future"),
    "no expiry": ({"exp": None}, "unauthenticated", "no expiry"),
    "an expiry that is no number": ({"exp": "soon"}, "unauthenticated", "'exp' is no time"),
    "an expiry that is true": ({"exp": True}, "unauthenticated", "'exp' is no time"),
    "an expiry without end": ({"exp": 1e300}, "unauthenticated", "'exp' is no time"),
    "another audience": ({"aud": "other"}, "unauthenticated", "meant for 'other'"),
    "no audience": ({"aud": None}, "unauthenticated", "meant for None"),
    "an audience that is a number": ({"aud": 7}, "unauthenticated", "list of names"),
    "another issuer": ({"iss": "https://evil.test"}, "unauthenticated", "is not trusted here"),
    "an issuer that only looks alike": ({"iss": URL + "/"}, "unauthenticated", "is not trusted here"),
    "no name": ({"sub": ""}, "unauthenticated", "no user name"),
    "a name that is a number": ({"sub": 7}, "unauthenticated", "no user name"),
    "a name with a line break": ({"sub": "a\nb"}, "unauthenticated", "no user name"),
    "the name of a platform part": ({"sub": "pincompute:admin"}, "unauthenticated", "reserved"),
    "the name of a service account": ({"sub": "service:ci"}, "unauthenticated", "reserved"),
    "the name of a group": ({"sub": "group:admins"}, "unauthenticated", "reserved"),
    "groups that are numbers": ({"groups": [1]}, "unauthenticated", "list of names"),
}


@pytest.mark.parametrize(("changed", "code", "told"), REFUSED.values(), ids=REFUSED.keys())
async def test_claims(changed: dict[str, Any], code: str, told: str) -> None:
    fixture = Fixture()
    claims = {name: value for name, value in (GOOD | changed).items() if value is not None}
    problem = await fixture.refusal(fixture.issuers.token(claims))
    assert (problem.code, problem.status) == (code, 401)
    assert re.search(told, problem.detail), problem.detail
    assert problem.headers["WWW-Authenticate"].startswith('Bearer realm="pincompute"')


@pytest.mark.parametrize("skew", [-600, 600])
async def test_clocks_may_differ_by_the_leeway(skew: int) -> None:
    moved = {name: GOOD[name] + skew for name in ("iat", "exp")}
    tolerant, strict = Fixture(leeway=601), Fixture(leeway=30)
    token = tolerant.issuers.token(GOOD | moved | {"exp": NOW + skew + 60})
    strict.issuers.keys = tolerant.issuers.keys
    assert (await tolerant.identify(token)).name == "alice"
    assert (await strict.refusal(token)).code == ("clock-wrong" if skew > 0 else "token-expired")


def _forged(fixture: Fixture) -> str:
    return fixture.issuers.token(GOOD, ECKey.generate_key("P-256", {"kid": fixture.issuers.keys[0].kid}))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unsigned(fixture: Fixture, algorithm: str = "none") -> str:
    parts = ({"alg": algorithm, "kid": fixture.issuers.keys[0].kid}, GOOD)
    return ".".join(_text(json.dumps(part).encode()) for part in parts) + "."


def _signed_with_the_public_key(fixture: Fixture) -> str:
    content = _unsigned(fixture, "HS256").removesuffix(".")
    secret = fixture.issuers.keys[0].as_pem(private=False)
    return f"{content}.{_text(hmac.new(secret, content.encode(), 'sha256').digest())}"


def _changed_payload(fixture: Fixture) -> str:
    head, _, sign = fixture.issuers.token(GOOD).split(".")
    return f"{head}.{_text(json.dumps(GOOD | {'sub': 'root'}).encode())}.{sign}"


FORGED: dict[str, tuple[Callable[[Fixture], str], str]] = {
    "another key": (_forged, "signature"),
    "no signature": (_unsigned, "signed with 'none'"),
    "the public key as a secret": (_signed_with_the_public_key, "signed with 'HS256'"),
    "a changed payload": (_changed_payload, "signature"),
    "another type": (lambda f: f.issuers.token(GOOD, typ="logout+jwt"), "of type"),
    "an unknown key": (lambda f: f.issuers.token(GOOD, ECKey.generate_key("P-256", auto_kid=True)), "has no key"),
    "a critical header": (lambda f: f.issuers.token(GOOD).replace(".", "!.", 1), "cannot be read"),
    "no token at all": (lambda _: "hello", "neither a service token nor"),
    "an empty one": (lambda _: "..", "cannot be read"),
    "a very long one": (lambda _: "a" * 20_000, "more than"),
}


@pytest.mark.parametrize(("forge", "told"), FORGED.values(), ids=FORGED.keys())
async def test_forged_tokens(forge: Callable[[Fixture], str], told: str) -> None:
    fixture = Fixture()
    problem = await fixture.refusal(forge(fixture))
    assert (problem.code, problem.status) == ("unauthenticated", 401)
    assert told in problem.detail


@pytest.mark.parametrize("value", ["Basic YWxpY2U6eA==", "Bearer", "Bearer ", "", "Bearer ü"])
async def test_headers_that_are_no_bearer_token(value: str) -> None:
    with pytest.raises(Problem, match="Bearer TOKEN"):
        await Fixture().authenticator.identify(scope(value))


async def test_a_registrys_client_sends_its_token_as_a_password() -> None:
    fixture = Fixture()
    token = fixture.issuers.token(GOOD)

    async def identify(text: str) -> Caller:
        return await fixture.authenticator.identify(scope("Basic " + base64.b64encode(text.encode()).decode()), basic=True)

    assert (await identify(f"anybody:{token}")).name == "alice"
    for wrong in ("anybody:", f"{token}:", f":{token}x", token, f"anybody:{token}:", "anybody:ü"):
        with pytest.raises(Problem) as refused:
            await identify(wrong)
        assert refused.value.status == 401


async def test_two_authorization_headers_are_refused() -> None:
    fixture = Fixture()
    token = f"Bearer {fixture.issuers.token(GOOD)}"
    with pytest.raises(Problem, match="once"):
        await fixture.authenticator.identify(scope(token, token))


class TestKeys:
    async def test_a_new_key_is_fetched_when_a_token_names_it(self) -> None:
        fixture = Fixture()
        await fixture.identify(fixture.issuers.token(GOOD))
        fixture.issuers.keys.insert(0, ECKey.generate_key("P-256", auto_kid=True))
        fixture.time.pass_by(PAUSE)
        assert (await fixture.identify(fixture.issuers.token(GOOD))).name == "alice"

    async def test_strangers_cannot_make_the_gateway_ask_all_the_time(self) -> None:
        fixture = Fixture()
        for _ in range(20):
            await fixture.refusal(fixture.issuers.token(GOOD, ECKey.generate_key("P-256", auto_kid=True)))
        assert len(fixture.issuers.asked) == 2

    async def test_known_keys_are_good_while_the_issuer_is_away(self) -> None:
        fixture = Fixture()
        await fixture.identify(fixture.issuers.token(GOOD))
        fixture.issuers.down = True
        fixture.time.pass_by(FRESH + 60)
        late = {"iat": GOOD["iat"] + FRESH, "exp": GOOD["exp"] + FRESH, "jti": "another"}
        assert (await fixture.identify(fixture.issuers.token(GOOD | late))).name == "alice"

    async def test_a_withdrawn_key_ends(self) -> None:
        fixture = Fixture()
        old = fixture.issuers.keys[0]
        await fixture.identify(fixture.issuers.token(GOOD))
        fixture.issuers.keys = [ECKey.generate_key("P-256", auto_kid=True)]
        fixture.time.pass_by(FRESH + 60)
        late = GOOD | {"iat": NOW + int(FRESH), "exp": NOW + 9000}
        assert "has no key" in (await fixture.refusal(fixture.issuers.token(late, old))).detail

    @pytest.mark.parametrize(
        ("discovery", "told"),
        [
            ({"issuer": "https://evil.test", "jwks_uri": f"{URL}/keys"}, "calls itself"),
            ({"issuer": URL, "jwks_uri": "http://issuer.test/keys"}, "not https"),
            ({"issuer": URL}, "jwks_uri"),
        ],
    )
    async def test_an_issuer_that_cannot_be_used_is_told_apart_from_a_bad_token(
        self, discovery: dict[str, Any], told: str
    ) -> None:
        fixture = Fixture()
        fixture.issuers.discovery = discovery
        problem = await fixture.refusal(fixture.issuers.token(GOOD))
        assert (problem.status, problem.code) == (503, "unavailable")
        assert told in problem.detail

    async def test_an_issuer_that_is_away_is_told_and_asked_again(self) -> None:
        fixture = Fixture()
        fixture.issuers.down = True
        problem = await fixture.refusal(fixture.issuers.token(GOOD))
        assert (problem.status, "no answer in time" in problem.detail) == (503, True)
        fixture.issuers.down = False
        fixture.time.pass_by(PAUSE)
        assert (await fixture.identify(fixture.issuers.token(GOOD))).name == "alice"


class TestServiceTokens:
    async def _made(self, fixture: Fixture, days: float = 1.0) -> tuple[str, ServiceToken]:
        scope = TokenScope("demo", role="developer")
        return await fixture.service.create("deploys", user("olga", "devs"), "olga", scope, timedelta(days=days))

    async def test_acts_for_its_subject_and_can_be_recognised(self) -> None:
        fixture = Fixture()
        secret, made = await self._made(fixture)
        assert secret.startswith("pct_")
        assert len(secret) == 4 + 64
        found = await fixture.identify(secret)
        assert (found.name, found.groups, found.kind, found.token_id) == ("olga", frozenset({"devs"}), "service", made.id)
        assert found.expires == (START + timedelta(days=1)).timestamp()

    async def test_only_a_hash_is_stored(self) -> None:
        fixture = Fixture()
        secret, made = await self._made(fixture)
        assert secret.removeprefix("pct_") not in repr(made)
        assert made.digest == digest(secret)

    async def test_ends_when_it_expires(self) -> None:
        fixture = Fixture()
        secret, _ = await self._made(fixture)
        fixture.time.pass_by(86400)
        problem = await fixture.refusal(secret)
        assert (problem.code, "'deploys' expired at 2026-01-02T00:00:00Z" in problem.detail) == ("token-expired", True)

    async def test_ends_at_once_when_it_is_revoked(self) -> None:
        fixture = Fixture()
        secret, made = await self._made(fixture)
        await fixture.identify(secret)
        assert await fixture.service.revoke(made.id)
        assert "revoked at" in (await fixture.refusal(secret)).detail
        assert not await fixture.service.revoke("token-unknown")

    async def test_what_another_gateway_made_and_revoked_is_seen(self) -> None:
        time, storage = Time(), InMemoryTokenStorage()
        here, there = ServiceTokens(storage, time.clock), ServiceTokens(storage, time.clock)
        secret, made = await there.create("t", user("olga"), "olga", TokenScope("demo", role="viewer"), timedelta(days=1))
        assert await here.find(secret) is not None
        await there.revoke(made.id)
        await here.keep_up()
        assert here.in_force(made.id) is None

    async def test_an_unknown_secret_is_refused_and_does_not_ask_the_store_each_time(self) -> None:
        fixture = Fixture()
        asked = 0

        class Counting(InMemoryTokenStorage):
            async def everything(self) -> Any:
                nonlocal asked
                asked += 1
                return await super().everything()

        fixture.service = ServiceTokens(Counting(), fixture.time.clock)
        fixture.authenticator = Authenticator((), fixture.service, 30.0, fixture.time.clock)
        for number in range(50):
            assert "no such service token" in (await fixture.refusal(f"pct_{number}")).detail
        assert asked == 1

    async def test_known_tokens_are_good_while_the_store_is_away_and_unknown_ones_wait(self) -> None:
        fixture = Fixture()
        secret, _ = await self._made(fixture)

        async def away() -> Any:
            raise ConnectionError("the store is away")

        fixture.service._storage.everything = away  # type: ignore[method-assign]
        fixture.time.pass_by(10)
        assert (await fixture.identify(secret)).name == "olga"
        problem = await fixture.refusal("pct_unknown")
        assert (problem.status, "the store is away" in problem.detail) == (503, True)

    async def test_a_stream_ends_when_the_token_or_the_subjects_role_ends(self) -> None:
        world, watch = World(), Operation("apps", "watch")
        caller = await world.service(user("olga"), TokenScope("demo", role="viewer"))
        assert world.authorizer.decide(caller, watch, "demo").allowed
        world.projects["demo"] = project("demo", somebody="owner")
        assert world.authorizer.decide(caller, watch, "demo").hidden
        world.projects["demo"] = project("demo", olga="viewer")
        assert world.authorizer.decide(caller, watch, "demo").allowed
        await world.tokens.revoke(caller.token_id)
        assert "no longer valid" in world.authorizer.decide(caller, watch, "demo").why

    @pytest.mark.parametrize(
        ("who", "scope", "may"),
        [
            (user("olga"), TokenScope("demo", role="owner"), True),
            (user("dev"), TokenScope("demo", role="developer"), True),
            (user("dev"), TokenScope("demo", role="operator"), False),
            (user("dev"), TokenScope("demo", operations=("shells:open",)), False),
            (user("dev"), TokenScope("other", role="viewer"), False),
            (user("olga"), TokenScope("*", role="viewer"), False),
            (user("anna", "admins"), TokenScope("*", role="owner"), True),
        ],
    )
    async def test_nobody_makes_a_token_that_may_more_than_they(self, who: Caller, scope: TokenScope, may: bool) -> None:
        assert (not World().authorizer.excess(who, scope)) is may

    async def test_nobody_gives_a_role_that_is_more_than_theirs(self) -> None:
        authorizer = World().authorizer
        assert authorizer.may_change_role(user("olga"), "demo", "", "owner")
        assert not authorizer.may_change_role(user("op"), "demo", "", "developer"), "an operator changes no members"
        assert not authorizer.may_change_role(user("olga"), "demo", "", "unknown")
        assert authorizer.may_change_role(user("olga"), "demo", "unknown", "")
        assert not authorizer.may_change_role(user("olga"), "other", "", "viewer")
        assert authorizer.may_change_role(user("olga"), "new", "", "owner", creates=True)
        assert not authorizer.may_change_role(user("olga"), "new", "", "unknown", creates=True)


SUBJECT = {"subject": ((("commonName", "pincompute:federation"),), (("organizationName", "parts"),))}
VALID = {"notAfter": "Jan  1 00:00:00 2027 GMT"}
CERTIFICATES: dict[str, tuple[dict[str, Any], str]] = {
    "of a user": ({"subject": ((("commonName", "alice"),),)} | VALID, "names alice"),
    "without a name": ({"subject": ()} | VALID, "names nothing"),
    "with two names": (
        {"subject": ((("commonName", "pincompute:a"), ("commonName", "pincompute:b")),)} | VALID,
        "pincompute:b",
    ),
    "with an empty part": ({"subject": ((("commonName", "pincompute:"),),)} | VALID, "begins with"),
    "that has ended": (SUBJECT | {"notAfter": "Jan  1 00:00:00 2025 GMT"}, "has expired"),
}


async def test_a_certificate_of_a_platform_part() -> None:
    found = await Fixture().authenticator.identify(scope(certificate=SUBJECT | VALID))
    assert (found.name, found.groups, found.kind) == ("pincompute:federation", frozenset({"parts"}), "platform")
    assert found.expires == (START + timedelta(days=365)).timestamp()


@pytest.mark.parametrize(("certificate", "told"), CERTIFICATES.values(), ids=CERTIFICATES.keys())
async def test_a_certificate(certificate: dict[str, Any], told: str) -> None:
    with pytest.raises(Problem, match=told):
        await Fixture().authenticator.identify(scope(certificate=certificate))


async def test_a_bad_token_is_not_rescued_by_a_certificate() -> None:
    with pytest.raises(Problem, match="neither"):
        await Fixture().authenticator.identify(scope("Bearer x", certificate=SUBJECT | VALID))


async def test_without_a_credential_nobody_is_known() -> None:
    assert await Fixture().authenticator.identify(scope()) is ANONYMOUS


async def test_the_issuer_of_the_region_is_accepted_like_any_other(tmp_path: Path) -> None:
    time = Time()
    issuer = IssuerService(tmp_path, URL, time.clock)
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=endpoints.build(issuer)))

    async def fetch(url: str) -> Any:
        return (await client.get(url)).json()

    async with client:
        authenticator = Authenticator(
            (IssuerSettings(url=URL),), ServiceTokens(InMemoryTokenStorage()), 30.0, time.clock, fetch
        )
        admin = issuer.users.get("admin")
        assert admin is not None
        token = issuer.signer.access_token(admin, Consent("admin", "", "", 0.0), issuer.now())
        found = await authenticator.identify(scope(f"Bearer {token}"))
        assert (found.name, found.groups) == ("admin", frozenset({"admins"}))


async def test_what_a_real_server_may_not_answer() -> None:
    async def redirect(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/keys"})

    async def endless(_: web.Request) -> web.Response:
        return web.Response(body=b" " * (2 << 20))

    server = web.Application()
    server.add_routes([web.get("/redirect", redirect), web.get("/endless", endless)])
    async with TestServer(server) as running:
        with pytest.raises(ValueError, match="status 302"):
            await fetch_json(str(running.make_url("/redirect")))
        with pytest.raises(ValueError, match="more than"):
            await fetch_json(str(running.make_url("/endless")))
