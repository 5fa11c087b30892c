"""`pin deploy`: shows the plan, sends it, and shows the progress in each zone until all replicas run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import options, plan_view, status_tree, target, wait
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.cli.list_command import view_of
from pincompute_sdk.cli.live_view import Picture
from pincompute_sdk.cli.manifest import manifest_file, manifest_validation
from pincompute_sdk.cli.options import ANYWHERE, OutputOption, Reason, Where
from pincompute_sdk.cli.output import formats
from pincompute_sdk.core.errors import InvalidError
from pincompute_sdk.generated.kinds import KINDS, Kind, Workload

if TYPE_CHECKING:
    from pincompute_sdk.generated.kinds import WorkloadsResource


def deploy(
    path: Annotated[Path | None, Parameter(help="As --file.")] = None,
    /,
    *,
    file: Annotated[Path | None, Parameter(name=["--file", "-f"], help="Default: the nearest app.yaml, here or above.")] = None,
    wait: Annotated[bool, Parameter(help="Follow it until it runs.", negative="--detach")] = True,
    dry_run: Annotated[bool, Parameter(negative="", help="Let the server check everything, and change nothing.")] = False,
    diff: Annotated[bool, Parameter(negative="", help="Only show what would change.")] = False,
    timeout: Annotated[float, Parameter(help="Seconds to wait.", show_default=True)] = 600,
    reason: Reason = "",
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> None:
    """Show the plan, carry it out, and follow it zone by zone."""
    formats.check(output)
    if path and file:
        raise CommandError("two files are named", remedy="name one: a deploy is of one workload", code=USAGE)
    manifest = manifest_file.load(path or file or manifest_file.nearest(Path.cwd()))
    manifest_validation.check(manifest)
    with options.client(where) as pin:
        project = where.project or str(manifest.data.get("project", "")) or options.project(pin.context)
        wanted, name = {**manifest.data, "project": project}, str(manifest.data["name"])
        them = options.workloads(pin, _kind(str(wanted["kind"])))
        try:
            planned = them.diff(project, name, wanted)
            if output == "table":
                plan_view.show(wanted, planned)
            if diff:
                return
            if planned.creates:
                written = them.create(project, wanted, dry_run=dry_run or None, reason=reason or None)
            else:
                written = them.replace(project, name, wanted, dry_run=dry_run or None, reason=reason or None)
        except InvalidError as error:
            raise manifest_validation.located(manifest, error) from error
        if dry_run:
            _said(written.item, output, f"{written.message}\nchecked by the server; nothing was changed")
        elif wait:
            _follow(them, project, written.item, timeout, output)
        else:
            _said(written.item, output, f"{written.message}; `pin status {target.typed(written.item)} --watch` shows how")


def _kind(name: str) -> Kind:
    return next(kind for kind in KINDS.values() if kind.name == name)


def _follow(them: WorkloadsResource, project: str, written: Workload, timeout: float, output: str) -> None:
    app = written
    with Picture() as picture:
        for app in wait.versions(them, project, written.name, timeout):
            if output == "table":
                picture.draw(status_tree.lines(app, ()))
            if wait.settled(app):
                _said(app, output, f"{app.name} runs: {status_tree.wanted(app)} of {status_tree.wanted(app)} ready")
                return
            if wait.ended(app):
                _said(app, output, f"{app.name} has ended well")
                return
    raise wait.late(app, timeout)


def _said(app: Workload, output: str, sentence: str) -> None:
    if output == "table":
        sys.stdout.write(sentence + "\n")
    else:
        formats.one(view_of(target.kind_of(app)), app, output)
