"""`pin cp`: files into a replica and out of it, as a tar archive on the way."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import options, tar_archive, target
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import NOT_FOUND, USAGE
from pincompute_sdk.cli.options import ANYWHERE, Where
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.cli.tar_archive import ArchiveError
from pincompute_sdk.cli.target import WorkloadTarget
from pincompute_sdk.core.operation import Input, Operation
from pincompute_sdk.generated import operations as op
from pincompute_sdk.generated.kinds import Kind
from pincompute_sdk.generated.models import CopyResult

if TYPE_CHECKING:
    from pincompute_sdk.client import Client

PATIENCE = 600.0  # seconds for one archive


@dataclass(frozen=True, slots=True)
class Remote:
    """`hello/3:/etc/app.conf`."""

    target: WorkloadTarget
    path: str


def cp(
    source: Annotated[str, Parameter(help="A path here, or NAME:PATH, or NAME/REPLICA:PATH.")],
    destination: Annotated[str, Parameter(help="The other side; an existing folder gets it inside.")],
    /,
    *,
    container: Annotated[str, Parameter(name=["--container", "-c"], help="The first one if not said.")] = "",
    where: Where = ANYWHERE,
) -> None:
    """Copy files: `pin cp ./conf hello/3:/etc/` or `pin cp hello:/var/log ./log`."""
    if not source or not destination:
        raise CommandError("a path is empty", remedy="write `.` for the current folder", code=USAGE)
    there, here = _remote(destination), _remote(source)
    if (there is None) == (here is None):
        remedy = "write one side as NAME:PATH or NAME/REPLICA:PATH"
        raise CommandError("exactly one side must be in a replica", remedy=remedy, code=USAGE)
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
        raise CommandError(f"there is no {source}", remedy="check the path", code=NOT_FOUND)
    inside = PurePosixPath(there.path)
    folder, name = (inside, source.resolve().name) if there.path.endswith("/") else (inside.parent, inside.name)
    query = {"path": str(folder), "container": container, "replica": there.target.replica}
    path = {"project": project, "name": there.target.name}
    done = pin.caller.call(_upload(there.target.kind), Input(path, query, {}, _packed(source, name), PATIENCE))
    terminal.out(f"{source} is at {done.replica}:{folder / name}")


def _packed(source: Path, name: str) -> bytes:
    packed, allowance = io.BytesIO(), _Allowance()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(source, arcname=name, filter=allowance.take)
    return packed.getvalue()


@dataclass(slots=True)
class _Allowance:
    """What one copy may still hold, so that a large folder is refused before it is read."""

    count: int = tar_archive.MOST
    size: int = tar_archive.LARGEST

    def take(self, member: tarfile.TarInfo) -> tarfile.TarInfo:
        self.count, self.size = self.count - 1, self.size - member.size
        if self.count < 0 or self.size < 0:
            limits = f"{tar_archive.MOST} files and {tar_archive.LARGEST} bytes"
            raise CommandError(f"one copy has at most {limits}", remedy="copy it in parts", code=USAGE)
        return member


def _upload(kind: Kind) -> Operation[CopyResult]:
    """The document does not describe the body, a raw stream."""
    operation: Operation[CopyResult] = getattr(op, f"{kind.plural}_put_files".upper())
    return replace(operation, content="application/x-tar")


def _out_of(pin: Client, project: str, here: Remote, destination: Path, container: str) -> None:
    query = {"path": here.path, "container": container, "replica": here.target.replica}
    packed = options.workloads(pin, here.target.kind).get_files(project, here.target.name, **query, within=PATIENCE)
    name = PurePosixPath(here.path).name
    placed = destination / name if destination.is_dir() else destination
    try:
        left_out = tar_archive.unpack(packed, name, placed)
    except ArchiveError as error:
        remedy = "copy a smaller part of it; `pin exec NAME -- ls -l PATH` shows what is there"
        raise CommandError(f"{here.path} cannot be unpacked here", reason=str(error), remedy=remedy) from error
    if left_out:
        more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
        terminal.err(f"warning: links and devices are not copied: {', '.join(left_out[:3])}{more}")
    terminal.out(f"{here.target.name}:{here.path} is at {placed}")
