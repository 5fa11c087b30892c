"""The daemons that a region brings to its nodes: figures of containers, and their lines in a folder for each project."""

from __future__ import annotations

import json
import re
import shlex
import urllib.request
from collections.abc import Iterator
from typing import NamedTuple

import docs_output
import pytest
from docs_pages import ROOT, Page
from live_region import ANSWER, Region
from terminal_user import TerminalUser, talker

from pincompute.api import labels
from pincompute.api.builtin import PODS, Pod

pytestmark = pytest.mark.alone

AGENT, SHIPPER = "metrics-agent", "log-shipper"
AGENT_PORT = 9100
SAMPLE = re.compile(r"^(?P<name>[a-z_]+)\{(?P<labels>[^}]*)\} (?P<value>\S+)", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')
PAGE = Page(ROOT / "docs" / "daemons.md")


class Figure(NamedTuple):
    """One figure of a container, as the agent of its node says it."""

    name: str
    container: str
    value: float


@pytest.fixture(scope="module")
def daemons(region: Region, admin: TerminalUser) -> Iterator[str]:
    """What `up` said of the daemons. They and the wish for them go, because other stories share the region."""
    yield region.run("region", "up", "--daemons", "--no-example").stderr
    for name in (AGENT, SHIPPER):
        admin.pin("admin", "daemon", "delete", name, "--yes")
    region.run("region", "up", "--no-daemons", "--no-example")
    region.eventually("no copy is left", lambda: not any(copies(region, name) for name in (AGENT, SHIPPER)))


def copies(region: Region, daemon: str) -> dict[str, Pod]:
    """The copies of a daemon by member."""
    found: dict[str, Pod] = {}
    for name, member in region.members.items():
        for pod in member.list(PODS, labels.DAEMONS_NAMESPACE, f"{labels.DAEMON}={daemon}"):
            found[name] = pod
    return found


def scraped(copy: Pod) -> str:
    with urllib.request.urlopen(f"http://{copy.status.pod_ip}:{AGENT_PORT}/metrics", timeout=ANSWER) as answer:
        return answer.read().decode()


def figures(text: str, project: str, pod: str) -> list[Figure]:
    """The figures of a pod's containers."""
    found: list[Figure] = []
    for sample in SAMPLE.finditer(text):
        of = dict(LABEL.findall(sample["labels"]))
        if (of.get("namespace"), of.get("pod")) == (project, pod):
            found.append(Figure(sample["name"], of["container"], float(sample["value"])))
    return found


def shipped(region: Region, member: str, project: str, pod: Pod, container: str) -> list[str]:
    """The lines that the shipper of a member's node has kept of a container."""
    (node,) = (each for each in region.layout.spec.members if each.name == member)
    pods = region.layout.node_dir(node) / "project-logs" / project
    folder = pods / f"{pod.metadata.name}_{pod.metadata.uid}" / container
    return [line for file in sorted(folder.glob("*.log")) for line in file.read_text().splitlines()]


def test_both_daemons_are_ready_on_every_node_and_the_status_is_as_the_page_shows(
    region: Region, admin: TerminalUser, daemons: str
) -> None:
    assert f"{AGENT} and {SHIPPER} come to every node" in daemons

    def done(name: str) -> bool:
        found = json.loads(admin.pin("admin", "daemon", "status", name, "-o", "json").out)
        return (found["state"], found["nodes"], found["ready"]) == ("Complete", 3, 3)

    for name in (AGENT, SHIPPER):
        region.eventually(f"{name} is ready on every node", lambda name=name: done(name))
        assert len(copies(region, name)) == len(region.members)
    block = next(each for each in PAGE.blocks if any(AGENT in command.text for command in each.commands))
    shown = [command for command in block.commands if command.text.startswith("pin ")]
    assert [command.text.split()[3] for command in shown] == ["list", "status"]
    for command in shown:
        printed = admin.pin(*shlex.split(command.text)[1:]).out
        assert docs_output.matches(command.output, printed), f"`{command.text}` printed\n{printed}"


def test_figures_and_lines_of_an_app_stand_under_its_project(
    region: Region, dev: TerminalUser, shop: str, daemons: str
) -> None:
    dev.write("talker.yaml", talker())
    dev.pin("deploy", "-f", "talker.yaml")
    agents = copies(region, AGENT)
    for placed in region.pods(shop, "talker"):
        name, member = placed.pod.metadata.name, placed.cluster

        def measured(name: str = name, member: str = member) -> set[tuple[str, str]]:
            found = figures(scraped(agents[member]), shop, name)
            return {(each.name, each.container) for each in found if each.value > 0}

        for container in ("web", "side"):
            wanted = {("container_cpu_usage_seconds_total", container), ("container_memory_working_set_bytes", container)}
            region.eventually(
                f"the agent in {member} measures {container} of {name}", lambda wanted=wanted: wanted <= measured()
            )
            region.eventually(
                f"the shipper in {member} has lines of {container} of {name}",
                lambda placed=placed, container=container: any(
                    line.endswith("stdout F tick 1") for line in shipped(region, placed.cluster, shop, placed.pod, container)
                ),
            )
