"""The last lines of a container that crashed: what cannot be read is not taken for silence."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pincompute_sdk.cli import last_lines, wait
from pincompute_sdk.core.errors import PinError

APP: Any = SimpleNamespace(project="demo", name="web", status=None)
REPLICA: Any = SimpleNamespace(
    name="web/0", state="Running", containers=(SimpleNamespace(name="main", crashed=True, restarts=1, state="Terminated"),)
)


class Logs:
    """Answers with the lines of the former run, of the present one, and of the one that is the former by then."""

    def __init__(self, *runs: list[tuple[str, str]]) -> None:
        self._runs = list(runs)

    def logs(self, *_: object, **__: object) -> list[SimpleNamespace]:
        return [SimpleNamespace(text=text, mark=mark) for text, mark in self._runs.pop(0)]


RUNS: dict[str, tuple[list[list[tuple[str, str]]], str]] = {
    "a former run": ([[("FATAL", "")]], "  FATAL"),
    "the first run": ([[], [("FATAL", "")]], "  FATAL"),
    "it restarts meanwhile": ([[("the log is gone", "trouble")], [], [("FATAL", "")]], "  FATAL"),
    "it wrote nothing": ([[], [], []], "main in web/0 wrote nothing before it ended"),
    "a log that is gone": (
        [[("the log is gone", "trouble")], [], [("the log is gone", "trouble")]],
        "the last lines of main in web/0 cannot be read now: the log is gone",
    ),
    "a node that is silent": (
        [[], [("a node does not answer", "gap")], []],
        "the last lines of main in web/0 cannot be read now: a node does not answer",
    ),
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


@pytest.mark.parametrize("case", RUNS)
def test_last_lines_are_shown_or_it_is_said_why_not(case: str) -> None:
    runs, said = RUNS[case]
    them: Any = Logs(*runs)
    assert last_lines.of(them, APP, [REPLICA])[-1] == said
