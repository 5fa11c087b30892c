"""Serves, on loopback, what an administrator names in the federation's settings: a hook, a receiver of events, and figures.

The figures are those of one app, in a page that a real Prometheus reads.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pincompute.api.meta import Manifest

PROMETHEUS = shutil.which("prometheus")
TOKEN = "token-of-the-board"
METRIC = "errors_in_flight"


@dataclass
class OutsideServices:
    """What the services answer, and what they have been asked and told. A question without the token is refused with 401."""

    project: str
    verdict: tuple[int, str] = (200, "")
    figure: float = 0.0
    questions: list[Manifest] = field(default_factory=list)
    events: list[Manifest] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stages(self, app: str) -> list[str]:
        """The stages of the app's rollouts, in the order in which the receiver was told."""
        told = (each["data"] for each in self.events)
        return [data["stage"] for data in told if (data["project"], data["name"]) == (self.project, app)]

    def answer(self, path: str, body: Manifest, *, known: bool) -> tuple[int, str]:
        if not known:
            return 401, "who are you?"
        if path == "/events":
            self.events.append(body)
            return 204, ""
        self.questions.append(body)
        return self.verdict

    def page(self) -> str:
        return f"{METRIC} {self.figure}\n"


@contextmanager
def serving(project: str) -> Generator[OutsideServices]:
    services = OutsideServices(project)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(services))
    services.port = server.server_port
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield services
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def prometheus(services: OutsideServices, folder: Path) -> Generator[str]:
    """Runs a Prometheus that reads the page each second and says whose figures they are; yields its URL."""
    assert PROMETHEUS is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    target = {"targets": [services.address], "labels": {"namespace": services.project}}
    job = {"job_name": "shop", "scrape_interval": "1s", "honor_labels": False, "static_configs": [target]}
    (folder / "prometheus.yml").write_text(json.dumps({"scrape_configs": [job]}))
    files = (f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen((PROMETHEUS, *files, f"--web.listen-address={address}"), stdout=log, stderr=log)
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(10)


def _handler(services: OutsideServices) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(200, services.page(), "text/plain; version=0.0.4")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = self.headers["Authorization"] == f"Bearer {TOKEN}"
            self._say(*services.answer(self.path, body, known=known), "text/plain")

        def _say(self, status: int, text: str, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_words: object) -> None:
            """Logs nothing: a story's output is not the server's."""

    return Handler
