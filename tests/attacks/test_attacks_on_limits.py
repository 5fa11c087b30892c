"""What a member of a project must not achieve: to ask for more than the project's limits, or to raise them (M-156 to M-158)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from gateway.served_gateway import Running, running

from pincompute.api import settings, template_hash
from pincompute.api.builtin import NAMESPACES, SECRETS
from pincompute.api.labels import HOST
from pincompute.api.meta import Key, Resource
from pincompute.api.revisions import PINREVISIONS
from pincompute.api.settings import PINCONFIGS, PINSECRETS
from pincompute.api.sidecars import PINSIDECARS
from pincompute.api.workloads import PINAPPS, PINPODS
from pincompute.gateway.gateway_settings import AccessSettings
from pincompute.gateway.project_limit_admission import BY_PROJECT
from pincompute.gateway.workloads.object_writer import ObjectWriter
from pincompute.testing.apiserver.fault_injection import InjectedRefusal

PROJECT = "/v1/projects/shop"
APPS = f"{PROJECT}/apps"
ADMIN = "/v1/admin/projects/shop/limits"
SMALL = {"pods": 5, "cpu": "1", "memory": "1Gi", "volumes": "1Ti", "workloads": 3}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as found:
        assert (await found.ask("root", "PUT", ADMIN, SMALL))[0] == 200
        yield found


def app(name: str = "ant", **fields: Any) -> dict[str, Any]:
    return {"kind": "App", "name": name, "containers": [{"name": "web", "image": "i"}], **fields}


def resource(**spec: Any) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "web", "image": "i"}]}}
    head = {"apiVersion": "pincompute.io/v1alpha1", "kind": "PinApp", "metadata": {"name": "ant"}}
    return {**head, "spec": {"template": template, **spec}}


def asking(**resources: str) -> dict[str, Any]:
    return {"containers": [{"name": "web", "image": "i", "resources": resources}]}


async def pods_asked_for(gateway: Running) -> int:
    objects = gateway.host.store.list(PINAPPS, "shop").items
    return sum(obj["spec"].get("replicas", 1) for obj in objects if not obj["spec"].get("stopped"))


def claiming(replicas: int, storage: str) -> dict[str, Any]:
    """In each of two volumes of each replica."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}}
    volumes = [{"name": name, "ephemeral": {"volumeClaimTemplate": {"spec": spec}}} for name in ("one", "two")]
    return {"replicas": replicas, "advanced": {"template": {"spec": {"volumes": volumes}}}}


WAYS: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    # too much, as much as is left, the field, the limit
    "replicas": ({"replicas": 6}, {"replicas": 5}, "replicas", "pods"),
    "cpu": (asking(cpu="1001m"), asking(cpu="1"), "containers[0].resources.cpu", "cpu"),
    "memory": (asking(memory="2Gi"), asking(memory="1Gi"), "containers[0].resources.memory", "memory"),
    "volume claims": (claiming(1, "100Ti"), claiming(2, "256Gi"), "volumes", "volumes"),
    "replicas below advanced": ({"advanced": {"replicas": 6}}, {"advanced": {"replicas": 5}}, "replicas", "pods"),
    "a limit instead of a request": (
        asking(limits={"cpu": "1001m"}),  # type: ignore[arg-type]
        asking(limits={"cpu": "1"}),  # type: ignore[arg-type]
        "containers[0].resources.cpu",
        "cpu",
    ),
}


@pytest.mark.parametrize("query", ["", "?dryRun=true"])
@pytest.mark.parametrize("way", WAYS)
async def test_no_new_app_takes_more_than_is_left(gateway: Running, way: str, query: str) -> None:
    much, fits, field, limit = WAYS[way]
    status, problem, _ = await gateway.ask("dan", "POST", APPS + query, app(**much))
    assert (status, problem["code"]) == (403, "limit-exceeded"), problem
    assert problem["errors"][0]["field"] == field
    assert limit in problem["detail"]
    assert f"pin admin limits shop --{limit}" in problem["remedy"]
    assert (await gateway.ask("dan", "POST", APPS + query, app(**fits)))[0] in (200, 201)


def sidecar(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "meter"}, "spec": {"container": {"image": "i", "cpu": "400m", "memory": "8Mi"}, **spec}}


