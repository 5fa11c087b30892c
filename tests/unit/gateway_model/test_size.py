"""How much smaller the simple form is than what the API server has, on an object recorded from a running region."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from pincompute.api.workloads import PINAPPS, PinApp
from pincompute.gateway.model import APP, RESOURCE, SIMPLE

RECORDED = msgspec.json.decode(Path(__file__).with_name("hello.json").read_bytes())
AT_MOST = 0.5  # of the raw object, without what no reader of it would want: managedFields


def simple(raw: dict[str, Any]) -> bytes:
    return msgspec.json.encode(APP.to_simple(msgspec.convert(raw, PinApp)))


def test_at_least_half_is_saved() -> None:
    """S-253: also of an object without managedFields, which may be a third of it."""
    metadata = {name: part for name, part in RECORDED["metadata"].items() if name != "managedFields"}
    without = msgspec.json.encode({**RECORDED, "metadata": metadata})
    assert len(simple(RECORDED)) <= AT_MOST * len(without)


def test_in_full_nothing_is_missing_but_the_record_of_field_managers() -> None:
    """The API server's object is in it to the last field; numbers that it leaves out are said."""
    shown = msgspec.json.decode(RESOURCE.encoded(APP, msgspec.convert(RECORDED, PINAPPS.type)))
    assert contained({**RECORDED, "metadata": {k: v for k, v in RECORDED["metadata"].items() if k != "managedFields"}}, shown)
    assert "managedFields" not in shown["metadata"]


def contained(part: Any, whole: Any) -> bool:
    match part:
        case dict():
            return isinstance(whole, dict) and all(name in whole and contained(part[name], whole[name]) for name in part)
        case list():
            return len(part) == len(whole) and all(map(contained, part, whole))
        case _:
            return part == whole


def test_nothing_of_the_platform_s_own_is_shown() -> None:
    """S-253."""
    assert all(word in msgspec.json.encode(RECORDED) for word in (b"managedFields", b"finalizers", b"pincompute.io/operation"))
    shown = simple(RECORDED)
    assert not any(word in shown for word in (b"managedFields", b"finalizers", b"pincompute.io/operation", b"advanced"))


def test_what_runs_where_is_on_the_first_screen() -> None:
    status = msgspec.json.decode(simple(RECORDED))["status"]
    assert (status["state"], status["ready"], status["settled"]) == ("Running", 6, True)
    assert [(zone["zone"], zone["ready"]) for zone in status["zones"]] == [("a", 2), ("b", 2), ("c", 2)]


def test_an_object_is_encoded_once_a_version() -> None:
    obj: PinApp = msgspec.convert(RECORDED, PINAPPS.type)
    first = SIMPLE.encoded(APP, obj)
    assert first == simple(RECORDED)
    assert SIMPLE.encoded(APP, msgspec.convert(RECORDED, PINAPPS.type)) is first
    later = {**RECORDED, "metadata": {**RECORDED["metadata"], "resourceVersion": "999999"}, "status": {"phase": "Degraded"}}
    changed = SIMPLE.encoded(APP, msgspec.convert(later, PINAPPS.type))
    assert msgspec.json.decode(changed)["status"]["state"] == "Degraded"
