"""Whether `pincompute region up` brings daemons to the nodes: as the user says, or as the region remembers; a new one does."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.registry_connection import NoAnswerError
from rich.console import Console

from pincompute.region import home, lifecycle, provisioning, slot_claims
from pincompute.region.images import daemon_images
from pincompute.region.lifecycle import RegionOptions
from pincompute.region.machine import doctor
from pincompute.region.progress import Progress
from pincompute.region.region_error import RegionError

Up = Callable[..., str]


class NothingHere:
    """Stands for the states of programs that no test starts."""

    def __init__(self, *_: object) -> None: ...

    async def poll(self) -> None: ...


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """A machine that can have real nodes, and no program is started. What it lacks for real nodes and for images can be set."""
    lacks = {"nodes": "", "images": "", "answers": ""}

    async def provision(*_: object, **__: object) -> list[object]:
        return []

    async def write(_region: object) -> None:
        if lacks["answers"]:
            raise NoAnswerError(lacks["answers"], remedy="see that the region is up")
        if lacks["images"]:
            raise ImageError(lacks["images"], reason="a long story", remedy="apt install mmdebstrap")

    monkeypatch.setattr(slot_claims, "directory", lambda: tmp_path / "claims")
    monkeypatch.setattr(doctor, "check_up", lambda: None)
    monkeypatch.setattr(doctor, "real_nodes_obstacle", lambda: lacks["nodes"])
    monkeypatch.setattr(lifecycle, "find_binaries", lambda *_, **__: tmp_path)
    monkeypatch.setattr(lifecycle, "apply", lambda layout, _: home.save(layout))
    monkeypatch.setattr(lifecycle, "ProgramStates", NothingHere)
    monkeypatch.setattr(provisioning, "provision", provision)
    monkeypatch.setattr(provisioning, "write_daemons", write)
    return lacks


@pytest.fixture
def up(machine: dict[str, str], tmp_path: Path) -> Up:
    """Runs `up` and returns what it says."""

    def run(daemons: bool | None = None) -> str:
        shown = io.StringIO()
        with Progress(Console(file=shown, width=1000)) as progress:
            lifecycle.up(tmp_path / "home", RegionOptions(daemons=daemons), progress)
        return shown.getvalue()

    return run


def wanted(place: Path) -> bool:
    layout = home.load(place / "home")
    assert layout is not None
    return layout.spec.daemons


@pytest.mark.parametrize(("said", "then"), [([None], True), ([None, None], True), ([False], False), ([True], True)])
def test_a_new_region_has_daemons_unless_the_user_leaves_them_out(
    said: list[bool | None], then: bool, up: Up, tmp_path: Path
) -> None:
    for each in said:
        up(each)
    assert wanted(tmp_path) is then


@pytest.mark.parametrize(("said", "then"), [([False, None], False), ([False, True, None], True), ([True, False, None], False)])
def test_a_region_remembers_what_was_said_last(said: list[bool | None], then: bool, up: Up, tmp_path: Path) -> None:
    for each in said:
        up(each)
    assert wanted(tmp_path) is then


def test_simulated_nodes_run_none_and_the_output_says_so(machine: dict[str, str], up: Up, tmp_path: Path) -> None:
    machine["nodes"] = "only root may make network namespaces"
    with pytest.raises(RegionError, match="simulated nodes run nothing"):
        up(True)
    assert home.load(tmp_path / "home") is None, "a refusal leaves nothing behind"
    assert "they run no program and no daemon" in up()
    assert not wanted(tmp_path)


def test_a_machine_that_cannot_make_images_has_a_region_and_a_sentence(machine: dict[str, str], up: Up, tmp_path: Path) -> None:
    machine["images"] = "mmdebstrap is not installed"
    said = up()
    assert "the nodes get no metrics agent and no log shipper: mmdebstrap is not installed. apt install mmdebstrap" in said
    assert "a long story" not in said
    assert not wanted(tmp_path), "the next `up` does not try again"
    assert "mmdebstrap" not in up()
    with pytest.raises(ImageError):
        up(True)


def test_a_failure_that_passes_leaves_the_choice_as_it_is(machine: dict[str, str], up: Up, tmp_path: Path) -> None:
    machine["answers"] = "the registry does not answer"
    assert "stay as they are: the registry does not answer" in up()
    assert wanted(tmp_path), "the next `up` tries again"


def test_a_machine_that_made_images_before_keeps_its_daemons(machine: dict[str, str], up: Up, tmp_path: Path) -> None:
    up()
    (tmp_path / "home" / daemon_images.RECORD).write_text("{}")
    machine["images"] = "mmdebstrap is not installed"
    assert "stay as they are: mmdebstrap is not installed" in up()
    assert wanted(tmp_path)
