"""`pin rollout`: revisions and what differs between them; approve the next step of an update, undo it, or begin it anew.

`pin status` draws how far an update has come.
"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import help_pages, plan_view, target
from pincompute_sdk.cli.lifecycle_commands import because, follow
from pincompute_sdk.cli.options import ANYWHERE, WAIT, OutputOption, Reason, WaitOptions, Where, Workload
from pincompute_sdk.cli.output import formats, terminal
from pincompute_sdk.cli.output.formats import ResourceView
from pincompute_sdk.cli.output.human_values import age
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.cli.wait import FollowedChange
from pincompute_sdk.cli.wait_conditions import Approved, Undone
from pincompute_sdk.generated.models import KeptRevision
from pincompute_sdk.images import image_name

app = help_pages.group("rollout")


def _state(revision: KeptRevision) -> str:
    waits = revision.present and revision.ran_well is False
    ran = "failed" if revision.failure else "ran well" if revision.ran_well else "not all ready yet" if waits else ""
    return ", ".join(filter(None, ("present" if revision.present else "", ran)))


REVISIONS: ResourceView[KeptRevision] = ResourceView(
    kind="revision",
    columns=(
        TableColumn("number", lambda r: str(r.number)),
        TableColumn("revision", lambda r: r.revision),
        TableColumn("age", lambda r: age(r.at) if r.at else ""),
        TableColumn("who", lambda r: r.author),
        TableColumn("state", _state),
        TableColumn("images", lambda r: ", ".join(map(image_name.shown, r.images)), wide=True),
        TableColumn("note", lambda r: r.note, long=True),
        TableColumn("failure", lambda r: r.failure, wide=True, long=True),
    ),
    name=lambda r: r.revision,
    nothing="no revision is kept",
)


@app.command
def history(name: Workload, /, *, output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """The present revision and those that are kept for a rollback, with numbers, authors and notes."""
    formats.check(output)
    wanted = target.whole(name)
    with target.opened(wanted, where) as (them, project):
        formats.many(REVISIONS, them.revisions(project, wanted.name).items, output)


@app.command
def diff(
    name: Workload,
    /,
    *,
    from_: Annotated[str, Parameter(name="--from", help="A number or a revision. Default: the one before.")] = "",
    to: Annotated[str, Parameter(help="A number or a revision. Default: the present one.")] = "",
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> None:
    """What differs between two revisions, field by field."""
    formats.check(output)
    wanted = target.whole(name)
    with target.opened(wanted, where) as (them, project):
        found = them.revisions_diff(project, wanted.name, from_=from_ or None, to=to or None)
    if output not in ("table", "wide"):
        formats.data(formats.plain(found), output)
        return
    between = f"revision {found.before.number} ({found.before.revision}) → {found.after.number} ({found.after.revision})"
    if not found.changes:
        terminal.out(f"{between}: nothing differs")
        return
    plan_view.change(f"{wanted.title} {project}/{wanted.name}, {between}", found.changes, "")


@app.command
def approve(name: Workload, /, *, wait: WaitOptions = WAIT, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """Let the update go on past its present step, and follow it."""
    wanted = target.whole(name)
    with target.opened(wanted, where) as (them, project):
        status = them.get(project, wanted.name).status
        done = them.approve(project, wanted.name, because(reason))
        step = status.rollout.step if status is not None and status.rollout is not None else 0
        follow(them, done, wait, FollowedChange("the update", f"pin rollout abort {wanted.typed}"), Approved(them, step=step))


@app.command
def abort(name: Workload, /, *, wait: WaitOptions = WAIT, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """Undo the update: all replicas go back to the revision before, the last zone first."""
    wanted = target.whole(name)
    with target.opened(wanted, where) as (them, project):
        done = them.abort(project, wanted.name, because(reason))
        follow(them, done, wait, FollowedChange("the rollback", f"pin rollout retry {wanted.typed}"), Undone(them))


@app.command
def retry(name: Workload, /, *, wait: WaitOptions = WAIT, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """Begin an update anew that was undone, and follow it."""
    wanted = target.whole(name)
    with target.opened(wanted, where) as (them, project):
        done = them.retry(project, wanted.name, because(reason))
        follow(them, done, wait, FollowedChange("the update", f"pin rollout abort {wanted.typed}"))