PAYERS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    # the sidecar, what the app says of it, whether the project pays for it
    "the project, of one that it names": (sidecar(paidBy="Project"), {"sidecars": ["meter"]}, True),
    "the project, of one that selects it": (sidecar(paidBy="Project", selector={"projects": ["shop"]}), {}, True),
    "the project, of one that selects the app by its name": (
        sidecar(paidBy="Project", selector={"matchLabels": {"pincompute.io/app": "ant"}}),
        {},
        True,
    ),
    "the project, of one that it does not have": (sidecar(paidBy="Project"), {}, False),
    "the platform": (sidecar(paidBy="Platform"), {"sidecars": ["meter"]}, False),
    "the platform where nothing is said": (sidecar(selector={"projects": ["*"]}), {"sidecars": ["meter"]}, False),
}


@pytest.mark.parametrize("payer", PAYERS)
async def test_sidecars_count_for_who_pays(gateway: Running, payer: str) -> None:
    """Two replicas of 200m and a sidecar of 400m each are more than the project's CPU."""
    body, fields, pays = PAYERS[payer]
    made = gateway.host.store.create(PINSIDECARS, "", body)
    async with asyncio.timeout(10):
        await gateway.gateway.clusters.cache(HOST, PINSIDECARS).until(int(made["metadata"]["resourceVersion"]))
    document = app(replicas=2, **asking(cpu="200m"), **fields)
    status, problem, _ = await gateway.ask("dan", "POST", APPS, document)
    if not pays:
        assert status == 201, problem
        return
    assert (status, problem["code"]) == (403, "limit-exceeded"), problem
    told = "1.2 more cpu are asked for, of which 800m for sidecars of the platform, and project shop uses 0 of 1"
    assert problem["detail"] == told
    status, problem, _ = await gateway.ask("dan", "POST", APPS, {**document, "replicas": 1})
    assert status == 201, problem


async def test_a_sidecar_that_projects_pay_for_refuses_no_change_that_asks_for_nothing_more(gateway: Running) -> None:
    assert (await gateway.ask("dan", "POST", APPS, app(replicas=2, **asking(cpu="500m"))))[0] == 201
    body = sidecar(paidBy="Project", selector={"projects": ["shop"]})
    made = gateway.host.store.create(PINSIDECARS, "", body)
    async with asyncio.timeout(10):
        await gateway.gateway.clusters.cache(HOST, PINSIDECARS).until(int(made["metadata"]["resourceVersion"]))
    other = {**app(replicas=2, **asking(cpu="500m")), "labels": {"team": "web"}}
    assert (await gateway.ask("dan", "PUT", f"{APPS}/ant", other))[0] == 200
    assert (await gateway.ask("dan", "PUT", f"{APPS}/ant", {**other, "replicas": 3}))[0] == 403


async def test_apps_that_wait_for_a_decision_count_with_the_sidecars_that_select_them(gateway: Running) -> None:
    """In a burst no decision had counted them, and the burst passed the limit by all of them."""
    body = sidecar(paidBy="Project", selector={"projects": ["shop"]})
    made = gateway.host.store.create(PINSIDECARS, "", body)
    async with asyncio.timeout(10):
        await gateway.gateway.clusters.cache(HOST, PINSIDECARS).until(int(made["metadata"]["resourceVersion"]))
    burst = [{**app(replicas=1, **asking(cpu="50m")), "name": name} for name in ("ant", "bee", "cat")]
    first, second, third = [await gateway.ask("dan", "POST", APPS, each) for each in burst]
    assert (first[0], second[0]) == (201, 201), (first, second)
    assert (third[0], third[1]["code"]) == (403, "limit-exceeded")
    told = "450m more cpu are asked for, of which 400m for sidecars of the platform, and project shop uses 900m of 1"
    assert third[1]["detail"] == told


async def test_a_payer_is_one_of_two(gateway: Running) -> None:
    body = {"container": {"image": "registry.internal/meter:1"}, "paidBy": "Nobody"}
    status, problem, _ = await gateway.ask("root", "PUT", "/v1/admin/sidecars/meter", body)
    assert (status, problem["errors"][0]["field"]) == (400, "paidBy"), problem
    assert problem["detail"] == "paidBy: must be one of Platform, Project, not 'Nobody'"


