"""The entry point of `pin` and `kubectl pin`: runs the command and returns its exit code."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pincompute_sdk.cli import command_table
from pincompute_sdk.cli.exit_codes import INTERRUPTED

CHANGES = frozenset({"deploy", "delete", "rm", "restart", "pause", "resume", "stop", "start", "scale", "rollback"})


def run() -> None:
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    program = "kubectl pin" if Path(sys.argv[0]).name == "kubectl-pin" else "pin"
    arguments = command_table.command_first(arguments)
    try:
        code = _run(program, arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        return _unread()
    except SystemExit as end:  # rich ends the process when nobody reads
        if isinstance(end.__context__, BrokenPipeError):
            return _unread()
        raise
    except KeyboardInterrupt:
        from pincompute_sdk.cli.output import terminal

        said = f"; what the server has accepted continues: `{program} status NAME` shows it" if _changes(arguments) else ""
        terminal.err(f"\ninterrupted{said}")
        return INTERRUPTED
    return code


def _changes(arguments: list[str]) -> bool:
    return bool(arguments) and arguments[0] in CHANGES


def _unread() -> int:
    """Discards the rest of the output after its reader has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _run(program: str, arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else ("", "")
        sys.stdout.write(command_table.overview(program, bold, plain))
        return 0
    from pincompute_sdk.cli import command_dispatch

    return command_dispatch.run(program, arguments)


if __name__ == "__main__":
    run()
