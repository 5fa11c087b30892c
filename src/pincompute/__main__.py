"""The console script. It hides the traceback of a Ctrl-C before `main` runs and after it ends."""

from __future__ import annotations

import os
import signal


def run() -> None:
    signal.signal(signal.SIGINT, _interrupted)
    from pincompute import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        main.run()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done and said; Python only clears up


def _interrupted(_number: int, _frame: object) -> None:
    os.write(2, b"interrupted; nothing was begun yet\n")
    os._exit(130)


if __name__ == "__main__":
    run()
