"""Who loses a right while a shell is open, who hides behind a time-out, and who holds the gateway's credential on the host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from live_region import Region
from pincompute_sdk.core.errors import PinError
from terminal_user import TerminalUser, talker

from pincompute.api import labels

APP = "talker"
HEADS = ("configmap", labels.AUDIT_HEADS, "-n", labels.SYSTEM_NAMESPACE)
GATEWAY = f"--as=system:serviceaccount:{labels.SYSTEM_NAMESPACE}:{labels.service_account('gateway')}"
SECONDS = 8.0  # in which a shell ends after its right, on a busy machine


@pytest.fixture(scope="module")
def running(region: Region, dev: TerminalUser, shop: str) -> str:
    """A project that wants transcripts, in which an app runs."""
    region.kubectl("annotate", "--overwrite", "project", shop, f"{labels.TRANSCRIPTS}=true")
    dev.write("app.yaml", talker(replicas=1))
    dev.pin("deploy", "-f", "app.yaml")
    region.settled(shop, APP, replicas=1)
    return shop


def recorded(admin: TerminalUser, *arguments: str) -> list[dict[str, Any]]:
    """Records of streams that have ended, the newest first."""
    found = json.loads(admin.pin("admin", "audit", *arguments, "-o", "json").out)["items"]
    return [record for record in found if record["stage"] == "done"]


def transcript(region: Region, record: dict[str, Any]) -> list[Any]:
    folder = Path(region.home) / "gateway" / "transcripts"
    return [json.loads(line) for line in (folder / record["stream"]["transcript"]).read_text().splitlines()]


def test_a_shell_is_cut_when_its_owner_leaves_the_project(region: Region, dev: TerminalUser, admin: TerminalUser, running: str):
    """S-255, S-256. Beside it a shell of somebody whose right stays goes on."""
    with dev.terminal("shell", f"{APP}/0") as cut, admin.terminal("shell", f"{APP}/0", "--project", running) as kept:
        for terminal in (cut, kept):
            terminal.type("echo be''gins\n")
            terminal.until("begins")
        admin.pin("project", "revoke", "dev", "--project", running)
        try:
            assert cut.ended(SECONDS) not in (0, 130)
            assert "the permission was withdrawn" in cut.screen
            kept.type("echo goes''on\n")
            kept.until("goeson")
            kept.type("exit 4\n")
            assert kept.ended() == 4
        finally:
            admin.pin("project", "grant", "dev", "owner", "--yes", "--project", running)
    ended = recorded(admin, "--who", "dev", "--what", "open shells", "--on", f"{running}/{APP}", "-n", "5")[0]
    stream = ended["stream"]
    assert stream["replica"].endswith("0")
    assert (stream["container"], stream["ended"]) == ("web", "cut: the permission was withdrawn")
    assert stream["bytesIn"] > 0
    assert stream["bytesOut"] > 0
    *events, last = transcript(region, ended)[1:]
    assert "begins" in "".join(text for _, kind, text in events if kind == "o")
    assert last[1:] == ["m", "cut: the permission was withdrawn"]


def test_a_command_that_times_out_leaves_its_record(region: Region, dev: TerminalUser, admin: TerminalUser, running: str):
    """S-256: as does one that ends."""
    with dev.client() as pin:
        done = pin.apps.exec(running, APP, {"command": ["sh", "-c", "echo quick; exit 3"]})
        assert done.exit_code == 3
        with pytest.raises(PinError, match="did not end within 1 s"):
            pin.apps.exec(running, APP, {"command": ["sh", "-c", "echo slow; sleep 60"], "timeoutSeconds": 1})
    late, quick = recorded(admin, "--who", "dev", "--what", "shells", "--on", f"{running}/{APP}", "-n", "6")[:2]
    assert (quick["status"], quick["stream"]["exitCode"], quick["stream"]["ended"]) == (200, 3, "exit code 3")
    assert (late["status"], late["stream"]["command"]) == (504, "sh -c echo slow; sleep 60")
    assert "did not end within 1 s" in late["stream"]["ended"]
    for record, said in ((quick, "quick\n"), (late, "slow\n")):
        *events, last = transcript(region, record)[1:]
        assert "".join(text for _, kind, text in events if kind == "o") == said
        assert last[1:] == ["m", record["stream"]["ended"]]


def test_a_refused_shell_is_recorded_as_refused(dev: TerminalUser, admin: TerminalUser, running: str):
    assert dev.pin("exec", f"{APP}/9", "--", "ls", status=3).err
    refused = recorded(admin, "--who", "dev", "--what", "open shells", "--on", f"{running}/{APP}", "-n", "2")[0]
    assert refused["status"] == 404


def test_heads_of_the_audit_log_only_grow_also_for_the_gateways_credential(region: Region, admin: TerminalUser, running: str):
    """One forbidden change per try, beside the change that gateways make."""

    def proved() -> bool:
        return bool(json.loads(admin.pin("admin", "audit", "verify", "-o", "json").out).get("proofs"))

    region.eventually("the log's head is anchored", proved)
    data: dict[str, str] = json.loads(region.kubectl("get", *HEADS, "-o", "json"))["data"]
    name = next(key for key in data if "_" not in key)
    digest, time = "0" * 64, data[name].rpartition(" ")[2]
    day = f"{name}_{time[:10]}"

    def patch(*changes: tuple[str, str | None]) -> str:
        body = json.dumps({"data": dict(changes)})
        return region.kubectl("patch", *HEADS, "--type=merge", "-p", body, "--dry-run=server", GATEWAY)

    later = f"{int(data[name][:20]) + 1000:020d} {digest} {time}"
    patch((name, later))
    first = f"{1:020d} {digest} {time}"
    patch(("other", first), (f"other_{time[:10]}", first))
    forbidden = {
        "a lower record": lambda: patch((name, f"{0:020d} {digest} {time}")),
        "another hash of the same record": lambda: patch((name, f"{data[name][:20]} {digest} {time}")),
        "a record that no gateway reaches": lambda: patch((name, f"{10**19} {digest} {time}")),
        "another head of a day": lambda: patch((day, later)),
        "the first head of a gateway without its day": lambda: patch(("other", first)),
        "a head that is gone": lambda: patch((name, None)),
        "a head of a day that is gone": lambda: patch((day, None)),
        "what is no head": lambda: patch((name, "9")),
        "no more heads": lambda: region.kubectl(
            "patch", *HEADS, "--type=merge", "-p", '{"immutable": true}', "--dry-run=server", GATEWAY
        ),
        "no ConfigMap": lambda: region.kubectl("delete", *HEADS, "--dry-run=server", GATEWAY),
        "another ConfigMap": lambda: region.kubectl(
            "create", "configmap", "other", "-n", labels.SYSTEM_NAMESPACE, "--dry-run=server", GATEWAY
        ),
    }
    for attempt in forbidden.values():
        with pytest.raises(AssertionError, match=r"[Ff]orbidden|denied|20 digits"):
            attempt()
