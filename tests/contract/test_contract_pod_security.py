"""What validation says of a template under the Pod Security Standard is what the API server says of the pod that it makes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from contract_client import Api
from pod_security_cases import LEVELS, SECURE, template, unit
from real_api_server import TOKEN, RealServer

from pincompute.api import object_validation
from pincompute.api.projects import PodSecurityLevel
from pincompute.domain import pod_security_defaults

pytestmark = pytest.mark.region


@pytest.fixture
async def server(real_server: RealServer, unique: str) -> AsyncIterator[Api]:
    async def compact() -> None: ...

    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        yield Api(session, real_server.url, compact, unique)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("where", ["containers", "initContainers"])
async def test_both_say_the_same(server: Api, where: str, level: PodSecurityLevel) -> None:
    namespace = {"metadata": {"name": server.namespace, "labels": pod_security_defaults.namespace_labels(level)}}
    (await server.post("/api/v1/namespaces", namespace)).ok(201)
    for case, (pod, container, strictest) in SECURE.items():
        allowed = LEVELS.index(level) >= LEVELS.index(strictest)
        judged = template(pod, container, where)
        assert (object_validation.problems(unit(server.namespace, judged), level=level) == []) is allowed, case
        made = {"metadata": {"name": "x"}, "spec": pod_security_defaults.filled_spec(judged["spec"], level)}
        answer = await server.post(f"/api/v1/namespaces/{server.namespace}/pods", made, dryRun="All")
        assert (answer.code == 201) is allowed, (case, answer.body)
        assert allowed or "violates PodSecurity" in answer.body["message"]
    await server.delete(f"/api/v1/namespaces/{server.namespace}")
