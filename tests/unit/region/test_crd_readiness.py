"""A cluster that was just given our kinds is said to be usable when they are, and what is not is named."""

from __future__ import annotations

from collections import Counter

import pytest
from aiohttp import web

from pincompute.api import manifests
from pincompute.api.labels import DRAIN_FINALIZER
from pincompute.api.meta import Manifest
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import StatusCause
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.region.cluster.crd_readiness import until_usable
from pincompute.region.region_error import RegionError
from pincompute.testing.apiserver import error_responses
from pincompute.testing.apiserver.memory_server import MemoryServer
from pincompute.testing.apiserver.served_kinds import CRDS

GROUP = "/apis/pincompute.io/v1alpha1"
DELAY = "Resource kind {} not found. There can be a delay between when definitions are created and when they are available."
DISCOVERED, LISTED, POLICED, LEARNT, GUARDED = 2, 4, 3, 5, 7  # questions until a new server knows better


class Young(MemoryServer):
    """An API server on which everything takes effect late: discovery, kinds, the mutating policies, their schemas, the others.

    `never` names the plural of a kind that is never served.
    """

    def __init__(self, never: str = "") -> None:
        super().__init__()
        self.never = never
        self.asked: Counter[str] = Counter()
        for definition in (m for m in manifests.host_manifests() if m["kind"] == "CustomResourceDefinition"):
            self.store.create(CRDS, "", definition)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        plural = request.path.rpartition("/")[2]
        asked = f"{request.method} {plural}"
        self.asked[asked] += 1
        times = self.asked[asked]
        if request.path == GROUP:
            return web.json_response(self._discovery(times))
        if request.method == "GET" and (times <= LISTED or plural == self.never):
            raise error_responses.refuse(404, "the server could not find the requested resource")
        if request.method == "POST":
            return self._rehearse(request, await request.json(), times)
        return await super()._answer(request)

    def _discovery(self, times: int) -> Manifest:
        kinds = self.store.kinds() if times > DISCOVERED else ()
        mine = [kind.resource for kind in kinds if kind.resource.group == "pincompute.io"]
        return {"resources": [{"name": resource.plural} for resource in mine]}

    def _rehearse(self, request: web.Request, body: Manifest, times: int) -> web.Response:
        assert request.query["dryRun"] == "All"
        if POLICED < times <= LEARNT:
            raise error_responses.refuse(503, DELAY.format(body["kind"]))
        if body["kind"].endswith("Shard"):
            tracked = {} if times > LEARNT else {"managedFields": [{"manager": "kubectl"}]}
            return web.json_response({**body, "metadata": {**body["metadata"], **tracked}}, status=201)
        if body["kind"] != "MemberCluster" and times > GUARDED:
            raise error_responses.refuse(403, "namespace pincompute-system is not a project", causes=(StatusCause(),))
        finalizers = [DRAIN_FINALIZER] if times > LEARNT else []
        return web.json_response({**body, "metadata": {**body["metadata"], "finalizers": finalizers}}, status=201)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pincompute.region.cluster.crd_readiness.POLL", 0.001)


async def ask(server: Young, applied: list[Manifest], deadline: float = 20.0) -> None:
    async with server, ApiClient(ClusterConfig(server.url), name="b1") as client:
        await until_usable(client, applied, deadline)


async def test_every_kind_is_waited_for_until_discovery_and_its_own_path_show_it() -> None:
    server, applied = Young(), manifests.host_manifests()
    await ask(server, applied)
    plurals = [m["spec"]["names"]["plural"] for m in applied if m["kind"] == "CustomResourceDefinition"]
    assert len(plurals) >= 4
    for plural in plurals:
        assert server.asked[f"GET {plural}"] > LISTED, plural


async def test_the_first_write_is_not_too_early_also_when_one_went_through_before_its_policy_was_in_force() -> None:
    server = Young()
    await ask(server, manifests.host_manifests())
    assert server.asked["POST memberclusters"] == LEARNT + 1
    for plural in ("pinapps", "pinpods"):
        assert server.asked[f"POST {plural}"] == GUARDED + 1


async def test_nothing_is_left_behind() -> None:
    server = Young()
    await ask(server, manifests.host_manifests())
    custom = [kind.resource for kind in server.store.kinds() if kind.custom]
    assert not [item for resource in custom for item in server.store.list(resource).items]


async def test_a_member_is_usable_once_its_shards_come_without_the_record_of_field_managers() -> None:
    server = Young()
    for definition in (m for m in manifests.member_manifests() if m["kind"] == "CustomResourceDefinition"):
        server.store.create(CRDS, "", definition)
    await ask(server, manifests.member_manifests())
    posts = {asked: times for asked, times in server.asked.items() if asked.startswith("POST")}
    assert posts == {"POST pinappshards": LEARNT + 1, "POST pinpodshards": LEARNT + 1}


async def test_a_kind_that_is_never_served_is_named_with_its_cluster() -> None:
    with pytest.raises(RegionError) as raised:
        await ask(Young(never="pinpods"), manifests.host_manifests(), deadline=3.0)
    assert str(raised.value) == (
        "PinPod cannot be used in cluster b1 after 3 s: the server could not find the requested resource; see "
        "`pincompute region kubectl --context b1 describe crd` and `pincompute region logs b1-apiserver`"
    )
