"""Ctrl-C of `pincompute`, wherever it comes: exit status 130 and a line that says what to do, never silence or a traceback."""

from __future__ import annotations

import subprocess
import sys

WHILE_THE_COMMAND_IS_READ = """
import signal, sys
from pincompute import main

@main.app.command
def interrupted() -> None:
    signal.raise_signal(signal.SIGINT)

sys.argv = ["pincompute", "interrupted"]
main.run()
"""


def test_ctrl_c_before_a_command_is_at_work():
    ended = subprocess.run((sys.executable, "-c", WHILE_THE_COMMAND_IS_READ), capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (130, "interrupted; the same command again repairs what is half done\n")
