"""The text of kubelets' resource metrics, and the rates of two readings."""

from __future__ import annotations

import math

import pytest

from pincompute.domain import resource_usage
from pincompute.domain.resource_usage import NODE, NodeReading, NoMetrics, Sample, UsageWindow, parse

WEB = ("shop", "web-b1-0", "web")
LABELS = 'container="web",namespace="shop",pod="web-b1-0"'
CPU, MEMORY = "container_cpu_usage_seconds_total", "container_memory_working_set_bytes"
KUBELET = f"""\
# HELP {CPU} [STABLE] Cumulative cpu time consumed by the container in core-seconds
# TYPE {CPU} counter
{CPU}{{{LABELS}}} 4.5 1764420000500
# HELP {MEMORY} [STABLE] Current working set of the container in bytes
# TYPE {MEMORY} gauge
{MEMORY}{{{LABELS}}} 1.048576e+06 1764420000500
container_start_time_seconds{{{LABELS}}} 1.76441e+09
node_cpu_usage_seconds_total 100.25 1764420001000
node_memory_working_set_bytes 2.097152e+06 1764420001000
pod_cpu_usage_seconds_total{{namespace="shop",pod="web-b1-0"}} 5 1764420000500
resource_scrape_error 0
"""


def test_a_reading_has_containers_and_the_node() -> None:
    found = parse(KUBELET.encode())
    assert found.cpu == {WEB: Sample(4.5, 1764420000.5), NODE: Sample(100.25, 1764420001.0)}
    assert found.memory == {WEB: Sample(1048576.0, 1764420000.5), NODE: Sample(2097152.0, 1764420001.0)}


@pytest.mark.parametrize(
    ("line", "known"),
    [
        (f'{CPU}{{pod="web-b1-0",container="web",namespace="shop"}} 1 1000', True),
        (f'{CPU}{{{LABELS},node="n{{}} 7"}} 1 1000', True),
        (f"{CPU}{{{LABELS}}} 1", True),
        (f"{CPU}{{{LABELS}}} NaN 1000", False),
        (f"{CPU}{{{LABELS}}} +Inf 1000", False),
        (f"{CPU}{{{LABELS}}} 9e15 1000", True),
        (f"{CPU}{{{LABELS}}} 1e16 1000", False),
        (f"{CPU}{{{LABELS}}} 1e308 1000", False),
        (f"{CPU}{{{LABELS}}} -1 1000", False),
        (f"{CPU}{{{LABELS}}} one 1000", False),
        (f"{CPU}{{{LABELS}}} 1 now", False),
        (f"{CPU}{{{LABELS}}}", False),
        (f'{CPU}{{container="web",namespace="shop"}} 1 1000', False),
        (f'{CPU}{{container="web",namespace="../x",pod="web-b1-0"}} 1 1000', False),
        (f'{CPU}{{container="w\\"eb",namespace="shop",pod="web-b1-0"}} 1 1000', False),
        (f'{CPU}{{container="{"w" * 300}",namespace="shop",pod="web-b1-0"}} 1 1000', False),
    ],
)
def test_a_line_that_no_kubelet_writes_is_left_out(line: str, known: bool) -> None:
    found = parse(f"{line}\nnode_cpu_usage_seconds_total 1 1000\n".encode())
    assert (WEB in found.cpu) is known
    assert len(found.cpu) == 1 + known


@pytest.mark.parametrize(
    "text", [b"", b"<html>", b"\xff\xfe\x00", b"up 1\n", b'{"kind":"Status"}', b"node_cpu_usage_seconds_total x\n"]
)
def test_what_is_no_metrics_is_not_an_empty_node(text: bytes) -> None:
    with pytest.raises(NoMetrics):
        parse(text)


def test_a_node_that_names_too_many_containers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource_usage, "MOST", 2)
    lines = [f'{CPU}{{container="web",namespace="shop",pod="p{number}"}} 1 1000' for number in range(3)]
    with pytest.raises(NoMetrics, match="more than 2"):
        parse("\n".join(lines).encode())


def window(*readings: tuple[float, float] | None) -> UsageWindow:
    """Of one container: CPU seconds and when; None for a reading that does not name it."""
    found = UsageWindow()
    for number, each in enumerate(readings):
        reading = NodeReading({NODE: Sample(0.0, 100.0 + number)}, {})
        if each is not None:
            reading.cpu[WEB] = Sample(*each)
            reading.memory[WEB] = Sample(1000.0, each[1])
        found.add(reading, read_at=0.0)
    return found


CASES: dict[str, tuple[list[tuple[float, float] | None], int | None]] = {
    "one reading gives no rate": ([(5.0, 100.0)], None),
    "half a core": ([(5.0, 100.0), (10.0, 110.0)], 500),
    "nothing used is known to be nothing": ([(5.0, 100.0), (5.0, 110.0)], 0),
    "a little is never nothing": ([(5.0, 100.0), (5.001, 110.0)], 1),
    "the newest two count": ([(0.0, 100.0), (10.0, 110.0), (11.0, 120.0)], 100),
    "the same sample again is no reading of its own": ([(5.0, 100.0), (10.0, 110.0), (10.0, 110.0)], 500),
    "a counter that began again": ([(50.0, 100.0), (1.0, 110.0)], None),
    "and the reading after it": ([(50.0, 100.0), (1.0, 110.0), (2.0, 120.0)], 100),
    "a counter that began again at once": ([(50.0, 100.0), (1.0, 100.5)], None),
    "time that goes back": ([(5.0, 100.0), (6.0, 50.0)], None),
    "a container that was away": ([(5.0, 100.0), None, (6.0, 110.0)], None),
    "times that the node does not say": ([(5.0, math.nan), (6.0, math.nan)], None),
}


@pytest.mark.parametrize("case", CASES)
def test_cpu_is_a_rate_over_two_readings(case: str) -> None:
    readings, wanted = CASES[case]
    (found,) = window(*readings).containers()
    assert found.cpu == wanted


def test_a_container_that_is_not_named_any_more_is_gone() -> None:
    assert not list(window((5.0, 100.0), None).containers())


def test_a_sample_far_behind_its_node_is_unknown() -> None:
    found = window((5.0, 10.0), (6.0, 11.0))
    found.add(NodeReading({NODE: Sample(0.0, 300.0), WEB: Sample(7.0, 12.5)}, {WEB: Sample(1.0, 12.5)}), read_at=0.0)
    (one,) = found.containers()
    assert (one.cpu, one.memory) == (None, None)


def test_the_node_itself_has_figures() -> None:
    found = UsageWindow()
    for at in (100.0, 110.0):
        found.add(NodeReading({NODE: Sample(at * 2, at)}, {NODE: Sample(4096.0, at)}), read_at=at)
    assert found.node() == (2000, 4096)
    assert found.readings == 2


def test_the_largest_amounts_that_a_node_may_say_make_figures_of_64_bits() -> None:
    window = UsageWindow()
    for second, used in ((1, 0.0), (2, resource_usage.LARGEST)):
        text = f"{CPU}{{{LABELS}}} {used} {second * 1000}\n{MEMORY}{{{LABELS}}} {resource_usage.LARGEST} {second * 1000}\n"
        window.add(parse(text.encode()), float(second))
    (found,) = window.containers()
    assert found.cpu is not None
    assert 2**62 < found.cpu < 2**63
    assert found.memory == 2**53
