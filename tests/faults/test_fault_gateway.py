"""The gateway and what it stands on fail in the middle of streams and writes: nothing is lost, nothing is done twice."""

from __future__ import annotations

import re
import socket
import sqlite3
import ssl
import threading
from collections import defaultdict
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from urllib.parse import urlsplit

import pytest
from live_region import Region
from pincompute_sdk.client import Client
from pincompute_sdk.core import retry
from pincompute_sdk.core.configuration import Context
from pincompute_sdk.generated.models import OperationRecord
from terminal_user import TerminalUser, plain_client

pytestmark = [pytest.mark.alone, pytest.mark.usefixtures("calm")]

APP = "talker"
PATIENT = retry.Policy(attempts=12, few=12, first=2.0, budget=90.0)  # a gateway that was killed takes some seconds to come back
CREATED = 12
SLOW = 40
AWAY = 60.0  # seconds without the store: several of its statements are given up
LINE = re.compile(r"^(\S+) web tick (\d+)$", re.MULTILINE)


def answers(region: Region, user: TerminalUser) -> None:
    """The gateway is there again, and it knows the user."""
    region.eventually("the gateway answers", lambda: user.pin("whoami", status=None).status == 0)


def numbers_by_replica(out: str) -> dict[str, list[int]]:
    """The numbers of each replica's lines, in the order in which they came."""
    found: dict[str, list[int]] = defaultdict(list)
    for replica, number in LINE.findall(out):
        found[replica].append(int(number))
    return found


def test_followed_logs_lose_and_double_nothing_when_the_gateway_is_killed(region: Region, dev: TerminalUser, running: str):
    """S-261: `pin logs -f` goes on by itself, each line of each replica once."""
    with dev.running("logs", APP, "-f", "-c", "web", "--tail", "3") as logs:
        logs.until("all replicas are read", lambda: len(numbers_by_replica(logs.out)) == 3)
        region.kill("gateway")
        before = {replica: numbers[-1] for replica, numbers in numbers_by_replica(logs.out).items()}

        def later() -> bool:
            now = numbers_by_replica(logs.out)
            return all(now[replica][-1] > number + 10 for replica, number in before.items())

        logs.until("the log goes on", later)
    for numbers in numbers_by_replica(logs.out).values():
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_watch_tells_of_what_changed_while_the_gateway_was_away(region: Region, dev: TerminalUser, running: str):
    """S-251: the SDK resumes; a gateway that does not know the place any more sends the whole state."""
    seen: list[tuple[str, int]] = []

    def read() -> None:
        with dev.client() as pin:
            for event in pin.apps.watch_one(running, APP):
                found = re.search(r'"replicas":(\d+)', event.data)
                seen.append((event.name, int(found[1]) if found else -1))
                if seen[-1][1] == 2:
                    return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    region.eventually("the watch has begun", lambda: any(name == "synced" for name, _ in seen))
    region.kill("gateway")
    region.scale(running, APP, 2)
    reader.join(60)
    assert not reader.is_alive(), seen
    assert seen[-1][1] == 2
    assert [name for name, _ in seen].count("reset") <= 2
    region.scale(running, APP, 3)
    region.settled(running, APP, replicas=3)


def test_a_command_is_cut_and_says_so_when_the_gateway_is_killed(region: Region, dev: TerminalUser, running: str):
    """An exit status and a sentence, no hanging terminal."""
    with dev.running("exec", APP, "--", "sh", "-c", "echo begins; sleep 600") as command:
        command.until("the command runs", lambda: "begins" in command.out)
        region.kill("gateway")
        said = command.ended()
    assert said.status not in (0, 130)
    assert "the session was cut" in said.err


def test_creates_are_done_once_each_while_the_gateway_is_killed(region: Region, dev: TerminalUser, running: str):
    """S-259, S-260: the SDK repeats under the same key; none is lost, refused as taken, or written twice."""
    wanted = [f"made{number}" for number in range(CREATED)]
    with Client(dev.context(), policy=PATIENT) as pin:
        for number, name in enumerate(wanted):
            if number == CREATED // 3:
                threading.Timer(0.01, region.kill, ("gateway",)).start()
            container = {"name": "web", "image": "registry.internal/talker:1"}
            made = pin.apps.create(running, {"kind": "App", "name": name, "replicas": 0, "containers": [container]})
            assert made.item.name == name
        found = [app.name for app in pin.apps.iterate(running) if app.name.startswith("made")]
        assert sorted(found) == sorted(wanted)
        assert {region.app(running, name).metadata.generation for name in wanted} == {1}
        for name in wanted:
            pin.apps.delete(running, name)


