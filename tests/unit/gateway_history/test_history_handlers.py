"""History over HTTP, through the whole gateway: of what runs, of what ran, and of nothing that never was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from gateway.served_gateway import Running, running
from history_samples import event, exit_of, operation, revision, spec, state
from msgspec.structs import replace

from pincompute.api.builtin import EVENTS, NAMESPACES, PODS
from pincompute.api.labels import APP, CLUSTER, MANAGED_BY, ORIGIN_UID, PINCOMPUTE, WORKLOAD, ZONE
from pincompute.api.meta import Key
from pincompute.api.projects import PROJECTS
from pincompute.api.workloads import PINAPPS
from pincompute.store.records import GONE, AnyRecord

WITHIN = 20.0
HELLO = "/v1/projects/shop/apps/hello"
DOCUMENT = {"name": "hello", "containers": [{"name": "web", "image": "registry.internal/hello:1"}], "replicas": 3}
PAST = ("history", "events", "timeline")


@asynccontextmanager
async def served(folder: Path, *records: AnyRecord, project_uid: str | None = None) -> AsyncIterator[Running]:
    """With this history in project shop, or in another project that had its name."""
    async with running(folder) as there:
        uid = there.host.store.get(PROJECTS, Key("", "shop"))["metadata"]["uid"] if project_uid is None else project_uid
        there.gateway.store.record(*(replace(record, project_uid=uid) for record in records))
        assert await there.gateway.store.settled(WITHIN)
        yield there


async def told(there: Running, path: str, subject: str = "vera") -> Any:
    status, body, _ = await there.ask(subject, "GET", path)
    assert status == 200, body
    return body


async def eventually(there: Running, path: str, condition: Callable[[Any], bool]) -> Any:
    body: Any = None
    try:
        async with asyncio.timeout(WITHIN):
            while True:
                body = await told(there, path)
                if condition(body):
                    return body
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"within {WITHIN} s {path} did not show it: {body}")


SHOP: dict[str, Any] = {"project": "shop"}
KILLED = (
    "web in a former replica (zone b) ended with exit code 137 (out of memory; limit 32Mi): "
    "raise resources.memory, or let the program use less"
)
LIFE: tuple[AnyRecord, ...] = (
    revision(author="bob", **SHOP),
    operation(seconds=10, generation=2, reason="load test", **SHOP),
    revision(2, 10, spec=spec(6), **SHOP),
    exit_of(137, 20, reason="OOMKilled", memory_limit="32Mi", **SHOP),
    event(25, **SHOP),
    operation("delete", 30, reason="no use", **SHOP),
    state(GONE, 40, before="Running", **SHOP),
)


async def test_a_user_finds_who_did_what_to_a_live_app(tmp_path: Path) -> None:
    async with served(tmp_path) as there:
        assert (await there.ask("dan", "POST", "/v1/projects/shop/apps", DOCUMENT))[0] == 201
        status, _, _ = await there.ask("olga", "POST", f"{HELLO}/scale", {"replicas": 6, "reason": "load test"})
        assert status < 300
        lines = (await eventually(there, f"{HELLO}/timeline?oldestFirst=true", lambda body: len(body["items"]) >= 2))["items"]
        assert [line["sentence"] for line in lines] == [
            "dan created hello: 3 replicas of hello:1",
            "olga scaled hello from 3 to 6: load test",
        ]
        explained = await told(there, f"{HELLO}/explain")
        assert explained["sentences"][0].startswith("hello should run 6 replicas; 0 are ready.")
        assert "olga scaled hello from 3 to 6: load test" in explained["sentences"][-1]


async def test_a_file_that_kubectl_mounts_and_that_is_not_there_is_explained(tmp_path: Path) -> None:
    """The replica runs, with an empty folder in place of the file, and no kubelet says so."""
    async with served(tmp_path) as there:
        assert (await there.ask("dan", "POST", "/v1/projects/shop/apps", DOCUMENT))[0] == 201
        assert (await there.ask("dan", "PUT", "/v1/projects/shop/configs/conf", {"files": {"web.conf": "YQ=="}}))[0] == 200
        mount = {"name": "conf", "mountPath": "/etc/web.conf", "subPath": "wbe.conf"}
        container = {"name": "web", "image": "docker.io/shop/web:1", "volumeMounts": [mount]}
        pod = {"containers": [container], "volumes": [{"name": "conf", "configMap": {"name": "conf"}}]}
        patch = {"spec": {"template": {"spec": pod}}}
        there.host.store.patch(PINAPPS, Key("shop", "hello"), patch, content_type="merge-patch")
        said = (
            "A container finds an empty folder where it mounts a file: config conf has no file wbe.conf; did you mean web.conf?"
        )
        await eventually(there, f"{HELLO}/explain", lambda body: any(each.startswith(said) for each in body["sentences"]))


async def test_a_stalled_update_has_a_way_back_to_what_ran_well(tmp_path: Path) -> None:
    async with served(tmp_path) as there:

        async def phase(word: str) -> dict[str, Any]:
            state = "True" if word == "Stalled" else "False"
            at = datetime.now(UTC).isoformat()
            stalled = {"type": "Stalled", "status": state, "reason": "R", "observedGeneration": 9, "lastTransitionTime": at}
            status = {"status": {"phase": word, "lastUpdateTime": at, "conditions": [stalled]}}
            there.host.store.patch(PINAPPS, Key("shop", "hello"), status, content_type="merge-patch", subresource="status")
            await eventually(
                there, f"{HELLO}/history?type=state", lambda body: body["items"][:1] and body["items"][0]["after"] == word
            )
            return await told(there, f"{HELLO}/explain")

        assert (await there.ask("dan", "POST", "/v1/projects/shop/apps", DOCUMENT))[0] == 201
        assert "rollback" not in await phase("Stalled"), "its first revision never ran"
        assert "rollback" not in await phase("Running")
        (first,) = (await told(there, f"{HELLO}/history?type=revision"))["items"]
        image = {"containers": [{**DOCUMENT["containers"][0], "image": "registry.internal/hello:2"}]}
        assert (await there.ask("dan", "PATCH", HELLO, image))[0] == 200
        explained = await phase("Stalled")
        assert explained["state"] == "Stalled"
        assert explained["kind"] == "app"
        assert explained["rollback"] == {"revision": first["revision"], "ranWell": True}
        (of_all,) = (await told(there, "/v1/projects/shop/explain"))["items"]
        assert of_all["rollback"] == explained["rollback"], "with and without its name"


async def test_a_deletion_has_its_author_and_the_past_stays(tmp_path: Path) -> None:
    async with served(tmp_path) as there:
        assert (await there.ask("dan", "POST", "/v1/projects/shop/apps", DOCUMENT))[0] == 201
        await eventually(there, f"{HELLO}/history", lambda body: bool(body["items"]))
        status = {"status": {"phase": "Running", "lastUpdateTime": datetime.now(UTC).isoformat()}}
        there.host.store.patch(PINAPPS, Key("shop", "hello"), status, content_type="merge-patch", subresource="status")
        assert (await there.ask("dan", "DELETE", f"{HELLO}?dryRun=true"))[0] == 202
        assert (await there.ask("dan", "DELETE", HELLO))[0] == 202
        body = await eventually(there, f"{HELLO}/explain", lambda body: body["state"] == "Deleted")
        assert "by dan" in body["sentences"][0]
        operations = (await told(there, f"{HELLO}/history?type=operation"))["items"]
        assert [o["verb"] for o in operations] == ["delete", "create"], "a dry run is no deletion"
        assert (await there.ask("vera", "GET", HELLO))[0] == 404


@pytest.mark.parametrize("project_uid", ["former", ""], ids=["a former project's", "of an earlier version"])
async def test_history_from_before_the_project_is_for_administrators(tmp_path: Path, project_uid: str) -> None:
    """Its members never were members of the former project of the name."""
    async with served(tmp_path, *LIFE, project_uid=project_uid) as there:
        for aspect in (*PAST, "explain"):
            assert (await there.ask("vera", "GET", f"{HELLO}/{aspect}"))[0] == 404
            assert (await there.ask("root", "GET", f"{HELLO}/{aspect}"))[0] == 200
        assert (await told(there, "/v1/projects/shop/timeline"))["items"] == []
        assert len((await told(there, "/v1/projects/shop/timeline", "root"))["items"]) == len(LIFE) - 1


async def test_what_a_failing_check_answers_is_told_of_the_replica(tmp_path: Path) -> None:
    """Kubelets report it in events alone."""
    async with served(tmp_path) as there:
        status, made, _ = await there.ask("dan", "POST", "/v1/projects/shop/apps", DOCUMENT)
        assert status == 201
        uid = made["item"]["id"]
        marks = {MANAGED_BY: PINCOMPUTE, APP: "hello", WORKLOAD: "PinApp", ORIGIN_UID: uid, ZONE: "a", CLUSTER: "a1"}
        body = {"metadata": {"name": "hello-a1-0", "labels": marks}, "spec": {"containers": [{"name": "web", "image": "i"}]}}
        there.member.store.create(NAMESPACES, "", {"metadata": {"name": "shop"}})
        there.member.store.create(PODS, "shop", body)
        runs = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
        container = {"name": "web", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": runs}
        status_ = {"status": {"containerStatuses": [container]}}
        key = Key("shop", "hello-a1-0")
        there.member.store.patch(PODS, key, status_, content_type="merge-patch", subresource="status")
        message = 'Readiness probe failed: Get "http://10.1.2.3:8081/": dial tcp 10.1.2.3:8081: connect: connection refused'
        reported = {
            "metadata": {"name": "unhealthy"},
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "hello-a1-0"},
            "reason": "Unhealthy",
            "message": message,
            "type": "Warning",
            "count": 3,
            "firstTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        there.member.store.create(EVENTS, "shop", reported)
        said = "its health check fails: connection refused on port 8081"
        found = await eventually(
            there, f"{HELLO}/replicas", lambda body: any(said in i.get("reason", "") for i in body["items"])
        )
        assert found["items"][0]["name"] == "hello/0"
        told_ = await eventually(there, f"{HELLO}/explain", lambda body: any(said in line for line in body["sentences"]))
        assert f"hello/0: {said}" in " ".join(told_["sentences"])


async def test_of_what_ran_everything_is_still_told(tmp_path: Path) -> None:
    async with served(tmp_path, *LIFE) as there:
        lines = (await told(there, f"{HELLO}/timeline"))["items"]
        assert [line["sentence"] for line in lines] == [
            "hello was deleted; nothing of it is left",
            "alice deleted hello: no use",
            "a former replica: Pulled: Container image already present on machine",
            KILLED,
            "alice scaled hello from 3 to 6: load test",
            "bob created hello: 3 replicas of hello:1",
        ]
        assert (await told(there, f"{HELLO}/explain"))["state"] == "Deleted"
        assert [e["type"] for e in (await told(there, f"{HELLO}/events"))["items"]] == ["event"]
        assert "event" not in {r["type"] for r in (await told(there, f"{HELLO}/history"))["items"]}
        assert len((await told(there, "/v1/projects/shop/timeline"))["items"]) == 6
        assert len((await told(there, "/v1/projects/shop/history"))["items"]) == 6
        assert len((await told(there, "/v1/projects/shop/events"))["items"]) == 1


async def test_an_exit_is_judged_by_the_events_around_it_wherever_they_stand(tmp_path: Path) -> None:
    """Whoever asks for exits alone, or for a page that ends before the announcement, reads the same as everybody."""
    announced = event(8, object="hello-b1-0", message="Container web definition changed, will be restarted", **SHOP)
    ends = (exit_of(1, 10, **SHOP), exit_of(1, 20, **SHOP))
    async with served(tmp_path, revision(author="bob", **SHOP), announced, *ends) as there:
        for query in ("type=exit", "type=exit&limit=1", ""):
            found = (await told(there, f"{HELLO}/history?{query}"))["items"]
            expected = [record.get("expected", False) for record in found if record["type"] == "exit"]
            assert expected == [False, True][: len(expected)], query
        lines = (await told(there, f"{HELLO}/timeline?type=exit,state"))["items"]
        assert [line.get("warning", False) for line in lines] == [True, False]


async def test_pages_follow_one_another_and_tell_what_changed_across_their_border(tmp_path: Path) -> None:
    """S-252."""
    async with served(tmp_path, *LIFE) as there:
        seen: list[str] = []
        cursor = ""
        while True:
            page = await told(there, f"{HELLO}/timeline?limit=2&type=revision,exit,state&cursor={quote(cursor)}")
            seen += [line["sentence"].split(":")[0] for line in page["items"]]
            cursor = page["cursor"]
            if not cursor:
                break
        assert [line.split(" (")[0] for line in seen] == [
            "hello was deleted; nothing of it is left",
            "web in a former replica",
            "hello was scaled from 3 to 6 with `kubectl scale` or by an autoscaler; Kubernetes does not record who",
            "bob created hello",
        ]


FILTERS = {
    "by time": ("history?since=2026-11-01T10:02:15Z&until=2026-11-01T10:02:35Z", ["operation", "exit"]),
    "by text": ("history?text=LOAD%20test", ["operation"]),
    "by type": ("history?type=exit,state", ["state", "exit"]),
    "by age": ("history?since=10s", []),
    "by another uid": ("history?uid=other", []),
    "by its uid": ("history?uid=uid-hello&type=state", ["state"]),
    "from the oldest": ("history?oldestFirst=true&limit=1", ["revision"]),
}


@pytest.mark.parametrize("order", ["", "&oldestFirst=true"])
async def test_a_page_of_a_story_has_as_many_lines_as_are_asked_for(tmp_path: Path, order: str) -> None:
    """What became one line counted as many, so `-n 3` showed one."""
    crashes = [exit_of(1 + round_, 100 * round_ + n, **SHOP) for round_ in range(5) for n in range(9)]
    async with served(tmp_path, revision(author="bob", **SHOP), *crashes) as there:
        seen, cursor, sizes = [], "", []
        while not sizes or cursor:
            page = await told(there, f"{HELLO}/timeline?limit=2{order}&cursor={cursor}")
            cursor = page["cursor"]
            sizes.append(len(page["items"]))
            seen += [(line["type"], line.get("count", 1)) for line in page["items"]]
        assert sizes == [2, 2, 2]
        assert sorted(seen) == [*[("exit", 9)] * 5, ("revision", 1)]


async def test_filters(tmp_path: Path) -> None:
    async with served(tmp_path, *LIFE) as there:
        for case, (query, want) in FILTERS.items():
            found = (await told(there, f"{HELLO}/{query}"))["items"]
            assert sorted(record["type"] for record in found) == sorted(want), case


BAD = {
    "a time that is none": ("since=yesterday", 422, "since"),
    "an age beyond the beginning of time": ("until=999999w", 422, "until"),
    "a type that is none": ("type=dream", 422, "type"),
    "a page that is too long": ("limit=1001", 422, "limit"),
    "a page that is none": ("limit=0", 422, "limit"),
    "a foreign cursor": ("cursor=nonsense", 400, "cursor"),
    "a text without end": (f"text={'x' * 300}", 422, "text"),
    "a number that is none": ("limit=many", 400, "limit"),
    "a NUL": ("text=%00", 200, ""),
    "half a character": ("text=%ff", 200, ""),
}


async def test_what_cannot_be_asked_is_answered_with_what_can(tmp_path: Path) -> None:
    async with served(tmp_path, *LIFE) as there:
        for case, (query, want, field) in BAD.items():
            status, body, _ = await there.ask("vera", "GET", f"{HELLO}/history?{query}")
            assert status == want, (case, body)
            assert field in str(body), case


async def test_what_never_was_is_not_found_and_strangers_learn_nothing(tmp_path: Path) -> None:
    async with served(tmp_path, *LIFE) as there:
        for what in (*PAST, "explain"):
            for kind in ("apps", "units"):
                assert (await there.ask("vera", "GET", f"/v1/projects/shop/{kind}/nobody/{what}"))[0] == 404
            stranger = await there.ask("mallory", "GET", f"{HELLO}/{what}")
            nothing = await there.ask("mallory", "GET", f"/v1/projects/shop/apps/nobody/{what}")
            assert stranger[0] == nothing[0] == 404
        assert (await told(there, "/v1/projects/shop/explain"))["items"] == []


async def test_a_project_tells_what_does_not_run_as_it_should(tmp_path: Path) -> None:
    async with served(tmp_path) as there:
        assert (await there.ask("dan", "POST", "/v1/projects/shop/apps", DOCUMENT))[0] == 201
        (found,) = (await told(there, "/v1/projects/shop/explain"))["items"]
        assert (found["name"], found["state"]) == ("hello", "Pending")
        assert "No placement has been decided yet" in " ".join(found["sentences"])


async def test_ages_are_counted_from_the_call(tmp_path: Path) -> None:
    recent = state("Running", name="new", at=datetime.now(UTC) - timedelta(minutes=5), **SHOP)
    async with served(tmp_path, *LIFE, recent) as there:
        for age, want in (("1m", 0), ("10m", 1), ("2h", 1)):
            assert len((await told(there, f"/v1/projects/shop/history?since={age}"))["items"]) == want, age
