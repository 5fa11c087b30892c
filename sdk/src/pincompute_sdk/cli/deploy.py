"""`pin deploy`: shows the plan, sends it, and shows the progress in each zone until all replicas run."""

from __future__ import annotations

import re
import sys
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pincompute_sdk.cli import doubtful_amounts, options, plan_view, progress, prompt, target, template_changes, wait_conditions
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import NOT_FOUND, USAGE
from pincompute_sdk.cli.manifest import manifest_file, manifest_validation
from pincompute_sdk.cli.manifest.manifest_file import Manifest
from pincompute_sdk.cli.options import ANYWHERE, WAIT, OutputOption, Reason, WaitOptions, Where, Yes
from pincompute_sdk.cli.output import formats, human_values, terminal
from pincompute_sdk.cli.template_changes import TemplateChanges
from pincompute_sdk.cli.wait import FollowedChange
from pincompute_sdk.cli.wait_conditions import Settled
from pincompute_sdk.core.errors import InvalidError, NotFoundError
from pincompute_sdk.generated.kinds import KINDS, Kind

if TYPE_CHECKING:
    from pincompute_sdk.client import Client
    from pincompute_sdk.generated.models import Difference

REMOVED = re.compile(r"containers(?:\.|\[)(?P<name>[^.\]]+)\]?$")
SHOWN = 20  # projects named in a message


