"""What somebody without a password must not do to the issuer: guess fast, fill its memory, or keep others from logging in."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from issuer.issuer_fixtures import URL, Browser, Time, password

from pincompute.issuer import authorization_grants, endpoints, users
from pincompute.issuer.authorization_grants import DeviceGrants, OAuthError
from pincompute.issuer.endpoints import IssuerService
from pincompute.issuer.users import FREE_FAILURES, FREE_OF_ADDRESS, LoginAttempts, LoginFailed, Users, hashed

DEVICE = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": "pincompute"}
CHEAP = (
    "scrypt$2$1$1$AAAAAAAAAAAAAAAAAAAAAA==$"
    + base64.b64encode(hashlib.scrypt(b"w", salt=bytes(16), n=2, r=1, p=1, dklen=32)).decode()
)
REFRESH = {"grant_type": "refresh_token", "client_id": "pincompute"}


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def service(tmp_path: Path, time: Time) -> IssuerService:
    return IssuerService(tmp_path, URL, time.clock)


@pytest.fixture
async def browser(service: IssuerService) -> AsyncIterator[Browser]:
    made = Browser(service)
    async with made.client:
        yield made


async def guess(known: Users, name: str, word: str, source: str) -> str:
    try:
        await known.login(name, word, source)
    except LoginFailed as failed:
        return "early" if "Too many" in str(failed) else "wrong"
    return "right"


async def test_guesses_at_the_same_time_are_as_few_as_one_after_another(
    tmp_path: Path, time: Time, monkeypatch: pytest.MonkeyPatch
):
    """Each was judged before the first had failed, so all 40 were compared with the password."""
    compared, original = list[str](), users.matches

    def counted(word: str, stored: str) -> bool:
        compared.append(word)
        return original(word, stored)

    monkeypatch.setattr(users, "matches", counted)
    known = Users(tmp_path, time.clock)
    said = Counter(await asyncio.gather(*(guess(known, "dev", f"w{i}", f"10.0.0.{i}") for i in range(40))))
    assert (len(compared), said) == (FREE_FAILURES, {"wrong": FREE_FAILURES, "early": 40 - FREE_FAILURES})
    said = Counter(await asyncio.gather(*(guess(known, f"u{i}", "w", "10.1.1.1") for i in range(40))))
    assert said["wrong"] == FREE_OF_ADDRESS, "and so from one address over many names"


async def test_an_account_of_ones_own_buys_no_more_guesses(tmp_path: Path, time: Time):
    known, own = Users(tmp_path, time.clock), password(tmp_path, "dev")
    said = Counter[str]()
    for i in range(FREE_OF_ADDRESS + 5):
        said[await guess(known, f"victim{i}", "w", "10.0.0.1")] += 1
        await guess(known, "dev", own, "10.0.0.1")
    assert said["wrong"] <= FREE_OF_ADDRESS


async def test_users_at_one_address_log_in_at_the_same_time(tmp_path: Path, time: Time):
    known = Users(tmp_path, time.clock)
    words = {name: password(tmp_path, name) for name in ("admin", "dev")}
    for _ in range(10):
        said = await asyncio.gather(*(guess(known, name, word, "10.0.0.1") for name, word in words.items()))
        assert said == ["right", "right"]


def test_waits_grow_to_their_limit_however_many_failures_there_are():
    """After 1,029 failures the wait was no number any more."""
    attempts, now = LoginAttempts(), 0.0
    for _ in range(2000):
        attempts.begin("a", "10.0.0.1", now)
        now += users.LONGEST_WAIT
    with pytest.raises(LoginFailed, match="Wait 60 seconds"):
        attempts.begin("a", "10.0.0.2", now - users.LONGEST_WAIT)


def test_names_that_are_tried_once_fill_no_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(users, "MOST_ATTEMPTS", 100)
    attempts = LoginAttempts()
    for i in range(1000):
        attempts.begin(str(i), str(i), float(i) / 1000)
    assert len(attempts) <= 101
    attempts.begin("late", "late", 10 * users.FORGET)
    assert len(attempts) == 2, "what is old is forgotten"


async def test_many_users_behind_one_address_log_in_at_the_same_time(tmp_path: Path, time: Time):
    """The sixth of them was refused, although all had the right password."""
    Users(tmp_path, time.clock)
    names = [f"u{i}" for i in range(12)]
    listed = ", ".join(f"{{name: {name}, password: '{CHEAP}'}}" for name in names)
    (tmp_path / "users.yaml").write_text(f"users: [{listed}]")
    known = Users(tmp_path, time.clock)
    assert set(await asyncio.gather(*(guess(known, name, "w", "10.0.0.1") for name in names))) == {"right"}


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::2", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1"),
        ("testclient", "testclient"),
    ],
)
def test_a_user_with_many_addresses_has_one(host: str, counted: str):
    """Each user of IPv6 has 2^64 addresses."""
    assert endpoints.network(host) == counted


async def test_a_changed_password_ends_its_logins_and_no_others(browser: Browser, tmp_path: Path, time: Time):
    async def log_in(word: str) -> str:
        started = (await browser.client.post("/device", data={"client_id": "pincompute"})).json()
        page = await browser.client.get("/activate", params={"user_code": started["user_code"]})
        await browser.submit(page, {"answer": "allow", "username": "dev", "password": word})
        given = await browser.client.post("/token", data=DEVICE | {"device_code": started["device_code"]})
        return given.json()["refresh_token"]

    before = await log_in(password(tmp_path, "dev"))
    (tmp_path / "users.yaml").write_text(f"users: [{{name: dev, password: '{hashed('new')}'}}]")
    after = await log_in("new")
    ended = await browser.client.post("/token", data=REFRESH | {"refresh_token": before})
    assert (ended.status_code, ended.json()["error"]) == (400, "invalid_grant")
    again = await browser.client.post("/token", data=REFRESH | {"refresh_token": before})
    assert "unknown" in again.json()["error_description"]
    assert (await browser.client.post("/token", data=REFRESH | {"refresh_token": after})).status_code == 200


async def test_a_code_ends_with_the_password_it_was_given_for(browser: Browser, tmp_path: Path, time: Time):
    started = (await browser.client.post("/device", data={"client_id": "pincompute"})).json()
    page = await browser.client.get("/activate", params={"user_code": started["user_code"]})
    await browser.submit(page, {"answer": "allow", "username": "dev", "password": password(tmp_path, "dev")})
    (tmp_path / "users.yaml").write_text(f"users: [{{name: dev, password: '{hashed('new')}'}}]")
    refused = await browser.client.post("/token", data=DEVICE | {"device_code": started["device_code"]})
    assert refused.json()["error"] == "invalid_grant"


def pending(devices: DeviceGrants, secret: str) -> bool:
    try:
        devices.poll(secret, 1.0)
    except OAuthError as error:
        return error.code in ("authorization_pending", "slow_down")
    return False


def test_one_address_cannot_keep_devices_of_others_from_logging_in():
    devices = DeviceGrants()
    victim = devices.start("openid", "10.0.0.1", 0.0)
    for _ in range(5000):
        last = devices.start("openid", "10.6.6.6", 0.5)
    assert pending(devices, victim.secret)
    assert pending(devices, last.secret)
    assert pending(devices, devices.start("openid", "10.0.0.2", 0.6).secret)


def test_many_addresses_fill_no_memory_and_block_nobody(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(authorization_grants, "MOST_DEVICES", 50)
    devices = DeviceGrants()
    started = [devices.start("openid", f"10.0.{i // 256}.{i % 256}", 0.0) for i in range(500)]
    assert [pending(devices, device.secret) for device in started] == [False] * 450 + [True] * 50
