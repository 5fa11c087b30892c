"""What a user of one issuer must not get: the name or groups of somebody else, or a login that outlives its issuer's key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from gateway_access.access_fixtures import InMemoryTokenStorage, Time
from gateway_access.issuer_doubles import GOOD, NOW, URL, Fixture, Issuers, scope
from joserfc.jwk import ECKey, KeySet

from pincompute.gateway.access import Authenticator, ServiceTokens
from pincompute.gateway.access.issuer_keys import FRESH
from pincompute.gateway.call_context import Caller
from pincompute.gateway.gateway_settings import IssuerSettings, SettingsError
from pincompute.gateway.problems import Problem

OTHER = "https://other.test"
OURS, THEIRS = IssuerSettings(url=URL), IssuerSettings(url=OTHER)
LONG = GOOD | {"exp": NOW + 86_400}


@dataclass
class Region:
    """A region that trusts two issuers. Both say what they like of their users."""

    ours: IssuerSettings = OURS
    other: IssuerSettings = THEIRS
    time: Time = field(default_factory=Time)

    def __post_init__(self) -> None:
        self.keys = ECKey.generate_key("P-256", {"alg": "ES256"}, auto_kid=True)
        service = ServiceTokens(InMemoryTokenStorage(), self.time.clock)
        self.authenticator = Authenticator((self.ours, self.other), service, 30.0, self.time.clock, self.fetch)

    async def fetch(self, url: str) -> Any:
        if url.endswith("/keys"):
            return KeySet([self.keys]).as_dict(private=False)
        issuer = url.removesuffix("/.well-known/openid-configuration")
        return {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}

    async def caller(self, issuer: str, **claims: Any) -> Caller:
        token = Issuers().token(GOOD | {"iss": issuer} | claims, self.keys)
        return await self.authenticator.identify(scope(f"Bearer {token}"))


async def test_namesakes_of_two_issuers_are_two_users_in_two_groups():
    region = Region()
    first, second = [await region.caller(issuer, sub="alice", groups=["admins"]) for issuer in (URL, OTHER)]
    assert (first.name, first.groups) == (f"{URL}#alice", {f"{URL}#admins"})
    assert (second.name, second.groups) == (f"{OTHER}#alice", {f"{OTHER}#admins"})


async def test_a_name_that_begins_as_another_issuers_do_is_refused():
    ours = IssuerSettings(url=URL, username_prefix="", groups_prefix="")
    region = Region(ours, IssuerSettings(url=OTHER, username_prefix="corp:", groups_prefix="corp:"))
    assert (await region.caller(OTHER, sub="alice")).name == "corp:alice"
    with pytest.raises(Problem, match="the user name 'corp:alice' is reserved"):
        await region.caller(URL, sub="corp:alice")
    found = await region.caller(URL, sub="alice", groups=["corp:admins", "admins"])
    assert (found.name, found.groups) == ("alice", {"admins"})


async def test_a_name_that_only_becomes_reserved_with_its_prefix_is_refused():
    region = Region(IssuerSettings(url=URL, username_prefix="gro"), IssuerSettings(url=OTHER))
    assert (await region.caller(URL, sub="ck")).name == "grock"
    with pytest.raises(Problem, match="reserved"):
        await region.caller(URL, sub="up:admins")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"username_prefix": "a:"}, {"username_prefix": "a:"}),
        ({"groups_prefix": ""}, {"groups_prefix": ""}),
        ({"username_prefix": "service:"}, {}),
        ({"url": OTHER, "username_prefix": "a:"}, {}),
    ],
    ids=["users", "groups", "service accounts", "one issuer twice"],
)
def test_settings_under_which_names_collide_start_no_gateway(first: dict[str, Any], second: dict[str, Any]):
    with pytest.raises(SettingsError):
        Region(IssuerSettings(**{"url": URL} | first), IssuerSettings(url=OTHER, **second))


async def test_a_user_who_renames_themselves_at_the_issuer_stays_who_they_are():
    """Unless the settings say that this issuer's users cannot."""
    mallory = GOOD | {"sub": "mallory", "preferred_username": "root"}
    fixture = Fixture()
    found = await fixture.identify(fixture.issuers.token(mallory))
    assert (found.name, found.display) == ("mallory", "root")
    trusting = Fixture(IssuerSettings(url=URL, username_claim="preferred_username"))
    assert (await trusting.identify(trusting.issuers.token(mallory))).name == "root"


async def test_a_user_cannot_have_the_name_of_a_service_token():
    fixture = Fixture()
    assert (await fixture.identify(fixture.issuers.token(GOOD | {"sub": "ci"}))).principal == "ci"
    assert "reserved" in (await fixture.refusal(fixture.issuers.token(GOOD | {"sub": "ci, made by root"}))).detail


async def test_a_token_that_was_verified_ends_with_its_key():
    fixture = Fixture()
    token = fixture.issuers.token(LONG)
    for _ in range(3):
        assert (await fixture.identify(token)).name == "alice"
        fixture.time.pass_by(1)
    fixture.issuers.keys = [ECKey.generate_key("P-256", auto_kid=True)]
    fixture.time.pass_by(FRESH)
    assert "has no key" in (await fixture.refusal(token)).detail
    assert (await fixture.identify(fixture.issuers.token(LONG))).name == "alice"


async def test_a_token_that_was_verified_ends_when_another_key_has_the_name_of_its_key():
    fixture = Fixture()
    token, old = fixture.issuers.token(LONG), fixture.issuers.keys[0]
    await fixture.identify(token)
    fixture.issuers.keys = [ECKey.generate_key("P-256", {"kid": old.kid})]
    fixture.time.pass_by(FRESH)
    assert "signature" in (await fixture.refusal(token)).detail


async def test_new_keys_end_what_was_verified_by_the_old_ones_at_once():
    """Another user's token makes the gateway fetch them."""
    fixture = Fixture()
    token = fixture.issuers.token(LONG)
    await fixture.identify(token)
    fixture.time.pass_by(10)
    fixture.issuers.keys = [ECKey.generate_key("P-256", auto_kid=True)]
    await fixture.identify(fixture.issuers.token(LONG | {"sub": "bob"}))
    assert "has no key" in (await fixture.refusal(token)).detail


async def test_keys_that_nobody_has_confirmed_for_an_hour_are_no_keys():
    fixture = Fixture()
    token = fixture.issuers.token(LONG)
    await fixture.identify(token)
    fixture.issuers.down = True
    for _ in range(59):
        fixture.time.pass_by(60)
        assert (await fixture.identify(token)).name == "alice", "the issuer's outage is no outage of the platform"
    fixture.time.pass_by(60)
    problem = await fixture.refusal(token)
    assert (problem.status, "tokens are refused until it answers" in problem.detail) == (503, True)
    fixture.issuers.down = False
    fixture.time.pass_by(10)
    assert (await fixture.identify(token)).name == "alice"
