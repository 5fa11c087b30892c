"""Every command and every program on the pages of the documentation does what the page says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from docs_pages import Block, Page, pages
from docs_terminal import PageTerminal
from live_region import Region
from msgspec import structs
from pincompute_sdk.core import configuration
from pincompute_sdk.core.configuration import Configuration
from story_manifests import example
from terminal_user import TerminalUser

from pincompute.api.builtin import PODS
from pincompute.api.labels import APP
from pincompute.api.projects import PROJECTS
from pincompute.api.workloads import PINAPPS, PINPODS

pytestmark = pytest.mark.alone

RUN = tuple(page for page in pages() if any(block.runs for block in page.blocks))
DEMO = "demo"  # the project of the reader, with examples/hello in it


@pytest.fixture
def reader(region: Region, users: dict[str, TerminalUser]) -> Iterator[dict[str, TerminalUser]]:
    """Users whose project is demo, where hello runs, and dev's only one; what a page leaves behind goes."""
    projects = {project.metadata.name for project in region.host.list(PROJECTS)}
    before = {name: use(user, DEMO) for name, user in users.items()}
    region.apply(example(DEMO))
    region.eventually("what the page before left in demo is gone", lambda: gone(region))
    region.settled(DEMO, "hello")
    region.eventually("dev is in no other project", lambda: seen_by(users["dev"]) == [DEMO])
    yield users
    for name, user in users.items():
        use(user, before[name])
    for project in region.host.list(PROJECTS):
        if project.metadata.name not in projects:
            region.delete(PROJECTS.kind, "", project.metadata.name)
    for kind, name in left_behind(region):
        region.delete(kind, DEMO, name)
    region.apply(example(DEMO))


def seen_by(user: TerminalUser) -> list[str]:
    """The projects of a user; `pin login` says which one it uses where there is one only."""
    with user.client() as pin:
        return [project.name for project in pin.projects.list().items]


def left_behind(region: Region) -> list[tuple[str, str]]:
    """Kind and name of every workload in demo but hello."""
    found = [(kind.kind, obj.metadata.name) for kind in (PINAPPS, PINPODS) for obj in region.host.list(kind, DEMO)]
    return [each for each in found if each[1] != "hello"]


def gone(region: Region) -> bool:
    """Whether nothing is left; pods on their way out need not take their time."""
    left = left_behind(region)
    for member in region.members.values():
        for pod in (pod for _, name in left for pod in member.list(PODS, DEMO, f"{APP}={name}") if pod.deleting):
            member.request("DELETE", PODS.path(DEMO, pod.metadata.name), gracePeriodSeconds="0")
    return not left


def use(user: TerminalUser, project: str) -> str:
    """As `pin project use` does, without a process; returns the project in use before."""
    before = user.context().project

    def used(stored: Configuration) -> Configuration:
        context = structs.replace(stored.contexts[stored.current], project=project)
        return structs.replace(stored, contexts={**stored.contexts, stored.current: context})

    configuration.change(user.home / ".config" / "pincompute" / "config.yaml", used)
    return before


def wrong(terminal: PageTerminal, page: Page, block: Block) -> Iterator[str]:
    """What a block does other than the page says, with its line."""
    if block.program and (problem := terminal.run_program(block, block.user)):
        yield f"{page.name}:{block.line}: the program {problem}"
    for command in block.commands:
        if problem := terminal.run(command, block.user):
            yield f"{page.name}:{command.line}: `{command.text}` {problem}"


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_a_page_does_what_it_says(region: Region, reader: dict[str, TerminalUser], tmp_path: Path, page: Page):
    """Each command that does not is named with its line."""
    logs_in = any(command.text.startswith("pin login") for block in page.blocks if block.runs for command in block.commands)
    found: list[str] = []
    with PageTerminal(region, reader, tmp_path, logged_in=not logs_in).opened() as terminal:
        for block in page.blocks:
            if block.file:
                terminal.show_file(block)
            elif block.runs:
                found += wrong(terminal, page, block)
    if found:
        pytest.fail("\n\n".join(found), pytrace=False)
