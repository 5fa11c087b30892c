"""Receives the browser's redirect after a login: one request on a loopback port (RFC 8252).

Only a request with the `state` of this login counts. Every other request gets a page that says so, and has no effect.
"""

from __future__ import annotations

import contextlib
import html
import http.server
import queue
import secrets
import threading
import webbrowser
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import parse_qs, urlsplit

from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import ACCESS, TIMEOUT

PATIENCE = 300.0  # seconds for the person to finish
PATH = "/callback"
AGAIN = "Go back to the terminal and run `pin login --browser` again."
PAGE = """\
<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>
<meta name=viewport content="width=device-width,initial-scale=1"><meta name=color-scheme content="light dark">
<h1>{title}</h1><p role=status>{text}</p></html>
"""
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the code is in the address
    "Content-Security-Policy": "default-src 'none'",
}


class _CallbackServer(http.server.ThreadingHTTPServer):
    """Handles each connection in a daemon thread, because browsers open connections that they do not use."""

    daemon_threads = True
    state: str
    answers: queue.SimpleQueue[dict[str, str]]


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        listening = cast("_CallbackServer", self.server)
        split = urlsplit(self.path)
        answer = {name: values[0] for name, values in parse_qs(split.query).items()}
        if split.path != PATH:
            self.send_error(404)
        elif not secrets.compare_digest(answer.get("state", "").encode(), listening.state.encode()):
            self._show(400, "This is not the login that pin waits for", f"It may be an earlier attempt. {AGAIN}")
        elif "code" not in answer:
            self._show(200, "You are not logged in", f"The login was refused: {_reason(answer)}. {AGAIN}")
            listening.answers.put(answer)
        else:
            self._show(200, "Back to the terminal", "The terminal says who you are logged in as. You can close this page.")
            listening.answers.put(answer)

    def _show(self, status: int, title: str, text: str) -> None:
        page = PAGE.format(title=html.escape(title), text=html.escape(text)).encode()
        self.send_response(status)
        for name, value in (HEADERS | {"Content-Length": str(len(page))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name http.server calls
        """Logs nothing: the request line contains the code."""


class RedirectListener:
    """Listens as soon as it is created, so that no redirect comes too early."""

    def __init__(self) -> None:
        try:
            self._server = _CallbackServer(("127.0.0.1", 0), _Handler)
        except OSError as error:
            raise CommandError(
                "no port on this machine can be opened for the browser's answer",
                reason=error.strerror or str(error),
                remedy="`pin login` without --browser needs none",
            ) from error
        self.state = self._server.state = secrets.token_urlsafe(16)
        self._server.answers = queue.SimpleQueue()

    @property
    def redirect(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{PATH}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def code(self) -> str:
        """Waits for the redirect and returns its authorization code."""
        try:
            answer = self._server.answers.get(timeout=PATIENCE)
        except queue.Empty:
            remedy = "run it again, or `pin login` without --browser, which needs no browser on this machine"
            raise CommandError("the browser did not answer in time", remedy=remedy, code=TIMEOUT) from None
        if "code" not in answer:
            raise CommandError(
                "the login was refused", reason=_reason(answer), remedy="run `pin login --browser` again", code=ACCESS
            )
        return answer["code"]


def _reason(answer: dict[str, str]) -> str:
    return answer.get("error_description") or answer.get("error") or "no reason was given"


def browse(url: str) -> None:
    """Opens the browser. A missing browser is no error, because the address is printed as well."""
    with contextlib.suppress(webbrowser.Error):
        webbrowser.open(url)
