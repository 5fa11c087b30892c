"""`pin admin daemon`: programs of the platform with one copy per node, and how another version reaches the nodes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pincompute_sdk.cli import checked_deletion, help_pages, options, status_tree
from pincompute_sdk.cli.checked_deletion import DeletableKind
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import FAILURE, TIMEOUT, USAGE
from pincompute_sdk.cli.live_view import Picture
from pincompute_sdk.cli.manifest import manifest_file
from pincompute_sdk.cli.options import ANYWHERE, WAIT, OutputOption, Reason, WaitOptions, Where, Yes
from pincompute_sdk.cli.output import formats, terminal
from pincompute_sdk.cli.output.formats import ResourceView
from pincompute_sdk.cli.output.human_values import age, count
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.cli.status_tree import TreeLine
from pincompute_sdk.generated.models import Daemon, DaemonZone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pincompute_sdk.client import Client

PACE = 1.0  # seconds between two looks at a rollout
FAILED = ("RolledBack", "Held")
ENDED = ("Complete", "Paused", *FAILED)  # nothing more happens until somebody, or something, changes
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
    name, spec = _read(file)
    with options.client(where) as pin:
        made = pin.admin.put_daemons_one(name, spec, reason=reason or None)
        return _followed(pin, made, wait, output)


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
        _show(pin.admin.get_daemons_one(name), output)


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
        return _followed(pin, made, wait, output)


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


def _read(file: Path) -> tuple[str, dict[str, Any]]:
    """Returns the name of the daemon in the file, and what is written of it."""
    manifest = manifest_file.load(file)
    given = dict(manifest.data)
    kind, name = given.pop("kind", None), given.pop("name", None)
    if kind != "Daemon":
        raise CommandError(f"{manifest.at('kind')}: this is not a daemon", remedy="write `kind: Daemon`", code=USAGE)
    if not isinstance(name, str) or not name:
        raise CommandError(f"{manifest.at('name')}: the daemon has no name", remedy="write `name: log-shipper`", code=USAGE)
    return name, given


def _followed(pin: Client, made: Daemon, wait: WaitOptions, output: str) -> int:
    """Follows a rollout until it is done. Returns the exit code: that of a failure when the version went back, or holds."""
    end = time.monotonic() + wait.timeout
    found = made
    with Picture() as picture:
        while wait.wait and found.state not in ENDED:
            if time.monotonic() > end:
                remedy = f"the rollout continues; `pin admin daemon status {made.name}` shows it"
                raise CommandError(f"daemon {made.name} is not done after {wait.timeout:.0f} s", remedy=remedy, code=TIMEOUT)
            time.sleep(PACE)
            found = pin.admin.get_daemons_one(made.name)
            if output == "table":
                picture.draw(list(_lines(found)))
    _show(found, output)
    return FAILURE if found.state in FAILED else 0


def _show(found: Daemon, output: str) -> None:
    if output not in ("table", "wide"):
        formats.one(DAEMONS, found, output)
        return
    status_tree.write(list(_lines(found)))


def _lines(found: Daemon) -> Iterator[TreeLine]:
    present = f"  zone {found.zone}" if found.state in ("Progressing", "RollingBack") and found.zone else ""
    state = (found.state, terminal.style_of(found.state))
    yield TreeLine(
        "", ((found.name, "bold"), ("  ", ""), state, (f"  {found.updated}/{found.nodes} nodes updated{present}", ""))
    )
    yield TreeLine("", ((f"version {found.revision} · {found.spec.container.image} · {_requests(found)}", "dim"),))
    if found.stable and found.stable != found.revision:
        yield TreeLine("", ((f"before: version {found.stable} · {found.stable_image}", "dim"),))
    if found.message:
        yield TreeLine("", ((found.message, "yellow"),))
    for number, zone in enumerate(found.zones):
        yield TreeLine("└─ " if number == len(found.zones) - 1 else "├─ ", _zone(zone))
    for each in found.history:
        yield TreeLine("", ((f"former: version {each.revision} · {each.image}", "dim"),))


def _requests(found: Daemon) -> str:
    container = found.spec.container
    return f"cpu {container.cpu} and memory {container.memory} on each node"


def _zone(zone: DaemonZone) -> tuple[tuple[str, str], ...]:
    done = zone.updated == zone.nodes == zone.ready
    parts = [(f"{zone.zone}  ", "bold"), (status_tree.bar(zone.updated, zone.nodes), "green" if done else "yellow")]
    parts.append((f"  {count(zone.nodes, 'node')}, {zone.updated} updated, {zone.ready} ready", ""))
    if zone.unreachable:
        parts.append(("  does not answer: last known figures", "red"))
    if zone.message:
        parts.append((f"  {zone.message}", "yellow"))
    return tuple(parts)
