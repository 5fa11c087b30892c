"""The console script. Ctrl-C while Python still imports ends it at once and quietly; afterwards `main` answers it."""

from __future__ import annotations

import signal


def run() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from pincompute import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    main.run()


if __name__ == "__main__":
    run()
