"""From an empty home to an app that runs, is changed, rolled back, stopped and started, and told of after its end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_region import Region
from terminal_user import TALKER, TerminalUser, talker

from pincompute.api.workloads import PINAPPS
from pincompute.domain import image_pinning

APP = "talker"


@pytest.fixture(scope="module")
def deployed(dev: TerminalUser, shop: str) -> str:
    """What `pin deploy` said, typed at once after the project was made."""
    dev.write("app.yaml", talker())
    return dev.pin("deploy", "-f", "app.yaml").out


@pytest.fixture
def running(region: Region, shop: str, deployed: str) -> Iterator[str]:
    """The app as it was deployed, whatever the story before did."""
    region.settled(shop, APP, replicas=3)
    return shop


def images(region: Region, project: str) -> set[str]:
    """Without the digests to which a deploy pins them."""
    return {image_pinning.unpinned(placed.pod.spec.containers[0].image) for placed in region.pods(project, APP)}


def version(number: int) -> str:
    return f"{TALKER}:{number}"


def test_a_user_logs_in_with_a_code_and_says_who_they_are(region: Region, tmp_path: Path):
    """Device flow in an empty home; the region is found without any configuration."""
    user = TerminalUser(region, "dev", tmp_path)
    refused = user.pin("list", "--project", "demo", status=4)
    assert "pin login" in refused.err
    said = user.login()
    assert said.status == 0
    assert "as dev" in said.out
    assert user.pin("whoami").out.startswith("dev (user")
    assert (tmp_path / ".config" / "pincompute" / "config.yaml").stat().st_mode & 0o077 == 0
    user.pin("logout")
    assert "pin login" in user.pin("list", "--project", "demo", status=4).err


def test_deploy_shows_the_plan_then_each_zone_and_ends_when_all_run(region: Region, shop: str, deployed: str):
    """Exit status 0 says that all that was asked for runs."""
    assert f"new App {shop}/{APP}" in deployed
    for zone in ("a", "b", "c"):
        assert re.search(rf"{zone}  █+  1/1 ready", deployed), deployed
    assert f"{APP} runs: 3 of 3 ready" in deployed
    assert region.spread(shop, APP) == {"a": 1, "b": 1, "c": 1}


def test_the_same_file_again_changes_nothing(region: Region, dev: TerminalUser, running: str):
    before = region.app(running, APP).metadata.generation
    assert "nothing to change" in dev.pin("deploy", "--diff").out
    dev.pin("deploy")
    assert region.app(running, APP).metadata.generation == before


def test_status_is_a_tree_from_the_app_down_to_its_containers(dev: TerminalUser, running: str):
    """App, zones, replicas, containers; the four answers stand in the first lines."""
    shown = dev.pin("status", APP).out
    head = shown.splitlines()
    assert re.match(rf"{APP}  Running  3/3 ready", head[0])
    assert running in head[1]
    for zone in ("a", "b", "c"):
        assert re.search(rf"─ {zone}  █+  1/1 ready", shown)
    assert len(re.findall(r"─ web  ", shown)) == len(re.findall(r"─ side  ", shown)) == 3
    as_json = json.loads(dev.pin("status", APP, "-o", "json").out)
    assert (as_json["kind"], as_json["status"]["ready"]) == ("App", 3)
    assert dev.pin("status", APP, "-o", "jsonpath={.status.state}").out.strip() == "Running"


def test_own_writes_are_read(dev: TerminalUser, running: str):
    """S-250: by the very next command, and by the next call of a program, whatever the caches know."""
    with dev.client() as pin:
        for count in (4, 5, 3):
            done = pin.apps.scale(running, APP, {"replicas": count})
            assert pin.apps.get(running, APP).replicas == count
            assert [app.replicas for app in pin.apps.iterate(running) if app.name == APP] == [count]
            assert done.changed
    dev.pin("scale", APP, "2", "--detach")
    assert "/2 ready" in dev.pin("status", APP).out
    said = dev.pin("scale", APP, "3").out
    assert said.endswith(f"{APP} runs: 3 of 3 ready\n")
    assert "Running" in dev.pin("status", APP).out


def test_pause_keeps_what_runs_and_freezes_changes(region: Region, dev: TerminalUser, running: str):
    """S-258: idempotent, with a clear state after it."""
    before = region.uids(running, APP)
    dev.pin("pause", APP, "--reason", "freeze for the night")
    assert "paused already" in dev.pin("pause", APP).out
    refused = dev.pin("scale", APP, "6", status=5)
    assert "paused" in refused.err
    assert "resume" in refused.err
    assert region.uids(running, APP) == before
    dev.pin("resume", APP)
    assert "not paused" in dev.pin("resume", APP).out
    region.settled(running, APP, replicas=3)
    assert region.uids(running, APP) == before


def test_stop_ends_all_replicas_and_start_brings_as_many_back(region: Region, dev: TerminalUser, running: str):
    """S-258: the count is remembered."""
    dev.pin("stop", APP)
    assert not region.pods(running, APP)
    assert dev.pin("status", APP, "-o", "jsonpath={.status.state}").out.strip() == "Stopped"
    assert "stopped already" in dev.pin("stop", APP).out
    assert "runs: 3 of 3 ready" in dev.pin("start", APP).out
    assert len(region.pods(running, APP)) == 3


def test_an_update_and_back(region: Region, dev: TerminalUser, running: str):
    """Rollback goes to the revision that ran well before; who and why are in the history."""
    dev.write("second.yaml", talker(version=2))
    shown = dev.pin("deploy", "-f", "second.yaml").out
    assert f"{version(1)} → {version(2)}" in shown
    assert images(region, running) == {version(2)}
    said = dev.pin("rollback", APP, "--yes", "--reason", "second talks too much").out
    assert "goes back from revision" in said
    assert images(region, running) == {version(1)}

    def told() -> bool:
        return "dev rolled back talker" in (told := dev.pin("timeline", APP).out) and "second talks too much" in told

    region.eventually("the timeline tells of the rollback", told)


def test_explain_says_why_there_is_no_room_and_what_to_do(region: Region, dev: TerminalUser, shop: str):
    """In sentences, with the figures that do not fit."""
    dev.write("huge.yaml", talker("huge", replicas=1).replace("cpu: 10m", "cpu: 900"))
    late = dev.pin("deploy", "-f", "huge.yaml", "--yes", status=1)
    assert "zones a, b and c have no node that is large enough: each replica asks for cpu 1800" in late.err

    def explained() -> str:
        return said if "cpu" in (said := dev.pin("explain", "huge").out) else ""

    said = region.eventually("the explanation names what is missing", explained)
    assert "huge should run 1 replica; 0 are ready" in said
    dev.pin("delete", "huge", "--yes", "--wait")


def test_the_life_of_a_deleted_app_is_still_told(region: Region, dev: TerminalUser, shop: str):
    """S-259: delete returns when accepted, --wait when nothing is left; its history stays."""
    dev.write("brief.yaml", talker("brief", replicas=1))
    dev.pin("deploy", "-f", "brief.yaml")
    dev.pin("delete", "brief", "--yes", "--wait")
    assert region.host.get(PINAPPS, shop, "brief") is None
    assert "brief" in dev.pin("status", "brief", status=3).err

    def told() -> str:
        return said if "brief was deleted; nothing of it is left" in (said := dev.pin("timeline", "brief").out) else ""

    story = region.eventually("its end is told", told)
    assert "dev created brief" in story
    assert story.index("dev created brief") < story.index("nothing of it is left")
    kinds = {record["type"] for record in json.loads(dev.pin("history", "brief", "-o", "json").out)["items"]}
    assert kinds == {"revision", "decision", "operation"}
    assert "state" in {record["type"] for record in json.loads(dev.pin("events", "brief", "-o", "json").out)["items"]}
    assert "brief does not run: it was deleted" in dev.pin("explain", "brief").out
