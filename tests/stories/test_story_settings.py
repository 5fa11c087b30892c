"""Secrets and files of a project: set, carried before the app, changed, rolled back, and removed when nobody uses them."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from live_region import Region
from terminal_user import TALKER, TerminalUser

APP = "vault"
FIRST, SECOND = "kestrel-one", "kestrel-two"
AT_ONCE = 8  # commands
MANIFEST = f"""\
kind: App
name: {APP}
replicas: 3
terminationGracePeriod: 2s
update: {{settings: Roll, maxUnavailable: 1, maxSurge: 0}}
containers:
- name: web
  image: {TALKER}:1
  resources: {{cpu: 10m, memory: 32Mi}}
  secrets: [db-password]
  files: {{/etc/vault/key: {{secret: db-password}}}}
"""


@pytest.fixture
def vault(region: Region, dev: TerminalUser, shop: str) -> Iterator[str]:
    yield shop
    dev.pin("delete", APP, "--yes", "--wait", status=None)
    dev.pin("secret", "rm", "db-password", "--yes", status=None)


def values(dev: TerminalUser) -> set[str]:
    """What the replicas hold, one in each zone, as a variable and as a file."""
    ask = "echo $DB_PASSWORD; cat /etc/vault/key"
    asked = (dev.pin("exec", f"{APP}/{number}", "--", "/bin/sh", "-c", ask) for number in range(3))
    return {word for said in asked for word in said.out.split()}


ASKED = (
    *(("status", APP), ("explain", APP), ("list",), ("top", APP), ("secret", "list"), ("config", "list")),
    *((verb, *name) for verb in ("history", "events", "timeline") for name in ((APP,), ())),
)
HELD = ("containerd", "kubelet")  # folders of a node, whose programs give the value to the containers
FORMS = tuple(form for value in (FIRST, SECOND) for form in (value, base64.b64encode(value.encode()).decode()))


def shown(dev: TerminalUser, admin: TerminalUser, project: str) -> list[str]:
    """The commands that show a value, in any output."""
    asked = [(dev, (*question, "-o", form)) for question in ASKED for form in ("wide", "json", "yaml", "name")]
    asked += [
        (dev, ("deploy", "-f", "vault.yaml", way, "-o", form)) for way in ("--diff", "--dry-run") for form in ("table", "json")
    ]
    asked += [(admin, ("admin", "audit", "--on", project, "-o", form)) for form in ("table", "json")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        said = pool.map(lambda each: each[0].pin(*each[1], status=None), asked)
        return [
            " ".join(line) for (_, line), out in zip(asked, said, strict=True) if any(f in out.out + out.err for f in FORMS)
        ]


def stored(region: Region, dev: TerminalUser, admin: TerminalUser) -> list[str]:
    """The files that hold a value: of users, and of the region with its etcd, logs, history and audit."""
    words = [part for form in FORMS for part in ("-e", form)]
    folders = (str(dev.home), str(admin.home), str(region.home))
    found = subprocess.run(("grep", "-rlaF", *words, *folders), capture_output=True, text=True, check=False)
    nodes = region.home / "nodes"
    of_nodes = [
        Path(line).relative_to(nodes).parts[1:2] for line in found.stdout.splitlines() if Path(line).is_relative_to(nodes)
    ]
    elsewhere = [line for line in found.stdout.splitlines() if not Path(line).is_relative_to(nodes)]
    return elsewhere + [part for (part,) in of_nodes if part not in HELD]


def test_a_secret_goes_before_its_app_rolls_it_and_comes_back(
    region: Region, dev: TerminalUser, admin: TerminalUser, vault: str
) -> None:
    """SPEC #26, S-067: a value is set, seen in every zone, rolled, taken back, and not removed while an app uses it."""
    dev.write("vault.yaml", MANIFEST)
    refused = dev.pin("deploy", "-f", "vault.yaml", status=None)
    assert refused.status == 2, refused
    assert "pin secret set db-password" in refused.err
    assert "version 1" in dev.pin("secret", "set", "db-password", stdin=f"{FIRST}\n").out
    dev.pin("deploy", "-f", "vault.yaml", within=120)
    assert values(dev) == {FIRST}
    dev.write("again.yaml", dev.pin("status", APP, "-o", "yaml").out)
    assert "/etc/vault/key:" in (dev.home / "again.yaml").read_text()
    assert "nothing to change" in dev.pin("deploy", "-f", "again.yaml", "--diff").out
    said = dev.pin("secret", "set", "db-password", stdin=SECOND, within=120)
    assert f"app {APP} rolls it out" in said.out
    assert values(dev) == {SECOND}
    dev.pin("secret", "rollback", "db-password", within=120)
    assert values(dev) == {FIRST}
    dev.pin("rollback", APP, "--yes", within=120)
    assert values(dev) == {SECOND}, "the app is back at the value of its former revision, whatever the secret says now"
    listed = dev.pin("secret", "list").out
    assert "db-password" in listed
    assert f"app {APP}" in listed
    assert f"app {APP}" in dev.pin("secret", "rm", "db-password", "--yes", status=None).err
    assert shown(dev, admin, vault) == []
    assert stored(region, dev, admin) == []
    dev.pin("delete", APP, "--yes", "--wait")
    dev.pin("secret", "rm", "db-password", "--yes")
    assert "db-password" not in dev.pin("secret", "list").out
