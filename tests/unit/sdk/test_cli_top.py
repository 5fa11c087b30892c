"""The rows of `pin top`: by app, replica, container and zone, and what is said of figures that are unknown."""

from __future__ import annotations

import pytest
from pincompute_sdk.cli import target
from pincompute_sdk.cli.output import table
from pincompute_sdk.cli.top import UsageTable, _notes, _style
from pincompute_sdk.generated.models import (
    ContainerFigures,
    ProjectUsage,
    ReplicaFigures,
    ResourceUsage,
    UnknownFigures,
    WorkloadFigures,
    WorkloadUsage,
    ZoneFigures,
)

MIB = 1 << 20
CPU = ResourceUsage(used=250, requested=100, limit=500)
MEMORY = ResourceUsage(used=16 * MIB, requested=64 * MIB)
NOTHING = ResourceUsage(requested=100)
ZONES = (
    ZoneFigures(zone="a", replicas=1, known=1, cpu=CPU, memory=MEMORY),
    ZoneFigures(zone="b", replicas=1, known=0, cpu=NOTHING, memory=ResourceUsage()),
)
HELLO = WorkloadFigures(kind="app", name="hello", replicas=2, known=1, cpu=CPU, memory=MEMORY, zones=ZONES)
NOTEBOOK = WorkloadFigures(kind="unit", name="notebook", replicas=1, known=1, cpu=CPU, memory=MEMORY)
WEB = ContainerFigures(name="web", cpu=CPU, memory=MEMORY)
SIDE = ContainerFigures(name="side", cpu=ResourceUsage(used=0), memory=ResourceUsage(used=512))
REPLICAS = (
    ReplicaFigures(name="hello/0", zone="a", cpu=CPU, memory=MEMORY, containers=(WEB, SIDE)),
    ReplicaFigures(
        name="hello/1", zone="b", cpu=NOTHING, memory=ResourceUsage(), containers=(WEB,), reason="cannot be reached"
    ),
)
PROJECT = ProjectUsage(items=(HELLO, NOTEBOOK))
APP = WorkloadUsage(total=HELLO, replicas=REPLICAS)

FULL = "█████░░░░░ 250m 100m 500m ██░░░░░░░░ 16Mi 64Mi -"
UNKNOWN = "unknown 100m - unknown - -"
CASES: dict[str, tuple[ProjectUsage | WorkloadUsage, str, bool, list[str]]] = {
    "a project": (PROJECT, "", False, [f"hello 2 {FULL} usage of 1 unknown", f"unit/notebook 1 {FULL} -"]),
    "a project by zone": (PROJECT, "", True, [f"hello a 1 {FULL} -", f"hello b 1 {UNKNOWN} usage of 1 unknown"]),
    "an app": (
        APP,
        "hello",
        False,
        [f"hello/0 a {FULL} -", f"└ web - {FULL} -", "└ side - 0 - - 512 - - -", f"hello/1 b {UNKNOWN} cannot be reached"],
    ),
    "an app by zone": (APP, "hello", True, [f"hello a 1 {FULL} -", f"hello b 1 {UNKNOWN} usage of 1 unknown"]),
    "a replica": (
        WorkloadUsage(total=HELLO, replicas=REPLICAS[1:]),
        "hello/1",
        False,
        [f"hello/1 b {UNKNOWN} cannot be reached", f"└ web - {FULL} -"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_figure_stands_beside_its_request_and_limit(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    usage, name, zones, wanted = CASES[case]
    shown = UsageTable(target.parse(name) if name else None, zones=zones, wide=False)
    rows = shown.rows(usage)
    table.show(rows, shown.columns(rows), wide=False, nothing=shown.nothing)
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()[1:]] == wanted


def test_nothing_runs(capsys: pytest.CaptureFixture[str]) -> None:
    UsageTable(None, zones=False, wide=False).write(ProjectUsage(items=()))
    assert capsys.readouterr().err == "nothing runs in this project\n"


def test_what_is_unknown_is_named_with_its_place() -> None:
    missing = (
        UnknownFigures(zone="a", cluster="a1", reason="its usage reader does not answer within 3 s", replicas=2),
        UnknownFigures(zone="b", cluster="b1", node="n2", reason="is a simulated node, on which nothing runs", replicas=1),
        UnknownFigures(zone="c", cluster="c1", node="n3", reason="cannot be reached", replicas=1),
        UnknownFigures(zone="c", cluster="c1", node="n4", reason="cannot be reached", replicas=2),
    )
    assert _notes(WorkloadUsage(total=HELLO, replicas=(), missing=missing)) == [
        "zone a: the usage of 2 replicas is unknown: its usage reader does not answer within 3 s",
        "zone b: the usage of 1 replica is unknown: node n2: is a simulated node, on which nothing runs",
        "zone c: the usage of 3 replicas is unknown: 2 nodes, such as n3: cannot be reached",
    ]


@pytest.mark.parametrize(
    ("use", "style"),
    [
        (ResourceUsage(), "dim"),
        (ResourceUsage(used=5), "green"),
        (ResourceUsage(used=100, requested=100), "green"),
        (ResourceUsage(used=101, requested=100, limit=500), "yellow"),
        (ResourceUsage(used=450, requested=100, limit=500), "red"),
    ],
)
def test_a_figure_near_its_limit_is_red(use: ResourceUsage, style: str) -> None:
    assert _style(use) == style
