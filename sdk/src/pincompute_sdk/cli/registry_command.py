"""`pin registry`: logins at image registries, with which the apps of a project pull images."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import help_pages, near_names, options
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import NOT_FOUND
from pincompute_sdk.cli.options import ANYWHERE, OutputOption, Reason, Where
from pincompute_sdk.cli.output import formats, terminal
from pincompute_sdk.cli.output.formats import ResourceView
from pincompute_sdk.cli.output.human_values import age
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.cli.secret import read_value
from pincompute_sdk.generated.models import Secret

app = help_pages.group("registry")

LOGINS: ResourceView[Secret] = ResourceView(
    kind="registry",
    columns=(
        TableColumn("registry", lambda s: s.registry),
        TableColumn("age", lambda s: age(s.set)),
        TableColumn("set by", lambda s: s.author),
        TableColumn("used by", lambda s: ", ".join(s.used_by) or "-", long=True),
    ),
    name=lambda s: s.registry,
    nothing="no logins; `pin registry login HOST --user USER` keeps one",
)


@app.command
def login(
    host: Annotated[str, Parameter(help="The registry, for example ghcr.io.")],
    /,
    *,
    user: Annotated[str, Parameter(name=["--user", "-u"], help="Your user name there.")],
    reason: Reason = "",
    where: Where = ANYWHERE,
) -> None:
    """Keep a login at an image registry, with which apps pull images of it; the password is asked for, or read from stdin."""
    with options.client(where) as pin:
        password = read_value(f"{user}'s password at {host}", None).decode()
        project = options.project(pin.context)
        made = pin.registries.replace(project, host, {"user": user, "password": password}, reason=reason or None)
    terminal.out(f"apps of project {project} with images of {made.registry} pull them as {user}")
    if made.used_by:
        terminal.out(consequence(made))


def consequence(made: Secret) -> str:
    """Says what becomes of the apps that use the login. A first login is a new revision of theirs, a new password is none."""
    users, one = ", ".join(made.used_by), len(made.used_by) == 1
    if made.version > 1:
        return f"{users} {'uses' if one else 'use'} the new password from the next pull on; nothing restarts"
    first = made.used_by[0].removeprefix("app ").replace(" ", "/")
    roll = "rolls" if one else "roll"
    return f"{users} {roll}, because replicas name their login; `pin status {first} --watch` shows the progress"


@app.command(name="list", alias="ls")
def list_logins(*, output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """The logins of the project at image registries."""
    formats.check(output)
    with options.client(where) as pin:
        found = [each for each in pin.secrets.list(options.project(pin.context)).items if each.registry]
        formats.many(LOGINS, found, output)


@app.command
def logout(host: Annotated[str, Parameter(help="One of `pin registry list`.")], /, *, where: Where = ANYWHERE) -> None:
    """Remove a login. One that an app uses is refused."""
    with options.client(where) as pin:
        project = options.project(pin.context)
        logins = [each for each in pin.secrets.list(project).items if each.registry]
        found = next((each for each in logins if each.registry.lower() == host.lower()), None)
        if found is None:
            near = near_names.question(host, [each.registry for each in logins])
            remedy = near or "`pin registry list` shows what there is"
            raise CommandError(f"there is no login at {host}", remedy=remedy, code=NOT_FOUND)
        pin.secrets.delete(project, found.name)
    terminal.out(f"the login at {host} is removed")
