"""The last lines of a container that crashed: what cannot be read is not taken for silence."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest
from pincompute_sdk.cli import last_lines, list_command, logs_command, target, wait
from pincompute_sdk.core.errors import PinError
from pincompute_sdk.generated.kinds import KINDS

Lines: TypeAlias = list[tuple[str, str]]
APP: Any = SimpleNamespace(project="demo", name="web", status=None)
REPLICA: Any = SimpleNamespace(
    name="web/0", state="Running", containers=(SimpleNamespace(name="main", crashed=True, restarts=1, state="Terminated"),)
)


class Logs:
    """Answers with the lines of the present run and of the former one."""

    def __init__(self, present: Lines, former: Lines) -> None:
        self._runs = {None: present, True: former}

    def logs(self, *_: object, previous: bool | None, **__: object) -> list[SimpleNamespace]:
        return [SimpleNamespace(text=text, mark=mark) for text, mark in self._runs[previous]]


FATAL: Lines = [("FATAL", "")]
GONE: Lines = [("the log is gone", "trouble")]
SILENT: Lines = [("a node does not answer", "gap")]
CANNOT = "the last lines of main in web/0 cannot be read now: "
NOTHING = (
    "main in web/0 wrote nothing before it ended, so its logs do not say why: "
    "check its command and arguments, or let it write what it does"
)
RUNS: dict[str, tuple[str, Lines, Lines, str]] = {
    "it is down": ("Terminated", FATAL, [("older", "")], "  FATAL"),
    "it waits before the next start": ("Waiting", FATAL, FATAL, "  FATAL"),
    "it restarts meanwhile": ("Terminated", [], FATAL, "  FATAL"),
    "it runs again": ("Running", [("it starts", "")], FATAL, "  FATAL"),
    "it wrote nothing": ("Terminated", [], [], NOTHING),
    "it wrote nothing, and its node has forgotten the run before": ("Terminated", [], GONE, NOTHING),
    "it runs again and wrote nothing": ("Running", [("it starts", "")], [], NOTHING),
    "its log is gone": ("Terminated", GONE, GONE, CANNOT + "the log is gone"),
    "it runs again, and the log is gone": ("Running", [], GONE, CANNOT + "the log is gone"),
    "a node that is silent": ("Waiting", SILENT, [], CANNOT + "a node does not answer"),
}


class Refusing:
    """Answers neither for logs nor for replicas."""

    def logs(self, *_: object, **__: object) -> list[SimpleNamespace]:
        raise PinError("zone b does not answer", remedy="try again")

    replicas = logs


def test_a_log_that_cannot_be_asked_for_is_not_silence() -> None:
    them: Any = Refusing()
    said = "the last lines of main in web/0 cannot be read now: zone b does not answer. try again"
    assert last_lines.of(them, APP, [REPLICA]) == (said,)
    assert last_lines.of(them, APP) == ("the replicas of web cannot be read now: zone b does not answer. try again",)
    assert wait.details(them, APP) == last_lines.of(them, APP)


def test_a_silent_container_whose_end_is_explained_gets_no_other_remedy() -> None:
    message = "container main ended with exit code 137 (out of memory; limit 8Mi); raise resources.memory"
    app: Any = SimpleNamespace(project="demo", name="web", status=SimpleNamespace(message=message, stalled=True))
    them: Any = Logs([], [])
    assert last_lines.of(them, app, [REPLICA]) == ("main in web/0 wrote nothing before it ended",)


@pytest.mark.parametrize("case", RUNS)
def test_last_lines_are_shown_or_it_is_said_why_not(case: str) -> None:
    state, present, former, said = RUNS[case]
    crashed = SimpleNamespace(name="main", crashed=True, restarts=1, state=state)
    replica: Any = SimpleNamespace(name="web/0", state="Running", containers=(crashed,))
    them: Any = Logs(present, former)
    assert last_lines.of(them, APP, [replica])[-1] == said


@pytest.mark.parametrize(
    ("asked", "container", "said"),
    [
        ("web", "", "the run of app web before the last restart wrote nothing, or its node has removed its log"),
        ("web/0", "main", "the run of app web before the last restart wrote nothing, or its node has removed its log"),
        ("web/1", "", "there is no log of an earlier run: no container of app web that you ask for has restarted"),
        ("web", "side", "there is no log of an earlier run: no container of app web that you ask for has restarted"),
    ],
)
def test_a_run_that_wrote_nothing_is_told_from_one_that_never_was(asked: str, container: str, said: str) -> None:
    assert logs_command.no_earlier_log([REPLICA], target.parse(asked), container) == said


def test_a_list_that_is_filtered_does_not_say_that_there_is_nothing() -> None:
    assert list_command.view_of(KINDS["apps"], filtered=True).nothing == "no apps match; leave the filters out to see all"
    assert list_command.view_of(KINDS["units"], filtered=True).nothing.startswith("no units match")
    assert list_command.view_of(KINDS["apps"]).nothing.startswith("no apps; ")
