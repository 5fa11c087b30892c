"""Documents that cost much more than they weigh: reading and judging one takes time in proportion to its length.

Work is counted, not timed: the values that are built, and the names that are compared.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pincompute.api import image_reference, near_names, object_validation
from pincompute.gateway.access.permissions import PermissionUniverse, UnknownPermission
from pincompute.gateway.model import APP, document_parser, document_validation, yaml_document
from pincompute.gateway.model.document_validation import DocumentScope
from pincompute.gateway.problems import Problem

YAML = "application/yaml"


def layers(first: bytes, each: bytes) -> bytes:
    """Eight layers, each of which names the one before eight times."""
    lines = (b"a%d: &a%d %s" % (n, n, each % b",".join([b"*a%d" % (n - 1)] * 8)) for n in range(1, 9))
    return b"\n".join((b"a0: &a0 " + first, *lines))


EXPANDING = {
    "aliases": (layers(b"[1,1]", b"[%s]"), "more than 20000 values"),
    "merge keys": (layers(b"{k: 1}", b"{<<: [%s]}"), "`<<` has no meaning in JSON"),
    "plain length": (b"args: [" + b"a," * 400_000 + b"a]", "more than 20000 values"),
    "more bytes than anybody writes": (b"a: " + b"x" * (1 << 20), "more than 1024 KiB"),
    "an alias inside what it names": (b"a: &a [*a]", "nothing before it is named &a"),
    "depth": (b"a: " + b"[" * 20_000, "deeper than 100 levels"),
}


@pytest.mark.parametrize("case", EXPANDING)
def test_a_document_that_grows_is_refused_before_it_does(case: str, monkeypatch: pytest.MonkeyPatch):
    body, says = EXPANDING[case]
    events = 0
    take = yaml_document.DocumentBuilder.take

    def counted(builder: Any, event: Any) -> None:
        nonlocal events
        events += 1
        take(builder, event)

    monkeypatch.setattr(yaml_document.DocumentBuilder, "take", counted)
    with pytest.raises(Problem, match=says):
        document_parser.parse(body, YAML)
    assert events <= document_parser.MOST_VALUES + 10


NUMBERS = ("0x" + "f" * 5000, "0" + "7" * 6000, "9" * 5000, "1." + "0" * 5000)
TAGS = ("!!int abc", '!!int ""', "!!float 1:x", "!!bool maybe", "!!map [a]", "!!omap [a: 1]", "!!timestamp 2026-01-01", "!x y")


@pytest.mark.parametrize("value", [*NUMBERS, *TAGS])
def test_what_json_cannot_express_is_refused_with_its_place(value: str):
    with pytest.raises(Problem, match=r"line 1, column 4: (a number has at most|a tag is not allowed)"):
        document_parser.parse(f"a: {value}".encode(), YAML)


LONG: dict[str, tuple[Any, str]] = {
    "text": ({"a": ["x" * (document_parser.LONGEST_TEXT + 1)]}, "a text of 131073 characters"),
    "name": ({"a": {"x" * (document_parser.LONGEST_NAME + 1): 1}}, "a name of 1025 characters"),
}


@pytest.mark.parametrize("case", LONG)
def test_a_text_that_is_longer_than_any_program_takes_is_refused_before_it_is_judged(case: str):
    document, says = LONG[case]
    with pytest.raises(Problem, match=says) as refused:
        document_parser.parse(msgspec.json.encode(document), "application/json")
    assert len(str(refused.value)) < 300
    longest = {"a": "x" * document_parser.LONGEST_TEXT, "x" * document_parser.LONGEST_NAME: 1}
    assert document_parser.parse(msgspec.json.encode(longest), "application/json") == longest


def test_the_grammar_of_images_is_not_compared_with_what_is_too_long_for_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(image_reference, "_MATCHES", ())
    monkeypatch.setattr(image_reference, "_PUBLIC", None)
    assert image_reference.parse("a-" * 1000) is None
    assert image_reference.parse("a." * 1000 + "io/web:1") is None


def test_a_long_operation_of_a_token_is_compared_with_nothing_and_shown_in_part():
    with pytest.raises(UnknownPermission) as refused:
        PermissionUniverse().of_operations(["a" * 1_000_000 + ":get"])
    assert len(str(refused.value)) < 1000


PLAIN: dict[str, Any] = {
    "0644": 420,
    "0x1F": 31,
    "-12": -12,
    "1_000": 1000,
    "1.5": 1.5,
    "yes": True,
    "'yes'": "yes",
    "~": None,
    "1:1:1": "1:1:1",
    ":".join("1" * 50_000): ":".join("1" * 50_000),
    "2026-01-01": "2026-01-01",
    "!!str 1": "1",
    "09": "09",
    "0x_": "0x_",
}


@pytest.mark.parametrize("written", PLAIN)
def test_a_plain_value_is_what_kubernetes_reads(written: str):
    assert document_parser.parse(f"a: {written}\nb: 1".encode(), YAML) == {"a": PLAIN[written], "b": 1}


def test_names_that_are_not_fields_are_compared_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch):
    compared = 0
    nearest = near_names.nearest

    def counted(*given: Any, **more: Any) -> Any:
        nonlocal compared
        compared += 1
        return nearest(*given, **more)

    monkeypatch.setattr(near_names, "nearest", counted)
    tiers: list[Any] = [{"name": f"c{n}", "image": "hello:1", "pullPolicy": "Alwayz"} for n in range(1000)]
    wrong: dict[str, Any] = {"kind": "App", "name": "web", "containers": tiers} | {f"containerz{n}": 1 for n in range(20_000)}
    with pytest.raises(Problem) as refused:
        document_validation.read(APP, wrong, DocumentScope("shop"))
    assert compared <= 3 * object_validation.SUGGESTING
    assert 0 < len(refused.value.errors) <= 3 * object_validation.MOST_PROBLEMS
