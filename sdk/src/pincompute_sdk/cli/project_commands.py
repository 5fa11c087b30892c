"""`pin project`: list, create, use, delete, and who may do what there."""

from __future__ import annotations

import difflib
import time
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from cyclopts import Parameter

from pincompute_sdk.cli import help_pages, near_names, options, prompt
from pincompute_sdk.cli import wait as wait_
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import TIMEOUT, USAGE
from pincompute_sdk.cli.live_view import Picture
from pincompute_sdk.cli.options import ANYWHERE, OutputOption, Reason, Seconds, Where, Yes
from pincompute_sdk.cli.output import formats, terminal
from pincompute_sdk.cli.output.formats import ResourceView
from pincompute_sdk.cli.output.human_values import age
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.cli.status_tree import TreeLine
from pincompute_sdk.core import configuration
from pincompute_sdk.core.errors import NotFoundError
from pincompute_sdk.generated.models import LimitUse, Project, ProjectMember

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pincompute_sdk.client import Client
    from pincompute_sdk.generated.models import RemainingNamespace

app = help_pages.group("project")


def level(project: Project) -> str:
    """The level of Pod Security that holds now, and its end if it is a lowered one."""
    holds = project.status.pod_security if project.status else "restricted"
    until = project.pod_security.until if project.pod_security else ""
    return f"{holds} until {until}" if holds != "restricted" and until else holds


def _state(project: Project) -> str:
    if project.deleting:
        return "Deleting"
    return "Ready" if project.status and project.status.ready else "Pending"


def _description(project: Project) -> str:
    """What it is for, or what happens to it; of one that is being deleted, what the deletion waits for."""
    told = project.status.message if project.status else ""
    return told if project.deleting or not project.description else project.description


PROJECTS: ResourceView[Project] = ResourceView(
    kind="project",
    columns=(
        TableColumn("name", lambda p: p.name),
        TableColumn("state", _state, state=True),
        TableColumn("members", lambda p: str(len(p.members))),
        TableColumn("pod security", level),
        TableColumn("age", lambda p: age(p.created)),
        TableColumn("description", _description, long=True),
    ),
    name=lambda p: p.name,
    nothing="no projects; `pin project create NAME` creates one",
)
LIMITS: ResourceView[LimitUse] = ResourceView(
    kind="limit",
    columns=(
        TableColumn("limit", lambda use: use.name),
        TableColumn("used", lambda use: use.used),
        TableColumn("allowed", lambda use: use.allowed),
        TableColumn("set by", lambda use: "default" if use.default else "an administrator"),
    ),
    name=lambda use: use.name,
    nothing="no limits",
)
MEMBERS: ResourceView[ProjectMember] = ResourceView(
    kind="member",
    columns=(TableColumn("name", lambda m: m.name), TableColumn("role", lambda m: m.role)),
    name=lambda m: m.name,
    nothing="no members",
)
GROUP = "group:"
MOST_PROJECTS = 2000  # in which a name is looked for
Role = Literal["viewer", "developer", "operator", "owner"]


