"""Makes the PromQL query of a metric in a rollout's health gate, within one project.

Users write a metric, labels and a function of a closed list, and never PromQL: of an arbitrary query nobody could prove that it
reads the series of one project alone. Each selector of the query has the project's label, and values are quoted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from pincompute.api.workloads import HealthMetric

OLDEST = 180  # seconds; where no series of the metric has a newer sample, there is no value
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class UnsafeMetricError(ValueError):
    """A name would not be one name in the query. The API server refuses it earlier."""


def promql(wanted: HealthMetric, project: str, label: str = "namespace") -> str:
    """Returns the query. It yields nothing where the newest sample is too old, so that silence is never a value.

    The series of a Ratio have the labels of `part`, with whatever value: a misspelt label yields nothing, and not 0.
    """
    own = f"{_label(label)}={_quoted(project)}"
    if _METRIC.fullmatch(wanted.metric) is None:
        raise UnsafeMetricError(f"{wanted.metric} is no name of a metric")
    there = [f'{_label(name)}!=""' for name in sorted(wanted.part)]
    series = _selector(wanted.metric, own, wanted.labels, there)
    part = _selector(wanted.metric, own, wanted.labels, [*_matchers(wanted.part)])
    value = _value(wanted, series, part)
    return f"({value}) and on () (time() - max(timestamp({series})) <= {OLDEST})"


def _value(wanted: HealthMetric, series: str, part: str) -> str:
    window = f"[{wanted.window_seconds}s]"
    match wanted.function:
        case "Rate":
            return f"sum(rate({series}{window}))"
        case "Ratio":
            whole = f"sum(rate({series}{window}))"
            return f"(sum(rate({part}{window})) or {whole} * 0) / {whole}"
        case "Average":
            return f"avg(avg_over_time({series}{window}))"
        case "Maximum":
            return f"max(max_over_time({series}{window}))"
        case "Quantile":
            return f"histogram_quantile({wanted.quantile!r}, sum by (le) (rate({series}{window})))"


def _selector(metric: str, own: str, labels: Mapping[str, str], more: list[str]) -> str:
    return f"{metric}{{{', '.join([own, *_matchers(labels), *more])}}}"


def _matchers(labels: Mapping[str, str]) -> list[str]:
    return [f"{_label(name)}=~{_quoted(labels[name])}" for name in sorted(labels)]


def _label(name: str) -> str:
    if _LABEL.fullmatch(name) is None or name.startswith("__"):
        raise UnsafeMetricError(f"{name} is no name of a label")
    return name


def _quoted(value: str) -> str:
    """Quotes a text as PromQL does, which are the rules of Go; those of JSON are among them."""
    return json.dumps(value, ensure_ascii=False)
