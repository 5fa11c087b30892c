"""Asks the outside services that an app names about each step of its rollout (`update.hooks`), and keeps their verdicts.

An administrator names the services in the federation's settings, so nobody else decides which addresses the federation calls.
A hook gets a row in the status first. The platform asks about the rows that the stored status has, repeatedly and with the same
id, until there is a verdict: the hook agrees or refuses. The verdict is stored before anything follows from it, so a restart
neither asks again about a step that has a verdict nor passes over one that has none. What has no verdict within its timeout
fails the step, as a refusal does; this time does not run while the platform has no room to ask. A rollback asks nobody, and
neither does what replaces nothing that served.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from types import MappingProxyType
from typing import Any, TypeAlias

import msgspec

from pincompute.api.meta import GROUP
from pincompute.api.workloads import HookMoment, HookState, HookStatus, RolloutStatus, UpdateHook
from pincompute.domain import operation_annotation
from pincompute.engine.external_inputs import ExternalInput, HookCall, NoRoom, Unasked
from pincompute.federation.workload import rollout_notification
from pincompute.federation.workload.workload_model import Workload
from pincompute.kube.cache_views import Unknown, Views

INPUT = ExternalInput(
    HookCall,
    "the verdicts of hooks, while the steps of rollouts wait for them",
    period=10.0,
    deadline=8.0,
    stale_after=60.0,
)
TYPE = f"{'.'.join(reversed(GROUP.split('.')))}.hook"
ASKED = "the platform has just begun to ask it"
VERDICTS: tuple[HookState, ...] = ("Accepted", "Refused")
IN_PROGRESS = ("Progressing", "AwaitingApproval")
PACE = timedelta(minutes=1)  # between two messages of a hook in the status that mean the same
MOST_NAMED = 10  # hooks that a message names

HookProjects: TypeAlias = Mapping[str, frozenset[str] | None]
"""The projects that may ask each hook that an administrator has named; None for all."""
NO_HOOKS: HookProjects = MappingProxyType({})

_Row: TypeAlias = tuple[str, HookMoment]


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What a hook said. `asked` is false until this process has asked it once, and `queued` says that it has no room to ask."""

    state: HookState
    text: str = ""
    asked: bool = True
    queued: bool = False


@dataclass(frozen=True, slots=True)
class HookAnswers:
    """What is known of hooks: the `names` of those that the project may ask, and the answers."""

    names: frozenset[str] = frozenset()
    given: Mapping[_Row, HookAnswer] = field(default_factory=dict[_Row, HookAnswer])


NO_ANSWERS = HookAnswers()


def names_for(project: str, hooks: HookProjects) -> frozenset[str]:
    """Returns the hooks that the project may ask. To it there are no others."""
    return frozenset(name for name, projects in hooks.items() if projects is None or project in projects)


def observe(workload: Workload, names: frozenset[str], views: Views) -> HookAnswers:
    """Returns the answers about the present step, to those who have been asked and have given no verdict."""
    record = workload.status.rollout
    if record is None or workload.paused or record.revision != workload.rendered.revision or record.state not in IN_PROGRESS:
        return HookAnswers(names)
    known = {(hook.name, hook.when) for hook in workload.obj.spec.update.hooks}
    rows = (row for row in record.hooks if row.state not in VERDICTS and (row.name, row.when) in known and row.name in names)
    return HookAnswers(names, {(row.name, row.when): _answer(call(workload, record, row), views) for row in rows})


def _answer(question: HookCall, views: Views) -> HookAnswer:
    try:
        verdict = views.answer(question)
    except NoRoom as full:
        return HookAnswer("Unknown", _reason(full, question), asked=False, queued=True)
    except Unasked:
        return HookAnswer("Unknown", ASKED, asked=False)
    except Unknown as unknown:
        return HookAnswer("Unknown", _reason(unknown, question))
    return HookAnswer(verdict.state, verdict.text)


