"""What the issuer does not do, and what its pages keep out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from issuer_fixtures import ASKED, URL, Browser, Time, answer

from pincompute.issuer.authorization_grants import OAuthError, RefreshTokens
from pincompute.issuer.endpoints import IssuerService
from pincompute.issuer.issuer_folder import IssuerError
from pincompute.issuer.token_signing import Consent, TokenSigner
from pincompute.issuer.users import LoginFailed, Users, hashed
from pincompute.kube.clock import SYSTEM

SHOWN = {
    "another client": {"client_id": "other"},
    "a redirect to a site": {"redirect_uri": "https://evil.example/cb"},
    "a redirect that only looks like this machine": {"redirect_uri": "http://127.0.0.1.evil.example:80/cb"},
    "a redirect with a user in it": {"redirect_uri": "http://127.0.0.1:80@evil.example/cb"},
    "a redirect without a port": {"redirect_uri": "http://127.0.0.1/cb"},
    "a redirect with a fragment": {"redirect_uri": "http://127.0.0.1:80/cb#x"},
    "a redirect that is no address": {"redirect_uri": "http://[::1"},
    "a script": {"redirect_uri": "javascript:alert(1)"},
    "a state without end": {"state": "x" * 3000},
}


@pytest.mark.parametrize("changed", SHOWN.values(), ids=SHOWN.keys())
async def test_never_redirects_to(browser: Browser, changed: dict[str, str]) -> None:
    refused = await browser.client.get("/authorize", params=ASKED | changed)
    assert (refused.status_code, "location" in refused.headers) == (400, False)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge": "a" * 44}, "invalid_request"),
    ],
)
async def test_tells_the_program(browser: Browser, changed: dict[str, str], error: str) -> None:
    refused = await browser.client.get("/authorize", params=ASKED | changed)
    assert refused.status_code == 303
    assert (answer(refused)["error"], answer(refused)["state"]) == (error, "s1")


TOKEN_REFUSALS = {
    "no grant": ({}, 400, "unsupported_grant_type"),
    "passwords are typed nowhere but in the page": ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    "no client": ({"grant_type": "refresh_token", "refresh_token": "x"}, 401, "invalid_client"),
    "no token": ({"grant_type": "refresh_token", "client_id": "pincompute"}, 400, "invalid_request"),
    "unknown token": ({"grant_type": "refresh_token", "client_id": "pincompute", "refresh_token": "x"}, 400, "invalid_grant"),
}


@pytest.mark.parametrize(("form", "status", "error"), TOKEN_REFUSALS.values(), ids=TOKEN_REFUSALS.keys())
async def test_token_endpoint(browser: Browser, form: dict[str, str], status: int, error: str) -> None:
    refused = await browser.client.post("/token", data=form)
    assert (refused.status_code, refused.json()["error"]) == (status, error)
    assert refused.headers["cache-control"] == "no-store"


async def test_a_field_twice_is_refused(browser: Browser) -> None:
    twice = b"grant_type=refresh_token&client_id=pincompute&client_id=other&refresh_token=x"
    form = {"content-type": "application/x-www-form-urlencoded"}
    refused = await browser.client.post("/token", content=twice, headers=form)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")


async def test_what_comes_in_goes_out_escaped(browser: Browser) -> None:
    evil = '"><script>alert(1)</script>'
    page = await browser.client.get("/authorize", params=ASKED | {"state": evil})
    assert page.status_code == 200
    assert "<script" not in page.text
    page = await browser.submit(page, {"username": evil, "password": "x"})
    assert page.status_code == 401
    assert "<script" not in page.text


async def test_pages_cannot_be_framed_or_scripted(browser: Browser) -> None:
    page = await browser.client.get("/authorize", params=ASKED)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' http://127.0.0.1:33123;" in policy
    cookie = page.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "secure", "samesite=lax"))


async def test_pages_name_their_fields_and_language(browser: Browser) -> None:
    page = await browser.client.get("/authorize", params=ASKED)
    assert "<html lang=en>" in page.text
    for field in ("name", "password"):
        assert f"<label for={field}>" in page.text
        assert f"<input id={field} " in page.text


async def test_a_wrong_code_of_a_device_is_said(browser: Browser) -> None:
    page = await browser.client.get("/activate", params={"user_code": "AAAA-AAAA"})
    assert (page.status_code, "role=alert" in page.text) == (404, True)


def test_keys_and_users_survive_a_restart(tmp_path: Path, time: Time) -> None:
    first = IssuerService(tmp_path, URL, time.clock)
    second = IssuerService(tmp_path, URL, time.clock)
    assert first.signer.published() == second.signer.published()
    assert b'"d"' not in first.signer.published()
    for name in ("users.yaml", "passwords", "keys.json"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_an_rsa_key_can_be_used(tmp_path: Path, service: IssuerService) -> None:
    from joserfc import jwt
    from joserfc.jwk import KeySet, RSAKey

    (tmp_path / "keys.json").write_text(json.dumps(KeySet([RSAKey.generate_key(2048)]).as_dict(private=True)))
    signer = TokenSigner(tmp_path, URL)
    user = service.users.get("dev")
    assert user is not None
    token = signer.access_token(user, Consent("dev", "", "", 1.0), 1.0)
    published = KeySet.import_key_set(json.loads(signer.published()))
    assert jwt.decode(token, published, algorithms=["RS256"]).claims["sub"] == "dev"


BROKEN_USERS = {
    "not YAML": ("users: [", "users.yaml"),
    "an unknown field": ("users: [{name: a, password: x, admin: true}]", "admin"),
    "a password in the clear": ("users: [{name: a, password: secret}]", "is not scrypt"),
    "a name with a colon": ("users: [{name: 'group:admins', password: x}]", "without a colon"),
}


@pytest.mark.parametrize(("content", "told"), BROKEN_USERS.values(), ids=BROKEN_USERS.keys())
def test_a_users_file_that_cannot_be_used_is_named(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "users.yaml").write_text(content)
    with pytest.raises(IssuerError, match=told):
        Users(tmp_path, SYSTEM)


async def test_a_user_added_while_it_runs_can_log_in(tmp_path: Path) -> None:
    users = Users(tmp_path, SYSTEM)
    (tmp_path / "users.yaml").write_text(f"users: [{{name: new, password: '{hashed('p')}'}}]")
    assert (await users.login("new", "p", "")).name == "new"
    for name, password in (("new", "q"), ("dev", "p")):
        with pytest.raises(LoginFailed):
            await users.login(name, password, "")


class TestSessions:
    CONSENT = Consent("dev", "openid", "", 0.0)

    def test_survive_a_restart_as_hashes(self, tmp_path: Path) -> None:
        token = RefreshTokens(tmp_path).open(self.CONSENT, 0.0)
        assert token.encode() not in (tmp_path / "sessions.json").read_bytes()
        assert RefreshTokens(tmp_path).renew(token, 1.0)[0].user == "dev"

    def test_two_programs_may_renew_at_the_same_time(self, tmp_path: Path) -> None:
        sessions = RefreshTokens(tmp_path)
        token = sessions.open(self.CONSENT, 0.0)
        _, one = sessions.renew(token, 1.0)
        _, other = sessions.renew(token, 2.0)
        assert sessions.renew(one, 3.0)
        assert sessions.renew(other, 3.0)

    def test_a_stolen_token_ends_the_login(self, tmp_path: Path) -> None:
        sessions = RefreshTokens(tmp_path)
        stolen = sessions.open(self.CONSENT, 0.0)
        _, current = sessions.renew(stolen, 1.0)
        with pytest.raises(OAuthError, match="used before"):
            sessions.renew(stolen, 100.0)
        with pytest.raises(OAuthError, match="unknown"):
            sessions.renew(current, 101.0)

    def test_end_after_a_month_without_use(self, tmp_path: Path) -> None:
        sessions = RefreshTokens(tmp_path)
        token = sessions.open(self.CONSENT, 0.0)
        with pytest.raises(OAuthError, match="expired"):
            sessions.renew(token, 31 * 86400.0)
