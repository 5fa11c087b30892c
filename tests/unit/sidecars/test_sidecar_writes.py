"""What the gateway judges when a sidecar is written: its images, which stay in the registry, and who may have it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gateway.registry_double import RegistryDouble, quiet_gateway
from gateway.served_gateway import WITHIN, Running

from pincompute.api.labels import HOST
from pincompute.api.meta import Key
from pincompute.api.sidecars import PINSIDECARS
from pincompute.gateway.workloads import platform_programs

METER = "/v1/admin/sidecars/meter"
DAY = 86_400.0


@pytest.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Running, RegistryDouble]]:
    async with quiet_gateway(tmp_path, monkeypatch) as found:
        yield found


def written(version: str) -> dict[str, Any]:
    return {"container": {"image": f"registry.internal/shop/meter{version}"}}


async def put(gateway: Running, version: str) -> tuple[int, Any]:
    status, answer, _ = await gateway.ask("root", "PUT", METER, written(version))
    return status, answer


async def remove(gateway: Running) -> tuple[int, Any]:
    status, answer, _ = await gateway.ask("alice", "DELETE", "/v1/projects/shop/images?name=meter")
    return status, answer


async def test_each_version_that_pods_may_have_or_go_back_to_is_kept(served: tuple[Running, RegistryDouble]):
    """The collection took what no workload of the project named, and with it what the fleet ran."""
    gateway, registry = served
    versions = list[str]()
    for number in range(5):
        registry.age = (9 - number) * DAY
        versions.append(registry.push("shop/meter", "1", (f"own{number}", 10)))
    unused, draining, former, stable, wanted = versions
    assert (await put(gateway, ":1"))[0] == 200
    status = {
        name: {"revision": name, "shape": "s", **written(f"@{d}")} for name, d in (("stable", stable), ("former", former))
    }
    status["images"] = [{"revision": "draining", "image": f"registry.internal/shop/meter@{draining}"}]
    left = gateway.host.store.patch(
        PINSIDECARS, Key("", "meter"), {"status": status}, content_type="merge-patch", subresource="status"
    )
    async with asyncio.timeout(WITHIN):
        await gateway.gateway.clusters.cache(HOST, PINSIDECARS).until(int(left["metadata"]["resourceVersion"]))
    await gateway.gateway.garbage_collector.collect()
    assert registry.storage.read("shop/meter").manifests.keys() == {draining, former, stable, wanted} != {unused}
    code, refused = await remove(gateway)
    assert (code, "used by sidecar meter" in refused["detail"]) == (409, True)


async def test_a_tag_is_pinned_so_that_all_pods_run_what_was_written(served: tuple[Running, RegistryDouble]):
    gateway, registry = served
    first = registry.push("shop/meter", "1", ("one", 10))
    pinned = f"registry.internal/shop/meter:1@{first}"
    made = (await put(gateway, ":1"))[1]
    assert made["spec"]["container"]["image"] == pinned
    registry.silent = True
    again = (await put(gateway, ":1"))[1]
    assert (again["spec"]["container"]["image"], again["revision"]) == (pinned, made["revision"])


async def test_an_image_stays_while_a_sidecar_is_written(
    served: tuple[Running, RegistryDouble], monkeypatch: pytest.MonkeyPatch
):
    """The digest was resolved, and then the image was deleted: the fleet would have got what nobody can pull."""
    gateway, registry = served
    registry.push("shop/meter", "1", ("own", 10))
    answers, create = list[tuple[int, Any]](), platform_programs.write_requests.create

    async def slow(*given: Any) -> Any:
        answers.append(await remove(gateway))
        return await create(*given)

    monkeypatch.setattr(platform_programs.write_requests, "create", slow)
    assert (await put(gateway, ":1"))[0] == 200
    ((status, refused),) = answers
    assert (status, "used by a deploy that is under way" in refused["detail"]) == (409, True)
    assert registry.holds("shop/meter")


async def test_no_rollback_to_an_image_that_is_gone(served: tuple[Running, RegistryDouble]):
    gateway, registry = served
    registry.push("shop/meter", "1", ("own", 10))
    assert (await put(gateway, ":1"))[0] == 200
    former = {"revision": "former", "shape": "s", **written("@sha256:" + "a" * 64)}
    left = gateway.host.store.patch(
        PINSIDECARS, Key("", "meter"), {"status": {"former": former}}, content_type="merge-patch", subresource="status"
    )
    async with asyncio.timeout(WITHIN):
        await gateway.gateway.clusters.cache(HOST, PINSIDECARS).until(int(left["metadata"]["resourceVersion"]))
    status, refused, _ = await gateway.ask("root", "POST", f"{METER}/rollback")
    assert (status, refused["errors"][0]["field"]) == (422, "container.image")


async def test_no_project_is_left_out_whose_workloads_name_the_sidecar(served: tuple[Running, RegistryDouble]):
    """Their pods run on, and none could be made again."""
    gateway, registry = served
    registry.push("shop/meter", "1", ("own", 10))
    assert (await put(gateway, ":1"))[0] == 200
    app = {"kind": "App", "name": "web", "containers": [{"name": "web", "image": "i"}], "sidecars": ["meter"]}
    assert (await gateway.ask("dan", "POST", "/v1/projects/shop/apps", app))[0] == 201
    status, refused, _ = await gateway.ask("root", "PUT", METER, {**written(":1"), "allowedProjects": ["bank"]})
    assert (status, "leaves out projects whose workloads name it: shop/web" in refused["detail"]) == (409, True)
    assert (await gateway.ask("root", "PUT", METER, {**written(":1"), "allowedProjects": ["shop"]}))[0] == 200