def _reason(unknown: Unknown, question: HookCall) -> str:
    return str(unknown).removeprefix(f"{question} is unknown: ")


def call(workload: Workload, record: RolloutStatus, row: HookStatus) -> HookCall:
    """Returns the question. Its id is the same each time that it is asked."""
    obj = workload.obj
    named = f"{obj.metadata.uid}/{record.revision}/{rollout_notification.began(record)}/{row.when}/{record.step}/{row.name}"
    content: dict[str, Any] = {
        "specversion": "1.0",
        "id": named,
        "source": f"/projects/{workload.key.namespace}",
        "type": f"{TYPE}.{row.when.lower()}",
        "subject": f"{workload.kind.word}/{workload.key.name}",
        **({"time": row.since} if row.since is not None else {}),
        "datacontenttype": "application/json",
        "data": {
            "hook": row.name,
            "when": row.when,
            "project": workload.key.namespace,
            "kind": workload.kind.workload.kind,
            "name": workload.key.name,
            "revision": record.revision,
            "stableRevision": record.stable,
            "attempt": record.attempt,
            "step": record.step + 1,
            "steps": record.steps,
            "zones": row.zones,
            "changedBy": operation_annotation.author(obj),
        },
    }
    return HookCall(named, row.name, msgspec.json.encode(content))


@dataclass(frozen=True, slots=True)
class StepHooks:
    """The judgement of the present step's hooks. `rows` are those that have been asked."""

    hooks: tuple[UpdateHook, ...] = ()
    answers: HookAnswers = NO_ANSWERS
    rows: tuple[HookStatus, ...] = ()

    def agreed(self, when: HookMoment) -> bool:
        """Returns whether all hooks of the moment have agreed."""
        accepted = {(row.name, row.when) for row in self.rows if row.state == "Accepted"}
        return all((hook.name, hook.when) in accepted for hook in self.hooks if hook.when == when)

    @property
    def missing(self) -> str:
        """Returns the name of a hook that does not exist; empty when all do."""
        return next((hook.name for hook in self.hooks if hook.name not in self.answers.names), "")

    def is_news_to(self, record: RolloutStatus) -> bool:
        """Returns whether the record lacks a verdict."""
        before = {(row.name, row.when) for row in record.hooks if row.state in VERDICTS}
        return any(row.state in VERDICTS and (row.name, row.when) not in before for row in self.rows)

    def failure(self, now: datetime, *, begun: bool) -> str:
        """Returns which hook fails the step, and why, in a sentence; empty when none does. A hook that does not exist fails it
        before it has `begun`, whenever it was to be asked.
        """
        waiting = any(row.state not in VERDICTS for row in self.rows)
        if self.missing and (waiting or not begun):
            return _missing(self.missing, self.answers.names)
        refused = (f"{_named(row)} refuses{_quoted(row)}" for row in self.rows if row.state == "Refused")
        late = (
            f"{_named(row)} gave no verdict within {self._timeout(row)} s{_said(row)}"
            for row in self.rows
            if self._is_late(row, now)
        )
        return next(chain(refused, late), "")

    def left(self, now: datetime) -> timedelta | None:
        """Returns how long until time alone changes something; None where it does not."""
        waiting = [row for row in self.rows if row.state not in VERDICTS]
        ends = (row.since + timedelta(seconds=self._timeout(row)) - now for row in waiting if row.since is not None)
        news = (_until_news(row, now) for row in waiting if self._has_news(row))
        return min((wait for wait in (*ends, *news) if wait > timedelta()), default=None)

    def _is_late(self, row: HookStatus, now: datetime) -> bool:
        """Returns whether its time is over. A process that has just started asks once before it says so."""
        given = self.answers.given.get((row.name, row.when))
        if row.state in VERDICTS or row.since is None or given is None or not given.asked:
            return False
        return now >= row.since + timedelta(seconds=self._timeout(row))

    def _has_news(self, row: HookStatus) -> bool:
        given = self.answers.given.get((row.name, row.when))
        return given is not None and given.asked and given.text != row.message

    def _timeout(self, row: HookStatus) -> int:
        return next(hook.timeout_seconds for hook in self.hooks if (hook.name, hook.when) == (row.name, row.when))


