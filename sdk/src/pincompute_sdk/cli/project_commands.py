"""`pin project`: list, create, use, and who may do what there."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from pincompute_sdk.cli import help_pages, options
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.cli.options import ANYWHERE, OutputOption, Reason, Where
from pincompute_sdk.cli.output import formats, terminal
from pincompute_sdk.cli.output.formats import ResourceView
from pincompute_sdk.cli.output.human_values import age
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.core import configuration
from pincompute_sdk.core.errors import NotFoundError
from pincompute_sdk.generated.models import Project, ProjectMember

app = help_pages.group("project")

PROJECTS: ResourceView[Project] = ResourceView(
    kind="project",
    columns=(
        TableColumn("name", lambda p: p.name),
        TableColumn("state", lambda p: "Ready" if p.status and p.status.ready else "Pending", state=True),
        TableColumn("members", lambda p: str(len(p.members))),
        TableColumn("age", lambda p: age(p.created)),
        TableColumn("description", lambda p: p.description or (p.status.message if p.status else ""), long=True),
    ),
    name=lambda p: p.name,
    nothing="no projects; `pin project create NAME` creates one",
)
MEMBERS: ResourceView[ProjectMember] = ResourceView(
    kind="member",
    columns=(TableColumn("name", lambda m: m.name), TableColumn("role", lambda m: m.role)),
    name=lambda m: m.name,
    nothing="no members",
)
Role = Literal["viewer", "developer", "operator", "owner"]


@app.command(name="list", alias="ls")
def list_(*, output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """Projects you may see."""
    formats.check(output)
    with options.client(where) as pin:
        formats.many(PROJECTS, list(pin.projects.iterate()), output)


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
def use(name: Annotated[str, Parameter(help="A project of `pin project list`.")], /, *, where: Where = ANYWHERE) -> None:
    """Work in this project from now on."""
    with options.client(where) as pin:
        try:
            pin.projects.get(name)
        except NotFoundError as error:
            error.remedy = f"`pin project list` shows yours, `pin project create {name}` creates it"
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
    reason: Reason = "",
    where: Where = ANYWHERE,
) -> None:
    """Give somebody a role in the project."""
    with options.client(where) as pin:
        project = options.project(pin.context)
        pin.members.replace(project, member, {"role": role}, reason=reason or None)
    terminal.out(f"{member} is {role} of project {project}")


@app.command
def revoke(
    member: Annotated[str, Parameter(help="One of `pin project members`.")], /, *, reason: Reason = "", where: Where = ANYWHERE
) -> None:
    """Take somebody's role in the project away; open streams end as well."""
    if not member:
        raise CommandError("no member is named", remedy="`pin project members` lists them", code=USAGE)
    with options.client(where) as pin:
        project = options.project(pin.context)
        pin.members.delete(project, member, reason=reason or None)
    terminal.out(f"{member} has no role of its own in project {project} any more")
