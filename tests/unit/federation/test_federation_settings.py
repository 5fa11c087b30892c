"""The hooks in the federation's settings: an administrator alone says which addresses updates may call."""

from __future__ import annotations

from pathlib import Path

import pytest

from pincompute.engine.input_pollers import HttpEndpoint
from pincompute.federation import federation_settings
from pincompute.federation.federation_settings import FederationSettingsError

URL = "https://board.example.com/ask"
REFUSED: dict[str, tuple[str, str]] = {
    "no address": ("hooks: {gate: {}}", "url"),
    "an empty address": ("hooks: {gate: {url: ''}}", "url"),
    "another scheme": ("hooks: {gate: {url: 'file:///etc/passwd'}}", "url"),
    "a password in the address": ("hooks: {gate: {url: 'https://ann:secret@board.example.com'}}", "url"),
    "a name that no app can write": (f"hooks: {{Gate_1: {{url: '{URL}'}}}}", "hooks"),
    "no project": (f"hooks: {{gate: {{url: '{URL}', projects: []}}}}", "projects"),
    "an unknown field": (f"hooks: {{gate: {{url: '{URL}', proxy: x}}}}", "proxy"),
}


def load(folder: Path, text: str) -> federation_settings.FederationSettings:
    file = folder / "federation.yaml"
    file.write_text(text)
    return federation_settings.load(file)


def test_a_hook_has_an_address_a_token_and_an_authority(tmp_path: Path) -> None:
    for name in ("token", "ca"):
        (tmp_path / name).write_text("x")
    text = f"hooks: {{gate: {{url: '{URL}', tokenFile: token, caFile: ca}}, other: {{url: '{URL}'}}}}"
    assert load(tmp_path, text).hook_endpoints() == {
        "gate": HttpEndpoint(URL, tmp_path / "token", tmp_path / "ca"),
        "other": HttpEndpoint(URL),
    }
    assert load(tmp_path, "").hook_endpoints() == {}


def test_a_hook_is_for_all_projects_unless_the_settings_name_some(tmp_path: Path) -> None:
    text = f"hooks: {{gate: {{url: '{URL}', projects: [shop, bank]}}, other: {{url: '{URL}'}}}}"
    assert load(tmp_path, text).hook_projects() == {"gate": {"shop", "bank"}, "other": None}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_hook_stops_the_start(tmp_path: Path, name: str) -> None:
    text, field = REFUSED[name]
    with pytest.raises(FederationSettingsError, match=field):
        load(tmp_path, text)


def test_a_token_that_cannot_be_read_is_named_with_its_hook(tmp_path: Path) -> None:
    made = load(tmp_path, f"hooks: {{gate: {{url: '{URL}', tokenFile: nowhere}}}}")
    with pytest.raises(FederationSettingsError, match=r"hooks\.gate\.tokenFile"):
        made.hook_endpoints()
