"""Records a stream into a replica from its beginning to its end, whatever ends it: in the audit log, and in a transcript.

The audit log gets a record before the stream is opened, which says where it leads, and one with its end. A transcript is
written while the stream runs, and is finished by a disconnection, a cut, a time-out, a fault and a stop of the gateway alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

from pincompute.gateway import problems
from pincompute.gateway.call_context import Call
from pincompute.gateway.operation.replica_streams.shell_transcript import Transcript, TranscriptLost
from pincompute.gateway.operation.stream_permissions import STOPS, StreamPermissions
from pincompute.gateway.problems import Problem
from pincompute.kube.api_errors import KubeError

LONGEST_COMMAND = 4096  # characters of a command in an audit record
GONE = "the user disconnected"


class CutError(Exception):
    """The caller may not continue. The message says why."""


async def cut(call: Call, permissions: StreamPermissions) -> NoReturn:
    """Raise CutError at the moment from which the call may not continue."""
    raise CutError(await permissions.until_cut(call))


@asynccontextmanager
async def recorded_end(
    call: Call, permissions: StreamPermissions, transcript: Transcript | None = None
) -> AsyncGenerator[None]:
    """Around a stream. Its body says in `call.stream.ended` how it ended, unless it ends by an exception."""
    try:
        yield
    except BaseException as error:
        call.stream.ended = call.stream.ended or _why(error, permissions)
        raise
    finally:
        if transcript is not None:
            transcript.ended(call.stream.ended)
            with suppress(TranscriptLost):
                await transcript.finish()


async def write(transcript: Transcript | None) -> NoReturn:
    """Write a transcript until it is cancelled. Raises Problem when it is lost."""
    if transcript is None:
        await asyncio.Event().wait()
        raise AssertionError
    try:
        await transcript.run()
    except TranscriptLost as lost:
        raise problems.unavailable(str(lost), remedy="tell the administrators") from lost
    raise AssertionError  # it runs until it is cancelled


async def flush(transcript: Transcript | None) -> None:
    """Write what a transcript holds. Raises Problem when it is lost."""
    try:
        if transcript is not None:
            await transcript.finish()
    except TranscriptLost as lost:
        raise problems.unavailable(str(lost), remedy="tell the administrators") from lost


def command(argv: Iterable[str]) -> str:
    """A command as audit records show it."""
    text = " ".join(argv)
    return text if len(text) <= LONGEST_COMMAND else text[:LONGEST_COMMAND] + "…"


def _why(error: BaseException, permissions: StreamPermissions) -> str:
    match error:
        case CutError():
            return f"cut: {error}"
        case Problem():
            return error.detail
        case KubeError():
            return error.message
        case asyncio.CancelledError():
            return f"cut: {STOPS}" if permissions.stopping.is_set() else GONE
        case _:
            return f"the gateway failed: {type(error).__name__}"
