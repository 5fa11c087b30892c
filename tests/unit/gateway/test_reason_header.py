"""Why somebody does something: said in a header, kept with the history and the audit record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from gateway.served_gateway import WITHIN, Running, running

from pincompute.gateway import reason_header
from pincompute.gateway.composition import printed_document
from pincompute.gateway.problems import Problem

APPS = "/v1/projects/shop/apps"
HELLO = f"{APPS}/hello"
APP = {"name": "hello", "containers": [{"name": "web", "image": "registry.internal/hello:1"}], "replicas": 3}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as found:
        yield found


def because(reason: str) -> Mapping[str, str]:
    return {reason_header.HEADER: quote(reason)}


def audited(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "audit.log").read_text().splitlines()]


async def test_every_write_says_why_in_the_history_and_in_its_record(gateway: Running, tmp_path: Path):
    """S-258, S-260."""
    writes = [
        ("POST", APPS, APP, "first of all"),
        ("PUT", HELLO, {**APP, "replicas": 4}, "Größe: 50 % mehr"),
        ("PATCH", HELLO, {"replicas": 5}, "load test"),
        ("POST", f"{HELLO}/pause", None, "night"),
        ("DELETE", HELLO, None, "not needed 🎈"),
    ]
    for method, path, body, reason in writes:
        status, answer, _ = await gateway.ask("dan" if "pause" not in path else "olga", method, path, body, **because(reason))
        assert status < 300, answer
    wanted = [reason for *_, reason in writes]
    sentences: list[str] = []
    async with asyncio.timeout(WITHIN):
        while not all(any(s.endswith(f": {reason}") for s in sentences) for reason in wanted):
            _, timeline, _ = await gateway.ask("vera", "GET", f"{HELLO}/timeline?oldestFirst=true")
            sentences = [entry["sentence"] for entry in timeline["items"]]
            await asyncio.sleep(0.02)
    told = [(record["stage"], record.get("reason")) for record in audited(tmp_path) if record.get("name", "hello") == "hello"]
    assert told == [(stage, reason) for reason in wanted for stage in ("begun", "done")]


async def test_members_of_projects_change_for_a_reason(gateway: Running, tmp_path: Path):
    path = "/v1/projects/shop/members/eve"
    status, answer, _ = await gateway.ask("alice", "PUT", path, {"role": "viewer"}, **because("new colleague"))
    assert status == 200, answer
    assert {record["reason"] for record in audited(tmp_path)} == {"new colleague"}


@pytest.mark.parametrize(
    ("header", "wrong"),
    [
        ("50% more", "percent-encoded"),
        ("Gr\u00f6\u00dfe", "percent-encoded"),
        ("%FF", "not UTF-8"),
        ("%0A", "control characters"),
        ("x" * (reason_header.LONGEST + 1), "at most 500 characters"),
    ],
)
def test_a_reason_that_cannot_be_kept_is_refused_with_its_rule(header: str, wrong: str):
    with pytest.raises(Problem, match=wrong) as refused:
        reason_header.read([(b"pincompute-reason", header.encode())])
    assert (refused.value.status, refused.value.errors[0].field) == (422, reason_header.HEADER)


def test_the_longest_reason_of_the_widest_characters_passes():
    reason = "🎈" * reason_header.LONGEST
    header = quote(reason)
    assert len(header) == reason_header.LONGEST_ENCODED
    assert reason_header.read([(b"pincompute-reason", header.encode())]) == reason


async def test_a_write_with_a_bad_reason_does_not_happen(gateway: Running):
    status, problem, _ = await gateway.ask("dan", "POST", APPS, APP, **{reason_header.HEADER: "100%"})
    assert (status, problem["code"]) == (422, "invalid")
    assert "%25" in problem["detail"]
    assert (await gateway.ask("dan", "GET", HELLO))[0] == 404


def test_the_document_offers_a_reason_wherever_a_record_is_left():
    operations = {o["operationId"]: o for path in json.loads(printed_document())["paths"].values() for o in path.values()}
    offered = {
        name for name, o in operations.items() if any(p["name"] == reason_header.HEADER for p in o.get("parameters", ()))
    }
    assert {"createApp", "replaceUnit", "patchProject", "deleteApp", "pauseApp", "addMember", "createToken"} <= offered
    assert not offered & {"getApp", "listApps", "diffApp", "getSession"}
