"""`pin admin daemon`: programs of the platform with one copy per node, and how another version reaches the nodes."""

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
from pincompute_sdk.generated.models import Daemon

if TYPE_CHECKING:
    from collections.abc import Iterator

DaemonName = Annotated[str, Parameter(help="A daemon.")]
daemon = help_pages.inner_group(
    "admin", "daemon", "Programs of the platform, one copy per node: apply, list, get, pause, resume, rollback, delete."
)
DAEMONS: ResourceView[Daemon] = ResourceView(
    kind="daemon",
    columns=(
        TableColumn("name", lambda d: d.name),
        TableColumn("state", lambda d: d.state, state=True),
        TableColumn("nodes", lambda d: str(d.nodes)),
        TableColumn("ready", lambda d: f"{d.ready} of {d.nodes}"),
        TableColumn("updated", lambda d: f"{d.updated} of {d.nodes}"),
        TableColumn("since", lambda d: age(d.since)),
        TableColumn("image", lambda d: d.spec.container.image, long=True),
        TableColumn("message", lambda d: d.message, long=True),
    ),
    name=lambda d: d.name,
    nothing="no daemons",
)


@daemon.command
def apply(
    *,
    file: Annotated[Path, options.PATH, Parameter(name=["--file", "-f"], help="A file with `kind: Daemon`.")],
    wait: WaitOptions = WAIT,
    reason: Reason = "",
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> int:
    """Create a daemon, or change it; another version reaches the nodes zone by zone."""
    formats.check(output)
    name, spec = KIND.read(file)
    with options.client(where) as pin:
        made = pin.admin.put_daemons_one(name, spec, reason=reason or None)
        return KIND.follow(pin, made, wait, output)


@daemon.command(name="list")
def list_(*, output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """Every daemon: its image, and how many nodes have it."""
    formats.check(output)
    with options.client(where) as pin:
        formats.many(DAEMONS, pin.admin.daemons().items, output)


@daemon.command
def status(name: DaemonName, /, *, output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """Which nodes have which version, by zone, and to which versions a rollback can return."""
    formats.check(output)
    with options.client(where) as pin:
        KIND.show(pin.admin.get_daemons_one(name), output)


@daemon.command
def pause(name: DaemonName, /, *, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """Nodes keep the version that they have."""
    with options.client(where) as pin:
        pin.admin.daemons_pause(name, reason=reason or None)
    terminal.out(f"daemon {name} is paused; `pin admin daemon resume {name}` goes on")


@daemon.command
def resume(name: DaemonName, /, *, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """The rollout goes on."""
    with options.client(where) as pin:
        pin.admin.daemons_resume(name, reason=reason or None)
    terminal.out(f"daemon {name} is resumed; `pin admin daemon status {name}` shows it")


@daemon.command
def rollback(
    name: DaemonName,
    /,
    *,
    to: Annotated[str, Parameter(help="A version that `pin admin daemon status` lists; by default the one before.")] = "",
    wait: WaitOptions = WAIT,
    reason: Reason = "",
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> int:
    """Bring back a version that served before."""
    formats.check(output)
    with options.client(where) as pin:
        made = pin.admin.daemons_rollback(name, {"revision": to}, reason=reason or None)
        return KIND.follow(pin, made, wait, output)


@daemon.command
def delete(name: DaemonName, /, *, yes: Yes = False, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """Delete a daemon: its copies end on every node."""
    with options.client(where) as pin:

        def call(name: str, *, dry_run: bool) -> Daemon:
            return pin.admin.delete_daemons_one(name, dry_run=dry_run or None, reason=reason or None)

        def names() -> Iterator[str]:
            return (each.name for each in pin.admin.daemons().items)

        DeletableKind(names, call, "pin admin daemon list").check(name)
        checked_deletion.ask(f"Delete daemon {name}, and end its copies on every node?", yes=yes)
        call(name, dry_run=False)
    terminal.out(f"daemon {name} is being deleted")


def _lines(found: Daemon) -> Iterator[TreeLine]:
    zone = f"  zone {found.zone}" if found.state in ("Progressing", "RollingBack") and found.zone else ""
    progress = f"{found.updated}/{found.nodes} nodes updated{zone}"
    container = found.spec.container
    requests = f"cpu {container.cpu} and memory {container.memory} on each node"
    yield from platform_program.head(found, progress, container.image, requests)
    for row in found.zones:
        done = row.updated == row.nodes == row.ready
        yield platform_program.branch(row, row.nodes, "node", last=row is found.zones[-1], done=done)
    for each in found.history:
        yield TreeLine("", ((f"former: version {each.revision} · {each.image}", "dim"),))


KIND: ProgramKind[Daemon] = ProgramKind(DAEMONS, "log-shipper", lambda pin, name: pin.admin.get_daemons_one(name), _lines)
