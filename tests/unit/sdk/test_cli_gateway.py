"""`pin` as a user types it, against the whole gateway over API servers in memory."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
import yaml
from gateway.served_gateway import Running, running
from pincompute_sdk.cli.__main__ import main

from pincompute.api import template_hash
from pincompute.api.meta import Key
from pincompute.api.workloads import PINAPPS

pytestmark = pytest.mark.asyncio(loop_scope="module")

APP = """\
kind: App
name: hello
replicas: 3
containers:
- name: web
  image: registry.internal/hello:1
  ports: [{name: http, port: 8080}]
"""


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Pin = Callable[..., Awaitable[Said]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("gateway")) as served:
        yield served


@pytest_asyncio.fixture(loop_scope="module")
async def pin(gateway: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Pin:
    """Runs a command as a member of project shop, in a folder with an app.yaml."""
    (tmp_path / "app.yaml").write_text(APP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PINCOMPUTE_SERVER", gateway.url)
    monkeypatch.setenv("PINCOMPUTE_PROJECT", "shop")
    monkeypatch.setenv("PINCOMPUTE_CONFIG", str(tmp_path / "config.yaml"))

    async def run(*arguments: str, user: str = "alice") -> Said:
        monkeypatch.setenv("PINCOMPUTE_TOKEN", gateway.issuer.token(user) if user else "")
        capsys.readouterr()
        code = await asyncio.to_thread(main, list(arguments))
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    for left in ("apps/hello", "units/nb"):  # of the test before
        await gateway.ask("root", "DELETE", f"/v1/projects/shop/{left}")
    return run


async def test_deploy_shows_the_plan_and_creates(pin: Pin) -> None:
    said = await pin("deploy", "--detach")
    assert said.code == 0, said.err
    assert "+ new App shop/hello" in said.out
    assert "3 replicas" in said.out
    listed = await pin("list")
    assert listed.out.splitlines()[0].split()[:3] == ["NAME", "STATE", "READY"]
    assert listed.out.splitlines()[1].split()[:3] == ["hello", "Pending", "0/3"]


async def test_deploy_takes_the_file_as_an_argument(pin: Pin) -> None:
    _write("other.yaml", APP.replace("replicas: 3", "replicas: 4"))
    assert "4 replicas" in (await pin("deploy", "other.yaml", "--diff")).out
    twice = await pin("deploy", "other.yaml", "-f", "app.yaml")
    assert (twice.code, "two files are named" in twice.err) == (2, True)


async def test_a_second_deploy_shows_what_changes_and_nothing_else(pin: Pin) -> None:
    await pin("deploy", "--detach")
    assert "nothing to change" in (await pin("deploy", "--diff")).out
    _write("app.yaml", APP.replace("replicas: 3", "replicas: 5"))
    said = await pin("deploy", "--diff")
    assert said.out.splitlines()[:2] == ["~ change App shop/hello", "    ~ replicas: 3 → 5"]
    assert "0/3" in (await pin("list")).out


async def test_a_project_that_is_not_there_is_named_with_its_place_in_the_file(pin: Pin) -> None:
    _write("app.yaml", APP.replace("name: hello\n", "name: hello\nproject: shopp\n"))
    said = await pin("deploy", "--detach")
    assert said.code == 3
    assert said.err.startswith("error: app.yaml:3:1: there is no project shopp, or you may not see it; yours: shop")
    assert "there is no project lost, or you may not see it; yours: " in (await pin("deploy", "-p", "lost")).err


async def test_a_deploy_that_removes_a_container_needs_a_yes(pin: Pin) -> None:
    """The name may be that of another app."""
    await pin("deploy", "--detach")
    _write("app.yaml", APP.replace("- name: web", "- name: side-car"))
    said = await pin("deploy", "--detach")
    assert said.code == 2
    assert "this deploy removes container web of shop/hello, which exists already" in said.err
    assert "choose another name in the file, or add --yes" in said.err
    assert (await pin("status", "hello", "-o", "jsonpath={.containers[*].name}")).out == "web\n"
    assert (await pin("deploy", "--detach", "--diff")).code == 0
    assert (await pin("deploy", "--detach", "--yes")).code == 0
    _write("app.yaml", APP)
    assert "this deploy removes container side-car" in (await pin("deploy", "--detach")).err


class Keyboard(io.StringIO):
    """What somebody types at a terminal."""

    def isatty(self) -> bool:
        return True


async def test_on_a_terminal_a_deploy_that_removes_a_container_asks(pin: Pin, monkeypatch: pytest.MonkeyPatch) -> None:
    await pin("deploy", "--detach")
    _write("app.yaml", APP.replace("- name: web", "- name: other"))
    for answer, code, name in (("n", 1, "web"), ("y", 0, "other")):
        monkeypatch.setattr("sys.stdin", Keyboard(f"{answer}\n"))
        said = await pin("deploy", "--detach")
        assert (said.code, "shop/hello exists already; remove container web from it? [y/N]" in said.err) == (code, True), said
        assert (await pin("status", "hello", "-o", "jsonpath={.containers[*].name}")).out == f"{name}\n"


async def test_a_token_says_what_it_is_limited_to(
    pin: Pin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await pin("deploy", "--detach")
    made = json.loads((await pin("token", "create", "robot", "--role", "viewer", "-o", "json")).out)
    monkeypatch.setenv("PINCOMPUTE_TOKEN", made["secret"])
    assert await asyncio.to_thread(main, ["whoami"]) == 0
    assert await asyncio.to_thread(main, ["scale", "hello", "3"]) == 4
    said = capsys.readouterr()
    assert "by a service token that is limited to viewer in project shop" in said.out
    assert "this token is limited to viewer in project shop" in said.err
    assert "create a token with `--role developer`" in said.err


async def test_a_dry_run_changes_nothing(pin: Pin) -> None:
    said = await pin("deploy", "--dry-run")
    assert said.code == 0, said.err
    assert "nothing was changed" in said.out
    assert "no apps" in (await pin("list")).err


async def test_a_deploy_that_does_not_settle_ends_with_6(pin: Pin) -> None:
    said = await pin("deploy", "--timeout", "1")
    assert said.code == 6
    assert "pin explain hello" in said.err


async def test_what_the_server_refuses_is_pointed_at_in_the_file(pin: Pin) -> None:
    _write("app.yaml", APP.replace("name: web", "name: Web_1"))
    said = await pin("deploy")
    assert said.code == 2
    assert "app.yaml:5:3: containers[0].name" in said.err
    assert "no apps" in (await pin("list")).err


async def test_what_was_expected_is_said_once(pin: Pin) -> None:
    said = await pin("list", "--tier", "Gold")
    assert said.code == 2
    assert said.err.count("one of Reserved, OnDemand, Preemptible") == 1


IMAGE = "jsonpath={.containers[0].image}"
REVISIONS = "jsonpath={.items[*].revision}"
OUTPUTS = {
    "name": "app/hello\n",
    "jsonpath={.items[*].containers[0].image}": "registry.internal/hello:1\n",
}


@pytest.mark.parametrize("output", OUTPUTS)
async def test_outputs(pin: Pin, output: str) -> None:
    await pin("deploy", "--detach")
    assert (await pin("list", "-o", output)).out == OUTPUTS[output]


async def test_json_and_yaml_are_the_same_data(pin: Pin) -> None:
    await pin("deploy", "--detach")
    found = json.loads((await pin("list", "-o", "json")).out)
    assert yaml.safe_load((await pin("list", "-o", "yaml")).out) == found
    assert found["items"][0]["kind"] == "App"


async def test_what_is_shown_can_be_deployed_again(pin: Pin) -> None:
    await pin("deploy", "--detach")
    _write("again.yaml", (await pin("status", "hello", "-o", "yaml")).out)
    said = await pin("deploy", "-f", "again.yaml", "--diff")
    assert "nothing to change" in said.out, said


async def test_status_is_a_tree(pin: Pin) -> None:
    await pin("deploy", "--detach")
    said = await pin("status", "hello")
    assert said.out.splitlines()[0] == "hello  Pending  0/3 ready"
    assert "\033[" not in said.out


async def test_what_is_not_there_names_what_has_the_name_or_had_it(pin: Pin) -> None:
    _write("unit.yaml", "kind: Unit\nname: nb\ncontainers:\n- name: nb\n  image: r/nb:1\n")
    assert (await pin("deploy", "unit.yaml", "--detach")).code == 0
    for words in (("status", "nb"), ("stop", "nb"), ("explain", "nb"), ("delete", "nb", "--yes")):
        said = await pin(*words)
        assert (said.code, "remedy: there is unit nb: write unit/nb" in said.err) == (3, True), said
    await pin("deploy", "--detach")
    await _until(pin, lambda said: "created" in said.out, "history", "hello")
    await pin("delete", "hello", "--yes")
    said = await _until(pin, lambda said: said.code == 3, "status", "hello")
    assert "it was deleted; `pin explain hello` says what is known" in said.err


VERBS = {
    "pause": ("paused", True),
    "stop": ("stopped", True),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_verbs(pin: Pin, verb: str) -> None:
    """S-258: said twice, it is done once."""
    field, want = VERBS[verb]
    waits = ("--detach",) if verb == "stop" else ()
    await pin("deploy", "--detach")
    first = await pin(verb, "hello", "--reason", "a test", *waits)
    assert first.code == 0, first.err
    assert "already" in (await pin(verb, "hello", *waits)).out
    assert json.loads((await pin("status", "hello", "-o", "json")).out)[field] is want


async def test_scale(pin: Pin) -> None:
    await pin("deploy", "--detach")
    assert (await pin("scale", "hello", "7", "--detach")).code == 0
    assert (await pin("status", "hello", "-o", "jsonpath={.replicas}")).out == "7\n"
    assert (await pin("scale", "hello", "-1")).code == 2


REASON = "größer, 100 % sicher"


@pytest.mark.parametrize("words", [("deploy", "--detach"), ("delete", "hello", "--yes"), ("scale", "hello", "2", "--detach")])
async def test_who_and_why_is_in_the_history(pin: Pin, words: tuple[str, ...]) -> None:
    """Whatever characters the reason has."""
    await pin("deploy", "--detach")
    _write("app.yaml", APP.replace("replicas: 3", "replicas: 4"))
    assert (await pin(*words, "--reason", REASON)).code == 0
    said = await _until(pin, lambda said: REASON in said.out, "history", "hello", "-o", "wide")
    assert "alice" in next(line for line in said.out.splitlines() if REASON in line)


async def _until(pin: Pin, holds: Callable[[Said], bool], *arguments: str) -> Said:
    """The history is written beside the requests."""
    async with asyncio.timeout(15):
        while not holds(said := await pin(*arguments)):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    return said


async def test_the_history_speaks_in_sentences_and_names_a_revision_once(pin: Pin) -> None:
    await pin("deploy", "--detach")
    await pin("scale", "hello", "7", "--detach")
    said = await _until(pin, lambda said: "scaled" in said.out, "history", "hello")
    rows = [line.split(maxsplit=3) for line in said.out.splitlines()]
    assert rows[0] == ["AGE", "WHAT", "REVISION", "DETAILS"]
    scaled = next(row for row in rows if "scaled" in row[3])
    assert scaled[1:] == ["revision", "-", "alice scaled hello from 3 to 7"]
    created = [row for row in rows if "alice created hello" in row[3]]
    assert created[0][2].startswith(template_hash.VERSION)


async def test_histories_show_an_end_that_nobody_recorded(pin: Pin, gateway: Running) -> None:
    """A deletion with kubectl passes the gateway, and no operation tells of it."""
    await pin("deploy", "--detach")
    store, key = gateway.host.store, Key("shop", "hello")
    store.patch(PINAPPS, key, {"status": {"phase": "Running"}}, content_type="merge-patch", subresource="status")
    await _until(pin, lambda said: "hello is Running" in said.out, "events", "hello")
    store.delete(PINAPPS, key)
    for name in (("hello",), ()):
        said = await _until(pin, lambda said: "by whom" in said.out, "history", *name)
        newest = next(line for line in said.out.splitlines() if "hello" in line)
        assert newest.endswith("hello was deleted; no record says by whom; nothing of it is left"), said


async def test_a_timeline_says_that_its_beginning_is_left_out(pin: Pin) -> None:
    await pin("deploy", "--detach")
    await pin("scale", "hello", "7", "--detach")
    said = await _until(pin, lambda said: "scaled" in said.out, "timeline", "hello", "-n", "1")
    assert said.err == "earlier entries: -n 4\n"
    assert "earlier" not in (await pin("timeline", "hello", "-n", "400")).err


async def test_a_deploy_without_a_count_keeps_the_scaled_one_and_says_so(pin: Pin) -> None:
    await pin("deploy", "--detach")
    await pin("scale", "hello", "9", "--detach")
    _write("app.yaml", APP.replace("replicas: 3\n", "labels: {team: web}\n"))
    planned = await pin("deploy", "--detach")
    assert "    replicas: 9 (kept)" in planned.out.splitlines()
    assert (await pin("status", "hello", "-o", "jsonpath={.replicas}")).out == "9\n"


async def test_a_rollback_shows_what_it_changes_before_it_asks(pin: Pin) -> None:
    await pin("deploy", "--detach")
    before = await _until(pin, lambda said: bool(said.out.strip()), "history", "hello", "-o", REVISIONS)
    _write("app.yaml", APP.replace("hello:1", "hello:2"))
    await pin("deploy", "--detach")
    revision = before.out.split()[0]
    plan = ["~ change App shop/hello", "    ~ containers.web.image: registry.internal/hello:2 → registry.internal/hello:1"]
    for options, code in ((("--dry-run",), 0), ((), 2)):
        said = await pin("rollback", "hello", "--to", revision, *options)
        assert (said.code, said.out.splitlines()[:2]) == (code, plan), said
        assert (await pin("status", "hello", "-o", IMAGE)).out == "registry.internal/hello:2\n"
    assert "--yes" in said.err
    done = await pin("rollback", "hello", "--to", revision, "--yes", "--detach", "--reason", "it leaks")
    assert (done.code, done.out.splitlines()[:2]) == (0, plan), done
    assert (await pin("status", "hello", "-o", IMAGE)).out == "registry.internal/hello:1\n"
    again = await pin("rollback", "hello", "--to", revision)
    assert (again.code, "has revision" in again.out) == (0, True), again


async def test_a_revision_has_a_number_an_author_and_a_note(pin: Pin) -> None:
    await pin("deploy", "--detach", "--note", "the first")
    said = await pin("rollout", "history", "hello")
    _, row = said.out.splitlines()
    assert (row.split()[0], row.endswith("present, not all ready yet  the first"), "alice" in row) == ("1", True, True), said
    await pin("deploy", "hello", "--image", "registry.internal/hello:2", "--detach")
    assert "the first" not in (await pin("rollout", "history", "hello")).out
    said = await pin("rollout", "diff", "hello")
    assert (said.code, "no revision before" in said.err) == (5, True), said
    said = await pin("deploy", "--detach", "--note", "x" * 501)
    assert "must be one line of at most 500 characters" in said.err


async def test_a_rollback_to_what_never_was_names_what_there_is(pin: Pin) -> None:
    await pin("deploy", "--detach")
    said = await pin("rollback", "hello", "--to", "nope")
    assert (said.code, said.out) == (2, "")
    assert "revision: nope is not in the history" in said.err


WHOLE = (("delete", "--yes"), ("status",), ("pause",), ("stop",), ("scale",), ("rollback",), ("history",), ("explain",))


@pytest.mark.parametrize("words", WHOLE)
async def test_what_is_about_a_whole_app_is_never_done_to_it_under_the_name_of_a_replica(
    pin: Pin, words: tuple[str, ...]
) -> None:
    await pin("deploy", "--detach")
    said = await pin(words[0], "hello/1", *(("2",) if words[0] == "scale" else words[1:]))
    assert said.code == 2
    assert "is a replica" in said.err
    assert (await pin("list", "-o", "name")).out == "app/hello\n"


async def test_delete_asks_for_a_yes(pin: Pin) -> None:
    await pin("deploy", "--detach")
    refused = await pin("delete", "hello")
    assert (refused.code, "--yes" in refused.err) == (2, True)
    assert (await pin("delete", "hello", "--yes")).code == 0


async def test_several_apps_are_all_checked_before_one_is_deleted(pin: Pin) -> None:
    await pin("deploy", "--detach")
    missing = await pin("delete", "hello", "nope", "--yes")
    assert (missing.code, "nope" in missing.err) == (3, True)
    refused = await pin("delete", "hello", "hello/1", "--yes")
    assert refused.code == 2
    judged = await pin("delete", "hello", "--dry-run")
    assert judged.out.splitlines()[1].split()[:2] == ["app", "hello"]
    assert judged.out.endswith("checked by the server; nothing was deleted\n")
    assert (await pin("list", "-o", "name")).out == "app/hello\n", "nothing of that deleted it"
    _write("other.yaml", APP.replace("hello", "other", 1))
    await pin("deploy", "-f", "other.yaml", "--detach")
    done = await pin("delete", "hello", "other", "hello", "--yes")
    assert [line for line in done.out.splitlines() if "keeps the record" in line] == done.out.splitlines()[-2:]
    assert (await pin("list", "-o", "name")).out == ""


DELETED = {
    "app": (("deploy", "--detach"), ("delete", "helo"), "hello"),
    "secret": (("secret", "set", "db-password=x"), ("secret", "delete", "db-pasword"), "db-password"),
    "config": (("config", "set", "web-conf", "--file", "app.yaml"), ("config", "rm", "web-cnf"), "web-conf"),
    "project": (("project", "list"), ("project", "delete", "shpo"), "shop"),
    "sidecar": (
        ("admin", "sidecar", "apply", "-f", "sidecar.yaml", "--detach"),
        ("admin", "sidecar", "delete", "proxi"),
        "proxy",
    ),
    "daemon": (("admin", "daemon", "apply", "-f", "daemon.yaml", "--detach"), ("admin", "daemon", "delete", "logz"), "logs"),
    "a login at a registry": (("registry", "login", "ghcr.io", "-u", "ann"), ("registry", "logout", "gcr.io"), "ghcr.io"),
    "a role": (("project", "grant", "william", "viewer", "--yes"), ("project", "revoke", "wiliam"), "william"),
}
DAEMON = "kind: Daemon\nname: logs\ncontainer: {image: registry.internal/logs:1}\n"
SIDECAR = "kind: Sidecar\nname: proxy\ncontainer: {name: proxy, image: registry.internal/proxy:1}\n"


@pytest.mark.parametrize("case", DELETED)
async def test_a_name_that_nothing_has_is_refused_before_the_question(
    pin: Pin, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets the nearest name that there is. A terminal is not there, so a question would be another refusal."""
    made, mistyped, name = DELETED[case]
    _write("sidecar.yaml", SIDECAR)
    _write("daemon.yaml", DAEMON)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"x\n")))
    done = await pin(*made, user="root")
    assert done.code == 0, done.err
    said = await pin(*mistyped, user="root")
    assert (said.code, f"  remedy: did you mean {name}?\n" in said.err) == (3, True), said
    nothing = await pin(*mistyped[:-1], "qqq", user="root")
    assert (nothing.code, "did you mean" in nothing.err, "  remedy: `pin " in nothing.err) == (3, False, True), nothing


