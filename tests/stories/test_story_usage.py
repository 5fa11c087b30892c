"""What users see of the CPU and memory that their apps use, and of lists and ports that stay open."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import Any

import pytest
from live_region import ANSWER, Region
from terminal_user import TALKER, TerminalUser

pytestmark = pytest.mark.alone

BURNER = f"""\
kind: App
name: burner
replicas: 3
terminationGracePeriod: 1s
containers:
- name: web
  image: {TALKER}:1
  command: [sh, -c, "while :; do :; done"]
  resources: {{cpu: 20m, memory: 16Mi, limits: {{cpu: 50m}}}}
"""
BURNS = 25  # milli-cores of the 50 that the limit allows; an idle container uses less than 5
LEADS = re.compile(r"^(http://127\.0\.0\.1:\d+) leads to port 8080 of hello, at a ready replica, in project demo", re.MULTILINE)


def usage(dev: TerminalUser, *what: str) -> Any:
    return json.loads(dev.pin("top", *what, "-o", "json").out)


def test_an_app_that_burns_cpu_shows_by_replica_and_zone(region: Region, dev: TerminalUser, shop: str):
    """One reader of the kubelets' metrics per member, beside requests and limits."""
    dev.write("burner.yaml", BURNER)
    dev.pin("deploy", "-f", "burner.yaml")

    def burning() -> bool:
        found = usage(dev, "burner")["replicas"]
        return len(found) == 3 and all(each["cpu"].get("used", 0) >= BURNS for each in found)

    region.eventually("each replica burns CPU", burning)
    found = usage(dev, "burner")
    assert {each["zone"] for each in found["replicas"]} == {"a", "b", "c"}
    assert {(each["cpu"]["requested"], each["cpu"]["limit"]) for each in found["replicas"]} == {(20, 50)}
    assert all(each["cpu"]["used"] <= 75 and each["memory"]["used"] > 0 for each in found["replicas"])
    zones = dev.pin("top", "burner", "--zones").out.splitlines()
    assert [line.split()[:3] for line in zones[1:]] == [["burner", zone, "1"] for zone in "abc"]
    (whole,) = usage(dev)["items"]
    assert (whole["name"], whole["replicas"], whole["known"], whole["cpu"]["used"] >= 3 * BURNS) == ("burner", 3, 3, True)
    assert "unknown" not in dev.pin("top", "burner/0").out

    region.kill("c1-usage")
    region.eventually("a reader that starts again measures again", burning)


def test_a_list_that_is_watched_and_variables_that_are_set(region: Region, dev: TerminalUser, shop: str):
    """`pin list --watch`, `pin env`."""
    if not any(app["name"] == "burner" for app in json.loads(dev.pin("list", "-o", "json").out)["items"]):
        dev.write("burner.yaml", BURNER)
        dev.pin("deploy", "-f", "burner.yaml")
    with dev.running("list", "--watch") as watching:
        watching.until("the list is there", lambda: re.search(r"^burner +Running +3/3", watching.out, re.MULTILINE))
        dev.pin("scale", "burner", "1")
        watching.until("the change is there", lambda: re.search(r"^burner +Running +1/1", watching.out, re.MULTILINE))
        set_ = dev.pin("env", "set", "burner", "LEVEL=debug")
        assert "containers.web.env" in set_.out
        assert dev.pin("env", "list", "burner").out.splitlines()[1].split() == ["web", "LEVEL", "debug"]
        dev.pin("delete", "burner", "--yes", "--wait")
        watching.until("its end is there", lambda: re.search(r"^burner +Deleted", watching.out, re.MULTILINE))


def test_an_opened_port_says_where_it_leads(region: Region, admin: TerminalUser):
    with admin.running("open", "hello:8080", "--project", "demo") as opened:
        address = opened.until("its address is told", lambda: LEADS.search(opened.out))[1]
        with urllib.request.urlopen(address, timeout=ANSWER) as answer:
            assert b"hello from" in answer.read()
        with admin.running("open", "hello", "--project", "demo") as second:
            other = second.until("another address is told", lambda: LEADS.search(second.out))[1]
            assert other != address
            assert "is in use on this machine; a free one takes its place" in second.err


def test_clusters_show_their_room(region: Region, admin: TerminalUser):
    """`pin admin clusters` shows room."""
    found = json.loads(admin.pin("admin", "clusters", "-o", "json").out)["items"]
    assert {each["name"]: each["zone"] for each in found} == region.zones
    for each in found:
        assert (each["state"], each["since"] is not None) == ("Ready", True)
        assert 0 < each["free"]["cpu"] < each["allocatable"]["cpu"]
        assert 0 < each["largest"]["cpu"] <= each["free"]["cpu"]
    assert "LARGEST REPLICA" in admin.pin("admin", "clusters").out
