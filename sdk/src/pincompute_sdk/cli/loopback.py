"""The browser's way back: one request on a loopback port of our own (RFC 8252)."""

from __future__ import annotations

import contextlib
import http.server
import secrets
import time
import webbrowser
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from pincompute_sdk.cli.exits import ACCESS, TIMEOUT
from pincompute_sdk.cli.failure import CommandError

PATIENCE = 300.0  # seconds for the person to finish
PATH = "/callback"
PAGE = b"<!doctype html><title>pin</title><p>You are logged in. This window can be closed."
REFUSED = b"<!doctype html><title>pin</title><p>The login failed; the terminal says why."


class _Server(http.server.HTTPServer):
    """Remembers what the browser came back with."""

    timeout = 1.0  # seconds that one wait for a request may last
    answers: list[dict[str, str]]


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        split = urlsplit(self.path)
        if split.path != PATH:
            self.send_error(404)
            return
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        if isinstance(self.server, _Server):
            self.server.answers.append(query)
        page = PAGE if "code" in query else REFUSED
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name http.server calls
        """Says nothing: the code is in the request line."""


class Listener:
    """Listens from the beginning, so that the browser cannot be faster than we are."""

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.answers = []

    @property
    def redirect(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{PATH}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.server_close()

    def code(self, state: str) -> str:
        """The authorization code of the answer that carries our state; others are not ours."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self._server.handle_request()
            for answer in self._server.answers:
                if not secrets.compare_digest(answer.get("state", ""), state):
                    continue
                if "code" in answer:
                    return answer["code"]
                reason = answer.get("error_description") or answer.get("error", "")
                raise CommandError("the login was refused", reason=reason, remedy="run `pin login` again", code=ACCESS)
            self._server.answers.clear()
        raise CommandError("the browser did not come back in time", remedy="run `pin login` without --browser", code=TIMEOUT)


def browse(url: str) -> None:
    """No browser is no error: the address is printed as well."""
    with contextlib.suppress(webbrowser.Error):
        webbrowser.open(url)