@app.command(name="list", alias="ls")
def list_(*, output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """Projects you may see."""
    formats.check(output)
    with options.client(where) as pin:
        formats.many(PROJECTS, list(pin.projects.iterate()), output)


@app.command
def get(
    name: Annotated[str, Parameter(help="A project, as in pin project list.")],
    /,
    *,
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> None:
    """One project, with its limits and what is used of them."""
    formats.check(output)
    people = output in ("table", "wide")
    with options.client(where) as pin:
        with near_names.explained(name, lambda: _names(pin), "pin project list"):
            found = pin.projects.get(name)
        uses = pin.limits.list(name).items if people else ()
    if people:
        formats.many(PROJECTS, [found], output)
        terminal.out("")
        formats.many(LIMITS, uses, output)
    else:
        formats.one(PROJECTS, found, output)


@app.command
def limits(
    name: Annotated[str, Parameter(help="A project. Default: the current project.")] = "",
    /,
    *,
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> None:
    """What a project may use, and what it uses."""
    formats.check(output)
    with options.client(where) as pin:
        formats.many(LIMITS, pin.limits.list(name or options.project(pin.context)).items, output)


@app.command
def create(
    name: Annotated[str, Parameter(help="Its name: lower-case letters, digits and '-'.")],
    /,
    *,
    description: Annotated[str, Parameter(help="What it is for.")] = "",
    reason: Reason = "",
    where: Where = ANYWHERE,
) -> None:
    """Create a project; you are its owner."""
    with options.client(where) as pin:
        made = pin.projects.create({"kind": "Project", "name": name, "description": description}, reason=reason or None)
    terminal.out(f"{made.message}; `pin project use {name}` works in it")


@app.command
def delete(
    name: Annotated[str, Parameter(help="A project, as in pin project list.")],
    /,
    *,
    workloads: Annotated[
        bool, Parameter(negative="", help="Delete its apps and units too; without this a project that has some is refused.")
    ] = False,
    yes: Yes = False,
    wait: Annotated[bool, Parameter(negative="", help="Wait until no zone holds anything of it.")] = False,
    timeout: Annotated[Seconds, Parameter(help="How long to wait: 90s, 10m, or seconds.", show_default=True)] = 300,
    reason: Reason = "",
    where: Where = ANYWHERE,
) -> None:
    """Delete a project with its secrets and volumes in all zones; its history is for administrators from then on."""
    with options.client(where) as pin:
        with near_names.explained(name, lambda: _names(pin), "pin project list"):
            pin.projects.delete(name, dry_run=True, workloads=workloads or None, reason=reason or None)
        question = f"Delete project {name} with its secrets and volumes{' and all its workloads' if workloads else ''}?"
        if not yes and not prompt.typed(question, name):
            raise CommandError("nothing was deleted", remedy=f"type {name}, or add --yes")
        accepted = pin.projects.delete(name, workloads=workloads or None, reason=reason or None)
        if not wait:
            terminal.out(f"{accepted.message}; `pin project list` shows it until it is gone")
            return
        with wait_.interruptible("the deletion", name, "pin project list"):
            _follow_deletion(pin, name, timeout)
    terminal.out(f"project {name} is deleted")


def _names(pin: Client) -> Iterator[str]:
    return (project.name for project in islice(pin.projects.iterate(), MOST_PROJECTS))


def _follow_deletion(pin: Client, name: str, timeout: float) -> None:
    """Shows what is left in each zone until nothing is, or until the time is over."""
    end, last = time.monotonic() + timeout, ""
    try:
        with Picture() as picture:
            while time.monotonic() < end:
                status = pin.projects.get(name).status
                left = status.remaining if status else ()
                head = TreeLine("", ((f"project {name}", "bold"), ("  is being deleted", "")))
                picture.draw((head, *(TreeLine("  ", ((f"{_place(row)}: {row.message}", ""),)) for row in left)))
                last = status.message if status else ""
                time.sleep(wait_.PACE)
    except NotFoundError:
        return
    remedy = f"the deletion continues; `pin project list` shows what it waits for, and when {name} is gone"
    raise CommandError(f"project {name} still exists after {timeout:.0f} s", reason=last, remedy=remedy, code=TIMEOUT)


def _place(row: RemainingNamespace) -> str:
    return f"zone {row.zone}" if row.zone else "the host"


@app.command
def use(name: Annotated[str, Parameter(help="A project, as in pin project list.")], /, *, where: Where = ANYWHERE) -> None:
    """Work in this project from now on."""
    with options.client(where) as pin:
        try:
            pin.projects.get(name)
        except NotFoundError as error:
            near = near_names.question(name, _names(pin))
            error.remedy = near or f"`pin project list` shows yours, `pin project create {name}` creates it"
            raise
        used = pin.context
    at = configuration.path()
    called = where.context or configuration.load(at).current or "default"

    def chosen(before: configuration.Configuration) -> configuration.Configuration:
        base = before.contexts.get(called) or configuration.Context(server=used.server, ca=used.ca)
        contexts = {**before.contexts, called: msgspec.structs.replace(base, project=name)}
        return configuration.Configuration(current=before.current or called, contexts=contexts)

    configuration.change(at, chosen)
    terminal.out(f"project {name} (context {called})")


@app.command
def members(
    name: Annotated[str, Parameter(help="A project. Default: the current project.")] = "",
    /,
    *,
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> None:
    """Who may do what in a project."""
    formats.check(output)
    with options.client(where) as pin:
        formats.many(MEMBERS, pin.members.list(name or options.project(pin.context)).items, output)


@app.command
def grant(
    member: Annotated[str, Parameter(help="A user, or group:NAME.")],
    role: Annotated[
        Role,
        Parameter(help="viewer reads, developer changes, operator also restarts and opens shells, owner also manages members."),
    ],
    /,
    *,
    yes: Yes = False,
    reason: Reason = "",
    where: Where = ANYWHERE,
) -> None:
    """Give somebody a role in the project; asks about a name that you know from nowhere."""
    if not member:
        raise CommandError("no member is named", remedy="name a user, or group:NAME", code=USAGE)
    with options.client(where) as pin:
        project = options.project(pin.context)
        if not yes:
            prompt.doubt(_unknown(pin, member), f"Give {member} the role {role}?", "correct the name, or add --yes")
        pin.members.replace(project, member, {"role": role}, reason=reason or None)
    terminal.out(f"{member} is {role} of project {project}")


def _unknown(pin: Client, name: str) -> tuple[str, ...]:
    """A sentence about a name that is nobody's, as far as the caller can see. The server cannot ask an issuer for names."""
    known = {member.name for project in islice(pin.projects.iterate(), MOST_PROJECTS) for member in project.members}
    session = pin.session.get()
    known |= {session.name, *(f"{GROUP}{group}" for group in session.groups)}
    if name in known:
        return ()
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.75)
    if not name.startswith(GROUP) and f"{GROUP}{name}" in known:
        near = [f"{GROUP}{name}"]
    meant = f"; did you mean {near[0]}?" if near else ""
    what = "no group" if name.startswith(GROUP) else "nobody"
    return (f"{what} named {name} is a member of any project that you see{meant}",)


@app.command
def revoke(
    member: Annotated[str, Parameter(help="One of `pin project members`.")], /, *, reason: Reason = "", where: Where = ANYWHERE
) -> None:
    """Take somebody's role in the project away; open streams end as well."""
    if not member:
        raise CommandError("no member is named", remedy="`pin project members` lists them", code=USAGE)
    with options.client(where) as pin:
        project = options.project(pin.context)
        with near_names.explained(
            member, lambda: (each.name for each in pin.members.list(project).items), "pin project members"
        ):
            pin.members.delete(project, member, reason=reason or None)
    terminal.out(f"{member} has no role in project {project} any more{_by_group(member)}")


def _by_group(member: str) -> str:
    return "" if member.startswith(GROUP) else ", except what a group of theirs gives"
