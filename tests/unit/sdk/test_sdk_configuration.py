"""Contexts, the environment on top of them, and tokens that others cannot read."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pincompute_sdk.client import Client
from pincompute_sdk.core import configuration
from pincompute_sdk.core.configuration import Configuration, Context
from pincompute_sdk.core.errors import ConfigurationError

STORED = Configuration(
    current="one",
    contexts={
        "one": Context(server="https://one", token="t1", refresh_token="r1", issuer="https://i", project="demo", expires=5),
        "two": Context(server="https://two", token="t2"),
    },
)
CASES: dict[str, tuple[dict[str, str], str, Context]] = {
    "the current context": ({}, "", STORED.contexts["one"]),
    "a named one": ({}, "two", STORED.contexts["two"]),
    "one of the environment": ({"PINCOMPUTE_CONTEXT": "two"}, "", STORED.contexts["two"]),
    "a project of the environment": (
        {"PINCOMPUTE_PROJECT": "other"},
        "two",
        Context(server="https://two", token="t2", project="other"),
    ),
    "a token of the environment is never renewed": (
        {"PINCOMPUTE_TOKEN": "t9"},
        "one",
        Context(server="https://one", token="t9", issuer="https://i", project="demo"),
    ),
    "a token is not sent to another server": (
        {"PINCOMPUTE_SERVER": "https://evil"},
        "two",
        Context(server="https://evil"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_effective(case: str) -> None:
    environment, name, want = CASES[case]
    assert configuration.effective(STORED, {"HOME": "/nowhere", **environment}, name) == want


@pytest.mark.parametrize("text", ["abc\nSECRET", "abc SECRET", "SECRET\u00e9", '{\n  "id": "SECRET"'])
def test_a_token_that_no_header_carries_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a token") as found:
        Client(Context(server="https://one", token=text))
    assert "SECRET" not in f"{found.value} {found.value.reason} {found.value.remedy}"


def test_what_is_saved_is_loaded_and_only_ours_to_read(tmp_path: Path) -> None:
    at = tmp_path / "deep" / "config.yaml"
    configuration.save(at, STORED)
    assert configuration.load(at) == STORED
    assert stat.S_IMODE(at.stat().st_mode) == 0o600
    assert not configuration.exposed(at)
    assert [path.name for path in at.parent.iterdir()] == ["config.yaml"]


def test_a_file_that_others_may_read_is_noticed(tmp_path: Path) -> None:
    at = tmp_path / "config.yaml"
    configuration.save(at, STORED)
    at.chmod(0o640)
    assert configuration.exposed(at)


@pytest.mark.parametrize("text", ["contexts: [", "curent: x", "contexts: {a: {server: 1}}"])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str) -> None:
    at = tmp_path / "config.yaml"
    at.write_text(text)
    with pytest.raises(ConfigurationError, match=str(at)):
        configuration.load(at)


def test_an_unknown_context_names_the_known() -> None:
    with pytest.raises(ConfigurationError, match="one, two"):
        configuration.effective(STORED, {}, "three")


def test_a_region_on_this_machine_needs_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "client.yaml").write_text("server: https://10.0.0.1:8443\nca: /ca.crt\n")
    found = configuration.effective(Configuration(), {"PINCOMPUTE_HOME": str(tmp_path)})
    assert (found.server, found.ca) == ("https://10.0.0.1:8443", "/ca.crt")