def test_reads_go_on_marked_while_the_host_is_away(region: Region, dev: TerminalUser, running: str):
    """Stale data, honestly marked; writes say that they cannot be done."""
    using = dev.context()
    with Client(using) as pin:

        def marked() -> bool:
            assert [app.name for app in pin.apps.iterate(running) if app.name == APP] == [APP]
            return "host" in freshness(using, running)

        region.eventually("reads are whole and not marked", lambda: not freshness(using, running))
        with region.frozen("host-apiserver"):  # a killed one is back before anybody would call it silent
            region.eventually("reads are marked as stale", marked)
        region.eventually("reads are fresh again", lambda: not freshness(using, running))
        pin.apps.scale(running, APP, {"replicas": 3})


def freshness(using: Context, project: str) -> str:
    """What the header of a read says is silent."""
    headers = {"Authorization": f"Bearer {using.token}"}
    with plain_client(using) as http:
        answer = http.get(f"/v1/projects/{project}/apps/{APP}", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["pincompute-age"]
    return answer.headers.get("pincompute-partial", "")


@contextmanager
def unavailable(region: Region) -> Generator[None, None, None]:
    """Nobody else can write into the store's file inside the block."""
    with closing(sqlite3.connect(region.home / "gateway" / "gateway.db", isolation_level=None)) as store:
        store.execute("BEGIN EXCLUSIVE")
        yield
        store.execute("ROLLBACK")


def test_history_is_complete_after_the_store_was_away(region: Region, dev: TerminalUser, running: str):
    """Operations go on, their records wait, and are written when the store is back, even over a kill."""
    reasons = [f"while the store is away {region.pid('gateway')}-{number}" for number in range(4)]
    with dev.client() as pin, unavailable(region):
        for number, reason in enumerate(reasons):
            pin.apps.scale(running, APP, {"replicas": 4 - number % 2, "reason": reason})
        region.throughout(AWAY, "others are served", lambda: APP in dev.pin("list").out)
        region.kill("gateway")
    answers(region, dev)

    def told() -> bool:
        with dev.client() as pin:
            found = [
                r for r in pin.apps.iterate_history(running, APP) if isinstance(r, OperationRecord) and r.reason in reasons
            ]
        assert sorted(r.reason for r in found) == reasons
        return True

    region.eventually("every operation is in the history, once", told)
    region.settled(running, APP, replicas=3)


def test_followers_that_never_read_do_not_hinder_others(region: Region, admin: TerminalUser, dev: TerminalUser, running: str):
    """Others read whole logs meanwhile."""
    with ExitStack() as stack:
        followers = [stack.enter_context(connected(dev.context())) for _ in range(SLOW)]
        for follower in followers:
            ask = f"GET /v1/projects/{running}/apps/{APP}/logs?follow=true HTTP/1.1\r\nHost: gateway\r\n"
            follower.sendall(f"{ask}Authorization: Bearer {dev.context().token}\r\n\r\n".encode())
        for follower in followers:
            assert follower.recv(12) == b"HTTP/1.1 200"
        assert "3/3 ready" in admin.pin("status", APP, "--project", running).out
        with admin.running("logs", APP, "-f", "-c", "web", "--tail", "3", "--project", running) as logs:
            logs.until("all are read", lambda: sorted(len(n) > 10 for n in numbers_by_replica(logs.out).values()) == [True] * 3)
        for numbers in numbers_by_replica(logs.out).values():
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), logs.out
    assert APP in dev.pin("list").out


@contextmanager
def connected(using: Context) -> Generator[ssl.SSLSocket, None, None]:
    """A connection with hardly any room for what it does not read."""
    at = urlsplit(using.server)
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.settimeout(60)
    plain.connect((at.hostname, at.port))
    with ssl.create_default_context(cafile=using.ca).wrap_socket(plain, server_hostname=at.hostname) as secure:
        yield secure
