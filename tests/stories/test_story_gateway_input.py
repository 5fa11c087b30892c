"""Bad input: a message with the field, what was expected and what to do; an exit status; and nothing half-applied."""

from __future__ import annotations

import json
import subprocess

import pytest
from live_region import Region
from pincompute_sdk.core.configuration import Context
from terminal_user import PIN, TerminalUser, plain_client, talker

from pincompute.api.workloads import PINAPPS

GOOD = talker(replicas=1)
FILES = {
    "malformed YAML": (GOOD.replace("containers:", "containers: ["), ("bad.yaml:", "is not closed", "remedy")),
    "two documents": (f"{GOOD}---\n{GOOD}", ("bad.yaml:10:1", "a second document", "one file holds one app")),
    "no document": ("", ("empty", "pin init")),
    "an unknown kind": (GOOD.replace("kind: App", "kind: Ap"), ("bad.yaml:1:1", "there is no kind Ap, did you mean App?")),
    "an unknown field": (GOOD.replace("replicas:", "replcas:"), ("bad.yaml:3:1", "no field replcas", "did you mean replicas?")),
    "a field said twice": (f"{GOOD}replicas: 2\n", ("replicas is written twice, first in line 3", "keep one of them")),
    "a word for a number": (
        GOOD.replace("replicas: 1", "replicas: many"),
        ("bad.yaml:3:1", "replicas", "expected a number, got text"),
    ),
    "a number out of range": (
        GOOD.replace("replicas: 1", "replicas: -1"),
        ("bad.yaml:3:1", "replicas: must be from 0 to 100000, not -1"),
    ),
    "a name that cannot be": (GOOD.replace("name: talker\n", "name: Talker_1\n"), ("bad.yaml:2:1", "name", "lower")),
    "no image": (GOOD.replace("image: registry.internal/talker:1, ", ""), ("containers[0]", "image")),
    "a quantity that is none": (GOOD.replace("cpu: 10m", "cpu: much"), ("containers[0].resources.cpu", "is not a quantity")),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_cannot_be_deployed(region: Region, dev: TerminalUser, shop: str, case: str):
    """Line and column of the file, expectation, remedy, exit status 2."""
    content, words = FILES[case]
    dev.write("bad.yaml", content)
    said = dev.pin("deploy", "-f", "bad.yaml", status=2)
    for word in words:
        assert word in said.err
    assert "Traceback" not in said.err
    assert region.host.list(PINAPPS, shop) == ()


def test_commands_that_cannot_be(dev: TerminalUser, shop: str):
    """Each with its own exit status: 2 wrong arguments, 3 not there, 4 not allowed, 1 out of reach."""
    dev.write("good.yaml", GOOD)
    assert "did you mean `pin deploy`?" in dev.pin("deplo", status=2).err
    assert "--help" in dev.pin("scale", "talker", "many", status=2).err
    assert "pin stop" in dev.pin("scale", "talker", "--", "-1", status=2).err
    assert "cannot be read" in dev.pin("deploy", "-f", "no-such.yaml", status=2).err
    absent = dev.pin("deploy", "-f", "good.yaml", "--project", "no-such", status=3)
    assert "remedy" in absent.err
    assert "remedy" in dev.pin("status", "nobody", status=3).err
    assert "needs a terminal" in dev.pin("shell", "talker", status=2).err
    assert "choose one of" in dev.pin("list", "-o", "picture", status=2).err
    expired = dev.using(PINCOMPUTE_TOKEN="not-a-token")
    assert "pin login" in expired.pin("list", status=4).err
    away = dev.using(PINCOMPUTE_SERVER="https://127.0.0.1:9")
    assert "cannot be reached" in away.pin("list", status=1, within=90).err


def test_a_name_that_is_taken(region: Region, dev: TerminalUser, shop: str):
    """Create never overwrites, and says so."""
    dev.write("good.yaml", GOOD)
    dev.pin("deploy", "-f", "good.yaml", "--detach")
    before = region.app(shop, "talker").metadata.generation
    answer = asked(dev.context(), shop, "POST", "application/json", json.dumps({"kind": "App", "name": "talker"}))
    assert answer["status"] in (409, 422)
    taken = {"kind": "App", "name": "talker", "containers": [{"name": "web", "image": "other:1"}]}
    answer = asked(dev.context(), shop, "POST", "application/json", json.dumps(taken))
    assert (answer["status"], answer["code"]) == (409, "already-exists")
    assert answer["remedy"]
    assert region.app(shop, "talker").metadata.generation == before
    dev.pin("delete", "talker", "--yes", "--wait")


def test_bodies_that_cannot_be_read(region: Region, dev: TerminalUser, shop: str):
    """Malformed JSON with line and column, another content type, too large: problem documents."""
    cases = {
        "malformed": ("application/json", '{"kind": "App",\n  "name": }', 400),
        "a strange type": ("image/png", "{}", 415),
        "too large": ("application/json", json.dumps({"name": "x" * (4 << 20)}), 413),
    }
    for case, (kind, body, status) in cases.items():
        answer = asked(dev.context(), shop, "POST", kind, body)
        assert answer["status"] == status, (case, answer)
        assert answer["code"]
        assert answer["remedy"], (case, answer)
        assert answer["requestId"]
    assert "line 2" in json.dumps(asked(dev.context(), shop, "POST", *cases["malformed"][:2]))
    assert region.host.list(PINAPPS, shop) == ()


def test_output_that_nobody_reads_to_its_end(dev: TerminalUser, shop: str):
    """`pin list | head` is no error and leaves no traceback."""
    done = subprocess.run(
        ("sh", "-c", f"{PIN} list -o json | head -c 1 >/dev/null"),
        env=dev.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def asked(using: Context, project: str, method: str, kind: str, body: str) -> dict:
    """A request as curl sends it; the problem document that came back."""
    headers = {"Authorization": f"Bearer {using.token}", "Content-Type": kind}
    with plain_client(using) as http:
        answer = http.request(method, f"/v1/projects/{project}/apps", content=body.encode(), headers=headers)
    assert answer.headers["content-type"].startswith("application/problem+json"), answer.text
    return answer.json()
