"""Reads logs that a container writes to a file on an ephemeral volume.

Whoever may read logs may not read secrets, so a log is a file of an `emptyDir` or a generic ephemeral volume. Secrets,
configuration, projected and persistent volumes, memory, the image's own files and the kernel's are none. The template is judged
first, so that the user learns the field at once; the pod itself is judged when the file is read.

`sh` opens the file once, in the container, and compares its mount with the volume's. So a link that leads out of the volume,
or that changes meanwhile, is refused. `tail` reads what is open. A file that is followed is opened and judged anew whenever
another one has its name. Lines carry no time: they count as written when they arrive.
"""

from __future__ import annotations

import posixpath
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from pincompute.api.builtin import PodMounts, PodMountsSpec, PodVolume
from pincompute.gateway import problems
from pincompute.gateway.operation.logs.line_format import LogSource
from pincompute.gateway.operation.logs.log_query import LogQuery
from pincompute.gateway.operation.replica_access import ReplicaAccess
from pincompute.gateway.problems import FieldError
from pincompute.kube.api_errors import RequestInfo, Unreachable
from pincompute.kube.streams.channel_protocol import Channel
from pincompute.kube.streams.pod_exec import ExecCommand, ExecProcess
from pincompute.kube.streams.pod_logs import split

NEVER = ("/proc", "/sys", "/dev", "/run/secrets", "/var/run/secrets")
"""Folders of the kernel and of credentials, whatever is mounted there."""

LONGEST_WORDS = 400  # characters kept of what the program says

SCRIPT = r"""
log=$1 volume=$2 count=$3 follow=$4
refuse() { echo "$log $1" >&2; exit 1; }
find_mount() {
    mount=
    while read -r key value; do [ "$key" != mnt_id: ] || mount=$value; done <"/proc/self/fdinfo/$1"
}
open_log() {
    exec 3<"$log" 4<"$volume"
    find_mount 3; found=$mount
    find_mount 4
    [ -n "$mount" ] && [ "$found" = "$mount" ] || refuse "is not a file of the volume at $volume"
    [ -f /proc/self/fd/3 ] || refuse "is not a plain file"
}
if [ -z "$follow" ]; then
    [ -f "$log" ] || refuse "is not there, or is not a plain file"
    open_log
    exec tail -n "$count" <&3
fi
exec 5<&0
{ while read -r line; do :; done; kill "$$"; } <&5 >/dev/null 2>&1 &  # the reader has gone
watcher=$! reader=
exec </dev/null 5<&-
trap 'kill $watcher $reader 2>/dev/null' EXIT
trap 'exit 0' TERM
while :; do
    until [ -f "$log" ]; do sleep 1; done
    open_log
    tail -n "$count" -f <&3 &
    reader=$!
    while [ "$log" -ef /proc/self/fd/3 ]; do sleep 1; done
    sleep 2  # for the last lines of a file that was renamed
    kill "$reader"
    count=+1
done
"""
"""In POSIX shell with `-ef`, as dash, bash and busybox have it."""


def check(pod: Any, container: str, file: str) -> None:
    """Judges a file by the pod's template. Raises Problem."""
    spec = _spec(pod)
    if not volume_of(spec, container, file):
        declared = ", ".join(_mounts(spec, container)) or "none"
        raise problems.invalid(
            FieldError(
                "file",
                "a path below an emptyDir (not in memory) or a generic ephemeral volume of the container",
                f"{file} is not on such a volume; {container} has: {declared}",
            )
        )


def _spec(pod: Any) -> PodMountsSpec:
    """A template that was stored before a rule was made may hold anything; then it has no volume."""
    try:
        return msgspec.convert(pod, PodMountsSpec)
    except msgspec.ValidationError:
        return PodMountsSpec()


def volume_of(spec: PodMountsSpec, container: str, file: str) -> str:
    """Where the ephemeral volume is mounted that holds the file; empty when it may not be read."""
    if any(_below(folder, file) for folder in NEVER):
        return ""
    every = _mounts(spec, container, ephemeral_only=False)
    nearest = max((mount for mount in every if _below(mount, file)), key=len, default="")
    return nearest if nearest in _mounts(spec, container) else ""


def _mounts(spec: PodMountsSpec, container: str, *, ephemeral_only: bool = True) -> tuple[str, ...]:
    """The folders at which the container has volumes."""
    ephemeral = {volume.name for volume in spec.volumes if _is_ephemeral(volume)}
    return tuple(
        mount.mount_path.rstrip("/") or "/"
        for each in (*spec.containers, *spec.init_containers)
        if each.name == container
        for mount in each.volume_mounts
        if mount.name in ephemeral or not ephemeral_only
    )


def _is_ephemeral(volume: PodVolume) -> bool:
    """On the node's disk and gone with the pod. What is in memory is there because it should be on no disk: a secret."""
    in_memory = volume.empty_dir is not None and volume.empty_dir.medium == "Memory"
    return not in_memory and (volume.empty_dir is not None or volume.ephemeral is not None)


def _below(folder: str, file: str) -> bool:
    return file.startswith(posixpath.join(folder, ""))


@asynccontextmanager
async def read(
    access: ReplicaAccess, source: LogSource, query: LogQuery, *, follow: bool
) -> AsyncGenerator[AsyncIterator[bytes]]:
    """Lines of a file. Raises a KubeError, in the program's own words when the file or the program does not exist."""
    place = source.replica.place
    pod: PodMounts = await access.mounts(place)
    volume = volume_of(pod.spec, source.container, query.file)
    if not volume:
        raise _unreadable(source, query, f"{query.file} is not on an ephemeral volume of this replica")
    count = "0" if follow else "+1" if query.tail < 0 or query.pattern is not None else str(query.tail)
    argv = ("sh", "-c", SCRIPT, "log", query.file, volume, count, "follow" if follow else "")
    async with access.exec(place, ExecCommand(argv, source.container, stdin=follow)) as process:
        yield split(_output(process, source, query))


async def _output(process: ExecProcess, source: LogSource, query: LogQuery) -> AsyncIterator[bytes]:
    words = ""
    async for channel, piece in process.output():
        if channel == Channel.STDOUT:
            yield piece
        else:
            words = (words + piece.decode(errors="replace"))[-LONGEST_WORDS:]
    if process.exit.code != 0:
        raise _unreadable(source, query, words.strip() or process.exit.message)


def _unreadable(source: LogSource, query: LogQuery, why: str) -> Unreachable:
    replica = source.replica
    return Unreachable(RequestInfo(replica.cluster, "read", f"{query.file} in {replica.name} {source.container}"), why)
