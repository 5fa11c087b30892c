"""`pin admin sidecar`: containers of the platform in users' pods, and how another version reaches them."""

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
from pincompute_sdk.generated.models import Sidecar, SidecarZone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pincompute_sdk.client import Client

PACE = 1.0  # seconds between two looks at a rollout
FAILED = ("RolledBack", "Held")
ENDED = ("Complete", "AwaitingApproval", "Paused", *FAILED)  # nothing more happens until somebody, or something, changes
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
    name, spec = _read(file)
    with options.client(where) as pin:
        made = pin.admin.put_sidecars_one(name, spec, reason=reason or None)
        return _followed(pin, made, wait, output)


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
        _show(pin.admin.get_sidecars_one(name), output)


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
        return _followed(pin, pin.admin.sidecars_rollback(name, reason=reason or None), wait, output)


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


def _read(file: Path) -> tuple[str, dict[str, Any]]:
    """Returns the name of the sidecar in the file, and what is written of it."""
    manifest = manifest_file.load(file)
    given = dict(manifest.data)
    kind, name = given.pop("kind", None), given.pop("name", None)
    if kind != "Sidecar":
        raise CommandError(f"{manifest.at('kind')}: this is not a sidecar", remedy="write `kind: Sidecar`", code=USAGE)
    if not isinstance(name, str) or not name:
        raise CommandError(f"{manifest.at('name')}: the sidecar has no name", remedy="write `name: metrics`", code=USAGE)
    return name, given


def _followed(pin: Client, made: Sidecar, wait: WaitOptions, output: str) -> int:
    """Follows a rollout until it is done. Returns the exit code: that of a failure when the version went back, or holds."""
    end = time.monotonic() + wait.timeout
    found = made
    with Picture() as picture:
        while wait.wait and found.state not in ENDED:
            if time.monotonic() > end:
                remedy = f"the rollout continues; `pin admin sidecar status {made.name}` shows it"
                raise CommandError(f"sidecar {made.name} is not done after {wait.timeout:.0f} s", remedy=remedy, code=TIMEOUT)
            time.sleep(PACE)
            found = pin.admin.get_sidecars_one(made.name)
            if output == "table":
                picture.draw(list(_lines(found)))
    _show(found, output)
    return FAILURE if found.state in FAILED else 0


def _show(found: Sidecar, output: str) -> None:
    if output not in ("table", "wide"):
        formats.one(SIDECARS, found, output)
        return
    status_tree.write(list(_lines(found)))


def _lines(found: Sidecar) -> Iterator[TreeLine]:
    step = f"  step {min(found.step + 1, found.steps)} of {found.steps}" if found.state == "Progressing" else ""
    state = (found.state, terminal.style_of(found.state))
    yield TreeLine("", ((found.name, "bold"), ("  ", ""), state, (f"  {found.updated}/{found.pods} pods updated{step}", "")))
    yield TreeLine("", ((f"version {found.revision} · {found.spec.container.image} · {_requests(found)}", "dim"),))
    if found.stable and found.stable != found.revision:
        yield TreeLine("", ((f"before: version {found.stable} · {found.stable_image}", "dim"),))
    if found.message:
        yield TreeLine("", ((found.message, "yellow"),))
    for number, zone in enumerate(found.zones):
        yield TreeLine("└─ " if number == len(found.zones) - 1 else "├─ ", _zone(zone))
    if found.users:
        more = " and others" if len(found.users) >= 10 else ""
        yield TreeLine("", ((f"used by {', '.join(found.users)}{more}", "dim"),))


def _requests(found: Sidecar) -> str:
    container = found.spec.container
    payer = "each project" if found.spec.paid_by == "Project" else "the platform"
    return f"cpu {container.cpu} and memory {container.memory} in each pod, paid by {payer}"


def _zone(zone: SidecarZone) -> tuple[tuple[str, str], ...]:
    old = zone.pods - zone.updated
    parts = [(f"{zone.zone}  ", "bold"), (status_tree.bar(zone.updated, zone.pods), "green" if not old else "yellow")]
    parts.append((f"  {count(zone.pods, 'pod')}, {zone.updated} updated, {zone.ready} ready", ""))
    if zone.unreachable:
        parts.append(("  does not answer: last known figures", "red"))
    if zone.message:
        parts.append((f"  {zone.message}", "yellow"))
    return tuple(parts)
