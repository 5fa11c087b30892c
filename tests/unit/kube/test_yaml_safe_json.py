"""Bodies that mean the same as JSON and as YAML: what would be refused or changed where it stands is escaped."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pincompute.kube import yaml_safe_json

WRITTEN = {
    "\x00": rb"\u0000",
    "\x1b": rb"\u001b",
    "\x7f": rb"\u007f",
    "\x80": rb"\u0080",
    "\x85": rb"\u0085",
    "\x9f": rb"\u009f",
    "\u2028": rb"\u2028",
    "\u2029": rb"\u2029",
    "\ufeff": rb"\ufeff",
    "\ufffe": rb"\ufffe",
    "\uffff": rb"\uffff",
    "\xa0": "\xa0".encode(),
    "\ufffd": "\ufffd".encode(),
    "\U0001f600": "\U0001f600".encode(),
    "\U0001ffff": "\U0001ffff".encode(),
}


@pytest.mark.parametrize("character", WRITTEN, ids=ascii)
def test_what_yaml_does_not_take_as_it_is_is_escaped_and_the_rest_stays(character: str) -> None:
    assert yaml_safe_json.encode({"a": f"x{character}y"}) == b'{"a":"x' + WRITTEN[character] + b'y"}'


@given(st.dictionaries(st.text(), st.text()))
def test_it_reads_back_as_it_was(body: dict[str, str]) -> None:
    assert json.loads(yaml_safe_json.encode(body)) == body
