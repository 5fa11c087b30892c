"""The gateway's clock is ten minutes from everybody else's: who is refused learns why, and what is written down is right."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from live_region import Region
from pincompute_sdk.cli.exit_codes import ACCESS
from terminal_user import TerminalUser, talker

from pincompute.api.labels import HOST
from pincompute.region import atomic_files, gateway_programs, lifecycle
from pincompute.region.cluster import certificates
from pincompute.region.process import supervisor_socket
from pincompute.region.process.program import Program

pytestmark = pytest.mark.alone

APP = "talker"
NDJSON = "application/x-ndjson"
SOURCE = Path(__file__).with_name("skew.c")
SLACK = timedelta(seconds=30)  # a busy machine's, and far from ten minutes
OLD = timedelta(seconds=90)


@pytest.fixture(scope="module")
def preload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("skew") / "skew.so"
    subprocess.run(("cc", "-shared", "-fPIC", "-o", str(built), str(SOURCE)), check=True, timeout=60)
    return built


@pytest.fixture(scope="module")
def running(dev: TerminalUser, shop: str) -> str:
    dev.write("app.yaml", talker())
    dev.pin("deploy", "-f", "app.yaml")
    return shop


@pytest.fixture(scope="module")
def ahead(
    region: Region, dev: TerminalUser, running: str, preload: Path, request: pytest.FixtureRequest
) -> Generator[int, None, None]:
    """Seconds that the gateway's clock is ahead of all others; dev has only just logged in."""
    dev.login()
    with clock(region, preload, request.param):
        yield request.param


@contextmanager
def clock(region: Region, preload: Path, ahead: int) -> Generator[None, None, None]:
    """The gateway is another process before the block and after it."""
    described = region.home / supervisor_socket.PROGRAMS
    before = described.read_bytes()
    shifted = {"LD_PRELOAD": str(preload), "SKEW_SECONDS": str(ahead)}
    programs = [
        msgspec.structs.replace(program, environment=program.environment | shifted)
        if program.name == gateway_programs.GATEWAY
        else program
        for program in msgspec.json.decode(before, type=tuple[Program, ...])
    ]
    try:
        atomic_files.write(described, msgspec.json.encode(programs))
        lifecycle.supervise(region.home)
        region.all_ready()
        yield
    finally:
        atomic_files.write(described, before)
        lifecycle.supervise(region.home)
        region.all_ready()


@pytest.fixture
def platform(region: Region) -> Generator[httpx2.Client, None, None]:
    """A part of the platform, known by its certificate."""
    host = certificates.cluster(region.layout, HOST)
    trusted = ssl.create_default_context(cafile=str(host.certificate(certificates.CA)))
    trusted.load_cert_chain(host.certificate(certificates.ADMIN), host.key(certificates.ADMIN))
    with httpx2.Client(base_url=gateway_programs.url(region.layout), verify=trusted, trust_env=False, timeout=30) as client:
        yield client


def got(platform: httpx2.Client, path: str, **query: str) -> Any:
    answer = platform.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


TOKENS = {
    600: (),  # a token lasts fifteen minutes
    -600: ("clocks differ", "10 minutes ahead of the server's clock", "in the future: the gateway's clock says", "timedatectl"),
    1200: ("clocks differ", "20 minutes behind the server's clock", "expired", "the gateway's clock says", "timedatectl"),
}
TEN_MINUTES = pytest.mark.parametrize("ahead", [600, -600], indirect=True, scope="module")


@pytest.mark.parametrize("ahead", TOKENS, indirect=True, scope="module")
def test_a_new_token_is_taken_or_refused_with_both_clocks_named(dev: TerminalUser, running: str, ahead: int):
    said = dev.pin("list", "--project", running, status=ACCESS if TOKENS[ahead] else 0)
    assert TOKENS[ahead] or APP in said.out
    for part in TOKENS[ahead]:
        assert part in said.err


@TEN_MINUTES
def test_a_platform_part_is_known_by_its_certificate(platform: httpx2.Client, ahead: int):
    assert got(platform, "/v1/session")["name"] == "pincompute:admin"


@TEN_MINUTES
def test_the_newest_logs_are_the_newest_by_the_nodes_clocks(region: Region, platform: httpx2.Client, running: str, ahead: int):
    def times(**query: str) -> list[datetime]:
        asked = {"container": "web", **query}
        answer = platform.get(f"/v1/projects/{running}/apps/{APP}/logs", params=asked, headers={"Accept": NDJSON})
        assert answer.status_code == 200, answer.text
        lines = [json.loads(line) for line in answer.text.splitlines()]
        return [datetime.fromisoformat(line["time"]) for line in lines if not line.get("mark")]

    region.eventually("there are old lines", lambda: min(times()) < datetime.now(UTC) - OLD)
    asked = datetime.now(UTC)
    found = times(since="20s")
    assert found
    assert min(found) > asked - timedelta(seconds=20) - SLACK


@TEN_MINUTES
def test_history_and_audit_have_the_regions_time(region: Region, platform: httpx2.Client, running: str, ahead: int):
    begun = datetime.now(UTC)
    app = f"/v1/projects/{running}/apps/{APP}"
    attempt = f"clock {ahead}, {begun.timestamp()}, to"
    for replicas in (2, 3):
        reason = f"{attempt} {replicas}"
        answer = platform.post(f"{app}/scale", json={"replicas": replicas, "reason": reason})
        assert answer.status_code == 200, answer.text
        region.settled(running, APP, replicas=replicas)

    def story() -> list[dict[str, Any]]:
        told = got(platform, f"{app}/timeline", since=f"{begun - SLACK:%Y-%m-%dT%H:%M:%SZ}", oldestFirst="true", limit="1000")
        lines = [line["sentence"] for line in told["items"]]
        assert all(any(f"{attempt} {replicas}" in line for line in lines) for replicas in (2, 3)), lines
        return told["items"]

    lines = region.eventually("the story is told", story)
    ended = datetime.now(UTC)
    scaled = [line for line in lines if attempt in line["sentence"]]
    assert [line["sentence"].rpartition(" ")[2].rstrip(".") for line in scaled] == ["2", "3"]
    kinds = {line["type"] for line in lines[lines.index(scaled[0]) :]}
    assert kinds & {"decision", "state", "event"}, "what came of it is told after it"
    for line in scaled:
        assert begun - SLACK < datetime.fromisoformat(line["at"]) < ended + SLACK, line
    newest = [json.loads(line) for line in audited(region)[-50:]]
    recorded = [entry for entry in newest if entry.get("verb") == "scale" and entry["stage"] == "done"]
    assert len(recorded) >= 2
    for entry in recorded[-2:]:
        assert begun - SLACK < datetime.fromisoformat(entry["time"]) < ended + SLACK, entry


def audited(region: Region) -> list[str]:
    return (region.home / "gateway" / "audit.log").read_text().splitlines()
