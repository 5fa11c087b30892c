"""Who may do what: strangers learn nothing, rights that are withdrawn end what is open."""

from __future__ import annotations

import json

import pytest
from live_region import Region
from terminal_user import TerminalUser, talker

APP = "talker"


@pytest.fixture(scope="module")
def running(dev: TerminalUser, shop: str) -> str:
    dev.write("app.yaml", talker(replicas=1))
    dev.pin("deploy", "-f", "app.yaml")
    return shop


def robot_of(user: TerminalUser, role: str) -> tuple[TerminalUser, str]:
    """A program with a service token of the user's project, and the token's id."""
    made = json.loads(user.pin("token", "create", f"robot-{role}", "--role", role, "-o", "json").out)
    return user.using(PINCOMPUTE_TOKEN=made["secret"]), made["id"]


def without_request(said: str) -> list[str]:
    return [line for line in said.splitlines() if "request:" not in line]


def test_a_strangers_project_looks_as_if_it_did_not_exist(dev: TerminalUser, running: str):
    """The same words for what is hidden and for what is not there."""
    stranger, token = robot_of(dev, "viewer")
    hidden = stranger.pin("status", "hello", "--project", "demo", status=3)
    absent = stranger.pin("status", "hello", "--project", "no-such", status=3)
    assert without_request(hidden.err.replace("demo", "PROJECT")) == without_request(absent.err.replace("no-such", "PROJECT"))
    names = json.loads(stranger.pin("list", "-A", "-o", "json").out)["items"]
    assert {app["project"] for app in names} == {running}
    dev.pin("token", "revoke", token)


def test_a_viewer_reads_and_does_not_write(region: Region, dev: TerminalUser, running: str):
    """A token that is revoked is worthless at once."""
    viewer, token = robot_of(dev, "viewer")
    assert APP in viewer.pin("list").out
    before = region.app(running, APP).metadata.generation
    for command in (("scale", APP, "2"), ("stop", APP), ("exec", APP, "--", "ls"), ("delete", APP, "--yes")):
        assert "not allowed" in viewer.pin(*command, status=4).err
    assert region.app(running, APP).metadata.generation == before
    dev.pin("token", "revoke", token)
    assert "remedy" in viewer.pin("list", status=4).err


def test_a_right_that_is_withdrawn_cuts_open_shells_and_logs(admin: TerminalUser, dev: TerminalUser, running: str):
    """S-255: within seconds, and nothing more is told about the project."""
    with dev.terminal("shell", APP) as shell, dev.running("logs", APP, "-f", "--tail", "1") as logs:
        shell.type("echo be''gins\n")
        shell.until("begins")
        logs.until("the log is followed", lambda: "tick" in logs.out)
        admin.pin("project", "revoke", "dev", "--project", running)
        try:
            shell.until("the session was cut")
            assert shell.ended() not in (0, None)
            logs.until("the log says why it ends", lambda: "the permission was withdrawn" in logs.err)
            assert "there is no" in dev.pin("status", APP, status=3).err.lower()
        finally:
            admin.pin("project", "grant", "dev", "owner", "--yes", "--project", running)
    assert "1/1 ready" in dev.pin("status", APP).out
