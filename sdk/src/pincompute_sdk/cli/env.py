"""`pin env`: lists, sets and removes environment variables of an app that runs, by the same plan as a deploy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, cast

from cyclopts import Parameter

from pincompute_sdk.cli import deploy, help_pages, options, target, template_changes
from pincompute_sdk.cli.deploy import DeployWay
from pincompute_sdk.cli.options import ANYWHERE, WAIT, OutputOption, Reason, WaitOptions, Where, Workload
from pincompute_sdk.cli.output import formats
from pincompute_sdk.cli.output.formats import ResourceView
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.cli.template_changes import TemplateChanges

app = help_pages.group("env")
Container = Annotated[str, Parameter(name=["--container", "-c"], help="Of this container, if the app has several.")]


@dataclass(frozen=True, slots=True)
class ContainerVariable:
    """`value` is a text, or says where the value comes from."""

    container: str
    name: str
    value: Any


VARIABLES: ResourceView[ContainerVariable] = ResourceView(
    kind="variable",
    columns=(
        TableColumn("container", lambda v: v.container),
        TableColumn("name", lambda v: v.name),
        TableColumn("value", lambda v: spoken(v.value), long=True),
    ),
    name=lambda v: v.name,
    nothing="no variables; `pin env set APP NAME=VALUE` sets one",
)


@app.command(name="list")
def list_(name: Workload, /, *, container: Container = "", output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """Variables of each container."""
    formats.check(output)
    wanted = target.whole(name)
    with options.client(where) as pin:
        project = options.project(pin.context)
        with target.explained(pin, project, wanted):
            found = formats.plain(options.workloads(pin, wanted.kind).get(project, wanted.name))
    chosen = [template_changes.container_of(found, container, "")] if container else found["containers"]
    rows = [ContainerVariable(str(each["name"]), key, value) for each in chosen for key, value in _env(each).items()]
    formats.many(VARIABLES, rows, output)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class EnvOptions:
    """What `env set` and `env unset` have in common."""

    container: Container = ""
    wait: WaitOptions = WAIT
    dry_run: Annotated[bool, Parameter(negative="", help="Let the server check everything, and change nothing.")] = False
    reason: Reason = ""
    output: OutputOption = "table"


NO_OPTIONS = EnvOptions()


@app.command(name="set")
def set_(
    name: Workload,
    variables: Annotated[tuple[str, ...], Parameter(help="NAME=VALUE, one or more.")],
    /,
    *,
    options: EnvOptions = NO_OPTIONS,
    where: Where = ANYWHERE,
) -> None:
    """Set variables and follow the update. A value that came from a secret becomes the text."""
    _change(name, TemplateChanges(env=variables, container=options.container), options, where)


@app.command
def unset(
    name: Workload,
    variables: Annotated[tuple[str, ...], Parameter(help="Names of variables.")],
    /,
    *,
    options: EnvOptions = NO_OPTIONS,
    where: Where = ANYWHERE,
) -> None:
    """Remove variables and follow the update."""
    _change(name, TemplateChanges(unset=variables, container=options.container), options, where)


def _change(name: str, changes: TemplateChanges, chosen: EnvOptions, where: Where) -> None:
    formats.check(chosen.output)
    way = DeployWay(wait=chosen.wait, dry_run=chosen.dry_run, reason=chosen.reason, output=chosen.output)
    deploy.change(name, changes, way, where)


def _env(container: dict[str, Any]) -> dict[str, Any]:
    return container.get("env") or {}


def spoken(value: Any) -> str:
    """A text as it is; for another source, where the value comes from."""
    if not isinstance(value, dict):
        return str(value)
    source = cast("dict[str, Any]", value)
    for kind in ("secret", "config"):
        if source.get(kind):
            return f"from {kind} {source[kind]}, key {source.get('key', '?')}"
    return "from " + " ".join(f"{key} {text}" for key, text in source.items())
