"""What `pin` prints of something that changes where nothing can be redrawn, and what it says when waiting ends."""

from __future__ import annotations

import msgspec
import pytest
from pincompute_sdk.cli import remote_terminal, status_tree, wait
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.live_view import Picture
from pincompute_sdk.cli.status_tree import TreeLine
from pincompute_sdk.core.websocket import ProgramExit
from pincompute_sdk.generated.models import (
    App,
    Container,
    HookStatus,
    ReplicaContainerStatus,
    ReplicaStatus,
    RolloutProgress,
    Status,
    ZoneStatus,
)


def zone(name: str, ready: int, age: str = "") -> list[TreeLine]:
    replica = ((f"hello/{name}", ""), ("  Running", "green"), (age, status_tree.AGE))
    return [TreeLine("├─ ", ((f"{name}  {ready}/2 ready", ""),)), TreeLine("│  └─ ", replica)]


def picture(state: str, a: int, b: int, age: str = "") -> list[TreeLine]:
    return [TreeLine("", (("hello  ", "bold"), (state, ""))), *zone("a", a, age), *zone("b", b, age)]


def printed(capsys: pytest.CaptureFixture[str], shown: Picture, lines: list[TreeLine]) -> list[str]:
    shown.draw(lines)
    return capsys.readouterr().out.splitlines()


def test_in_a_pipe_the_way_back_to_an_earlier_state_shows(capsys: pytest.CaptureFixture[str]) -> None:
    with Picture() as shown:
        assert len(printed(capsys, shown, picture("Running", 2, 2))) == 5
        assert printed(capsys, shown, picture("Degraded", 1, 2)) == [
            "hello  Degraded",
            "├─ a  1/2 ready",
            "│  └─ hello/a  Running",
        ]
        assert printed(capsys, shown, picture("Running", 2, 2)) == [
            "hello  Running",
            "├─ a  2/2 ready",
            "│  └─ hello/a  Running",
        ]


def test_in_a_pipe_nothing_is_printed_when_only_time_passes(capsys: pytest.CaptureFixture[str]) -> None:
    with Picture() as shown:
        printed(capsys, shown, picture("Running", 2, 2, "  3s"))
        assert printed(capsys, shown, picture("Running", 2, 2, "  4s")) == []


def test_a_zone_that_is_gone_makes_the_picture_new(capsys: pytest.CaptureFixture[str]) -> None:
    with Picture() as shown:
        printed(capsys, shown, picture("Running", 2, 2))
        assert len(printed(capsys, shown, picture("Running", 2, 2)[:3])) == 3


APP = App(name="bad", project="demo", containers=(Container(name="web", image="r/web:2"),))


def test_ctrl_c_says_what_continues_and_how_to_see_it() -> None:
    with pytest.raises(CommandError) as caught, wait.interruptible("the deploy", "web"):
        raise KeyboardInterrupt
    assert (caught.value.message, caught.value.exit_code) == ("interrupted: the deploy continues on the server", 130)
    assert caught.value.remedy == "`pin status web --watch` shows it"


@pytest.mark.parametrize(
    ("status", "about"),
    [
        (None, "demo · OnDemand · r/web:2"),
        (Status(state="Running", revision="v2old", settled=False), "demo · OnDemand · last observed revision v2old · r/web:2"),
        (Status(state="Running", revision="v2new", settled=True), "demo · OnDemand · revision v2new · r/web:2"),
    ],
)
def test_a_revision_stands_beside_its_own_images_only(status: Status | None, about: str) -> None:
    _, second, *_ = status_tree.lines(msgspec.structs.replace(APP, status=status), ())
    assert second.text == about


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("the image of container web has no program ls", "name a program that is in the image"),
        ("the container is not running", "`pin status` shows whether the replica runs"),
    ],
)
def test_a_command_that_did_not_start_has_a_remedy_of_its_own(message: str, remedy: str) -> None:
    with pytest.raises(CommandError) as caught:
        remote_terminal._code(ProgramExit(None, message))
    assert remedy in caught.value.remedy


HOOKS: dict[str, tuple[HookStatus, str, str]] = {
    "agrees": (HookStatus(name="board", when="BeforeStep", state="Accepted"), "board, before the step: ✔ agrees", "green"),
    "waits": (
        HookStatus(name="board", when="BeforeStep", state="Waiting", message="at noon"),
        'board, before the step: asks the update to wait: "at noon"',
        "yellow",
    ),
    "refuses": (
        HookStatus(name="proof", when="AfterStep", state="Refused", message="a freeze"),
        'proof, after the step: ✘ refuses: "a freeze"',
        "red",
    ),
    "is silent": (
        HookStatus(name="proof", when="AfterStep", state="Unknown", message="no answer within 8 s"),
        "proof, after the step: no verdict so far, because no answer within 8 s",
        "yellow",
    ),
}


@pytest.mark.parametrize("name", HOOKS)
def test_each_hook_of_an_update_has_a_line(name: str) -> None:
    hook, said, style = HOOKS[name]
    made = RolloutProgress(state="Progressing", revision="v2", step=0, steps=3, replicas=2, hooks=(hook,))
    drawn = status_tree.lines(msgspec.structs.replace(APP, status=Status(state="Progressing", rollout=made)), ())
    (line,) = (line for line in drawn if hook.name in line.text)
    assert line.parts == ((said, style),)
    assert ("waits until the hooks below agree" in [each.text.strip() for each in drawn]) is (hook.state != "Accepted")


def test_a_replica_that_stops_shows_no_containers() -> None:
    container = ReplicaContainerStatus(name="web", state="Terminated", reason="ended with exit code 143")
    row = ReplicaStatus(name="hello/0", zone="a", state="Stopping", containers=(container,))
    status = Status(state="Progressing", zones=(ZoneStatus(zone="a", wanted=1),))
    drawn = status_tree.lines(msgspec.structs.replace(APP, status=status), (row,))
    assert [line.text for line in drawn][-1].endswith("└─ hello/0  Stopping")
