"""The gateway keeps to its OpenAPI document, and no input makes it fail: every check of schemathesis, over HTTP.

Quick in `make test`; INTERFACE_PROFILE=deep makes 20,000 calls and more. A finding is printed with the call that shows it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from gateway.served_gateway import Running, running

from pincompute.gateway import cache_reads
from pincompute.gateway.gateway_settings import LimitSettings
from pincompute.gateway.request_limits import request_limiter

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
PROGRAM = "from schemathesis.cli import schemathesis; schemathesis()"
REPORT = "report.json"
PLENTY = 1e9  # tokens a second: limits have tests of their own
UNLIMITED = LimitSettings(rate=PLENTY, burst=PLENTY, caller_rate=PLENTY, caller_burst=PLENTY, capacity=PLENTY)


@dataclass(frozen=True)
class Profile:
    """`examples` of each operation and phase; `calls` that must have been made for the test to mean anything."""

    examples: int
    calls: int
    phases: str
    seconds: float
    seed: str = ""


PROFILES = {
    "quick": Profile(examples=3, calls=250, phases="fuzzing,stateful", seconds=900, seed="1"),
    "deep": Profile(examples=150, calls=20_000, phases="examples,coverage,fuzzing,stateful", seconds=7200),
}


async def test_every_operation_is_as_documented_whatever_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(request_limiter, "FAILED_LOGINS_RATE", PLENTY)  # or calls without a good credential are answered late
    monkeypatch.setattr(cache_reads, "CATCH_UP", 0.01)  # nobody writes the versions that are asked for
    profile = PROFILES[os.environ.get("INTERFACE_PROFILE", "quick")]
    async with running(tmp_path, limits=UNLIMITED) as gateway:
        await gateway.ask("alice", "POST", "/v1/projects/shop/apps", {"name": "hello", "image": "registry.example/hello:1"})
        async with asyncio.timeout(60):
            while (await gateway.ask("", "GET", "/openapi.json"))[0] != 200:  # noqa: ASYNC110 - it is being made elsewhere
                await asyncio.sleep(0.1)
        printed = await _run(gateway, profile, tmp_path / REPORT)
        status, _, _ = await gateway.ask("alice", "GET", "/v1/projects/shop/apps")
    report = json.loads((tmp_path / REPORT).read_text())
    assert report["exit_code"] == 0, printed
    assert report["complete"], printed
    assert report["test_cases"]["generated"] >= profile.calls, printed
    assert status == 200


async def _run(gateway: Running, profile: Profile, report: Path) -> str:
    command = [
        *(sys.executable, "-c", PROGRAM, f"--config-file={CONFIGURATION}", "run", f"{gateway.url}/openapi.json"),
        *("--checks=all", f"--phases={profile.phases}", f"--max-examples={profile.examples}", "--no-color"),
        *("--report=json", f"--report-json-path={report}", *((f"--seed={profile.seed}",) if profile.seed else ())),
    ]
    program = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "GATEWAY_TOKEN": await gateway.token("alice")},
        cwd=report.parent,
    )
    async with asyncio.timeout(profile.seconds):
        printed, _ = await program.communicate()
    return printed.decode()
