"""Whole logins, as `pin` and a browser do them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from issuer_fixtures import ASKED, REDIRECT, VERIFIER, Browser, Time, answer, hidden, password
from joserfc import jwt
from joserfc.jwk import KeySet

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


async def _code(browser: Browser, folder: Path) -> str:
    page = await browser.client.get("/authorize", params=ASKED)
    back = await browser.submit(page, {"username": "dev", "password": password(folder, "dev")})
    assert back.status_code == 303, back.text
    return answer(back)["code"]


async def _redeem(browser: Browser, code: str, **changed: str) -> httpx2.Response:
    form = {
        "grant_type": "authorization_code",
        "client_id": "pincompute",
        "code": code,
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER,
    }
    return await browser.client.post("/token", data=form | changed)


async def _claims(browser: Browser, token: str) -> dict[str, Any]:
    keys = KeySet.import_key_set((await browser.client.get("/keys")).json())
    return jwt.decode(token, keys, algorithms=["ES256", "RS256"]).claims


async def test_login_by_browser_gives_tokens_for_the_client(browser: Browser, tmp_path: Path) -> None:
    page = await browser.client.get("/authorize", params=ASKED)
    back = await browser.submit(page, {"username": "dev", "password": password(tmp_path, "dev")})
    given = answer(back)
    assert (given["state"], given["iss"]) == ("s1", "https://issuer.test")
    tokens = (await _redeem(browser, given["code"])).json()
    claims = await _claims(browser, tokens["access_token"])
    assert {name: claims[name] for name in ("iss", "aud", "sub", "preferred_username", "groups")} == {
        "iss": "https://issuer.test",
        "aud": "pincompute",
        "sub": "dev",
        "preferred_username": "dev",
        "groups": ["developers"],
    }
    assert claims["exp"] - claims["iat"] == tokens["expires_in"]
    assert (await _claims(browser, tokens["id_token"]))["nonce"] == "n1"


async def test_a_code_is_good_once(browser: Browser, tmp_path: Path) -> None:
    code = await _code(browser, tmp_path)
    assert (await _redeem(browser, code)).status_code == 200
    again = await _redeem(browser, code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "changed",
    [{"code_verifier": "w" * 50}, {"code_verifier": "short"}, {"redirect_uri": "http://127.0.0.1:1/other"}],
    ids=["another verifier", "a verifier that is too short", "another redirect"],
)
async def test_a_stolen_code_is_worth_nothing(browser: Browser, tmp_path: Path, changed: dict[str, str]) -> None:
    code = await _code(browser, tmp_path)
    refused = await _redeem(browser, code, **changed)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert (await _redeem(browser, code)).status_code == 400  # and a failed try uses it up


async def test_a_code_ends_after_a_minute(browser: Browser, tmp_path: Path, time: Time) -> None:
    code = await _code(browser, tmp_path)
    time.pass_by(61)
    assert (await _redeem(browser, code)).json()["error"] == "invalid_grant"


async def test_device_login(browser: Browser, tmp_path: Path, time: Time) -> None:
    started = (await browser.client.post("/device", data={"client_id": "pincompute", "scope": "openid"})).json()
    asks = {"grant_type": DEVICE, "client_id": "pincompute", "device_code": started["device_code"]}
    assert (await browser.client.post("/token", data=asks)).json()["error"] == "authorization_pending"
    assert (await browser.client.post("/token", data=asks)).json()["error"] == "slow_down"

    page = await browser.client.get("/activate", params={"user_code": started["user_code"].lower().replace("-", " ")})
    assert started["user_code"] in page.text
    done = await browser.submit(page, {"answer": "allow", "username": "admin", "password": password(tmp_path, "admin")})
    assert "Connected" in done.text

    time.pass_by(10)
    tokens = (await browser.client.post("/token", data=asks)).json()
    assert (await _claims(browser, tokens["access_token"]))["groups"] == ["admins"]
    assert (await browser.client.post("/token", data=asks)).json()["error"] == "expired_token"


async def test_a_device_can_be_refused_without_a_password(browser: Browser) -> None:
    started = (await browser.client.post("/device", data={"client_id": "pincompute"})).json()
    page = await browser.client.get("/activate", params={"user_code": started["user_code"]})
    assert "Refused" in (await browser.submit(page, {"answer": "refuse"})).text
    asks = {"grant_type": DEVICE, "client_id": "pincompute", "device_code": started["device_code"]}
    assert (await browser.client.post("/token", data=asks)).json()["error"] == "access_denied"


async def test_refreshing_and_logging_out(browser: Browser, tmp_path: Path) -> None:
    first = (await _redeem(browser, await _code(browser, tmp_path))).json()
    asks = {"grant_type": "refresh_token", "client_id": "pincompute"}
    second = (await browser.client.post("/token", data=asks | {"refresh_token": first["refresh_token"]})).json()
    assert second["refresh_token"] != first["refresh_token"]
    out = await browser.client.post("/revoke", data={"client_id": "pincompute", "token": second["refresh_token"]})
    assert out.status_code == 200
    refused = await browser.client.post("/token", data=asks | {"refresh_token": second["refresh_token"]})
    assert refused.json()["error"] == "invalid_grant"


async def test_a_removed_user_is_logged_out(browser: Browser, tmp_path: Path) -> None:
    tokens = (await _redeem(browser, await _code(browser, tmp_path))).json()
    (tmp_path / "users.yaml").write_text("users: []\n")
    asks = {"grant_type": "refresh_token", "client_id": "pincompute", "refresh_token": tokens["refresh_token"]}
    assert (await browser.client.post("/token", data=asks)).json()["error"] == "invalid_grant"


async def test_a_form_of_another_site_is_refused(browser: Browser, tmp_path: Path) -> None:
    page = await browser.client.get("/authorize", params=ASKED)
    login = {"username": "dev", "password": password(tmp_path, "dev")}
    forged = await browser.client.post("/authorize", data=ASKED | login)
    assert forged.status_code == 403
    guessed = await browser.client.post("/authorize", data=ASKED | login | {"_csrf_token": "x" * 128})
    assert guessed.status_code == 403
    browser.client.cookies.clear()
    assert (await browser.client.post("/authorize", data=hidden(page.text) | login)).status_code == 403


async def test_wrong_passwords_are_slowed_down(browser: Browser, tmp_path: Path, time: Time) -> None:
    page = await browser.client.get("/authorize", params=ASKED)
    for _ in range(5):
        wrong = await browser.submit(page, {"username": "dev", "password": "wrong"})
        assert (wrong.status_code, "not right" in wrong.text) == (401, True)
    right = {"username": "dev", "password": password(tmp_path, "dev")}
    assert "Too many attempts" in (await browser.submit(page, right)).text
    time.pass_by(2)
    assert (await browser.submit(page, right)).status_code == 303


async def test_an_unknown_user_reads_like_a_wrong_password(browser: Browser) -> None:
    page = await browser.client.get("/authorize", params=ASKED)
    unknown = await browser.submit(page, {"username": "nobody", "password": "wrong"})
    known = await browser.submit(page, {"username": "dev", "password": "wrong"})
    assert unknown.text.replace('value="nobody"', 'value="dev"') == known.text