def advanced(**resources: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "web", "image": "i", "resources": resources}]}
    return {"kind": "App", "name": "ant", "advanced": {"template": {"spec": spec}}}


HARDLY_COUNTED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    # what counts almost nothing and takes what is there, the least that is allowed, the field
    "no memory": (app(**asking(memory="0")), app(**asking(memory="1Mi")), "containers[0].resources.memory"),
    "one byte with a large limit": (
        app(**asking(memory="1", limits={"memory": "1Ti"})),  # type: ignore[arg-type]
        app(**asking(memory="1Mi", limits={"memory": "1Ti"})),  # type: ignore[arg-type]
        "containers[0].resources.memory",
    ),
    "a limit of 0, which limits nothing": (
        app(**asking(limits={"memory": "0"})),  # type: ignore[arg-type]
        app(**asking(limits={"memory": "1Mi"})),  # type: ignore[arg-type]
        "containers[0].resources.limits.memory",
    ),
    "no cpu": (app(**asking(cpu="0")), app(**asking(cpu="1m")), "containers[0].resources.cpu"),
    "no storage": (app(**asking(storage="0")), app(**asking(storage="1Mi")), "containers[0].resources.storage"),
    "no memory below advanced": (
        advanced(requests={"memory": 0}, limits={"memory": "1Gi"}),
        advanced(requests={"memory": "1Mi"}, limits={"memory": "1Gi"}),
        "containers[0].resources.memory",
    ),
}


@pytest.mark.parametrize("query", ["", "?dryRun=true"])
@pytest.mark.parametrize("way", HARDLY_COUNTED)
async def test_no_app_counts_almost_nothing(gateway: Running, way: str, query: str) -> None:
    """It held the memory of a node, and took one byte of the limit."""
    little, least, field = HARDLY_COUNTED[way]
    status, problem, _ = await gateway.ask("dan", "POST", APPS + query, little)
    assert (status, problem["code"]) == (422, "invalid"), problem
    assert [error["field"] for error in problem["errors"]] == [field]
    assert "must be at least" in problem["errors"][0]["message"]
    assert (await gateway.ask("dan", "POST", APPS + query, least))[0] in (200, 201)


CHANGES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    # method, path, what takes too much, the same request for what is left
    "scale": ("POST", f"{APPS}/ant/scale", {"replicas": 6}, {"replicas": 5}),
    "a patch": ("PATCH", f"{APPS}/ant", {"replicas": 6}, {"replicas": 5}),
    "a whole resource": ("PUT", f"{APPS}/ant", resource(replicas=6), resource(replicas=5)),
    "a whole document": ("PUT", f"{APPS}/ant", app(replicas=6), app(replicas=5)),
    "larger replicas": ("PATCH", f"{APPS}/ant", asking(cpu="501m"), asking(cpu="500m")),
    "start": ("POST", f"{APPS}/off/start", {}, {}),
}


@pytest.mark.parametrize("way", CHANGES)
async def test_no_change_takes_more_than_is_left(gateway: Running, way: str) -> None:
    """Two replicas run, and an app is stopped that had all five."""
    assert (await gateway.ask("dan", "POST", APPS, app("ant", replicas=2)))[0] == 201
    assert (await gateway.ask("dan", "POST", APPS, app("off", replicas=5, stopped=True)))[0] == 201
    method, path, much, fits = CHANGES[way]
    who = "olga" if way == "start" else "dan"
    status, problem, _ = await gateway.ask(who, method, path, much)
    assert (status, problem["code"]) == (403, "limit-exceeded"), problem
    assert await pods_asked_for(gateway) == 2
    if way == "start":
        assert (await gateway.ask("dan", "DELETE", f"{APPS}/ant"))[0] == 202
    assert (await gateway.ask(who, method, path, fits))[0] == 200


async def test_requests_at_the_same_time_do_not_pass_together(gateway: Running) -> None:
    answers = await asyncio.gather(*(gateway.ask("dan", "POST", APPS, app(f"a{n}", replicas=2)) for n in range(12)))
    assert sorted(status for status, _, _ in answers) == [201, 201, *[403] * 10]
    assert await pods_asked_for(gateway) == 4
    assert (await gateway.ask("dan", "POST", APPS, app("last")))[0] == 201


