"""Runs the commands of a page as a reader does: one shell in a home of their own, in a copy of the checkout."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import docs_output
from docs_pages import ROOT, Block, Command
from live_region import Region
from terminal_user import ADDRESS, LoginBrowser, TerminalUser

from pincompute.region.build import binary_cache

WITHIN = 90.0  # seconds until a command is given up
POLL = 0.02
ENDED = re.compile(r"\n?\x1eended (\d+)\n")
# Every command is a process group, which Ctrl-C reaches. The shell itself must not end with a command that an interrupt ends.
SHELL_OPTIONS = "set -m; trap : INT; shopt -s expand_aliases\n"


class PageTerminal:
    """A shell that stays open from the first command of a page to its last, so that `cd` and `export` last as well."""

    def __init__(self, region: Region, users: dict[str, TerminalUser], home: Path, *, logged_in: bool) -> None:
        self._region, self._users, self._home, self._logged_in = region, users, home, logged_in
        self._browser = LoginBrowser(region)
        self._seen, self._lock = bytearray(), threading.Lock()
        self.folder = home / "pincompute"
        self.folder.mkdir()
        for entry in ROOT.iterdir():
            if not entry.name.startswith(".git") and entry.name != "dist":
                (self.folder / entry.name).symlink_to(entry)

    @contextmanager
    def opened(self) -> Generator[PageTerminal, None, None]:
        """The shell runs inside the block; what it started ends with it."""
        self._shell = subprocess.Popen(
            ("bash", "--noprofile", "--norc"),
            env=self._environment(),
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        self._type(SHELL_OPTIONS)
        try:
            yield self
        finally:
            self._end()
            reader.join(10)
            for stream in (self._shell.stdin, self._shell.stdout):
                assert stream is not None
                stream.close()

    def show_file(self, block: Block) -> None:
        """The reader saves a file that the page shows, in the folder in which they are."""
        target = Path(f"/proc/{self._shell.pid}/cwd").resolve() / block.file
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink():
            target.unlink()
        target.write_text(block.text)

    def run(self, command: Command, user: str) -> str:
        """What is wrong with what the command does, or nothing."""
        endless = bool(command.output) and command.output[-1].strip() == docs_output.INTERRUPT
        shown = (*command.output[:-1], docs_output.ANY) if endless else command.output
        self._begin(command.text, user)
        if endless:
            self._until(lambda: self._ready(shown))
            self._signal(signal.SIGINT)
        self._until(lambda: self._status() is not None, user)
        status, printed = self._status(), self._printed()
        if status is None:
            self._signal(signal.SIGKILL)
            self._until(lambda: self._status() is not None)
            return f"does not end within {WITHIN:g} s; it printed\n{printed}"
        if not endless and status != command.status:
            return f"ends with {status}, not {command.status}; it printed\n{printed}"
        return "" if docs_output.matches(shown, printed) else f"prints other than the page shows:\n{printed}"

    def run_program(self, block: Block, user: str) -> str:
        """A program in Python."""
        (self._home / "program.py").write_text(block.text)
        return self.run(Command(block.line, f"python {self._home}/program.py"), user)

    # -- the shell --------------------------------------------------------------------------------------------------------

    def _environment(self) -> dict[str, str]:
        programs = f"{Path(sys.executable).parent}:{self._region.program('kubectl').parent}:{os.environ['PATH']}"
        caches = {
            "PINCOMPUTE_CACHE": str(binary_cache.cache_root(os.environ)),
            "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv")),
        }
        kept = {"PATH": programs, "LANG": "C.UTF-8", "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "200", "EDITOR": "true"}
        registries = {
            name: value
            for name, value in os.environ.items()
            if name.lower().endswith("_proxy") or name.startswith(("UV_", "PIP_", "SSL_CERT_"))
        }
        return registries | kept | {"HOME": str(self._home), "PINCOMPUTE_HOME": str(self._region.home)} | caches

    def _begin(self, text: str, user: str) -> None:
        with self._lock:
            self._seen.clear()
        script = self._home / "command"
        script.write_text(f"{text}\n")
        self._type(f"{self._identity(user)}; . {script} </dev/null; printf '\\n\\036ended %d\\n' $?\n")

    def _identity(self, user: str) -> str:
        if self._logged_in or user != "dev":
            return f"export PINCOMPUTE_CONFIG={self._users[user].home}/.config/pincompute/config.yaml"
        return "unset PINCOMPUTE_CONFIG"

    def _type(self, text: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(text.encode())
        self._shell.stdin.flush()

    def _read(self) -> None:
        assert self._shell.stdout is not None
        while piece := os.read(self._shell.stdout.fileno(), 65536):
            with self._lock:
                self._seen += piece

    def _text(self) -> str:
        with self._lock:
            return self._seen.decode(errors="replace")

    def _printed(self) -> str:
        """What the command printed, with places as a reader has them."""
        text = ENDED.sub("", self._text())
        for place, name in ((self._region.home, "~/.pincompute"), (self.folder, "~/pincompute"), (self._home, "~")):
            text = text.replace(str(place), name)
        return text

    def _status(self) -> int | None:
        ended = ENDED.search(self._text())
        return int(ended[1]) if ended else None

    def _ready(self, shown: tuple[str, ...]) -> bool:
        """Whether an endless command has printed what the page shows."""
        printed = self._printed()
        return self._status() is not None or (bool(printed.strip()) and docs_output.matches(shown, printed))

    def _until(self, holds: Callable[[], object], user: str = "") -> None:
        deadline, opened = time.monotonic() + WITHIN, False
        while not holds() and time.monotonic() < deadline:
            if user and not opened and (address := ADDRESS.search(self._text())):
                self._browser.connect(address[1], user, self._users[user].password)
                opened = True
            time.sleep(POLL)

    def _signal(self, number: signal.Signals) -> None:
        """As Ctrl-C does: every process that the shell waits for gets it, and not the shell."""
        for child in _children(self._shell.pid):
            _signal_group(child, number)

    def _end(self) -> None:
        self._signal(signal.SIGKILL)
        self._shell.kill()
        self._shell.wait(10)


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(os.getpgid(pid), number)
    except ProcessLookupError:
        return
