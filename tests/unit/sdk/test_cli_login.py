"""`pin login --browser` to its end: the project's own issuer, the whole gateway, and a test that plays the browser."""

from __future__ import annotations

import asyncio
import errno
import socket
import socketserver
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import pytest_asyncio
import uvicorn
from gateway.served_gateway import Running, running
from issuer.issuer_fixtures import hidden, password
from pincompute_sdk.cli import browser_callback
from pincompute_sdk.cli.__main__ import main
from pincompute_sdk.core import configuration

from pincompute.gateway import gateway_settings
from pincompute.issuer import endpoints
from pincompute.issuer.endpoints import IssuerService
from pincompute.kube.clock import SYSTEM

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE = 30.0  # seconds for what is not to fail


@dataclass(frozen=True)
class Place:
    gateway: Running
    passwords: Path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A gateway that trusts the issuer; dev, one of its users, is a developer of project shop."""
    folder = tmp_path_factory.mktemp("issuer")
    async with (
        _issuing(folder) as url,
        running(tmp_path_factory.mktemp("gateway"), issuers=(gateway_settings.IssuerSettings(url=url),)) as gateway,
    ):
        status, _, _ = await gateway.ask("alice", "PUT", "/v1/projects/shop/members/dev", {"role": "developer"})
        assert status == 200
        yield Place(gateway, folder)


@asynccontextmanager
async def _issuing(folder: Path) -> AsyncIterator[str]:
    config = uvicorn.Config(lambda *_: None, port=0, log_config=None, lifespan="off", access_log=False)
    listener = config.bind_socket()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config.app = endpoints.build(IssuerService(folder, url, SYSTEM))
    serving = uvicorn.Server(config)
    task = asyncio.create_task(serving._serve(sockets=[listener]))
    try:
        async with asyncio.timeout(PATIENCE):
            while not serving.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
        yield url
    finally:
        serving.should_exit = True
        await task


@dataclass
class Browser:
    """Opens what it is told to in a thread of its own, as a real one does, and keeps what it is shown last."""

    visit: Callable[[httpx2.Client, str], httpx2.Response]
    shown: list[httpx2.Response] = field(default_factory=list[httpx2.Response])
    thread: threading.Thread | None = None

    def open(self, url: str) -> None:
        self.thread = threading.Thread(target=self._run, args=(url,))
        self.thread.start()

    def page(self) -> httpx2.Response:
        assert self.thread
        self.thread.join(PATIENCE)
        return self.shown[-1]

    def _run(self, url: str) -> None:
        with httpx2.Client(timeout=PATIENCE) as web:
            self.shown.append(self.visit(web, url))


Login = Callable[[Browser], Awaitable[tuple[int, str, str]]]


@pytest.fixture
def login(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Login:
    for name in ("PINCOMPUTE_SERVER", "PINCOMPUTE_TOKEN", "PINCOMPUTE_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PINCOMPUTE_CONFIG", str(tmp_path / "config.yaml"))

    async def run(browser: Browser) -> tuple[int, str, str]:
        monkeypatch.setattr(browser_callback, "browse", browser.open)
        capsys.readouterr()
        code = await asyncio.to_thread(main, ["login", "--browser", "--server", place.gateway.url])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def logging_in(place: Place, web: httpx2.Client, url: str) -> str:
    """The address that the issuer sends the browser to, once the form is filled in."""
    form = web.get(url)
    values = hidden(form.text) | {"username": "dev", "password": password(place.passwords, "dev")}
    action = unescape(form.text.partition('action="')[2].partition('"')[0])
    back = web.post(httpx2.URL(url).join(action), data=values)
    assert back.status_code == 303, back.text
    return back.headers["location"]


def callback(url: str, **answer: str) -> str:
    """The address of pin's listener, with an answer that the issuer did not give."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    return str(httpx2.URL(query["redirect_uri"], params={"state": query["state"]} | answer))


async def test_whoever_logs_in_in_a_browser_is_logged_in_here(
    place: Place, login: Login, capsys: pytest.CaptureFixture[str]
) -> None:
    browser = Browser(lambda web, url: web.get(logging_in(place, web, url)))
    code, out, err = await login(browser)
    assert code == 0, err
    assert f"logged in to {place.gateway.url} as dev" in out
    page = browser.page()
    assert page.status_code == 200
    assert "Back to the terminal" in page.text
    assert "You can close this page" in page.text
    assert page.headers["referrer-policy"] == "no-referrer"

    stored = configuration.load(configuration.path())
    assert stored.contexts[stored.current].project == "shop"  # the only one dev is in
    assert await asyncio.to_thread(main, ["whoami", "-o", "jsonpath={.name}"]) == 0
    assert await asyncio.to_thread(main, ["list"]) == 0
    assert "dev\n" in capsys.readouterr().out


async def test_an_answer_of_another_login_is_not_heard(place: Place, login: Login) -> None:
    strange: list[httpx2.Response] = []

    def visit(web: httpx2.Client, url: str) -> httpx2.Response:
        strange.extend(web.get(callback(url, code="stolen", state=state)) for state in ("other", "", "ä"))
        return web.get(logging_in(place, web, url))

    code, _, err = await login(Browser(visit))
    assert code == 0, err
    assert [answer.status_code for answer in strange] == [400, 400, 400]
    assert all("not the login that pin waits for" in answer.text for answer in strange)


async def test_a_login_that_is_refused(login: Login) -> None:
    browser = Browser(
        lambda web, url: web.get(callback(url, error="access_denied", error_description="<b>not you</b>")),
    )
    code, out, err = await login(browser)
    assert (code, out) == (4, "")
    assert "the login was refused" in err
    assert "reason: <b>not you</b>" in err
    assert "remedy: run `pin login --browser` again" in err
    assert "You are not logged in" in browser.page().text
    assert "&lt;b&gt;not you&lt;/b&gt;" in browser.page().text
    assert configuration.load(configuration.path()).contexts == {}


async def test_a_code_that_the_issuer_does_not_know(login: Login) -> None:
    """Also what somebody gets who guesses our state: PKCE's secret never left this process."""
    code, out, err = await login(Browser(lambda web, url: web.get(callback(url, code="invented"))))
    assert (code, out) == (1, "")
    assert "the issuer did not grant a token" in err
    assert configuration.load(configuration.path()).contexts == {}


async def test_a_browser_that_never_comes_back(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser_callback, "PATIENCE", 0.05)
    code, _, err = await login(Browser(lambda web, url: web.get(url)))
    assert code == 6
    assert "did not answer in time" in err
    assert "`pin login` without --browser" in err


async def test_no_port_for_the_way_back(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EADDRINUSE, "Address already in use")

    monkeypatch.setattr(socketserver.TCPServer, "server_bind", refuse)
    code, _, err = await login(Browser(lambda web, url: web.get(url)))
    assert code == 1
    assert "reason: Address already in use" in err
    assert "`pin login` without --browser needs none" in err


async def test_connections_that_a_browser_opens_and_does_not_use_hold_nothing_up(place: Place, login: Login) -> None:
    def visit(web: httpx2.Client, url: str) -> httpx2.Response:
        split = urlsplit(callback(url))
        with socket.create_connection((split.hostname, split.port)):
            return web.get(logging_in(place, web, url))

    code, _, err = await login(Browser(visit))
    assert code == 0, err
