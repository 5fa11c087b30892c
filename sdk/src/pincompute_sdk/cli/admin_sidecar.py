"""`pin admin sidecar`: containers of the platform in users' pods, and how another version reaches them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import checked_deletion, help_pages, options, platform_program
from pincompute_sdk.cli.checked_deletion import DeletableKind
from pincompute_sdk.cli.options import ANYWHERE, WAIT, OutputOption, Reason, WaitOptions, Where, Yes
from pincompute_sdk.cli.output import formats, terminal
from pincompute_sdk.cli.output.formats import ResourceView
from pincompute_sdk.cli.output.human_values import age
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.cli.platform_program import ProgramKind
from pincompute_sdk.cli.status_tree import TreeLine
from pincompute_sdk.generated.models import Sidecar

if TYPE_CHECKING:
    from collections.abc import Iterator

SidecarName = Annotated[str, Parameter(help="A sidecar.")]
sidecar = help_pages.inner_group(
    "admin", "sidecar", "Containers of the platform in users' pods: apply, list, status, pause, resume, rollback, delete."
)
SIDECARS: ResourceView[Sidecar] = ResourceView(
    kind="sidecar",
    columns=(
        TableColumn("name", lambda s: s.name),
        TableColumn("state", lambda s: s.state, state=True),
        TableColumn("pods", lambda s: str(s.pods)),
        TableColumn("updated", lambda s: f"{s.updated} of {s.pods}"),
        TableColumn("since", lambda s: age(s.since)),
        TableColumn("paid by", lambda s: s.spec.paid_by),
        TableColumn("image", lambda s: s.spec.container.image, long=True),
        TableColumn("message", lambda s: s.message, long=True),
    ),
    name=lambda s: s.name,
    nothing="no sidecars",
)


@sidecar.command
def apply(
    *,
    file: Annotated[Path, options.PATH, Parameter(name=["--file", "-f"], help="A file with `kind: Sidecar`.")],
    wait: WaitOptions = WAIT,
    reason: Reason = "",
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> int:
    """Create a sidecar, or change it; another image reaches the pods step by step."""
    formats.check(output)
    name, spec = KIND.read(file)
    with options.client(where) as pin:
        made = pin.admin.put_sidecars_one(name, spec, reason=reason or None)
        return KIND.follow(pin, made, wait, output)


@sidecar.command(name="list")
def list_(*, output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """Every sidecar: its image, and how many pods have it."""
    formats.check(output)
    with options.client(where) as pin:
        formats.many(SIDECARS, pin.admin.sidecars().items, output)


@sidecar.command
def status(name: SidecarName, /, *, output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """Which pods have which version, by zone, and who uses it."""
    formats.check(output)
    with options.client(where) as pin:
        KIND.show(pin.admin.get_sidecars_one(name), output)


@sidecar.command
def pause(name: SidecarName, /, *, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """Pods keep the version that they have."""
    with options.client(where) as pin:
        pin.admin.sidecars_pause(name, reason=reason or None)
    terminal.out(f"sidecar {name} is paused; `pin admin sidecar resume {name}` goes on")


@sidecar.command
def resume(name: SidecarName, /, *, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """The rollout goes on."""
    with options.client(where) as pin:
        pin.admin.sidecars_resume(name, reason=reason or None)
    terminal.out(f"sidecar {name} is resumed; `pin admin sidecar status {name}` shows it")


@sidecar.command
def rollback(
    name: SidecarName,
    /,
    *,
    wait: WaitOptions = WAIT,
    reason: Reason = "",
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> int:
    """Bring back the version that served before."""
    formats.check(output)
    with options.client(where) as pin:
        return KIND.follow(pin, pin.admin.sidecars_rollback(name, reason=reason or None), wait, output)


@sidecar.command
def delete(name: SidecarName, /, *, yes: Yes = False, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """Delete a sidecar that no workload has; one that is in use is refused, with the names of its users."""
    with options.client(where) as pin:

        def call(name: str, *, dry_run: bool) -> Sidecar:
            return pin.admin.delete_sidecars_one(name, dry_run=dry_run or None, reason=reason or None)

        def names() -> Iterator[str]:
            return (each.name for each in pin.admin.sidecars().items)

        DeletableKind(names, call, "pin admin sidecar list").check(name)
        checked_deletion.ask(f"Delete sidecar {name}?", yes=yes)
        call(name, dry_run=False)
    terminal.out(f"sidecar {name} is being deleted")


def _lines(found: Sidecar) -> Iterator[TreeLine]:
    step = f"  step {min(found.step + 1, found.steps)} of {found.steps}" if found.state == "Progressing" else ""
    progress = f"{found.updated}/{found.pods} pods updated{step}"
    yield from platform_program.head(found, progress, found.spec.container.image, _requests(found))
    for row in found.zones:
        done = row.updated == row.pods
        yield platform_program.branch(row, row.pods, "pod", last=row is found.zones[-1], done=done)
    if found.users:
        more = " and others" if len(found.users) >= 10 else ""
        yield TreeLine("", ((f"used by {', '.join(found.users)}{more}", "dim"),))


def _requests(found: Sidecar) -> str:
    container = found.spec.container
    payer = "each project" if found.spec.paid_by == "Project" else "the platform"
    return f"cpu {container.cpu} and memory {container.memory} in each pod, paid by {payer}"


KIND: ProgramKind[Sidecar] = ProgramKind(SIDECARS, "metrics", lambda pin, name: pin.admin.get_sidecars_one(name), _lines)
