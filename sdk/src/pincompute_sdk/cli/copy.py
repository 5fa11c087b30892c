"""`pin cp`: files into a replica and out of it, as a tar archive on the way."""

from __future__ import annotations

import io
import sys
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import options, target
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import NOT_FOUND, USAGE
from pincompute_sdk.cli.options import ANYWHERE, Where
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
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(source, arcname=name)
    query = {"path": str(folder), "container": container, "replica": there.target.replica}
    path = {"project": project, "name": there.target.name}
    done = pin.caller.call(_upload(there.target.kind), Input(path, query, {}, packed.getvalue(), PATIENCE))
    sys.stdout.write(f"{source} is at {done.replica}:{folder / name}\n")


def _upload(kind: Kind) -> Operation[CopyResult]:
    """The document does not describe the body, a raw stream."""
    operation: Operation[CopyResult] = getattr(op, f"{kind.plural}_put_files".upper())
    return replace(operation, content="application/x-tar")


def _out_of(pin: Client, project: str, here: Remote, destination: Path, container: str) -> None:
    query = {"path": here.path, "container": container, "replica": here.target.replica}
    packed = options.workloads(pin, here.target.kind).get_files(project, here.target.name, **query, within=PATIENCE)
    name = PurePosixPath(here.path).name
    try:
        placed = _unpacked(packed, name, destination)
    except tarfile.TarError as error:
        remedy = "copy a smaller part of it; `pin exec NAME -- ls -l PATH` shows what is there"
        raise CommandError(f"{here.path} cannot be unpacked here", reason=str(error), remedy=remedy) from error
    sys.stdout.write(f"{here.target.name}:{here.path} is at {placed}\n")


def _unpacked(packed: bytes, name: str, destination: Path) -> Path:
    """Where it is then: in a folder that is there, else under the destination's own name."""
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        if destination.is_dir():
            archive.extractall(destination, filter="data")
            return destination / name
        _renamed(archive, name, destination)
        return destination


def _renamed(archive: tarfile.TarFile, name: str, destination: Path) -> None:
    """The archive's top gets the destination's name."""
    members = archive.getmembers()
    for member in members:
        parts = PurePosixPath(member.name).parts
        if parts[:1] == (name,):
            member.name = str(PurePosixPath(destination.name, *parts[1:]))
    archive.extractall(destination.resolve().parent, members=members, filter="data")
