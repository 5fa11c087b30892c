"""The gateway is killed in the middle of what a user has open: it goes on by itself, or ends with a sentence and no half."""

from __future__ import annotations

import os
import re
import urllib.request

import pytest
from live_region import ANSWER, Region
from terminal_user import TerminalUser, talker

pytestmark = [pytest.mark.alone, pytest.mark.usefixtures("calm")]

APP = "talker"
SIZE = 48 << 20  # bytes of a file that takes seconds to copy
LEADS = re.compile(r"^(http://127\.0\.0\.1:\d+) leads to port", re.MULTILINE)


def begun(region: Region, what: str) -> int:
    """How often the record says that this was about to happen."""
    audit = region.home / "gateway" / "audit.log"
    return sum(what in line and '"begun"' in line for line in audit.read_text().splitlines())


def large(user: TerminalUser) -> bytes:
    content = os.urandom(SIZE)
    (user.home / "sent").write_bytes(content)
    return content


def test_a_file_that_is_copied_out_is_whole_or_not_there(region: Region, dev: TerminalUser, running: str):
    """`pin cp` asks again and takes no part for the whole."""
    content = large(dev)
    dev.pin("cp", "./sent", f"{APP}/0:/work/")
    before = begun(region, "files")
    with dev.running("cp", f"{APP}/0:/work/sent", "./taken") as copy:
        copy.until("the copy has begun", lambda: begun(region, "files") > before)
        region.kill("gateway")
        said = copy.ended()
    taken = dev.home / "taken"
    assert said.status == 0 or ("error" in said.err and not taken.exists()), said.err
    assert said.status != 0 or taken.read_bytes() == content


def test_a_file_that_is_copied_in_is_whole_in_the_end(region: Region, dev: TerminalUser, running: str):
    """Sending it again is harmless, so `pin cp` does."""
    content = large(dev)
    before = begun(region, "files")
    with dev.running("cp", "./sent", f"{APP}/1:/work/") as copy:
        copy.until("the copy has begun", lambda: begun(region, "files") > before)
        region.kill("gateway")
        said = copy.ended()
    assert said.status == 0, said.err
    dev.pin("cp", f"{APP}/1:/work/sent", "./returned")
    assert (dev.home / "returned").read_bytes() == content


def test_a_shell_is_cut_and_the_terminal_is_given_back(region: Region, dev: TerminalUser, running: str):
    """No hanging terminal."""
    with dev.terminal("shell", f"{APP}/0") as terminal:
        terminal.type("echo be''gins\n")
        terminal.until("begins")
        region.kill("gateway")
        assert terminal.ended() not in (0, 130)
        assert "the session was cut" in terminal.screen


def test_a_forwarded_port_leads_there_again(region: Region, admin: TerminalUser):
    """`pin open` stays; connections that are made later go through."""
    with admin.running("open", "hello", "0:8080", "--project", "demo") as opened:
        address = opened.until("its address is told", lambda: LEADS.search(opened.out))[1]
        region.eventually("the port answers", lambda: answer(address))
        region.kill("gateway")
        region.eventually("the port answers again", lambda: answer(address))


def answer(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=ANSWER) as found:
        return found.read()


def test_a_deployment_is_followed_to_its_end(region: Region, dev: TerminalUser, running: str):
    """`pin deploy` reads again, and what it wrote was written once."""
    before = region.app(running, APP).metadata.generation
    dev.write("second.yaml", talker(version=2))
    with dev.running("deploy", "-f", "second.yaml") as deploy:
        deploy.until("it is being carried out", lambda: region.app(running, APP).metadata.generation > before)
        region.kill("gateway")
        said = deploy.ended()
    assert said.status == 0, said.err
    assert region.settled(running, APP, replicas=3).metadata.generation == before + 1