async def test_what_is_refused_reserves_nothing(gateway: Running) -> None:
    for _ in range(3):
        assert (await gateway.ask("dan", "POST", APPS, app(replicas=6)))[0] == 403
        assert (await gateway.ask("dan", "POST", f"{APPS}?dryRun=true", app(replicas=5)))[0] == 200
    assert (await gateway.ask("dan", "POST", APPS, app(replicas=5)))[0] == 201


async def test_a_repeated_request_is_answered_at_the_limit_too(gateway: Running) -> None:
    key = {"Idempotency-Key": "once"}
    assert (await gateway.ask("dan", "POST", APPS, app(replicas=5), **key))[0] == 201
    status, _, headers = await gateway.ask("dan", "POST", APPS, app(replicas=5), **key)
    assert (status, headers["Idempotency-Replayed"]) == (201, "true")


async def test_a_name_that_becomes_free_during_the_request_is_judged(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The object of this name is in the cache when the request comes, and gone when the API server gets it."""
    assert (await gateway.ask("dan", "POST", APPS, app(replicas=1)))[0] == 201
    late = deleting_first(gateway, PINAPPS, Key("shop", "ant"))
    monkeypatch.setattr(ObjectWriter, "_create", late(ObjectWriter._create))
    monkeypatch.setattr(ObjectWriter, "_found", late(ObjectWriter._found))
    status, problem, _ = await gateway.ask("dan", "POST", APPS, app(replicas=5000))
    assert (status, problem["code"]) == (403, "limit-exceeded"), problem
    assert await pods_asked_for(gateway) == 0


def deleting_first(gateway: Running, resource: Resource[Any], key: Key) -> Callable[[Any], Any]:
    """Before the call, the object goes as when its last finalizer does."""

    def wrap(original: Any) -> Any:
        async def call(self: ObjectWriter, *args: Any) -> Any:
            gateway.host.store.delete(resource, key)
            return await original(self, *args)

        return call

    return wrap


async def test_a_name_that_is_taken_is_refused_as_such_beyond_the_limit_too(gateway: Running) -> None:
    assert (await gateway.ask("dan", "POST", APPS, app(replicas=5)))[0] == 201
    for query in ("", "?dryRun=true"):
        status, problem, _ = await gateway.ask("dan", "POST", APPS + query, app(replicas=5000))
        assert (status, problem["code"]) == (409, "already-exists"), problem


async def test_a_unit_that_ended_and_runs_again_takes_its_part(gateway: Running) -> None:
    """While its status is still of the former run."""
    units = f"{PROJECT}/units"
    unit = {"kind": "Unit", "name": "job", **asking(cpu="1")}
    assert (await gateway.ask("dan", "POST", units, unit))[0] == 201
    template = gateway.host.store.get(PINPODS, Key("shop", "job"))["spec"]["template"]
    ended = {"revision": template_hash.revision(template), "phase": "Succeeded"}
    gateway.host.store.patch(
        PINPODS, Key("shop", "job"), {"status": {"ended": ended}}, content_type="merge-patch", subresource="status"
    )
    usage = gateway.gateway.clusters.view(HOST, PINPODS)
    async with asyncio.timeout(20):
        while usage.total(BY_PROJECT, "shop").get("pods"):  # noqa: ASYNC110 - the cache follows the store by itself
            await asyncio.sleep(0.01)
    again = {"containers": [{"name": "web", "image": "j", "resources": {"cpu": "1"}}]}
    assert (await gateway.ask("dan", "PATCH", f"{units}/job", again))[0] == 200
    assert (await gateway.ask("dan", "POST", APPS, app()))[0] == 403


async def test_who_is_beyond_a_lowered_limit_takes_less_but_not_more(gateway: Running) -> None:
    assert (await gateway.ask("dan", "POST", APPS, app(replicas=5)))[0] == 201
    assert (await gateway.ask("root", "PUT", ADMIN, {"pods": 2}))[0] == 200
    assert (await gateway.ask("dan", "POST", f"{APPS}/ant/scale", {"replicas": 6}))[0] == 403
    assert (await gateway.ask("dan", "PATCH", f"{APPS}/ant", {"labels": {"team": "red"}}))[0] == 200
    assert (await gateway.ask("dan", "POST", f"{APPS}/ant/scale", {"replicas": 4}))[0] == 200


async def test_another_project_has_limits_of_its_own(gateway: Running) -> None:
    assert (await gateway.ask("dan", "POST", APPS, app(replicas=5)))[0] == 201
    assert (await gateway.ask("root", "POST", "/v1/projects", {"name": "lab"}))[0] == 201
    gateway.host.store.create(NAMESPACES, "", {"metadata": {"name": "lab"}})
    assert (await gateway.ask("root", "POST", "/v1/projects/lab/apps", app(replicas=50)))[0] == 201


RAISING: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    # method, path, what raises the limits, the same request without it
    "the field": ("PATCH", PROJECT, {"limits": {"pods": 50}}, {"description": "sells"}),
    "advanced": ("PATCH", PROJECT, {"advanced": {"limits": {"pods": 50}}}, {"advanced": {}}),
    "a whole document": ("PUT", PROJECT, {"limits": {"pods": 50}}, {"description": "sells"}),
    "no limits at all": ("PATCH", PROJECT, {"limits": None}, {"description": "sells"}),
}


@pytest.mark.parametrize("way", RAISING)
async def test_an_owner_does_not_raise_the_limits(gateway: Running, way: str) -> None:
    method, path, raising, harmless = RAISING[way]
    status, problem, _ = await gateway.ask("alice", method, path, raising)
    assert status in (403, 422), problem  # what is said twice is invalid before it is forbidden
    assert (await gateway.ask("alice", method, path, harmless))[0] == 200
    assert (await gateway.ask("alice", "GET", PROJECT))[1]["limits"] == SMALL


@pytest.mark.parametrize("body", [{"limits": {"pods": 9}}, {"advanced": {"limits": {"pods": 9}}}])
async def test_who_creates_a_project_does_not_set_its_limits(tmp_path: Path, body: dict[str, Any]) -> None:
    roles = AccessSettings(platform_roles={"project-creator": ("carl",)})
    async with running(tmp_path, access=roles) as gateway:
        status, problem, _ = await gateway.ask("carl", "POST", "/v1/projects", {"name": "lab", **body})
        assert (status, problem["code"]) == (403, "forbidden"), problem
        assert (await gateway.ask("carl", "POST", "/v1/projects", {"name": "lab"}))[0] == 201


async def test_only_administrators_use_their_way_and_only_that(gateway: Running) -> None:
    for caller in ("alice", "olga", "dan", "vera"):
        assert (await gateway.ask(caller, "PUT", ADMIN, {"pods": 50}))[0] == 403
    status, problem, _ = await gateway.ask("root", "PATCH", PROJECT, {"limits": {"pods": 50}})
    assert (status, "pin admin limits" in problem["remedy"]) == (403, True)
    assert (await gateway.ask("root", "PUT", ADMIN, {"pods": 50}))[1] == {"pods": 50}
    assert (await gateway.ask("alice", "GET", PROJECT))[1]["limits"] == {"pods": 50}


@pytest.mark.parametrize(
    ("limits", "field"), [({"cpu": "much"}, "cpu"), ({"pods": -1}, "pods"), ({"memory": "-1Gi"}, "memory")]
)
async def test_a_limit_is_an_amount(gateway: Running, limits: dict[str, Any], field: str) -> None:
    status, problem, _ = await gateway.ask("root", "PUT", ADMIN, limits)
    assert (status, [error["field"] for error in problem["errors"]]) == (422, [field])


async def test_members_see_what_is_used(gateway: Running) -> None:
    await gateway.ask("dan", "POST", APPS, app(replicas=2))
    _, found, _ = await gateway.ask("vera", "GET", f"{PROJECT}/limits")
    uses = {use["name"]: (use["used"], use["allowed"], use.get("default", False)) for use in found["items"]}
    assert uses["pods"] == ("2", "5", False)
    assert uses["cpu"] == ("200m", "1", False)
    assert uses["storage"] == ("2Gi", "16Ti", True)
    assert uses["defaultContainerStorage"] == ("", "1Gi", True)
    assert (await gateway.ask("mallory", "GET", f"{PROJECT}/limits"))[0] == 404


async def test_the_sum_follows_what_comes_and_goes(gateway: Running) -> None:
    """Also what others write and delete on the host."""
    usage = gateway.gateway.clusters.view(HOST, PINAPPS)
    for _ in range(3):
        assert (await gateway.ask("dan", "POST", APPS, app(replicas=5)))[0] == 201
        assert (await gateway.ask("dan", "DELETE", f"{APPS}/ant"))[0] == 202
    assert usage.total("project", "shop") == {}


KIB = 1024


def secret(size: int) -> dict[str, Any]:
    return {"data": base64.b64encode(b"x" * size).decode()}


def config(*sizes: int) -> dict[str, Any]:
    return {"files": {f"f{number}": base64.b64encode(b"x" * size).decode() for number, size in enumerate(sizes)}}


async def test_secrets_and_configs_take_a_bounded_part_of_the_host(gateway: Running) -> None:
    """All versions that are kept count, of both kinds together; a rollback and the removal of a secret take nothing."""
    assert (await gateway.ask("root", "PUT", ADMIN, {"settings": "64Ki"}))[0] == 200
    assert (await gateway.ask("dan", "PUT", f"{PROJECT}/secrets/one", secret(20 * KIB)))[0] == 200
    assert (await gateway.ask("dan", "PUT", f"{PROJECT}/secrets/one", secret(1)))[0] == 200  # counts as 1 KiB
    assert (await gateway.ask("dan", "PUT", f"{PROJECT}/configs/two", config(10 * KIB, 10 * KIB)))[0] == 200
    status, body, _ = await gateway.ask("dan", "PUT", f"{PROJECT}/secrets/three", secret(24 * KIB))
    assert (status, body["code"], body["errors"][0]["field"]) == (403, "limit-exceeded", "data")
    assert body["detail"] == "24Ki more settings are asked for, and project shop uses 41Ki of 64Ki"
    login = {"user": "u", "password": "x" * 24 * KIB}
    assert (await gateway.ask("dan", "PUT", f"{PROJECT}/registries/ghcr.io", login))[0] == 403
    assert (await gateway.ask("dan", "PUT", f"{PROJECT}/configs/two", config(24 * KIB)))[0] == 403
    assert [obj["metadata"]["name"] for obj in gateway.host.store.list(SECRETS, "shop").items] == ["one.1", "one.2"]
    assert (await gateway.ask("dan", "POST", f"{PROJECT}/secrets/one/rollback", {}))[0] == 200
    _, uses, _ = await gateway.ask("vera", "GET", f"{PROJECT}/limits")
    assert {"name": "settings", "used": "41Ki", "allowed": "64Ki"} in uses["items"]
    assert (await gateway.ask("dan", "PUT", f"{PROJECT}/secrets/three", secret(23 * KIB)))[0] == 200
    assert (await gateway.ask("alice", "PUT", ADMIN, {"settings": "1Gi"}))[0] == 403


def writing(name: str, replicas: int = 1, **resources: Any) -> dict[str, Any]:
    container = {"name": "web", "image": "i", "resources": {"cpu": "1m", "memory": "1Mi", **resources}}
    return app(name, containers=[container], replicas=replicas)


async def test_what_containers_may_write_counts(gateway: Running) -> None:
    """A request of 1Mi counted 1Mi, and no request nothing, whatever was written."""
    assert (await gateway.ask("root", "PUT", ADMIN, {"storage": "10Gi"}))[0] == 200
    assert (await gateway.ask("dan", "POST", APPS, writing("silent", replicas=4)))[0] == 201
    status, body, _ = await gateway.ask("dan", "POST", APPS, writing("sly", storage="1Mi", limits={"storage": "7Gi"}))
    assert (status, body["code"]) == (403, "limit-exceeded")
    assert body["detail"] == "7Gi more storage are asked for, and project shop uses 4Gi of 10Gi"
    assert (await gateway.ask("dan", "POST", APPS, writing("sly", storage="1Mi", limits={"storage": "6Gi"})))[0] == 201
    assert (await gateway.ask("dan", "POST", f"{APPS}/silent/scale", {"replicas": 5}))[0] == 403
    assert (await gateway.ask("root", "PUT", ADMIN, {"storage": "10Gi", "defaultContainerStorage": "500Mi"}))[0] == 200
    assert (await gateway.ask("dan", "POST", f"{APPS}/silent/scale", {"replicas": 8}))[0] == 200
    assert (await gateway.ask("alice", "PUT", ADMIN, {"defaultContainerStorage": "1Ti"}))[0] == 403


def large(name: str, size: int, **fields: Any) -> dict[str, Any]:
    """A stopped app, whose document takes so many KiB and less than one more."""
    container = {"name": "web", "image": "i", "args": ["x" * size * KIB]}
    return app(name, containers=[container], stopped=True, **fields)


async def test_documents_take_a_bounded_part_of_the_host(gateway: Running) -> None:
    """A stopped app takes no CPU and no memory, and its document stays in the etcd that all projects share."""
    limits = {"documents": "64Ki", "workloads": 100}
    assert (await gateway.ask("root", "PUT", ADMIN, limits))[0] == 200
    assert (await gateway.ask("dan", "POST", APPS, large("one", 30)))[0] == 201
    assert (await gateway.ask("dan", "POST", APPS, large("two", 0, annotations={"note": "x" * 20 * KIB})))[0] == 201
    status, body, _ = await gateway.ask("dan", "POST", APPS, large("three", 20))
    assert (status, body["code"], body["errors"][0]["field"]) == (403, "limit-exceeded", "containers")
    assert body["detail"] == "21Ki more documents are asked for, and project shop uses 52Ki of 64Ki"
    assert "pin admin limits shop --documents" in body["remedy"]
    assert (await gateway.ask("dan", "POST", f"{APPS}?dryRun=true", large("three", 20)))[0] == 403
    assert (await gateway.ask("dan", "PATCH", f"{APPS}/two", {"annotations": {"more": "x" * 20 * KIB}}))[0] == 403
    assert (await gateway.ask("dan", "PATCH", f"{APPS}/two", {"annotations": {"more": "x" * 9 * KIB}}))[0] == 200
    _, uses, _ = await gateway.ask("vera", "GET", f"{PROJECT}/limits")
    assert {"name": "documents", "used": "61Ki", "allowed": "64Ki"} in uses["items"]
    assert (await gateway.ask("dan", "DELETE", f"{APPS}/one"))[0] == 202
    assert (await gateway.ask("dan", "POST", APPS, large("three", 20)))[0] == 201


async def test_former_templates_count_as_they_are_kept(gateway: Running) -> None:
    """One app of 20 KiB that changes again and again would take 220 KiB."""
    assert (await gateway.ask("root", "PUT", ADMIN, {"documents": "62Ki"}))[0] == 200
    assert (await gateway.ask("dan", "POST", APPS, large("one", 20)))[0] == 201
    uid = gateway.host.store.list(PINAPPS, "shop").items[0]["metadata"]["uid"]
    spec = {"number": 1, "revision": "r1", "template": {"spec": {"containers": [{"args": ["x" * 20 * KIB]}]}}}
    owner = {"apiVersion": PINAPPS.api_version, "kind": "PinApp", "name": "one", "uid": uid, "controller": True}
    revision = {"metadata": {"name": "r1", "namespace": "shop", "ownerReferences": [owner]}, "spec": spec}
    revisions = gateway.gateway.clusters.view(HOST, PINREVISIONS)
    gateway.host.store.create(PINREVISIONS, "shop", revision)
    await until(lambda: revisions.total(BY_PROJECT, "shop") == {"documents": 21 * KIB})
    other = {"containers": [{"name": "web", "image": "i", "args": ["y" * 20 * KIB]}]}
    status, body, _ = await gateway.ask("dan", "PATCH", f"{APPS}/one", other)
    assert (status, body["code"]) == (403, "limit-exceeded"), body
    assert (await gateway.ask("olga", "POST", f"{APPS}/one/start", {}))[0] == 200
    assert (await gateway.ask("dan", "PATCH", f"{APPS}/one", {"replicas": 2}))[0] == 200
    gateway.host.store.delete(PINREVISIONS, Key("shop", "r1"))
    await until(lambda: not revisions.total(BY_PROJECT, "shop"))
    assert (await gateway.ask("dan", "PATCH", f"{APPS}/one", other))[0] == 200


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not met():  # noqa: ASYNC110 - the gateway's cache has no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("part", ["labels", "annotations"])
async def test_labels_and_annotations_have_a_length(gateway: Running, part: str) -> None:
    value = "x" * 60
    many = {f"key-{number:04}": value for number in range(1000)}
    status, problem, _ = await gateway.ask("dan", "POST", APPS, app(**{part: many}))
    assert (status, [error["field"] for error in problem["errors"]]) == (422, [part])
    assert "must have at most 65536 characters together" in problem["errors"][0]["message"]
    assert (await gateway.ask("dan", "POST", APPS, app(**{part: dict(list(many.items())[:900])})))[0] == 201


async def test_values_at_the_same_time_do_not_pass_the_limit_together(gateway: Running) -> None:
    assert (await gateway.ask("root", "PUT", ADMIN, {"settings": "64Ki"}))[0] == 200
    asked = (gateway.ask("dan", "PUT", f"{PROJECT}/secrets/s{number}", secret(30 * KIB)) for number in range(8))
    answers = [status for status, _, _ in await asyncio.gather(*asked)]
    assert sorted(answers) == [200, 200, *[403] * 6]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("registries/ghcr.io", {"user": "u", "password": "x" * 700 * KIB}, "password"),
        ("registries/ghcr.io", {"user": "u" * 700 * KIB, "password": "x"}, "password"),
        ("secrets/large", secret(513 * KIB), "data"),
        ("configs/large", config(300 * KIB, 300 * KIB), "files"),
    ],
)
async def test_a_value_that_is_too_large_leaves_nothing(gateway: Running, path: str, body: dict[str, Any], field: str) -> None:
    """A login of 700 KiB was refused by the API server alone, when there was a setting that waited for it."""
    status, problem, _ = await gateway.ask("dan", "PUT", f"{PROJECT}/{path}", body)
    (error,) = problem["errors"]
    assert (status, error["field"], error["expected"]) == (422, field, "at most 512 KiB")
    for kind in (PINSECRETS, PINCONFIGS, SECRETS):
        assert not gateway.host.store.list(kind, "shop").items


@pytest.mark.parametrize(("code", "says"), [(422, "cannot be stored"), (403, "is being prepared"), (404, "is being prepared")])
async def test_a_value_that_the_host_refuses_leaves_nothing(gateway: Running, code: int, says: str) -> None:
    gateway.host.faults.affects = lambda verb, path: verb == "POST" and path.endswith("/secrets")
    gateway.host.faults.refusal = InjectedRefusal(code)
    _, problem, _ = await gateway.ask("dan", "PUT", f"{PROJECT}/secrets/odd", secret(1))
    assert says in str(problem)
    assert not gateway.host.store.list(PINSECRETS, "shop").items
    gateway.host.faults.clear()
    assert (await gateway.ask("dan", "PUT", f"{PROJECT}/secrets/odd", secret(1)))[0] == 200


async def test_nobody_stores_versions_faster_than_earlier_ones_are_removed(gateway: Running) -> None:
    """No federation runs here, so none is removed."""
    for _ in range(2 * settings.KEPT + 2):
        status, body, _ = await gateway.ask("dan", "PUT", f"{PROJECT}/secrets/one", secret(1))
        if status != 200:
            break
    assert (status, body["detail"]) == (503, "earlier versions of secret one are still being removed")
    assert len(gateway.host.store.list(SECRETS, "shop").items) == 2 * settings.KEPT + 1


async def test_the_regions_own_registry_needs_no_login(gateway: Running) -> None:
    login = {"user": "u", "password": "p"}
    for host in ("registry.internal", "Registry.Internal", "registry.internal:5000"):
        assert (await gateway.ask("dan", "PUT", f"{PROJECT}/registries/{host}", login))[0] == 422
    assert (await gateway.ask("dan", "PUT", f"{PROJECT}/registries/ghcr.io", login))[0] == 200
