"""A region's API servers encrypt Secrets, record who did what, and give strangers a share of their own."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from contract_client import Answer, Api, until
from real_api_server import TOKEN, RealServer, running

from pincompute.api import priority_and_fairness
from pincompute.api.meta import Manifest
from pincompute.kube.api_client import ApiClient
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.region import atomic_files
from pincompute.region.cluster import api_server_audit, secret_encryption
from pincompute.region.cluster.manifest_installer import Installer
from pincompute.region.layout import Layout, RegionSpec

pytestmark = pytest.mark.region

FEDERATION, OPERATOR, GATEWAY, *_OTHERS = api_server_audit.PLATFORM
CONTROLLER = "system:kube-controller-manager"
STRANGER = "mallory"
OTHER = "trudy"
USERS = (FEDERATION, OPERATOR, GATEWAY, CONTROLLER, STRANGER, OTHER, "pincompute:coredns")
CLUSTER = "host"
SECRETS = "/api/v1/namespaces/default/secrets"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
SERVICES = "/api/v1/namespaces/default/services"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
LISTS = 200


def api_server(layout: Layout) -> Any:
    """A server with the flags of a region's, and the same objects as the last one in this folder."""
    secret_encryption.issue(layout)
    for path, data in api_server_audit.configuration(layout, CLUSTER).items():
        atomic_files.write(path, data)
    flags = (*api_server_audit.flags(layout, CLUSTER), *secret_encryption.flags(layout, CLUSTER))
    return running(layout.home, *flags, users=USERS)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Of a region of a former version: its Secrets are not encrypted yet."""
    layout = Layout(tmp_path_factory.mktemp("protected"), RegionSpec(slot=0, members=()))
    with running(layout.home) as server:
        asyncio.run(former_objects(server))
        assert b"of a former version" in server.stored("/registry/secrets/default/former")
    return layout


async def former_objects(server: RealServer) -> None:
    async with user(server, TOKEN) as admin:
        (await admin.post(SECRETS, secret("former", "of a former version"))).ok(201)


@pytest.fixture(scope="module")
def server(layout: Layout) -> Iterator[RealServer]:
    with api_server(layout) as server:
        yield server


@asynccontextmanager
async def user(server: RealServer, token: str) -> AsyncIterator[Api]:
    async def compact() -> None:
        raise NotImplementedError

    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        yield Api(session, server.url, compact)


def client(server: RealServer) -> ApiClient:
    return ApiClient(ClusterConfig(server.url, verify=False, token=TOKEN), name=CLUSTER)


def secret(name: str, value: str) -> Manifest:
    return {"metadata": {"name": name}, "stringData": {"password": value}}


async def test_etcd_holds_no_secret_in_plain_text(server: RealServer) -> None:
    async with user(server, TOKEN) as admin:
        (await admin.post(SECRETS, secret("new", "hunter2"))).ok(201)
        (await admin.post(CONFIGMAPS, {"metadata": {"name": "new"}, "data": {"color": "blue"}})).ok(201)
    assert server.stored("/registry/secrets/default/new").startswith(b"k8s:enc:secretbox:v1:key0:")
    assert b"hunter2" not in server.stored("/registry/secrets/default/new")
    assert b"blue" in server.stored("/registry/configmaps/default/new")


async def test_an_upgrade_encrypts_the_secrets_that_are_there(server: RealServer, layout: Layout) -> None:
    async with user(server, TOKEN) as admin, client(server) as api:
        (await admin.get(f"{SECRETS}/former")).ok()  # readable before it is encrypted
        await secret_encryption.encrypt_all(api, layout, CLUSTER)
        read = (await admin.get(f"{SECRETS}/former")).ok()
    assert server.stored("/registry/secrets/default/former").startswith(b"k8s:enc:secretbox:v1:key0:")
    assert read["data"] == {"password": "b2YgYSBmb3JtZXIgdmVyc2lvbg=="}


async def test_only_the_owner_of_the_region_reads_keys_and_log(server: RealServer, layout: Layout) -> None:
    for path in (secret_encryption.configuration_file(layout, CLUSTER), api_server_audit.log_file(layout, CLUSTER)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


async def records(layout: Layout, *marks: str) -> list[Manifest]:
    """The log, once it mentions all of these: events are written in batches."""
    log = api_server_audit.log_file(layout, CLUSTER)

    async def written() -> bool:
        text = await asyncio.to_thread(log.read_text)
        return all(mark in text for mark in marks)

    await until(written, f"{marks} in the audit log")
    return [json.loads(line) for line in log.read_text().splitlines()]


def levels(found: list[Manifest], name: str) -> set[tuple[str, str, str]]:
    return {
        (event["level"], event["user"]["username"], event["verb"])
        for event in found
        if event.get("objectRef", {}).get("name") == name
    }


async def test_the_log_says_who_did_what_and_contains_no_secret(server: RealServer, layout: Layout, unique: str) -> None:
    confidential = f"confidential-{unique}"
    async with user(server, TOKEN) as admin, user(server, STRANGER) as stranger, user(server, FEDERATION) as federation:
        (await admin.post(SECRETS, secret(unique, confidential))).ok(201)
        (await admin.post(CONFIGMAPS, {"metadata": {"name": unique}, "data": {"of": confidential}})).ok(201)
        account = {"metadata": {"name": unique, "annotations": {"of": unique}}}
        (await admin.post("/api/v1/namespaces/default/serviceaccounts", account)).ok(201)
        token = (await admin.post(f"/api/v1/namespaces/default/serviceaccounts/{unique}/token", {"spec": {}})).ok(201)
        (await stranger.get(f"{SECRETS}/{unique}")).refused(403, "Forbidden")
        (await federation.get(f"{SECRETS}/{unique}")).refused(403, "Forbidden")
        (await stranger.call("POST", f"/api/v1/namespaces/default/pods/{unique}/exec", command="id")).refused(403, "Forbidden")
        (await stranger.delete(f"{SERVICES}/{unique}-last")).refused(403, "Forbidden")
    found = await records(layout, f"{unique}-last")
    assert levels(found, unique) == {
        ("Metadata", "contract", "create"),  # Secret, ConfigMap, token
        ("Request", "contract", "create"),  # the account: an administrator past the gateway
        ("Metadata", STRANGER, "get"),
        ("Metadata", FEDERATION, "get"),  # outside its own namespace
        ("Metadata", STRANGER, "create"),
    }
    executed = [event for event in found if event.get("objectRef", {}).get("subresource") == "exec"]
    assert [event["stage"] for event in executed] == ["ResponseStarted", "ResponseComplete"]
    assert "command=id" in executed[0]["requestURI"]
    text = api_server_audit.log_file(layout, CLUSTER).read_text()
    assert f'"of":"{unique}"' in text  # the body of what is not confidential
    assert confidential not in text
    assert token["status"]["token"] not in text


async def test_ordinary_work_leaves_no_record(server: RealServer, layout: Layout, unique: str) -> None:
    """Everybody is refused here, so what is recorded tells by whom and of what kind, not what came of it."""
    for name in (CONTROLLER, FEDERATION):
        async with user(server, name) as ordinary:
            await ordinary.get(f"{SERVICES}/{unique}")
            await ordinary.get("/healthz")
            await ordinary.put(f"{LEASES}/{unique}", {"metadata": {"name": unique}})
    async with user(server, FEDERATION) as federation, user(server, STRANGER) as stranger:
        await federation.put(f"/apis/pincompute.io/v1alpha1/namespaces/default/pinapps/{unique}/status", {})
        await federation.put(f"/apis/pincompute.io/v1alpha1/namespaces/default/pinapps/{unique}", {})
        await stranger.put(f"{LEASES}/{unique}", {"metadata": {"name": unique}})
        await stranger.get(f"{SERVICES}/{unique}-last")
    found = await records(layout, f"{unique}-last")
    assert levels(found, unique) == {("Metadata", FEDERATION, "update"), ("Metadata", STRANGER, "update")}
    updated = [e["objectRef"] for e in found if e.get("objectRef", {}).get("name") == unique]
    assert {(ref["resource"], ref.get("subresource")) for ref in updated} == {("pinapps", None), ("leases", None)}


async def installed(server: RealServer) -> dict[str, str]:
    """Name of every FlowSchema by its uid, once the API server assigns requests by them."""
    manifests = [*priority_and_fairness.manifests(), priority_and_fairness.programs_of_a_region("pincompute:coredns")]
    async with client(server) as api:
        for manifest in manifests:
            await Installer(api).apply(manifest)
        schemas = msgspec.json.decode(await api.request("GET", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"))
    names = {item["metadata"]["uid"]: item["metadata"]["name"] for item in schemas["items"]}

    async def in_force() -> bool:
        async with user(server, STRANGER) as stranger:
            return schema_of(await stranger.get(SERVICES), names) == priority_and_fairness.STRANGERS

    await until(in_force, "flow schemas in force")
    return names


def schema_of(answer: Answer, names: dict[str, str]) -> str:
    return names.get(answer.headers["X-Kubernetes-Pf-Flowschema-Uid"], "")


async def test_everybody_is_served_from_their_own_share(server: RealServer) -> None:
    names = await installed(server)
    lease = "/apis/coordination.k8s.io/v1/namespaces/pincompute-system/leases/federation"
    for name, path, expected in (
        (TOKEN, SERVICES, "exempt"),
        (FEDERATION, SERVICES, priority_and_fairness.PLATFORM),
        (OPERATOR, SERVICES, priority_and_fairness.PLATFORM),
        (OPERATOR, lease, priority_and_fairness.LEASES),
        (GATEWAY, SERVICES, priority_and_fairness.GATEWAY),
        (CONTROLLER, SERVICES, "kube-controller-manager"),
        ("pincompute:coredns", SERVICES, "pincompute-region-programs"),
        (STRANGER, SERVICES, priority_and_fairness.STRANGERS),
        (STRANGER, lease, priority_and_fairness.STRANGERS),
    ):
        async with user(server, name) as api:
            assert schema_of(await api.get(path), names) == expected, (name, path)


async def test_a_flood_of_one_stranger_takes_nothing_from_the_platform(server: RealServer) -> None:
    """By the API server's own account: every request of the flood was of the strangers' level, which borrows from no other."""
    await installed(server)
    before = await account(server)
    body = {"metadata": {"name": "beside-a-flood"}}
    async with user(server, STRANGER) as stranger, user(server, FEDERATION) as federation:
        flood = [asyncio.create_task(stranger.get(SECRETS)) for _ in range(LISTS)]
        writes = [await federation.put(f"{CONFIGMAPS}/beside-a-flood", body) for _ in range(20)]
        answers = {(await answer).code for answer in flood}
    after = await account(server)
    assert {write.code for write in writes} == {403}  # judged, not turned away
    assert answers <= {403, 429}
    served = {
        level: after[level] - before[level] for level in (priority_and_fairness.STRANGERS, priority_and_fairness.PLATFORM)
    }
    assert served[priority_and_fairness.STRANGERS] == LISTS
    assert served[priority_and_fairness.PLATFORM] == 20


async def test_strangers_have_a_small_share_and_borrow_none(server: RealServer) -> None:
    await installed(server)
    async with client(server) as api:
        metrics = (await api.request("GET", "/metrics")).decode()
    nominal, upper = (
        {m[1]: float(m[2]) for m in re.finditer(rf'{name}{{priority_level="([^"]+)"}} (\S+)', metrics)}
        for name in ("apiserver_flowcontrol_nominal_limit_seats", "apiserver_flowcontrol_upper_limit_seats")
    )
    assert upper[priority_and_fairness.STRANGERS] == nominal[priority_and_fairness.STRANGERS]
    assert nominal[priority_and_fairness.STRANGERS] < 0.05 * sum(nominal.values())
    assert nominal[priority_and_fairness.PLATFORM] == max(nominal.values())


async def account(server: RealServer) -> dict[str, int]:
    """How many requests of each level were served or turned away so far."""
    async with client(server) as api:
        metrics = (await api.request("GET", "/metrics")).decode()
    found: dict[str, int] = dict.fromkeys((priority_and_fairness.STRANGERS, priority_and_fairness.PLATFORM), 0)
    for line in metrics.splitlines():
        if line.startswith(
            ("apiserver_flowcontrol_dispatched_requests_total{", "apiserver_flowcontrol_rejected_requests_total{")
        ):
            level = re.search(r'priority_level="([^"]+)"', line)
            assert level
            found[level[1]] = found.get(level[1], 0) + int(float(line.rpartition(" ")[2]))
    return found


async def test_a_new_key_takes_over_and_the_former_one_goes(tmp_path: Path) -> None:
    layout = Layout(tmp_path, RegionSpec(slot=0, members=()))
    with api_server(layout) as server:
        async with user(server, TOKEN) as admin, client(server) as api:
            (await admin.post(SECRETS, secret("former", "hunter2"))).ok(201)
            await secret_encryption.encrypt_all(api, layout, CLUSTER)
    renewed = Layout(tmp_path, RegionSpec(slot=0, members=(), encryption_key=1))
    file = secret_encryption.configuration_file(renewed, CLUSTER)
    with api_server(renewed) as server:
        async with user(server, TOKEN) as admin, client(server) as api:
            assert [key["name"] for key in secret_encryption._keys(file)] == ["key1", "key0"]
            await secret_encryption.encrypt_all(api, renewed, CLUSTER)
            (await admin.get(f"{SECRETS}/former")).ok()
        assert server.stored("/registry/secrets/default/former").startswith(b"k8s:enc:secretbox:v1:key1:")
    kept = await asyncio.to_thread(file.read_bytes)
    assert b"key0" not in kept
    secret_encryption.issue(renewed)
    assert await asyncio.to_thread(file.read_bytes) == kept
