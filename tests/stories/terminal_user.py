"""Simulates a user at a terminal: an empty home, `pin`, and a browser that fills in the issuer's pages to log in.

It knows nothing of the gateway: a story learns everything from what `pin` prints, or from the SDK as a program uses it.
"""

from __future__ import annotations

import fcntl
import http.cookiejar
import os
import pty
import re
import signal
import ssl
import struct
import subprocess
import sys
import termios
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import IO, NamedTuple

import httpx2
from live_region import POLL, WITHIN, Region
from pincompute_sdk.client import Client
from pincompute_sdk.core import configuration
from pincompute_sdk.core.configuration import Context
from pincompute_sdk.core.token_source import TokenSource

PIN = Path(sys.executable).with_name("pin")
ADDRESS = re.compile(r"or open (https://\S+)")
IMAGES = Path(__file__).with_name("images")
TALKER = "registry.internal/talker"
TOKEN_LEFT = 300.0  # seconds for which a token that a test takes is good at least; the issuer's last 900


class PinOutput(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


class TerminalUser:
    """Somebody with a name at the issuer, and a home of their own."""

    def __init__(self, region: Region, name: str, home: Path) -> None:
        self.region = region
        self.name = name
        self.home = home
        self._more: dict[str, str] = {}

    def using(self, **environment: str) -> TerminalUser:
        """The same home, with more in the environment."""
        made = TerminalUser(self.region, self.name, self.home)
        made._more = self._more | environment
        return made

    @property
    def environment(self) -> dict[str, str]:
        """What a terminal of theirs holds: `pin` finds the region by its home, as it does after `make up`."""
        kept = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm"}
        return kept | {"HOME": str(self.home), "PINCOMPUTE_HOME": str(self.region.home), "COLUMNS": "200"} | self._more

    # -- what they type ---------------------------------------------------------------------------------------------------

    def pin(self, *arguments: str, status: int | None = 0, stdin: str = "", within: float = WITHIN) -> PinOutput:
        """`pin …` until it ends; `status` is the exit status it must have, None for any."""
        done = subprocess.run(
            (str(PIN), *arguments),
            env=self.environment,
            cwd=self.home,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        said = PinOutput(done.returncode, done.stdout, done.stderr)
        wrong = status is not None and said.status != status
        assert not wrong, f"`pin {' '.join(arguments)}` ended with {said.status}, not {status}:\n{said.out}\n{said.err}"
        return said

    @contextmanager
    def running(self, *arguments: str) -> Generator[RunningCommand, None, None]:
        """`pin …` that goes on inside the block; it is interrupted as by Ctrl-C at its end."""
        process = subprocess.Popen(
            (str(PIN), *arguments),
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running = RunningCommand(f"pin {' '.join(arguments)}", process)
        try:
            yield running
        finally:
            running.interrupt()

    @contextmanager
    def terminal(self, *arguments: str, columns: int = 80, lines: int = 24) -> Generator[Terminal, None, None]:
        """`pin …` on a pseudo-terminal of that size."""
        ours, theirs = pty.openpty()
        terminal = Terminal(ours)
        terminal.resize(columns, lines)
        environment = {name: value for name, value in self.environment.items() if name != "COLUMNS"}
        process = subprocess.Popen(
            (str(PIN), *arguments),
            env=environment,
            cwd=self.home,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        terminal.follow(process)
        try:
            yield terminal
        finally:
            terminal.close()

    def login(self) -> PinOutput:
        """`pin login`, and its page opened in a browser."""
        with self.running("login") as running:
            found = running.until("the address of the issuer's page is told", lambda: ADDRESS.search(running.err))
            LoginBrowser(self.region).connect(found[1], self.name, self.password)
            return running.ended()

    @property
    def password(self) -> str:
        lines = (self.region.home / "issuer" / "passwords").read_text().splitlines()
        return dict(line.split(": ", 1) for line in lines)[self.name]

    # -- what they write --------------------------------------------------------------------------------------------------

    def write(self, name: str, content: str) -> str:
        """A file in their home; returns its name."""
        (self.home / name).write_text(content)
        return name

    def context(self) -> Context:
        """What `pin login` stored, with a token that is good for some minutes, as `pin` would renew it."""
        file = self.home / ".config" / "pincompute" / "config.yaml"
        stored = configuration.load(file)
        source = TokenSource(stored.contexts[stored.current], file)
        if source.renewable() and source.context.expires < time.time() + TOKEN_LEFT:
            source.renew(source.token())
        return source.context

    def client(self) -> Client:
        """The SDK, as a program of theirs uses it."""
        return Client(self.context())


def talker(name: str = "talker", replicas: int = 3, version: int = 1, more: str = "") -> str:
    """An app.yaml: two containers that talk all the time, gone in two seconds."""
    container = f"image: {TALKER}:{version}, resources: {{cpu: 10m, memory: 32Mi}}, mounts: [{{path: /work, volume: work}}]"
    return (
        f"kind: App\nname: {name}\nreplicas: {replicas}\nterminationGracePeriod: 2s\ncontainers:\n"
        f"- {{name: web, {container}}}\n- {{name: side, image: {TALKER}:1, resources: {{cpu: 10m, memory: 32Mi}}}}\n"
        f"volumes: [{{name: work, emptyDir: {{}}}}]\n{more}"
    )


def plain_client(using: Context, timeout: float = 30.0) -> httpx2.Client:
    """Plain HTTP, as curl speaks it: no retries and no models between a story and what the gateway answers."""
    trusted = ssl.create_default_context(cafile=using.ca)
    return httpx2.Client(base_url=using.server, verify=trusted, trust_env=False, timeout=timeout)


# -- a command that goes on -----------------------------------------------------------------------------------------------


class RunningCommand:
    """A command whose output is read while it runs."""

    def __init__(self, command: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._command = command
        self._process = process
        self._out: list[str] = []
        self._err: list[str] = []
        self._threads = [_reader(process.stdout, self._out), _reader(process.stderr, self._err)]

    @property
    def out(self) -> str:
        return "".join(self._out)

    @property
    def err(self) -> str:
        return "".join(self._err)

    def until(self, what: str, holds: Callable[[], object], within: float = WITHIN) -> re.Match[str]:
        """Polls until it holds; the command must not end before."""
        deadline = time.monotonic() + within
        while not (found := holds()):
            ended = self._process.poll() is not None and not any(thread.is_alive() for thread in self._threads)
            assert not ended, f"`{self._command}` ended with {self._process.returncode} before {what}:\n{self.out}\n{self.err}"
            assert time.monotonic() < deadline, f"`{self._command}`: not within {within:g} s: {what}:\n{self.out}\n{self.err}"
            time.sleep(POLL)
        return found  # type: ignore[return-value]

    def ended(self, within: float = WITHIN) -> PinOutput:
        """By itself."""
        status = self._process.wait(within)
        for thread in self._threads:
            thread.join(within)
        return PinOutput(status, self.out, self.err)

    def interrupt(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self.ended()


def _reader(stream: IO[str], into: list[str]) -> threading.Thread:
    def read() -> None:
        with stream:
            into.extend(iter(stream.readline, ""))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


class Terminal:
    """The user's side of a pseudo-terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._seen = bytearray()

    @property
    def screen(self) -> str:
        return self._seen.decode(errors="replace")

    def follow(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def resize(self, columns: int, lines: int) -> None:
        """As a window does; whoever runs in it is told."""
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def until(self, text: str, within: float = WITHIN) -> None:
        """Something appears on the screen."""
        deadline = time.monotonic() + within
        while text not in self.screen:
            assert time.monotonic() < deadline, f"not within {within:g} s on the screen: {text!r}\n{self.screen}"
            assert self._process.poll() is None or self._thread.is_alive(), f"ended before {text!r} was seen\n{self.screen}"
            time.sleep(POLL)

    def ended(self, within: float = WITHIN) -> int:
        status = self._process.wait(within)
        self._thread.join(within)
        return status

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.ended()
        os.close(self._descriptor)

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._descriptor, 65536)
            except OSError:  # the other side is closed
                return
            if not piece:
                return
            self._seen += piece


# -- a browser --------------------------------------------------------------------------------------------------------------


@dataclass
class LoginForm:
    """The one form of a page."""

    action: str = ""
    fields: dict[str, str] = field(default_factory=dict)


class LoginBrowser:
    """Opens the issuer's pages and sends their forms, cookies included."""

    def __init__(self, region: Region) -> None:
        authority = region.home / "pki" / "host" / "ca.crt"
        secure = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(authority)))
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), secure, cookies)

    def connect(self, address: str, name: str, password: str) -> None:
        """Compares the code, gives name and password, and lets the device in."""
        form = _form(self._open(address))
        filled = form.fields | {"username": name, "password": password, "answer": "allow"}
        page = self._open(urllib.parse.urljoin(address, form.action), urllib.parse.urlencode(filled).encode())
        assert "Connected" in page, page

    def _open(self, address: str, body: bytes | None = None) -> str:
        try:
            with self._opener.open(address, body, timeout=30) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{address}: {error.code} {error.read().decode()}") from None


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found = LoginForm()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.action = given["action"]
        elif tag == "input":
            self.found.fields[given["name"]] = given.get("value", "")


def _form(page: str) -> LoginForm:
    parser = _Forms()
    parser.feed(page)
    assert parser.found.action, f"the page has no form:\n{page}"
    return parser.found
