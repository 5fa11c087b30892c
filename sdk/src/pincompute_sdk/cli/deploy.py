"""`pin deploy`: shows the plan, sends it, and shows the progress in each zone until all replicas run."""

from __future__ import annotations

import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import options, plan_view, prompt, status_tree, target
from pincompute_sdk.cli import wait as wait_
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import NOT_FOUND, USAGE
from pincompute_sdk.cli.list_command import view_of
from pincompute_sdk.cli.live_view import Picture
from pincompute_sdk.cli.manifest import manifest_file, manifest_validation
from pincompute_sdk.cli.manifest.manifest_file import Manifest
from pincompute_sdk.cli.options import ANYWHERE, OutputOption, Reason, Seconds, Where, Yes
from pincompute_sdk.cli.output import formats, human_values, terminal
from pincompute_sdk.core.errors import InvalidError, NotFoundError
from pincompute_sdk.generated.kinds import KINDS, Kind, Workload

if TYPE_CHECKING:
    from pincompute_sdk.client import Client
    from pincompute_sdk.generated.kinds import WorkloadsResource
    from pincompute_sdk.generated.models import Difference

REMOVED = re.compile(r"containers(?:\.|\[)(?P<name>[^.\]]+)\]?$")
SHOWN = 20  # projects named in a message


def deploy(
    path: Annotated[Path | None, Parameter(help="The same as --file.")] = None,
    /,
    *,
    file: Annotated[Path | None, Parameter(name=["--file", "-f"], help="Default: the nearest app.yaml, here or above.")] = None,
    wait: Annotated[bool, Parameter(help="Follow it until it runs.", negative="--detach")] = True,
    dry_run: Annotated[bool, Parameter(negative="", help="Let the server check everything, and change nothing.")] = False,
    diff: Annotated[bool, Parameter(negative="", help="Only show what would change.")] = False,
    timeout: Annotated[Seconds, Parameter(help="How long to wait: 90s, 10m, or seconds.", show_default=True)] = 600,
    yes: Yes = False,
    reason: Reason = "",
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> None:
    """Show the plan, carry it out, and follow it zone by zone."""
    formats.check(output)
    if path and file:
        raise CommandError("two files are named", remedy="name one file: a deploy has one workload", code=USAGE)
    manifest = manifest_file.load(path or file or manifest_file.nearest(Path.cwd()))
    manifest_validation.check(manifest)
    with options.client(where) as pin:
        project = where.project or str(manifest.data.get("project", "")) or options.project(pin.context)
        wanted, name = {**manifest.data, "project": project}, str(manifest.data["name"])
        them = options.workloads(pin, _kind(str(wanted["kind"])))
        with _explained(pin, manifest, project, in_file=not where.project and "project" in manifest.data):
            planned = them.diff(project, name, wanted)
            if output == "table":
                plan_view.show(wanted, planned)
            if diff:
                return
            if not (dry_run or yes):
                _confirm(planned, project, name)
            if planned.creates:
                written = them.create(project, wanted, dry_run=dry_run or None, reason=reason or None)
            else:
                written = them.replace(project, name, wanted, dry_run=dry_run or None, reason=reason or None)
        if dry_run:
            _said(written.item, output, f"{written.message}\nchecked by the server; nothing was changed")
        elif wait:
            with wait_.interruptible("the deploy", target.typed(written.item)):
                _follow(them, written.item, timeout, output)
        else:
            _said(
                written.item, output, f"{written.message}; `pin status {target.typed(written.item)} --watch` shows the progress"
            )


def _kind(name: str) -> Kind:
    return next(kind for kind in KINDS.values() if kind.name == name)


def _confirm(planned: Difference, project: str, name: str) -> None:
    """Asks when a container disappears: the name may be that of another app."""
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


def _follow(them: WorkloadsResource, written: Workload, timeout: float, output: str) -> None:
    app = written
    with Picture() as picture:
        for app in wait_.versions(them, written.project, written.name, timeout):
            if output == "table":
                picture.draw(status_tree.lines(app, ()))
            if wait_.settled(app):
                _said(app, output, f"{app.name} runs: {status_tree.wanted(app)} of {status_tree.wanted(app)} ready")
                return
            if wait_.ended(app):
                _said(app, output, f"{app.name} has succeeded")
                return
    raise wait_.late(app, timeout, wait_.earlier_revisions(them, app))


def _said(app: Workload, output: str, sentence: str) -> None:
    if output == "table":
        terminal.out(sentence)
    else:
        formats.one(view_of(target.kind_of(app)), app, output)