ASKED = {
    "secret": (("secret", "delete", "db-password"), "secret db-password with all its versions"),
    "config": (("config", "delete", "web-conf"), "config web-conf with all its versions"),
    "sidecar": (("admin", "sidecar", "delete", "proxy"), "sidecar proxy"),
    "daemon": (("admin", "daemon", "delete", "logs"), "daemon logs, and end its copies on every node"),
    "project": (("project", "delete", "quarry"), "project quarry with its secrets and volumes"),
}


@pytest.mark.parametrize("case", ASKED)
async def test_what_may_be_deleted_is_asked_about_and_still_there(pin: Pin, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words, what = ASKED[case]
    _write("sidecar.yaml", SIDECAR)
    _write("daemon.yaml", DAEMON)
    await pin("project", "create", "quarry", user="root")
    for made, *_ in (DELETED["secret"], DELETED["config"], DELETED["sidecar"], DELETED["daemon"]):
        await pin(*made, user="root")
    for _ in range(2):
        said = await pin(*words, user="root")
        assert said.code == 2, said
        assert f"  reason: Delete {what}?" in said.err


async def test_a_daemon_is_written_read_paused_and_refused_where_it_must_be_a_sidecar(pin: Pin) -> None:
    """M-44, M-107: a program that cannot be shared by all pods of a node is refused with the field and the reason."""
    _write("daemon.yaml", DAEMON + "sharing: {tenancy: PerProject}\n")
    refused = await pin("admin", "daemon", "apply", "-f", "daemon.yaml", "--detach", user="root")
    assert (refused.code, "sharing.tenancy" in refused.err, "it must be a sidecar" in refused.err) == (2, True, True), refused
    dual = DAEMON + "sharing: {dataPath: true, mode: Dual, sidecar: NAME}\n"
    _write("daemon.yaml", dual.replace("NAME", "absent"))
    refused = await pin("admin", "daemon", "apply", "-f", "daemon.yaml", "--detach", user="root")
    assert (refused.code, "sidecar absent does not exist" in refused.err) == (2, True), refused
    _write("daemon.yaml", dual.replace("NAME", "proxy"))
    _write("sidecar.yaml", SIDECAR)
    for words in (("sidecar", "apply", "-f", "sidecar.yaml", "--detach"), ("daemon", "apply", "-f", "daemon.yaml", "--detach")):
        done = await pin("admin", *words, user="root")
        assert done.code == 0, done.err
    assert (await pin("admin", "daemon", "list", "-o", "name", user="root")).out == "daemon/logs\n"
    assert "is paused" in (await pin("admin", "daemon", "pause", "logs", user="root")).out
    assert (await pin("admin", "daemon", "status", "logs", "-o", "jsonpath={.spec.paused}", user="root")).out.strip() == "true"
    assert "is resumed" in (await pin("admin", "daemon", "resume", "logs", user="root")).out
    none = await pin("admin", "daemon", "rollback", "logs", "--detach", user="root")
    assert "has no such version before the present one" in none.err
    assert (await pin("admin", "daemon", "list")).code != 0


async def test_a_setting_in_use_is_refused_before_the_question_and_nothing_is_deleted(pin: Pin) -> None:
    await pin("secret", "set", "db-password=x", "other=y")
    _write("app.yaml", APP + "  env: {PASSWORD: {secret: db-password}}\n")
    deployed = await pin("deploy", "--detach")
    assert deployed.code == 0, deployed.err
    said = await pin("secret", "delete", "other", "db-password")
    assert (said.code, "secret db-password is used by app hello" in said.err) == (5, True), said
    assert "other" in (await pin("secret", "list", "-o", "name")).out
    await pin("delete", "hello", "--yes")
    done = await pin("secret", "delete", "other", "db-password", "--yes")
    assert done.out == "secret other is deleted\nsecret db-password is deleted\n"


async def test_a_delete_without_a_name_deletes_nothing(pin: Pin) -> None:
    await pin("deploy", "--detach")
    assert (await pin("delete", "--yes")).code == 2
    assert (await pin("list", "-o", "name")).out == "app/hello\n"


FAILURES: dict[str, tuple[tuple[str, ...], str, int]] = {
    "what does not exist": (("status", "missing"), "alice", 3),
    "a project that may not be seen": (("list", "-p", "secret"), "mallory", 3),
    "what a viewer may not do": (("scale", "hello", "2"), "vera", 4),
    "somebody unknown": (("list",), "", 4),
    "a name that is taken": (("project", "create", "shop"), "root", 5),
    "a wrong option": (("list", "--bogus"), "alice", 2),
    "an argument that is missing": (("scale", "hello"), "alice", 2),
    "a name that is none": (("status", "a/b/c"), "alice", 2),
    "a copy of nothing": (("cp", "", "hello:/tmp"), "alice", 2),
    "a copy to nowhere": (("cp", "hello:/tmp/x", ""), "alice", 2),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_exit_codes(pin: Pin, case: str) -> None:
    """Every failure has its code, a remedy, and nothing on stdout."""
    arguments, user, code = FAILURES[case]
    await pin("deploy", "--detach")
    said = await pin(*arguments, user=user)
    assert (said.code, said.out) == (code, ""), said
    assert said.err.startswith("error: ")
    assert "  remedy: " in said.err


MISTAKES = {
    "a name that is written wrong": (("status", "helo"), "  remedy: did you mean hello?\n"),
    "in logs": (("logs", "helo"), "  remedy: did you mean hello?\n"),
    "in a copy": (("cp", "app.yaml", "helo:/tmp/"), "  remedy: did you mean hello?\n"),
    "in a command": (("exec", "helo", "--", "ls"), "  remedy: did you mean hello?\n"),
    "a word too many": (("status", "hello", "other"), "error: 'other' is more than the command takes\n"),
    "a word too few": (("status",), "error: NAME is missing\n"),
    "a role that is none": (
        ("project", "grant", "demo", "ann", "viewer"),
        "  remedy: write for example `pin project grant ann ",
    ),
    "an option without its value": (("list", "--project"), "error: --project needs a value\n"),
    "an option that is written wrong": (("list", "--outpt", "json"), "  remedy: did you mean --output?\n"),
    "a command of a group that is written wrong": (("secret", "lst"), "  remedy: did you mean `pin secret list`?\n"),
    "the value of a secret": (("secret", "show", "key"), "  remedy: no command shows the value of a secret again; "),
    "a jsonpath without its brace": (("list", "-o", "jsonpath={.items"), "error: jsonpath '{.items' lacks a brace\n"),
    "a port that is none": (("open", "hello:99999"), "error: '99999' is no port\n"),
    "the name of no port": (("open", "hello:admin"), "error: 'admin' is no port\n"),
    "twelve bytes for a project": (
        ("admin", "limits", "demo", "--memory", "12"),
        "  reason: memory: 12 is 12 bytes; 12Mi are mebibytes\n",
    ),
    "no number": (("scale", "hello", "many"), "error: REPLICAS: 'many' is no number\n"),
    "a copy between replicas": (("cp", "hello:/a", "hello:/b"), "then `pin cp FILE hello:/b`"),
    "a copy without a replica": (("cp", "a", "b"), "error: no side is in a replica\n"),
    "a copy of nothing": (("cp", "", "hello:/tmp"), "error: a path is empty\n"),
    "a copy to nowhere": (("cp", "hello:/tmp", ""), "error: a path is empty\n"),
    "a context that is not there": (
        ("logout", "--context", "nope"),
        "error: there is no context nope\n  reason: known: none\n",
    ),
    "a question without a terminal": (("delete", "hello"), "  reason: Delete "),
    "a project that is not there": (("list", "-p", "nope"), "  remedy: `pin project list` shows yours\n"),
    "a member that is none": (("project", "revoke", "nobody"), "  remedy: `pin project members` shows what there is\n"),
    "a file without a name": (("deploy", "-f", "nameless.yaml"), "name is missing: write `name: hello`\n"),
}


@pytest.mark.parametrize("case", MISTAKES)
async def test_a_mistake_is_named_with_its_remedy(pin: Pin, case: str) -> None:
    arguments, words = MISTAKES[case]
    _write("nameless.yaml", "kind: App\n")
    await pin("deploy", "--detach")
    said = await pin(*arguments)
    assert said.code not in (0, 1)
    assert words in said.err, said


async def test_logs_of_a_run_that_never_was_are_not_an_empty_answer(pin: Pin) -> None:
    await pin("deploy", "--detach")
    said = await pin("logs", "hello", "--previous")
    assert (said.code, said.out) == (0, "")
    assert said.err == "there is no log of an earlier run: no container of app hello that you ask for has restarted\n"


async def test_projects_and_members(pin: Pin) -> None:
    assert (await pin("project", "create", "lab", "--description", "for tests", user="root")).code == 0
    assert "lab" in (await pin("project", "list", user="root")).out
    assert (await pin("project", "grant", "zoe", "operator", "--yes")).code == 0
    assert ["zoe", "operator"] in [line.split() for line in (await pin("project", "members")).out.splitlines()]
    assert (await pin("project", "revoke", "zoe")).code == 0
    assert "zoe" not in (await pin("project", "members")).out


NAMES = {
    "nobody's": ("quentin", "nobody named quentin is a member of any project that you see\n"),
    "a typo": ("alise", "nobody named alise is a member of any project that you see; did you mean alice?\n"),
    "no group's": ("group:nowhere", "no group named group:nowhere is a member of any project that you see\n"),
}


@pytest.mark.parametrize("case", NAMES)
async def test_a_name_that_is_nobody_s_gets_no_role_unasked(pin: Pin, case: str) -> None:
    name, sentence = NAMES[case]
    said = await pin("project", "grant", name, "viewer")
    assert (said.code, f"  reason: {sentence}" in said.err, "add --yes" in said.err) == (2, True, True), said
    assert name not in (await pin("project", "members")).out


async def test_a_member_s_role_changes_without_a_question(pin: Pin) -> None:
    assert (await pin("project", "grant", "dan", "developer")).code == 0


async def test_amounts_that_are_hardly_ever_meant_need_a_yes(pin: Pin) -> None:
    _write("app.yaml", APP + "  resources: {cpu: 100}\n")
    said = await pin("deploy", "--detach")
    assert said.code == 2
    assert "  reason: containers.web.resources.cpu: 100 means 100 whole CPUs; 100m is 0.1 of a CPU\n" in said.err
    assert (await pin("status", "hello")).code == 3, "nothing was deployed"
    assert (await pin("deploy", "--detach", "--dry-run")).code == 0
    assert (await pin("deploy", "--detach", "--yes")).code == 0
    _write("app.yaml", APP.replace("replicas: 3", "replicas: 4") + "  resources: {cpu: 100}\n")
    assert (await pin("deploy", "--detach")).code == 0, "what was confirmed once is not asked again"
    said = await pin("scale", "hello", "100000", "--detach")
    assert (said.code, "100000 are more than 100 times the 4 of now" in said.err) == (2, True), said
    said = await pin("scale", "hello", "100000", "--detach", "--yes")
    assert "more than 100 times" not in said.err, "the project's limits answer"


async def test_the_project_in_use_is_remembered(pin: Pin, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await pin("project", "use", "shop")).code == 0
    monkeypatch.delenv("PINCOMPUTE_PROJECT")
    assert "no apps" in (await pin("list")).err
    assert (await pin("project", "use", "absent")).code == 3


async def test_a_token_works_until_it_is_revoked(pin: Pin, gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    made = json.loads((await pin("token", "create", "robot", "--role", "viewer", "-o", "json")).out)
    assert made["secret"] not in (await pin("token", "list", "-o", "json")).out
    login = await pin("login", "--server", gateway.url, "--token", made["secret"])
    assert login.code == 0, login.err
    assert (await pin("token", "revoke", made["id"])).code == 0
    monkeypatch.setenv("PINCOMPUTE_TOKEN", made["secret"])
    assert await asyncio.to_thread(main, ["whoami"]) == 4


async def test_a_token_that_is_piped_in(pin: Pin, gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    made = json.loads((await pin("token", "create", "piped", "-o", "json")).out)
    for text, code in ((made["secret"], 0), ("", 2), ("--context", 2)):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{text}\n"))
        said = await pin("login", "--server", gateway.url, "--token", "-")
        assert said.code == code, said


async def test_who_am_i(pin: Pin) -> None:
    assert (await pin("whoami", "-o", "jsonpath={.name}")).out.strip().endswith("alice")
    assert (await pin("whoami", "-o", "name")).out == "user/alice\n"


async def test_the_audit_log_is_proved_and_clusters_are_listed(pin: Pin) -> None:
    await pin("deploy", "--detach")
    proof = await pin("admin", "audit", "verify", user="root")
    assert (proof.code, proof.out.startswith("unbroken: ")) == (0, True), proof
    head = proof.out.splitlines()[0].split()[-1]
    assert (await pin("admin", "audit", "verify", "--head", head, user="root")).code == 0
    assert (await pin("admin", "audit", "verify", "--head", head[::-1], user="root")).code == 1
    assert (await pin("admin", "audit", "verify", "-o", "name", user="root")).code == 2
    searched = await pin("admin", "audit", "--who", "alice", "--what", "create apps", "-o", "json", user="root")
    found = json.loads(searched.out)["items"]
    assert {(each["caller"], each["verb"], each["project"]) for each in found} == {("alice", "create", "shop")}
    one = await pin("admin", "audit", "--request", found[0]["request"], "-o", "json", user="root")
    assert [each["stage"] for each in json.loads(one.out)["items"]] == ["done", "begun"]
    assert (await pin("admin", "audit")).code == 4
    assert "a1" in (await pin("admin", "clusters", user="root")).out
    assert (await pin("admin", "clusters")).code == 4


async def test_an_administrator_lowers_the_pod_security_of_a_project(pin: Pin) -> None:
    lower = ("admin", "pod-security", "shop", "privileged", "--reason", "flashes boards")
    assert (await pin(*lower, "--until", "2999-01-31")).code == 4
    assert "until is required" in (await pin(*lower, user="root")).err
    done = await pin(*lower, "--until", "2999-01-31", user="root")
    assert (done.code, done.out) == (0, "pods of project shop keep to privileged until 2999-01-31T00:00:00Z\n"), done
    assert (await pin("project", "get", "shop", "-o", "jsonpath={.podSecurity.reason}")).out == "flashes boards\n"
    assert "POD SECURITY" in (await pin("project", "get", "shop")).out
    assert (await pin("admin", "pod-security", "shop", "restricted", user="root")).code == 0


async def test_an_administrator_sets_the_limits_of_a_project(pin: Pin) -> None:
    assert (await pin("admin", "limits", "shop", "--pods", "4")).code == 4
    done = await pin("admin", "limits", "shop", "--pods", "4", "--memory", "64Gi", user="root")
    assert done.code == 0, done
    assert [line.split()[2:] for line in done.out.splitlines() if line.startswith("pods")] == [["4", "an", "administrator"]]
    assert (await pin("admin", "limits", "shop", "--cpu", "8", user="root")).code == 0
    assert (await pin("project", "get", "shop", "-o", "jsonpath={.limits.memory}")).out == "64Gi\n"
    assert "4        an administrator" in (await pin("project", "limits", "shop")).out
    assert "ALLOWED" in (await pin("project", "get", "shop")).out
    _write("five.yaml", APP.replace("name: hello", "name: five").replace("replicas: 3", "replicas: 5"))
    refused = await pin("deploy", "-f", "five.yaml", "--dry-run")
    assert (refused.code, "5 more pods are asked for, and project shop uses 0 of 4" in refused.err) == (4, True), refused
    assert "pin admin limits shop --pods AMOUNT" in refused.err
    assert (await pin("admin", "limits", "shop", "--default", user="root")).code == 0
    assert "an administrator" not in (await pin("project", "limits", "shop")).out


async def test_versions_of_both_sides(pin: Pin, gateway: Running) -> None:
    assert f"at {gateway.url}" in (await pin("version")).out


def _write(name: str, text: str) -> None:
    Path(name).write_text(text)


async def test_an_app_that_runs_gets_another_image_and_variables(pin: Pin, tmp_path: Path) -> None:
    await pin("deploy", "--detach")
    (tmp_path / "app.yaml").unlink()
    nobody = await pin("deploy", "--image", "registry.internal/hello:2", "--detach")
    assert (nobody.code, "no app is named" in nobody.err) == (2, True)
    said = await pin("deploy", "hello", "--image", "registry.internal/hello:2", "-e", "LEVEL=debug", "--detach")
    assert said.code == 0, said.err
    assert "~ containers.web.image: registry.internal/hello:1 → registry.internal/hello:2" in said.out.replace("[web]", ".web")
    assert (await pin("env", "list", "hello")).out.splitlines()[1].split() == ["web", "LEVEL", "debug"]
    assert (await pin("env", "set", "hello", "LEVEL=info", "OTHER=a b", "--detach")).code == 0
    assert "nothing to change" in (await pin("env", "set", "hello", "LEVEL=info", "--detach")).out
    assert (await pin("env", "unset", "hello", "LEVEL", "--dry-run")).code == 0
    assert (await pin("env", "unset", "hello", "LEVEL", "--detach")).code == 0
    listed = json.loads((await pin("env", "list", "hello", "-o", "json")).out)
    assert listed == {"items": [{"container": "web", "name": "OTHER", "value": "a b"}]}
    gone = await pin("env", "unset", "hello", "LEVEL")
    assert (gone.code, "there is OTHER" in gone.err) == (3, True)
    assert (await pin("env", "list", "nope")).code == 3
    assert (await pin("status", "hello", "-o", "jsonpath={.replicas}")).out == "3\n"


async def test_a_file_with_changes_is_deployed_and_says_that_it_lacks_them(pin: Pin) -> None:
    said = await pin("deploy", "--image", "registry.internal/hello:2", "--env", "LEVEL=debug", "--detach")
    assert said.code == 0, said.err
    assert "note: app.yaml does not say this" in said.err
    assert (await pin("status", "hello", "-o", "jsonpath={.containers[0].image}")).out == "registry.internal/hello:2\n"
    assert "→ registry.internal/hello:1" in (await pin("deploy", "--diff")).out


async def test_a_change_that_meets_another_is_refused(pin: Pin, gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from pincompute_sdk.cli import deploy

    await pin("deploy", "--detach")
    planned = deploy.plan_view.show

    def meanwhile(*given: object) -> None:
        planned(*given)  # type: ignore[arg-type]
        asyncio.run_coroutine_threadsafe(
            gateway.ask("alice", "POST", "/v1/projects/shop/apps/hello/scale", {"replicas": 7}), loop
        ).result(10)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(deploy.plan_view, "show", meanwhile)
    said = await pin("env", "set", "hello", "LEVEL=debug", "--detach")
    assert said.code == 5, said.err
    assert (await pin("env", "list", "hello", "-o", "name")).out == ""


WHEN = {"Roll": "app hello rolls it out", "NextStart": "app hello gets it at the next start"}


@pytest.mark.parametrize("update", WHEN)
async def test_a_new_value_says_when_apps_get_it(pin: Pin, update: str) -> None:
    await pin("secret", "set", "db-token=one")
    _write("app.yaml", f"{APP}  secrets: [db-token]\nupdate: {{settings: {update}}}\n")
    assert (await pin("deploy", "--detach")).code == 0
    said = await pin("secret", "set", "db-token=two", "--detach")
    assert (said.code, said.out.endswith(f"; {WHEN[update]}\n")) == (0, True), said


async def test_a_new_value_is_followed_until_it_runs(pin: Pin) -> None:
    """No cluster runs anything here, so it is late."""
    await pin("secret", "set", "db-token=one")
    _write("app.yaml", f"{APP}  secrets: [db-token]\nupdate: {{settings: Roll}}\n")
    await pin("deploy", "--detach")
    said = await pin("secret", "set", "db-token=two", "--timeout", "1")
    assert said.code == 6, said
    assert "hello does not run with the new value everywhere after 1 s" in said.err
    assert "or undo it: `pin secret rollback db-token`" in said.err
