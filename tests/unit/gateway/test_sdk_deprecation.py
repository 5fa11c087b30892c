"""An SDK that the region will not serve for ever learns which version to move to; all others are told nothing."""

from __future__ import annotations

import asyncio
import warnings
from datetime import date
from pathlib import Path

import pincompute_sdk
import pytest
from gateway.served_gateway import running
from pincompute_sdk.client import Client
from pincompute_sdk.core.configuration import Context
from pincompute_sdk.core.exchange import DeprecationNotice

from pincompute.gateway import gateway_settings, sdk_deprecation
from pincompute.gateway.gateway_settings import SdkSettings, SettingsError

NEWER = SdkSettings(oldest="99.1", deprecated=date(2026, 1, 1), sunset=date(2026, 7, 1))
NOTICE = {"Deprecation": "@1767225600", "Sunset": "Wed, 01 Jul 2026 00:00:00 GMT", "Pincompute-Sdk": "99.1"}
APPS = "/v1/projects/shop/apps"


@pytest.mark.parametrize(
    ("calls", "told"), [("98.7.1", True), ("99.0", True), ("99.1", False), ("100.0", False), ("", False), ("latest", False)]
)
async def test_only_older_ones_are_told(tmp_path: Path, calls: str, told: bool):
    async with running(tmp_path, sdk=NEWER) as gateway:
        headers = {"Pincompute-Sdk": calls} if calls else {}
        for path in (APPS, f"{APPS}?limit=1", f"{APPS}/missing", "/v1/roles"):  # with and without the router, and refusals
            _, _, answered = await gateway.ask("alice", "GET", path, **headers)
            assert {name: answered[name] for name in NOTICE if name in answered} == (NOTICE if told else {}), path


async def test_the_sdk_warns_of_it(tmp_path: Path):
    async with running(tmp_path, sdk=NEWER) as gateway:
        context = Context(server=gateway.url, token=await gateway.token("alice"))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with Client(context) as pin:
                await asyncio.to_thread(pin.apps.list, "shop")
    (warned,) = [str(w.message) for w in caught if w.category is DeprecationNotice]
    calls = f"what pincompute-sdk {pincompute_sdk.__version__} calls: move to pincompute-sdk 99.1; it is served until"
    assert calls in warned


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("1.4.0", (1, 4, 0)), ("1.4.0-rc1", (1, 4, 0)), ("1.4+x", (1, 4)), ("", ()), ("1.x", ()), ("²", ())],
)
def test_versions(text: str, numbers: tuple[int, ...]):
    assert sdk_deprecation.version(text) == numbers


@pytest.mark.parametrize(("said", "named"), [("{oldest: new}", "sdk.oldest"), ("{oldest: '1.0'}", "`deprecated` is missing")])
def test_settings_that_cannot_be_used(tmp_path: Path, said: str, named: str):
    file = tmp_path / "gateway.yaml"
    file.write_text(f"sdk: {said}\n")
    with pytest.raises(SettingsError, match=named):
        gateway_settings.load(file)
