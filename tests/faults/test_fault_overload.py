"""Too many clients, and too greedy ones: everybody else is served as if they were not there."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
import slow_clients
from live_region import Region
from loop_stalls import no_stalls
from pincompute_sdk.core.configuration import Context
from slow_clients import CrowdOrders, CrowdReport, Manner
from terminal_user import TerminalUser, plain_client

pytestmark = pytest.mark.alone

APPS = [f"large{number}" for number in range(40)]  # together more than any socket holds unread
VARIABLES = {f"VARIABLE_{number}": "v" * 220 for number in range(128)}
CLIENTS = 10_000
LOOPS = 50  # of the greedy one
ASKED = 100  # times by the other
PACE = 0.06  # seconds between two questions of theirs: half of what a caller may
HELLO = b"\x16\x03\x01\x02\x00\x01"  # how a TLS handshake begins
NAP = 40.0  # seconds; longer than the gateway waits for those who read nothing
MEMORY = 1536  # MiB the gateway may take in the middle of it
SLOW = 300.0  # seconds for everybody to have come and to have been cut off, on the slowest machine


@pytest.fixture(scope="module")
def catalogue(dev: TerminalUser, shop: str) -> str:
    """A project with large apps, none of which runs."""
    container = {"name": "web", "image": "registry.internal/talker:1", "env": VARIABLES}
    with dev.client() as pin:
        for name in APPS:
            pin.apps.create(shop, {"kind": "App", "name": name, "replicas": 0, "containers": [container]})
    return shop


def test_ten_thousand_slow_clients_do_not_hinder_others(region: Region, admin: TerminalUser, dev: TerminalUser, catalogue: str):
    """S-254: each is cut off in time; one of the same project reads meanwhile, and is never refused."""
    gateway = region.pid("gateway")
    manners = slow(dev.context(), catalogue)
    most: list[int] = []
    assert sum(manner.clients for manner in manners) == CLIENTS

    def all_came_and_were_cut() -> bool:
        assert APPS[0] in admin.pin("status", APPS[0], "--project", catalogue).out
        most.append(memory(gateway))
        assert told().came == CLIENTS, told()
        assert all(told().cut.get(manner.name) for manner in manners), told()
        return True

    with (
        no_stalls(region, ("federation",)),
        asking(admin, f"/v1/projects/{catalogue}/apps/{APPS[0]}", Connection="close") as answered,
        crowded(dev.context(), manners) as told,
    ):
        region.eventually("most are there at once", lambda: descriptors(gateway) > CLIENTS / 2, within=SLOW)
        region.eventually("each came, and each way of being slow was ended", all_came_and_were_cut, within=SLOW)
    assert answered.keys() == {200}
    assert max(most) < MEMORY, "MiB"
    assert region.pid("gateway") == gateway
    region.eventually("nothing is left of them", lambda: descriptors(gateway) < CLIENTS / 10)


def test_who_lists_everything_in_fifty_loops_is_slowed_down_and_nobody_else(
    admin: TerminalUser, dev: TerminalUser, catalogue: str
):
    """S-254: who does not wait as told is refused; the other one, of another project, never."""
    with asking(dev, f"/v1/projects/{catalogue}/apps", loops=LOOPS) as greedy:
        using = admin.context()
        with plain_client(using) as http:
            for path in ("/v1/projects/demo/apps/hello", "/v1/projects/demo/apps") * ASKED:
                answer = http.get(path, headers={"Authorization": f"Bearer {using.token}"})
                assert answer.status_code == 200, answer.text
                assert "hello" in answer.text
                time.sleep(PACE)
    assert greedy.keys() == {200, 429}
    assert greedy[429] > greedy[200] / 2


def slow(using: Context, project: str) -> tuple[Manner, ...]:
    """Half of those with a handshake say who they are."""

    def request(method: str, path: str, more: str = "") -> bytes:
        lines = (
            f"{method} /v1/projects/{project}/apps{path} HTTP/1.1",
            "Host: gateway",
            f"Authorization: Bearer {using.token}",
        )
        return ("\r\n".join(lines) + f"\r\n{more}").encode()

    body = "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    return (
        Manner("say nothing", 8200, tls=False),
        Manner("shake hands slowly", 1000, begins=HELLO, goes_on=bytes(500), tls=False),
        Manner("ask nothing", 300),
        Manner("send headers slowly", 200, begins=request("GET", ""), goes_on=b"x" * 500),
        Manner("send a body slowly", 100, begins=request("POST", "", body), goes_on=b" " * 500),
        Manner("do not read a list", 150, begins=request("GET", "", "\r\n"), naps=NAP),
        Manner("do not read a stream", 50, begins=request("GET", "/watch", "\r\n"), naps=NAP),
    )


@contextmanager
def crowded(using: Context, manners: tuple[Manner, ...]) -> Generator[Callable[[], CrowdReport], None, None]:
    """The crowd is there inside the block; gives what it told last."""
    at = urlsplit(using.server)
    orders = CrowdOrders(at.hostname or "", at.port or 443, using.ca or "", manners)
    told = [CrowdReport()]

    def listen(lines: Iterable[bytes]) -> None:
        for line in lines:
            told[0] = msgspec.json.decode(line, type=CrowdReport)

    command = (sys.executable, slow_clients.__file__)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        reader = threading.Thread(target=listen, args=(process.stdout,), daemon=True)
        reader.start()
        try:
            process.stdin.write(msgspec.json.encode(orders) + b"\n")
            process.stdin.flush()
            yield lambda: told[0]
            assert process.poll() is None
        finally:
            process.kill()
            reader.join()


@contextmanager
def asking(user: TerminalUser, path: str, loops: int = 1, **headers: str) -> Generator[Counter[int], None, None]:
    """Somebody asks the same again and again inside the block, a connection a loop; answers by status."""
    answered: Counter[int] = Counter()
    over = threading.Event()

    def ask() -> None:
        with plain_client(user.context()) as http:
            while not over.wait(0.1 / loops):
                answer = http.get(path, headers={"Authorization": f"Bearer {user.context().token}", **headers})
                assert answer.status_code != 429 or int(answer.headers["Retry-After"]) > 0
                answered[answer.status_code] += 1

    askers = [threading.Thread(target=ask) for _ in range(loops)]
    for asker in askers:
        asker.start()
    try:
        yield answered
        assert all(asker.is_alive() for asker in askers)
    finally:
        over.set()
        for asker in askers:
            asker.join()


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def memory(pid: int) -> int:
    """MiB that are resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmRSS:"))
