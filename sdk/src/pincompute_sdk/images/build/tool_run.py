"""Runs a program of this machine, and turns its failure into one error with its own words."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pincompute_sdk.images.image_errors import ImageError

LAST = 15  # lines of a program's output in an error


def run(
    command: Sequence[str],
    *,
    called: str = "",
    environment: Mapping[str, str] | None = None,
    line: Callable[[str], bool] = lambda _: False,
    folder: Path | None = None,
    remedy: str = "",
    silent: Container[str] = (),
    given: str = "",
    edit: Callable[[str], str] = str,
) -> str:
    """The output, errors included; `line` sees each line when it comes, and tells whether a user sees it. Raises ImageError.

    `called` is the program that an error names, if the command starts another one for it.
    The program reads `given`, a few lines. An error shows the last lines, without those in `silent` and those that a user has
    seen already, but for the last one. `edit` takes out of each line what nobody may see.
    """
    name = called or Path(command[0]).name
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if given else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment) if environment is not None else None,
            cwd=folder,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise ImageError(f"{name} cannot be started", reason=error.strerror or str(error), remedy=remedy) from error
    said: list[tuple[str, bool]] = []
    try:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        if process.stdin is not None:
            with suppress(BrokenPipeError), process.stdin:
                process.stdin.write(given)
        with process.stdout:
            for text in process.stdout:
                edited = edit(text.rstrip("\n"))
                said.append((edited, line(edited)))
        status = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    if status != 0:
        told = [(text, seen) for text, seen in said if text and text not in silent][-LAST:]
        reason = [text for number, (text, seen) in enumerate(told, 1) if not seen or number == len(told)]
        raise ImageError(f"{name} failed with exit status {status}", reason="\n".join(reason), remedy=remedy)
    return "\n".join(text for text, _ in said)
