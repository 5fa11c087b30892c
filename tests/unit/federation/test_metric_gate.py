"""The metrics of a rollout's health gate: which query asks for them, and what follows from an answer, or from none (S-122)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from federation.object_builders import NOW
from federation.test_rollout_progress import BAKED, BEGUN, FIRST_DONE, OLD, PLACED, V1, app, record, rendered, sites

from pincompute.api.workloads import HealthMetric, MetricStatus, RolloutStatus
from pincompute.domain import metric_query
from pincompute.domain.metric_query import UnsafeMetricError
from pincompute.engine.external_inputs import MetricQuery, NoRoom, Unasked
from pincompute.federation.workload import metric_gate, rollout_progress
from pincompute.federation.workload.metric_gate import Measurement
from pincompute.federation.workload.rollout_progress import Progress
from pincompute.kube.cache_views import Unknown

ERRORS = HealthMetric(name="errors", metric="http_requests_total", function="Ratio", part={"code": "5.."}, max=0.01)
GATED = msgspec.structs.replace(BAKED, metrics=(ERRORS,))

OWN = 'namespace="shop"'
QUERIES: dict[str, tuple[dict[str, Any], str]] = {
    "a rate": ({"function": "Rate"}, f"sum(rate(m{{{OWN}}}[60s]))"),
    "of some series, within another window": (
        {"function": "Rate", "labels": {"job": "web|api"}, "window_seconds": 300},
        f'sum(rate(m{{{OWN}, job=~"web|api"}}[300s]))',
    ),
    "an average": ({"function": "Average"}, f"avg(avg_over_time(m{{{OWN}}}[60s]))"),
    "a maximum": ({"function": "Maximum"}, f"max(max_over_time(m{{{OWN}}}[60s]))"),
    "a quantile": (
        {"function": "Quantile", "quantile": 0.9},
        f"histogram_quantile(0.9, sum by (le) (rate(m{{{OWN}}}[60s])))",
    ),
}


def metric(**fields: Any) -> HealthMetric:
    return msgspec.structs.replace(HealthMetric(name="errors", metric="m", max=1), **fields)


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_reads_the_series_of_one_project(name: str) -> None:
    fields, figure = QUERIES[name]
    made = metric_query.promql(metric(**fields), "shop")
    assert made.startswith(f"({figure}) and on () (time() - max(timestamp(m{{")
    assert made.endswith(f")) <= {metric_query.OLDEST})")
    assert made.count("m{") == made.count("m{" + OWN)


def test_a_ratio_is_0_only_where_the_labels_of_its_part_exist() -> None:
    part, whole = f'm{{{OWN}, code=~"5.."}}', f'm{{{OWN}, code!=""}}'
    made = metric_query.promql(metric(function="Ratio", part={"code": "5.."}), "shop")
    assert f"(sum(rate({part}[60s])) or sum(rate({whole}[60s])) * 0) / sum(rate({whole}[60s]))" in made


@pytest.mark.parametrize(
    "fields",
    [
        {"metric": 'up{namespace="bank"} or m'},
        {"metric": "m\n"},
        {"labels": {'a="b"} or up{x': "y"}},
        {"labels": {"__name__": "up"}},
        {"part": {"a-b": "c"}, "function": "Ratio"},
    ],
)
def test_a_name_that_is_more_than_a_name_makes_no_query(fields: Any) -> None:
    with pytest.raises(UnsafeMetricError):
        metric_query.promql(metric(**fields), "shop")


@pytest.mark.parametrize("value", ['x"} or up{namespace="bank', "x\\", "a\nb", "\u0000", "ö"])
def test_a_value_stays_a_value(value: str) -> None:
    made = metric_query.promql(metric(labels={"a": value}), "shop")
    body = made[made.index('a=~"') + 4 :]
    assert msgspec.json.decode(('"' + body[: _end(body) + 1]).encode()) == value


def _end(body: str) -> int:
    """Where the quoted text ends: at the first quote that no backslash precedes."""
    at = 0
    while body[at] != '"':
        at += 2 if body[at] == "\\" else 1
    return at


def progress(
    *found: Measurement, begun: RolloutStatus = BEGUN, after: float = 0, counts: Any = FIRST_DONE, **how: Any
) -> Progress:
    wanted = app(msgspec.structs.replace(GATED, **how), begun)
    now = NOW + timedelta(seconds=after)
    return rollout_progress.decide(wanted, PLACED, sites(*counts), {V1: rendered(OLD).template}, now, found)


GOOD, BAD = Measurement(0.001), Measurement(0.05)
SILENT = Measurement(trouble="no answer within 5 s")
PENDING = Measurement(trouble="not yet", asked=False)
HOLDS = MetricStatus(name="errors", state="Holds", value="0.001", bound="at most 0.01", since=NOW, at=NOW)
BAKING = msgspec.structs.replace(BEGUN, healthy_since=NOW, metrics=(HOLDS,))


def test_the_bake_time_begins_when_the_figures_are_within_their_bounds() -> None:
    assert record(progress(SILENT)).healthy_since is None
    assert record(progress(BAD)).healthy_since is None
    made = record(progress(GOOD))
    assert (made.healthy_since, made.metrics) == (NOW, (HOLDS,))
    assert record(progress(GOOD, begun=made, after=59)).step == 0
    assert record(progress(GOOD, begun=made, after=60)).step == 1


@pytest.mark.parametrize("found", [SILENT, BAD], ids=["no answer", "beyond its bound"])
def test_without_a_good_figure_a_step_waits_until_its_deadline_and_then_fails(found: Measurement) -> None:
    assert record(progress(found, after=599)).failure == ""
    failed = record(progress(found, after=600))
    assert failed.failure.startswith("a step of the rollout took longer than 600 s; errors is ")
    assert failed.failure.endswith("unknown: no answer within 5 s" if found is SILENT else "0.05, and must be at most 0.01")
    assert (failed.step, failed.state) == (0, "Progressing")
    assert record(progress(found, after=600, on_failure="Rollback")).state == "RollingBack"


def test_a_figure_that_leaves_its_bounds_in_the_bake_time_fails_the_step_with_its_value() -> None:
    held = record(progress(BAD, begun=BAKING, after=30))
    assert (held.failure, held.healthy_since) == ("errors is 0.05, and must be at most 0.01", None)
    assert record(progress(BAD, begun=held, after=31)).failure == held.failure
    again = record(progress(GOOD, begun=held, after=40))
    assert (again.failure, again.healthy_since) == ("", NOW + timedelta(seconds=40))
    undone = record(progress(BAD, begun=BAKING, after=30, on_failure="Rollback"))
    assert (undone.state, undone.failure) == ("RollingBack", held.failure)


def test_silence_in_the_bake_time_begins_it_anew_and_fails_nothing_at_once() -> None:
    made = record(progress(SILENT, begun=BAKING, after=3600))
    assert (made.step, made.healthy_since, made.failure) == (0, None, "")


def test_a_process_that_has_just_started_neither_goes_on_nor_forgets_the_bake_time() -> None:
    """S-129: it has not asked yet."""
    waits = record(progress(PENDING, begun=BAKING, after=3600))
    assert (waits.step, waits.healthy_since, waits.failure) == (0, NOW, "")
    assert record(progress(PENDING, after=3600)).failure == ""  # nor does a deadline that passed meanwhile fail anything
    assert record(progress(GOOD, begun=waits, after=3600)).step == 1


def test_a_figure_that_was_never_asked_for_gates_as_well() -> None:
    assert record(progress(begun=BEGUN, after=3600)).healthy_since is None


def test_what_replaces_nothing_that_served_has_no_gate() -> None:
    first = msgspec.structs.replace(BEGUN, stable="")
    done = ((2, 0), (2, 0), (2, 0))
    assert record(progress(begun=first, counts=done)).state == "Complete"


BOUNDS: dict[str, tuple[dict[str, Any], float | None, str]] = {
    "at the upper bound": ({"max": 1}, 1.0, "Holds"),
    "above": ({"max": 1}, 1.001, "Broken"),
    "at the lower bound": ({"min": 0.5, "max": None}, 0.5, "Holds"),
    "below": ({"min": 0.5, "max": None}, 0.499, "Broken"),
    "between": ({"min": 0.5, "max": 1}, 0.7, "Holds"),
    "no number": ({"max": 1}, float("nan"), "Broken"),
    "unknown": ({"max": 1}, None, "Unknown"),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_bound(name: str) -> None:
    fields, figure, state = BOUNDS[name]
    wanted = app(msgspec.structs.replace(BAKED, metrics=(metric(**fields),)), BEGUN)
    judged = metric_gate.judge(wanted, (Measurement(figure),), BEGUN, NOW)
    assert [row.state for row in judged.rows] == [state]


def test_the_status_gets_a_new_figure_once_a_minute_and_a_new_judgement_at_once() -> None:
    wanted, other = app(GATED, BAKING), Measurement(0.002)
    early, late = NOW + timedelta(seconds=30), NOW + timedelta(seconds=60)
    assert metric_gate.judge(wanted, (other,), BAKING, early).rows == (HOLDS,)
    newer = metric_gate.judge(wanted, (other,), BAKING, late).rows[0]
    assert (newer.value, newer.since, newer.at) == ("0.002", NOW, late)
    assert metric_gate.judge(wanted, (GOOD,), BAKING, late).rows == (HOLDS,)
    assert metric_gate.judge(wanted, (BAD,), BAKING, early).rows[0].since == early


class Answers:
    def __init__(self, answer: float | Exception) -> None:
        self.answered = answer
        self.questions: list[Any] = []

    def answer(self, question: Any) -> float:
        self.questions.append(question)
        if isinstance(self.answered, Exception):
            raise self.answered
        return self.answered


def test_only_a_rollout_in_progress_asks() -> None:
    asks = Answers(0.5)
    query = metric_query.promql(ERRORS, "demo")
    for state in ("Complete", "RollingBack", "RolledBack"):
        assert metric_gate.observe(app(GATED, msgspec.structs.replace(BEGUN, state=state)), asks) == ()  # pyright: ignore[reportArgumentType]
    assert metric_gate.observe(app(GATED), asks) == ()  # pyright: ignore[reportArgumentType]
    assert metric_gate.observe(app(GATED, msgspec.structs.replace(BEGUN, begun=False)), asks) == ()  # pyright: ignore[reportArgumentType]
    assert not asks.questions
    assert metric_gate.observe(app(GATED, BEGUN), asks) == (Measurement(0.5),)  # pyright: ignore[reportArgumentType]
    assert asks.questions == [MetricQuery(query)]
    awaiting = msgspec.structs.replace(BEGUN, state="AwaitingApproval")
    metric_gate.observe(app(GATED, awaiting), asks)  # pyright: ignore[reportArgumentType]
    assert [question.can_wait for question in asks.questions] == [False, True]


def test_why_there_is_no_figure_is_said_without_the_query() -> None:
    asked = MetricQuery(metric_query.promql(ERRORS, "demo"))
    silent = Answers(Unknown(f"{asked} is unknown: no answer within 5 s"))
    assert metric_gate.observe(app(GATED, BEGUN), silent) == (SILENT,)  # pyright: ignore[reportArgumentType]
    full = NoRoom(f"{asked} is unknown: no room")
    assert metric_gate.observe(app(GATED, BEGUN), Answers(full)) == (Measurement(trouble="no room", asked=False),)  # pyright: ignore[reportArgumentType]
    (found,) = metric_gate.observe(app(GATED, BEGUN), Answers(Unasked("…")))  # pyright: ignore[reportArgumentType]
    assert not found.asked
