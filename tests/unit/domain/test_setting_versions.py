"""Which versions of a setting stay when one more is set, and which one a rollback uses."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pincompute.api.meta import ObjectMeta
from pincompute.api.settings import KEPT, MOST_VERSIONS, PinSecret, PinSecretSpec, SettingCopy, SettingStatus, SettingVersion
from pincompute.domain import setting_versions

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def secret(numbers: range, used: int, *, after: dict[int, int] | None = None, copies: tuple[int, ...] = ()) -> PinSecret:
    """`after`: by version, the one that was in use when it was set. `copies`: versions that members hold."""
    versions = tuple(SettingVersion(number=n, time=NOW, previous=(after or {}).get(n, 0)) for n in numbers)
    there = tuple(SettingCopy(cluster="a1", version=n, pinned=True) for n in copies)
    spec = PinSecretSpec(version=used, versions=versions)
    return PinSecret(metadata=ObjectMeta(name="db"), spec=spec, status=SettingStatus(copies=there))


def kept(setting: PinSecret, named: set[int] | None = None, former: set[int] | None = None) -> set[int]:
    return {each.number for each in setting_versions.kept(setting, named or set(), former or set())}


NEWEST = set(range(32 - KEPT + 1, 32))


@pytest.mark.parametrize(
    ("setting", "named", "former", "also"),
    [
        pytest.param(secret(range(1, 32), 31), set(), set(), set(), id="the newest"),
        pytest.param(secret(range(1, 32), 3), set(), set(), {2, 3}, id="the one in use, and the one before it"),
        pytest.param(secret(range(1, 32), 31, after={31: 4}), set(), set(), {4}, id="the one that was in use before it"),
        pytest.param(secret(range(1, 32), 31), {5}, {6}, {5, 6}, id="what templates and former revisions name"),
        pytest.param(secret(range(1, 32), 31, copies=(7,)), set(), set(), {7}, id="what a member holds"),
    ],
)
def test_what_is_kept(setting: PinSecret, named: set[int], former: set[int], also: set[int]) -> None:
    assert kept(setting, named, former) == NEWEST | also


def test_former_revisions_take_the_room_that_there_is() -> None:
    numbers = range(1, MOST_VERSIONS + 50)
    found = kept(secret(numbers, 1), {2, 3}, set(numbers))
    assert len(found) == MOST_VERSIONS - 1
    assert {1, 2, 3, numbers[-1]} <= found
    assert 4 not in found


def test_what_is_in_use_is_kept_whatever_room_there_is() -> None:
    numbers = range(1, MOST_VERSIONS + 50)
    assert kept(secret(numbers, 1), set(numbers)) == set(numbers)


@pytest.mark.parametrize(
    ("setting", "before"),
    [
        pytest.param(secret(range(1, 4), 3), 2, id="of a former version of the platform: the number before"),
        pytest.param(secret(range(1, 4), 3, after={3: 1}), 1, id="the one that was in use"),
        pytest.param(secret(range(1, 2), 1), 0, id="none"),
    ],
)
def test_a_rollback_uses_the_version_before(setting: PinSecret, before: int) -> None:
    assert setting_versions.before(setting) == before