def deploy(
    path: Annotated[
        Path | None, options.PATH, Parameter(help="The same as --file; or, with --image or --env, an app that runs.")
    ] = None,
    /,
    *,
    file: Annotated[
        Path | None, options.PATH, Parameter(name=["--file", "-f"], help="Default: the nearest app.yaml, here or above.")
    ] = None,
    image: Annotated[
        tuple[str, ...],
        Parameter(name="--image", negative="", help="[CONTAINER=]IMAGE in place of what the file or the app says."),
    ] = (),
    env: Annotated[
        tuple[str, ...], Parameter(name=["--env", "-e"], negative="", help="NAME=VALUE, a variable of the container.")
    ] = (),
    container: Annotated[str, Parameter(name=["--container", "-c"], help="The container of --env, if there are several.")] = "",
    wait: WaitOptions = WAIT,
    dry_run: Annotated[bool, Parameter(negative="", help="Let the server check everything, and change nothing.")] = False,
    diff: Annotated[bool, Parameter(negative="", help="Only show what would change.")] = False,
    yes: Yes = False,
    note: Annotated[str, Parameter(help="What the change is for. The revision keeps it (`pin rollout history`).")] = "",
    reason: Reason = "",
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> None:
    """Show the plan, carry it out, and follow it zone by zone."""
    formats.check(output)
    if path and file:
        raise CommandError("two files are named", remedy="name one file: a deploy has one workload", code=USAGE)
    changes = TemplateChanges(image, env, container=container)
    way = DeployWay(wait=wait, dry_run=dry_run, diff=diff, yes=yes, reason=reason or note, output=output)
    source = file or path or (manifest_file.nearest(Path.cwd()) if not changes else _nearest_or_none())
    if changes and source is not None and source is path and _is_app(source):
        change(str(source), changes, way, where, note)
        return
    if source is None:
        remedy = "name the app: `pin deploy APP --image IMAGE`, or a file"
        raise CommandError("there is no app.yaml here or above, and no app is named", remedy=remedy, code=USAGE)
    manifest = manifest_file.load(source)
    if changes:
        changed = changes.apply(manifest.data)
        manifest = replace(manifest, data=changed, options=changes.options(manifest.data, changed))
    manifest_validation.check(manifest)
    with options.client(where) as pin:
        project = where.project or str(manifest.data.get("project", "")) or options.project(pin.context)
        in_file = not where.project and "project" in manifest.data
        data = template_changes.noted(manifest.data, note) if note else manifest.data
        carry_out(pin, project, data, way, _explained(pin, manifest, project, in_file=in_file))
    if changes and output == "table" and not (dry_run or diff):
        terminal.err(f"note: {manifest.file} does not say this: change it there too, or its next deploy takes it back")


@dataclass(frozen=True, slots=True)
class DeployWay:
    """How a change is carried out, and how it is shown."""

    wait: WaitOptions = WAIT
    dry_run: bool = False
    diff: bool = False
    yes: bool = False
    reason: str = ""
    output: str = "table"


def change(name: str, changes: TemplateChanges, way: DeployWay, where: Where, note: str = "") -> None:
    """Changes an app that runs. It is refused when somebody else changes the app at the same time. The note of the revision
    before is not that of the next one.
    """
    wanted = target.whole(name)
    with options.client(where) as pin:
        project = options.project(pin.context)
        explained = target.explained(pin, project, wanted)
        with target.explained(pin, project, wanted):
            running = options.workloads(pin, wanted.kind).get(project, wanted.name)
        data = template_changes.noted(changes.apply(formats.plain(running)), note)
        carry_out(pin, project, data, way, explained)
    if way.output == "table" and not (way.dry_run or way.diff):
        terminal.err(f"note: the next deploy of the file of {wanted} takes this back unless the file says it, too")


def carry_out(pin: Client, project: str, data: dict[str, Any], way: DeployWay, explained: AbstractContextManager[None]) -> None:
    """Shows the plan, sends it, and follows it. `explained` surrounds the calls and says more about their errors."""
    wanted, name = {**data, "project": project}, str(data["name"])
    them, output = options.workloads(pin, _kind(str(wanted["kind"]))), way.output
    with explained:
        planned = them.diff(project, name, wanted)
        if output == "table":
            plan_view.show(wanted, planned)
        plan_view.warn(planned.warnings)
        if way.diff:
            return
        if not (way.dry_run or way.yes):
            _confirm(planned, project, name)
        if planned.creates:
            written = them.create(project, wanted, dry_run=way.dry_run or None, reason=way.reason or None)
        else:
            written = them.replace(project, name, wanted, dry_run=way.dry_run or None, reason=way.reason or None)
    app, typed = written.item, target.typed(written.item)
    effect = f"{written.message}\n" if planned.creates else ""  # of a change, the plan above has said it
    if way.dry_run:
        progress.say(app, output, f"{effect}checked by the server; nothing was changed")
    elif app.paused or app.stopped:
        progress.say(app, output, f"{effect}{wait_conditions.held(app)}")
    elif way.wait.wait:
        made = FollowedChange("the deploy", changed=planned.creates or bool(planned.changes))
        progress.follow(app, way.wait.timeout, made, Settled(them), output)
    else:
        progress.say(app, output, progress.watched(written.message, typed))


def _is_app(named: Path) -> bool:
    """Whether a name is that of an app and not of a file."""
    return named.suffix not in (".yaml", ".yml") and not named.exists()


def _nearest_or_none() -> Path | None:
    try:
        return manifest_file.nearest(Path.cwd())
    except CommandError:
        return None


def _kind(name: str) -> Kind:
    return next(kind for kind in KINDS.values() if kind.name == name)


def _confirm(planned: Difference, project: str, name: str) -> None:
    """Asks about amounts that are hardly ever meant, and when a container disappears: the name may be that of another app."""
    prompt.doubt(
        doubtful_amounts.of_changes(planned.changes), f"Deploy {project}/{name} with this?", "correct the file, or add --yes"
    )
    removed = [found["name"] for change in planned.changes if change.after is None and (found := REMOVED.match(change.field))]
    if not removed:
        return
    gone = f"{'container' if len(removed) == 1 else 'containers'} {human_values.joined(removed)}"
    if not sys.stdin.isatty():
        raise CommandError(
            f"this deploy removes {gone} of {project}/{name}, which exists already",
            reason="perhaps another app has this name; a removal needs a confirmation, and there is no terminal",
            remedy="choose another name in the file, or add --yes",
            code=USAGE,
        )
    if not prompt.confirmed(f"{project}/{name} exists already; remove {gone} from it?"):
        raise CommandError("nothing was changed", remedy="answer y, or add --yes; or choose another name in the file")


@contextmanager
def _explained(pin: Client, manifest: Manifest, project: str, *, in_file: bool) -> Generator[None]:
    """Points at the place in the file that the server refuses."""
    try:
        yield
    except InvalidError as error:
        raise manifest_validation.located(manifest, error) from error
    except NotFoundError as error:
        if _is_project(pin, project):
            raise
        raise _no_project(pin, project, manifest.at("project") if in_file else "") from error


def _is_project(pin: Client, project: str) -> bool:
    try:
        pin.projects.get(project)
    except NotFoundError:
        return False
    return True


def _no_project(pin: Client, project: str, place: str) -> CommandError:
    yours = ", ".join(found.name for found in pin.projects.list(limit=SHOWN).items) or "none"
    message = f"there is no project {project}, or you may not see it; yours: {yours}"
    remedy = f"correct the name, or `pin project create {project}`"
    return CommandError(f"{place}: {message}" if place else message, remedy=remedy, code=NOT_FOUND)
