"""What every client asks first, and kinds that are defined at run time."""

from __future__ import annotations

import copy
from typing import Any

from contract_client import WIDGET_DEFINITION, Api, until

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def established(definition: dict[str, Any]) -> list[str]:
    conditions = definition.get("status", {}).get("conditions") or []
    return [condition["type"] for condition in conditions if condition["status"] == "True"]


async def test_readiness_and_version(api: Api) -> None:
    ready = await api.get("/readyz")
    assert (ready.code, ready.body) == (200, "ok")
    version = (await api.get("/version")).ok()
    assert (version["major"], version["minor"]) == ("1", "36")


async def test_a_kind_lives_as_long_as_its_definition(api: Api, unique: str) -> None:
    definition = copy.deepcopy(WIDGET_DEFINITION)
    plural = f"{unique}s"
    definition["metadata"]["name"] = f"{plural}.contract.pincompute.io"
    kind = unique.capitalize()
    definition["spec"]["names"] = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": unique}
    (await api.post(DEFINITIONS, definition)).ok(201)
    found = await api.until_object(
        f"{DEFINITIONS}/{definition['metadata']['name']}",
        lambda obj: "Established" in established(obj),
    )
    assert found["status"]["storedVersions"] == ["v1"]
    path = f"/apis/contract.pincompute.io/v1/namespaces/{api.namespace}/{plural}"

    async def served() -> bool:
        return (await api.get(path)).code == 200

    await until(served, "the new kind to be served")
    body = {"apiVersion": "contract.pincompute.io/v1", "kind": kind, "metadata": {"name": "one"}, "spec": {"size": 1}}
    (await api.post(path, body)).ok(201)
    (await api.delete(f"{DEFINITIONS}/{definition['metadata']['name']}")).ok()
    await api.until_gone(f"{DEFINITIONS}/{definition['metadata']['name']}")

    async def withdrawn() -> bool:
        return (await api.get(f"{path}/one")).code == 404

    await until(withdrawn, "the kind to be withdrawn")


async def test_a_body_that_is_no_json_is_refused(api: Api) -> None:
    async with api.session.post(
        api.url + api.widgets(), data=b"{", headers={"Content-Type": "application/json"}, ssl=False
    ) as response:
        assert response.status == 400
        assert (await response.json())["reason"] == "BadRequest"


async def test_a_body_beyond_the_limit_is_refused(api: Api) -> None:
    body = {"metadata": {"name": "big"}, "data": {"a": "x" * (4 * 1024 * 1024)}}
    answer = await api.post(api.core("configmaps"), body)
    assert (answer.code, answer.body["reason"]) == (413, "RequestEntityTooLarge")
