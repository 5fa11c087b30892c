"""`pin cp`: files into a replica and out of it, as a tar archive on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import options, tar_packing, tar_unpacking, target
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import NOT_FOUND, USAGE
from pincompute_sdk.cli.options import ANYWHERE, Where
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.cli.target import WorkloadTarget
from pincompute_sdk.core.operation import Input, Operation
from pincompute_sdk.core.tar_headers import ArchiveError
from pincompute_sdk.generated import operations as op
from pincompute_sdk.generated.kinds import Kind
from pincompute_sdk.generated.models import CopyResult

if TYPE_CHECKING:
    from pincompute_sdk.client import Client

DESTINATION = (
    "The other side. A folder here gets it inside; one in a replica gets a file inside, and a folder if PATH ends in /."
)
PATIENCE = 600.0  # seconds for one archive


@dataclass(frozen=True, slots=True)
class Remote:
    """`hello/3:/etc/app.conf`."""

    target: WorkloadTarget
    path: str


def cp(
    source: Annotated[str, Parameter(help="A path here, or NAME:PATH, or NAME/REPLICA:PATH.")],
    destination: Annotated[str, Parameter(help=DESTINATION)],
    /,
    *,
    container: Annotated[str, Parameter(name=["--container", "-c"], help="The first one if not said.")] = "",
    where: Where = ANYWHERE,
) -> None:
    """Copy files: `pin cp ./conf hello/3:/etc/` or `pin cp hello:/var/log ./log`."""
    if not source or not destination:
        raise CommandError("a path is empty", remedy="write `.` for the current folder", code=USAGE)
    there, here = _remote(destination), _remote(source)
    if there is not None and here is not None:
        remedy = f"copy it here first: `pin cp {source} FILE`, then `pin cp FILE {destination}`"
        raise CommandError("both sides are in replicas", remedy=remedy, code=USAGE)
    if there is None and here is None:
        remedy = "write one side as NAME:PATH or NAME/REPLICA:PATH"
        raise CommandError("no side is in a replica", remedy=remedy, code=USAGE)
    with options.client(where) as pin:
        project = options.project(pin.context)
        if there is not None:
            _into(pin, project, Path(source), there, container)
        elif here is not None:
            _out_of(pin, project, here, Path(destination), container)


def _remote(text: str) -> Remote | None:
    """A local path with a colon is written with `./`."""
    name, colon, path = text.partition(":")
    if not colon or name.startswith((".", "/")):
        return None
    if not path:
        raise CommandError(f"{text!r} names no path", remedy="write NAME:PATH", code=USAGE)
    return Remote(target.parse(name), path)


def _into(pin: Client, project: str, source: Path, there: Remote, container: str) -> None:
    if not source.exists():
        missing = f"the link {source} leads nowhere" if source.is_symlink() else f"there is no {source}"
        raise CommandError(missing, remedy="check the path", code=NOT_FOUND)
    inside, own = PurePosixPath(there.path), source.name if source.name not in ("", "..") else source.resolve().name
    into_folder, to_path = there.path.endswith("/"), source.is_file() and not there.path.endswith("/")
    folder, name = (inside, own or "root") if into_folder or to_path else (inside.parent, inside.name)
    packed = tar_packing.pack(source, name)
    query = {"path": str(folder), "container": container, "replica": there.target.replica, "toPath": to_path or None}
    path = {"project": project, "name": there.target.name}
    with target.explained(pin, project, there.target):
        done = pin.caller.call(_upload(there.target.kind), Input(path, query, {}, packed.archive, PATIENCE))
    _warn(packed.left_out)
    placed = inside if to_path and done.path != str(inside) else folder / name
    terminal.out(f"{source} is at {done.replica}:{placed}")


def _warn(left_out: Sequence[str]) -> None:
    if left_out:
        more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
        terminal.err(f"warning: links, pipes and devices are not copied: {', '.join(left_out[:3])}{more}")


def _upload(kind: Kind) -> Operation[CopyResult]:
    """The document does not describe the body, a raw stream."""
    operation: Operation[CopyResult] = getattr(op, f"{kind.plural}_put_files".upper())
    return replace(operation, content="application/x-tar")


def _out_of(pin: Client, project: str, here: Remote, destination: Path, container: str) -> None:
    query = {"path": here.path, "container": container, "replica": here.target.replica}
    with target.explained(pin, project, here.target):
        packed = options.workloads(pin, here.target.kind).get_files(project, here.target.name, **query, within=PATIENCE)
    name = PurePosixPath(here.path).name
    placed = destination / name if destination.is_dir() else destination
    try:
        left_out = tar_unpacking.unpack(packed, name, placed)
    except ArchiveError as error:
        remedy = "copy a smaller part of it; `pin exec NAME -- ls -l PATH` shows what is there"
        raise CommandError(f"{here.path} cannot be unpacked here", reason=str(error), remedy=remedy) from error
    _warn(left_out)
    replica = f"/{here.target.replica}" if here.target.replica else ""
    terminal.out(f"{here.target.typed}{replica}:{here.path} is at {placed}")
