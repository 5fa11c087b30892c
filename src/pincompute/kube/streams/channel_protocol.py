"""Frames messages of Kubernetes' `v5.channel.k8s.io`: each begins with the byte of its channel.

The gateway uses the same framing towards its users, so it passes a shell's bytes through without parsing them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import msgspec

from pincompute.kube.api_errors import ApiStatus

PROTOCOL = "v5.channel.k8s.io"


class Channel(IntEnum):
    """The first byte of a message. STATUS carries a JSON ApiStatus at the end; CLOSE ends the channel of its second byte."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    STATUS = 3
    RESIZE = 4
    CLOSE = 255


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a program ended; `code` is None when it could not be started or its status is not known."""

    code: int | None
    message: str = ""


class TerminalSize(msgspec.Struct, frozen=True, rename="pascal"):
    """The size of a terminal in characters."""

    width: int
    height: int


def frame(channel: Channel, payload: bytes) -> bytes:
    return bytes((channel,)) + payload


def resize(size: TerminalSize) -> bytes:
    return frame(Channel.RESIZE, msgspec.json.encode(size))


def end_of_input() -> bytes:
    return bytes((Channel.CLOSE, Channel.STDIN))


def exit_of(payload: bytes) -> ExitStatus:
    """Returns the exit status from the Status on the STATUS channel."""
    try:
        status = msgspec.json.decode(payload, type=ApiStatus)
    except msgspec.MsgspecError:
        return ExitStatus(None, payload.decode(errors="replace"))
    if status.status == "Success":
        return ExitStatus(0)
    causes = status.details.causes if status.details is not None else ()
    code = next((cause.message for cause in causes if cause.reason == "ExitCode"), "")
    return ExitStatus(int(code) if code.isdigit() else None, status.message)


def status_of(ended: ExitStatus) -> bytes:
    """Returns the Status for an exit status, as a client of Kubernetes expects it."""
    if ended.code == 0:
        return msgspec.json.encode({"metadata": {}, "status": "Success"})
    body: dict[str, object] = {"metadata": {}, "status": "Failure", "message": ended.message}
    if ended.code is not None:
        body |= {"reason": "NonZeroExitCode", "details": {"causes": [{"reason": "ExitCode", "message": str(ended.code)}]}}
    else:
        body |= {"reason": "InternalError"}
    return msgspec.json.encode(body)
