"""What a user does to an app that runs: read its logs, open shells, copy files, restart a part of it."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
from live_region import Placed, Region
from terminal_user import TerminalUser, talker

APP = "talker"
TICK = re.compile(r"tick (\d+)$")


@pytest.fixture(scope="module")
def running(dev: TerminalUser, shop: str) -> str:
    """The project in which the app runs."""
    dev.write("app.yaml", talker())
    dev.pin("deploy", "-f", "app.yaml")
    return shop


def ticks(lines: list[str]) -> list[int]:
    return [int(found[1]) for line in lines if (found := TICK.search(line))]


def is_gapless(numbers: list[int]) -> bool:
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def started(placed: Placed) -> dict[str, str]:
    return {status.name: status.container_id for status in placed.pod.status.container_statuses}


def test_logs_of_all_replicas_are_merged_by_time(region: Region, dev: TerminalUser, running: str):
    """S-261: every replica of every zone is there, ordered by time, and nothing is lost or doubled within one."""
    with dev.client() as pin:
        lines = list(pin.apps.logs(running, APP, container="web"))
    assert {line.zone for line in lines} == {"a", "b", "c"}
    assert [line.time for line in lines] == sorted(line.time for line in lines)
    for replica in {line.replica for line in lines}:
        own = ticks([line.text for line in lines if line.replica == replica])
        assert is_gapless(own), own

    def found() -> Counter[str]:
        said = dev.pin("logs", APP, "--grep", "tick 3$", "-c", "web").out.splitlines()
        return Counter(line.split(" ", 2)[2] for line in said)

    region.eventually("every replica is searched", lambda: found() == {"tick 3": 3})
    newest = dev.pin("logs", APP, "--tail", "7").out.splitlines()
    assert len(newest) == 7


def test_following_goes_on_over_a_restart_of_one_container(region: Region, dev: TerminalUser, running: str):
    """S-261: a marker tells of the restart; no line before or after it is missing. The other containers keep running."""
    before = {placed.uid: started(placed) for placed in region.pods(running, APP)}
    with dev.running("logs", f"{APP}/0", "-f", "-c", "web") as followed:
        followed.until("the log is followed", lambda: len(ticks(followed.out.splitlines())) > 2)
        dev.pin("restart", f"{APP}/0", "--container", "web", "--reason", "it hangs")
        followed.until("the restart is marked", lambda: "web restarted" in followed.err)

        def lives() -> list[list[int]]:
            parts = re.split(r"begin \d\n", followed.out)
            return [ticks(part.splitlines()) for part in parts if ticks(part.splitlines())]

        followed.until("the log goes on after the restart", lambda: len(lives()) > 1 and len(lives()[1]) > 2)
        first, second = lives()
    assert is_gapless(first)
    assert is_gapless(second)
    assert (first[0], second[0]) == (1, 1)

    region.settled(running, APP, replicas=3)
    after = {placed.uid: started(placed) for placed in region.pods(running, APP)}
    assert after.keys() == before.keys()
    changed = [(uid, name) for uid in before for name in before[uid] if before[uid][name] != after[uid][name]]
    assert [name for _, name in changed] == ["web"]


def test_exec_passes_on_input_output_and_exit_status(dev: TerminalUser, running: str):
    """One-shot commands; stdout and stderr stay apart."""
    said = dev.pin("exec", APP, "--", "sh", "-c", "echo out; echo err >&2; exit 7", status=7)
    assert (said.out, said.err) == ("out\n", "err\n")
    assert dev.pin("exec", f"{APP}/1", "-i", "--", "cat", stdin="one\ntwo\n").out == "one\ntwo\n"
    large = "".join(f"line {number}\n" for number in range(100_000))
    for _ in range(3):
        assert dev.pin("exec", f"{APP}/1", "-i", "--", "cat", stdin=large).out == large, (
            "a megabyte both ways, whole to its end"
        )
    often = "cat > /work/large; for i in 1 2 3; do cat /work/large; done"
    assert dev.pin("exec", f"{APP}/1", "-i", "--", "sh", "-c", often, stdin=large).out == large * 3
    missing = dev.pin("exec", f"{APP}/9", "--", "ls", status=3)
    assert f"replica {APP}/9" in missing.err


def test_a_shell_has_the_size_of_the_terminal_and_follows_it(dev: TerminalUser, running: str):
    """S-257: resize reaches the program; its exit status is ours."""
    with dev.terminal("shell", f"{APP}/0", columns=100, lines=30) as terminal:
        terminal.type("until [ \"$(stty size)\" = '30 100' ]; do sleep 0.1; done; echo be''gins\n")
        terminal.until("begins")
        terminal.resize(120, 40)
        terminal.type("until [ \"$(stty size)\" = '40 120' ]; do sleep 0.1; done; echo re''sized\n")
        terminal.until("resized")
        terminal.type("exit 5\n")
        assert terminal.ended() == 5


def test_files_and_folders_are_copied_in_and_out(dev: TerminalUser, running: str):
    """What comes out is what went in."""
    (dev.home / "conf" / "deep").mkdir(parents=True, exist_ok=True)
    content = bytes(range(256)) * 4096
    (dev.home / "conf" / "deep" / "data").write_bytes(content)
    dev.write("conf/app.conf", "color = blue\n")
    dev.pin("cp", "./conf", f"{APP}/1:/work/")
    assert dev.pin("exec", f"{APP}/1", "--", "cat", "/work/conf/app.conf").out == "color = blue\n"
    owner = dev.pin("exec", f"{APP}/1", "--", "ls", "-ln", "/work/conf/app.conf").out.split()[2]
    assert owner == "65532", "the container's own user, whoever owns the file here"
    assert f"{APP}/1:/work/conf is at" in dev.pin("cp", f"{APP}/1:/work/conf", "./back").out
    assert (dev.home / "back" / "deep" / "data").read_bytes() == content
    (dev.home / "conf" / "out").symlink_to("/etc")
    (dev.home / "named").symlink_to("conf/app.conf")
    assert "conf/out" in dev.pin("cp", "./conf", f"{APP}/1:/work/").err, "what is left out is named, the rest is copied"
    assert f"{APP}/1:/work/named" in dev.pin("cp", "./named", f"{APP}/1:/work").out, "a folder gets a file inside"
    dev.pin("cp", "./named", f"{APP}/1:/work/renamed")
    dev.pin("exec", f"{APP}/1", "--", "ln", "-s", "/work/conf", "/work/link")
    dev.pin("cp", f"{APP}/1:/work/link", "./followed")
    assert (dev.home / "followed" / "app.conf").read_text() == "color = blue\n"
    dev.pin("cp", f"{APP}/1:/work/renamed", "./renamed")
    assert (dev.home / "renamed").read_text() == "color = blue\n"
    assert "/work/nothing" in dev.pin("cp", f"{APP}/1:/work/nothing", "./none", status=None).err
    assert not (dev.home / "none").exists()


def test_one_replica_is_restarted_and_the_others_stay(region: Region, dev: TerminalUser, running: str):
    before = region.uids(running, APP)
    assert f"{APP}/2 has restarted and is ready" in dev.pin("restart", f"{APP}/2").out
    assert len(region.uids(running, APP) - before) == 1
    assert len(region.uids(running, APP) & before) == 2


def test_what_was_done_inside_is_in_history_and_audit(region: Region, dev: TerminalUser, admin: TerminalUser, running: str):
    """S-256: who opened a shell or ran a command, and an audit log whose chain is unbroken."""
    dev.pin("exec", APP, "--", "ls", "/")

    def told() -> bool:
        return "dev opened a shell or ran a command in talker" in dev.pin("timeline", APP).out

    region.eventually("the timeline tells of it", told)
    proof = json.loads(admin.pin("admin", "audit", "verify", "-o", "json").out)
    assert proof["records"] > 0
    assert not proof.get("faults")
    assert "error" in dev.pin("admin", "audit", "verify", status=4).err
