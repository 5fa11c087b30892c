"""A viewer reads an app's log files on the region, and no secret that the app mounts, by any name."""

from __future__ import annotations

import pytest
from terminal_user import TALKER, TerminalUser

WORD = "correct-horse"
SETUP = "echo one >/logs/a.log; ln -s /secrets/value /logs/link; ln -s a.log /logs/inside; exec sh /talker.sh"
MOUNTS = "[{path: /logs, volume: logs}, {path: /logs/nested, volume: words}, {path: /secrets, volume: words}]"
APP = f"""
kind: App
name: keeper
replicas: 1
terminationGracePeriod: 2s
containers:
- name: web
  image: {TALKER}:1
  command: [/bin/sh, -c, "{SETUP}"]
  resources: {{cpu: 10m, memory: 32Mi}}
  mounts: {MOUNTS}
volumes:
- {{name: logs, emptyDir: {{}}}}
- {{name: words, secret: words}}
"""


@pytest.fixture(scope="module")
def viewer(dev: TerminalUser, shop: str) -> TerminalUser:
    """With a token that may only view the project in which the app runs."""
    dev.pin("secret", "set", "words", stdin=WORD)
    dev.write("keeper.yaml", APP)
    dev.pin("deploy", "-f", "keeper.yaml")
    token = dev.pin("token", "create", "reader", "--role", "viewer", "--days", "1").out.strip()
    return dev.using(PINCOMPUTE_TOKEN=token)


@pytest.mark.parametrize("name", ["a.log", "inside"])
def test_a_log_on_an_ephemeral_volume_is_read(viewer: TerminalUser, name: str):
    assert viewer.pin("logs", "keeper", "--file", f"/logs/{name}").out.endswith(" one\n")


@pytest.mark.parametrize(
    "file",
    [
        "/secrets/value",
        "/logs/nested/value",
        "/logs/link",
    ],
)
def test_a_secret_is_not(viewer: TerminalUser, file: str):
    said = viewer.pin("logs", "keeper", "--file", file, status=None)
    assert WORD not in said.out + said.err
    assert said.out == ""
    assert "on such a volume" in said.err or "is not a file of the volume at /logs" in said.err, said.err


def test_a_log_is_followed_over_a_rotation(viewer: TerminalUser, dev: TerminalUser):
    with viewer.running("logs", "keeper", "--file", "/logs/a.log", "-f") as followed:
        followed.until("the present lines", lambda: " one\n" in followed.out)

        def written(line: str) -> bool:
            dev.pin("exec", "keeper", "--", "sh", "-c", f"echo {line} >>/logs/a.log")
            return f" {line}\n" in followed.out

        followed.until("a new line", lambda: written("two"))
        dev.pin("exec", "keeper", "--", "sh", "-c", "echo three >/logs/new; mv /logs/new /logs/a.log")
        followed.until("a line of the next file", lambda: " three\n" in followed.out)