NOBODY = StepHooks()


def judge(
    hooks: tuple[UpdateHook, ...],
    answers: HookAnswers,
    record: RolloutStatus,
    due: HookMoment | None,
    zones: tuple[str, ...],
    now: datetime,
) -> StepHooks:
    """Returns the judgement: of the hooks that are `due` now, and of those that were due before. The step changes replicas in
    `zones`. Nobody is asked about what replaces nothing that served.
    """
    if not record.stable:
        return NOBODY
    before = {(row.name, row.when): row for row in record.hooks}
    new = {
        (hook.name, hook.when): HookStatus(name=hook.name, when=hook.when, message=ASKED, zones=zones, since=now, at=now)
        for hook in hooks
        if hook.when == due
    }
    asked = [row for hook in hooks if (row := {**new, **before}.get((hook.name, hook.when))) is not None]
    return StepHooks(hooks, answers, tuple(_answered(row, answers, now) for row in asked))


def _answered(row: HookStatus, answers: HookAnswers, now: datetime) -> HookStatus:
    if row.state in VERDICTS:
        return row
    given = answers.given.get((row.name, row.when))
    if given is not None and given.queued:
        return _queued(row, given, now)
    if row.since is None:
        row = msgspec.structs.replace(row, state="Unknown", message=ASKED, since=now, at=now)
    if given is None or not given.asked or (given.state, given.text) == (row.state, row.message):
        return row
    if given.state == row.state and _until_news(row, now) > timedelta() and row.message != ASKED:
        return row
    return msgspec.structs.replace(row, state=given.state, message=given.text, at=now)


def _queued(row: HookStatus, given: HookAnswer, now: datetime) -> HookStatus:
    """Returns the row of a hook that nobody asks: its time begins when somebody does."""
    if row.since is None and (row.state, row.message) == (given.state, given.text):
        return row
    return msgspec.structs.replace(row, state=given.state, message=given.text, since=None, at=now)


def _until_news(row: HookStatus, now: datetime) -> timedelta:
    """Returns for how long no other message of the same meaning is written."""
    return (row.at or now) + PACE - now


def _missing(name: str, names: frozenset[str]) -> str:
    shown = sorted(names)[:MOST_NAMED]
    there = f"the platform has {', '.join(shown)}" if shown else "the platform has none"
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    remedy = "name one of them in update.hooks" if shown else "remove it from update.hooks"
    return f"update.hooks names {name}, which does not exist: {there}{more}; {remedy}, or ask an administrator for it"


def waits(rows: tuple[HookStatus, ...]) -> str:
    """Returns which hooks the step waits for, in a sentence; empty when it waits for none."""
    waiting = [f"{_named(row)}{_said(row)}" for row in rows if row.state not in VERDICTS]
    return f"the update waits for {', and for '.join(waiting)}" if waiting else ""


def _said(row: HookStatus) -> str:
    if row.state == "Waiting":
        return f", which asks it to wait{_quoted(row)}"
    return f": {row.message}" if row.message else ""


def _quoted(row: HookStatus) -> str:
    return f': "{row.message}"' if row.message else ""


def _named(row: HookStatus) -> str:
    return f"hook {row.name} {'before' if row.when == 'BeforeStep' else 'after'} the step"


def paused(rows: tuple[HookStatus, ...]) -> tuple[HookStatus, ...]:
    """Returns what is kept while the workload is paused: the time of those without a verdict begins anew afterwards."""
    return tuple(row if row.state in VERDICTS else msgspec.structs.replace(row, since=None) for row in rows)
