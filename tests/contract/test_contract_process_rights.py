"""A stolen credential of one process: what a real API server lets it do inside of projects, and refuses everywhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from contract_client import APPLY, MERGE, STRATEGIC, Answer, Api, until
from real_api_server import TOKEN, RealServer, running

from pincompute import installation
from pincompute.api import merge_patch, node_access
from pincompute.api.builtin import ROLEBINDINGS
from pincompute.api.daemons import (
    PINDAEMONSHARDS,
    DaemonContainer,
    DaemonPort,
    DaemonSecurity,
    DaemonVersion,
    DaemonVolume,
    HostPath,
    PinDaemonShard,
    PinDaemonShardSpec,
)
from pincompute.api.labels import (
    DAEMONS_NAMESPACE,
    FEDERATION,
    GATEWAY,
    GATEWAY_USAGE,
    HOST,
    KWOK_USER,
    MANAGED_BY,
    OPERATOR,
    PINCOMPUTE,
    PROJECT,
    PROJECT_UID,
    RESTART_REQUEST,
    SIMULATED_NODE,
    SYSTEM_NAMESPACE,
    USAGE,
    pods_role,
    service_account,
)
from pincompute.api.meta import Manifest, ObjectMeta
from pincompute.api.projects import PROJECTS
from pincompute.api.shards import PINAPPSHARDS, Origin
from pincompute.api.workloads import PINAPPS
from pincompute.domain import daemon_set, project_roles, traffic_gate
from pincompute.domain.project_roles import ProjectRole
from pincompute.kube.api_client import ApiClient
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.region.cluster import certificates, former_rights, member_registration, service_account_tokens
from pincompute.region.cluster.manifest_installer import Installer
from pincompute.region.layout import Layout, RegionSpec

pytestmark = pytest.mark.region

OURS = {MANAGED_BY: PINCOMPUTE}
NAMESPACES = {
    "shop": OURS | {PROJECT: "shop", PROJECT_UID: "u"},
    "monitoring": {},
    "claimed": {PROJECT: "claimed"},  # somebody else's, who copied one of our labels
    "managed": OURS,
}
BOUND = ("shop", "claimed", "managed")  # where the gateway has its role for pods: in a project, and by mistake elsewhere
GATEWAYS_ROLE = ProjectRole(pods_role(GATEWAY), GATEWAY)
RESOURCES = {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "1Mi"}}
CONTAINERS = {"containers": [{"name": "web", "image": "i", "resources": RESOURCES}]}
POD = {"metadata": {"name": "made", "labels": OURS}, "spec": CONTAINERS}
SHARD_SPEC = {"origin": {"uid": "u", "generation": 1}, "cluster": "a1", "zone": "a", "mix": []}
SHARD = {
    "apiVersion": PINAPPSHARDS.api_version,
    "kind": PINAPPSHARDS.kind,
    "metadata": {"name": "made", "labels": OURS},
    "spec": SHARD_SPEC,
}
BUDGET = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "made", "labels": OURS},
    "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}},
}
EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}}
RESTART: Manifest = {"metadata": {"annotations": {RESTART_REQUEST: "[]"}}}
PODS, SHARDS = "/api/v1/namespaces/{}/pods", "/apis/pincompute.io/v1alpha1/namespaces/{}/pinappshards"
NETWORK_POLICIES = "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies"
NETWORK_POLICY: Manifest = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "made", "labels": OURS},
    "spec": {"podSelector": {}},
}
SOMEBODY = {
    "metadata": {"name": "somebody"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "somebody"}],
}
OUT_OF_TRAFFIC = traffic_gate.out_of_traffic(datetime(2026, 11, 30, tzinfo=UTC))
DAEMON_SETS = "/apis/apps/v1/namespaces/{}/daemonsets"
PLACES = (DAEMONS_NAMESPACE, "shop", SYSTEM_NAMESPACE)
BUDGETS = "/apis/policy/v1/namespaces/{}/poddisruptionbudgets"


@dataclass(frozen=True)
class Try:
    """A request of a process. `expected` is the answer inside of a project; a stream into a pod without node gives 400."""

    process: str
    verb: str
    path: str
    body: Any = None
    expected: int = 200
    query: dict[str, str] = field(default_factory=lambda: {"dryRun": "All"})
    content_type: str = "application/json"


STREAM = {"container": "web", "command": "ls", "stdout": "1"}
IN_PROJECTS = {
    "make a pod": Try(OPERATOR, "POST", PODS, POD, 201),
    "change a pod": Try(OPERATOR, "PATCH", PODS + "/web", {"metadata": {"annotations": {"a": "b"}}}, content_type=MERGE),
    "take a pod out of traffic": Try(OPERATOR, "PATCH", PODS + "/web/status", OUT_OF_TRAFFIC, content_type=STRATEGIC),
    "end a pod": Try(OPERATOR, "DELETE", PODS + "/web"),
    "evict a pod": Try(OPERATOR, "POST", PODS + "/web/eviction", EVICTION, 201),
    "make a budget": Try(OPERATOR, "POST", BUDGETS, BUDGET, 201),
    "report on a shard": Try(OPERATOR, "PUT", SHARDS + "/web/status", {"status": {}}),
    "make a shard": Try(FEDERATION, "POST", SHARDS, SHARD, 201),
    "change a shard": Try(FEDERATION, "PUT", SHARDS + "/web", {"spec": SHARD_SPEC}),
    "make a network policy": Try(FEDERATION, "POST", NETWORK_POLICIES, NETWORK_POLICY, 201),
    "end a shard": Try(FEDERATION, "DELETE", SHARDS + "/web"),
    "ask for a restart": Try(GATEWAY, "PATCH", PODS + "/web", RESTART, content_type=MERGE),
    "open a shell": Try(GATEWAY, "POST", PODS + "/web/exec", None, 400, STREAM),
    "open a port": Try(GATEWAY, "POST", PODS + "/web/portforward", None, 400, {"ports": "80"}),
}


@dataclass
class Cluster:
    admin: Api
    somebody: Api
    """May do everything in the cluster by RBAC, and is no administrator of the region."""
    processes: dict[str, Api]

    async def attempt(self, what: Try, namespace: str) -> Answer:
        body = what.body
        if what.verb == "PUT":
            present = (await self.admin.get(what.path.format(namespace).removesuffix("/status"))).ok()
            body = {**present, **body}
        api = self.processes[what.process]
        return await api.call(what.verb, what.path.format(namespace), body, content_type=what.content_type, **what.query)


@pytest.fixture(scope="module", params=["host", "member"])
def role(request: pytest.FixtureRequest) -> installation.Role:
    return request.param


@pytest.fixture(scope="module")
def server(role: installation.Role, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    with running(tmp_path_factory.mktemp(role)) as server:
        yield server


@pytest.fixture
async def cluster(server: RealServer, role: installation.Role, tmp_path: Path) -> AsyncIterator[Cluster]:
    async def compact() -> None: ...

    name = HOST if role == "host" else "a1"
    layout = Layout(tmp_path, RegionSpec(slot=0, members=(), real_nodes=False))
    async with ApiClient(ClusterConfig(server.url, verify=False, token=TOKEN), name=name) as admin:
        await Installer(admin).apply_all(installation.of(role))
        await service_account_tokens.issue(admin, layout, name)
    sessions: dict[str, aiohttp.ClientSession] = {}
    pki = certificates.cluster(layout, name)
    tokens = {p: pki.token(p).read_text() for p in (FEDERATION, GATEWAY, OPERATOR) if pki.token(p).exists()}
    try:
        for who, token in ({"admin": TOKEN, "somebody": TOKEN} | tokens).items():
            sessions[who] = aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"})
        sessions["somebody"].headers["Impersonate-User"] = "somebody"
        apis = {who: Api(session, server.url, compact, "shop") for who, session in sessions.items()}
        made = Cluster(apis.pop("admin"), apis.pop("somebody"), apis)
        await _fill(made.admin, role)
        await until(lambda: _confined(made, role), "the policies to be in force")
        yield made
    finally:
        for session in sessions.values():
            await session.close()


async def _fill(admin: Api, role: installation.Role) -> None:
    """The same objects in every namespace, so that only the namespace differs. It is a project's until it is filled."""
    bound = await admin.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", SOMEBODY)
    assert bound.code in (201, 409), bound.body
    for namespace, labels in NAMESPACES.items():
        project = OURS | {PROJECT: namespace, PROJECT_UID: "u"}
        made = await admin.post("/api/v1/namespaces", {"metadata": {"name": namespace, "labels": project}})
        assert made.code in (201, 409), made.body
        if role == "member" and made.code == 201:
            for path, body in ((PODS, POD), (SHARDS, SHARD)):
                answer = await admin.post(path.format(namespace), {**body, "metadata": {"name": "web", "labels": OURS}})
                assert answer.code == 201, answer.body
        if role == "member" and namespace in BOUND:
            await _bind(admin, namespace, GATEWAYS_ROLE)
        wanted = {name: labels.get(name) for name in project}
        (await admin.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": wanted}})).ok()
    foreign = {**POD, "metadata": {"name": "foreign"}}
    if role == "member":
        assert (await admin.post(PODS.format("shop"), foreign)).code in (201, 409)


async def _bind(admin: Api, namespace: str, role: ProjectRole) -> None:
    made = await admin.post(ROLEBINDINGS.path(namespace), project_roles.binding(role))
    assert made.code in (201, 409), made.body


async def _confined(cluster: Cluster, role: installation.Role) -> bool:
    namespace = {"metadata": {"name": "probe"}}
    made = await cluster.processes[FEDERATION].post("/api/v1/namespaces", namespace, dryRun="All")
    if role == "host" or made.code != 403:
        return made.code == 403
    gateway = await cluster.processes[GATEWAY].patch(
        PODS.format("shop") + "/web", {"metadata": {"labels": {"x": "y"}}}, dryRun="All"
    )
    outside = [await cluster.attempt(IN_PROJECTS["make a pod"], namespace) for namespace in ("claimed", "managed")]
    own = await cluster.processes[OPERATOR].delete(PODS.format("shop") + "/foreign", dryRun="All")
    unlisted = {**NETWORK_POLICY, "metadata": {"name": "made"}}
    listed = await cluster.processes[FEDERATION].post(NETWORK_POLICIES.format("shop"), unlisted, dryRun="All")
    allowed = await cluster.attempt(IN_PROJECTS["ask for a restart"], "shop")
    return allowed.code == 200 and {gateway.code, own.code, listed.code, *(answer.code for answer in outside)} == {403}


member_only = pytest.mark.parametrize("role", ["member"], indirect=True, scope="module")
host_only = pytest.mark.parametrize("role", ["host"], indirect=True, scope="module")


@member_only
@pytest.mark.parametrize("what", IN_PROJECTS)
async def test_a_process_acts_in_projects_only(cluster: Cluster, what: str) -> None:
    tried = IN_PROJECTS[what]
    inside = await cluster.attempt(tried, "shop")
    assert inside.code == tried.expected, inside.body
    for namespace in ("monitoring", "claimed", "managed"):
        refused = (await cluster.attempt(tried, namespace)).refused(403, "Forbidden")
        by_policy = tried.process != GATEWAY or namespace in BOUND
        assert (f"namespace {namespace}" if by_policy else BY_RBAC) in refused["message"]


BY_RBAC = 'in API group "" in the namespace "monitoring"'
LOG = PODS + "/web/log"


@member_only
async def test_the_gateway_reads_logs_in_projects_only(cluster: Cluster) -> None:
    """Admission sees no reads, so RBAC alone refuses. A pod without a node has an empty log, which gives 204."""
    gateway = cluster.processes[GATEWAY]
    assert (await gateway.get(LOG.format("shop"))).code == 204
    assert BY_RBAC in (await gateway.get(LOG.format("monitoring"))).refused(403, "Forbidden")["message"]
    (await gateway.get(PODS.format("monitoring"))).ok()  # its caches watch the pods of all namespaces


FORMER = {"metadata": {"name": "pincompute-gateway", "labels": OURS}}
FORMER_ROLE = {
    **FORMER,
    "rules": [
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods/exec", "pods/portforward"], "verbs": ["get", "create"]},
    ],
}
FORMER_BINDING = {
    **FORMER,
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "pincompute-gateway"},
    "subjects": project_roles.subjects(GATEWAY),
}


@member_only
async def test_an_upgrade_takes_former_rights_away_when_every_project_has_its_binding(
    cluster: Cluster, server: RealServer
) -> None:
    """So an upgrade that stops before the federation has prepared the projects takes no logs and shells away."""
    admin, gateway = cluster.admin, cluster.processes[GATEWAY]

    async def codes() -> list[int]:
        return [(await gateway.get(LOG.format(namespace))).code for namespace in ("shop", "monitoring")]

    async def everywhere() -> bool:
        return await codes() == [204, 204]

    async def in_projects() -> bool:
        return await codes() == [204, 403]

    for kind, body in (("clusterroles", FORMER_ROLE), ("clusterrolebindings", FORMER_BINDING)):
        (await admin.post(f"/apis/rbac.authorization.k8s.io/v1/{kind}", body)).ok(201)
    (await admin.delete(ROLEBINDINGS.path("shop", GATEWAYS_ROLE.name))).ok()
    await until(everywhere, "the former rights")
    async with ApiClient(ClusterConfig(server.url, verify=False, token=TOKEN), name="a1") as client:
        await Installer(client).apply_all(installation.of("member"))
        assert "still without it: shop." in await former_rights.withdraw(client)
        assert await everywhere()
        await _bind(admin, "shop", GATEWAYS_ROLE)
        assert "still without it: shop." in await former_rights.withdraw(client), "without our label it is not the federation's"
        (await admin.patch(ROLEBINDINGS.path("shop", GATEWAYS_ROLE.name), {"metadata": {"labels": OURS}})).ok()
        assert not await former_rights.withdraw(client)
        await until(in_projects, "the former rights to end")
        assert not await former_rights.withdraw(client)
    for kind in ("clusterroles", "clusterrolebindings"):
        assert (await admin.get(f"/apis/rbac.authorization.k8s.io/v1/{kind}/pincompute-gateway")).code == 404


@member_only
async def test_the_operator_leaves_pods_without_our_label_alone(cluster: Cluster) -> None:
    operator, pods = cluster.processes[OPERATOR], PODS.format("shop")
    for name, code in (("web", 200), ("foreign", 403)):
        assert (await operator.delete(f"{pods}/{name}", dryRun="All")).code == code
        assert (await operator.patch(f"{pods}/{name}", {"metadata": {"annotations": {"a": "b"}}}, dryRun="All")).code == code
        assert (await operator.patch(f"{pods}/{name}/resize", {}, dryRun="All")).code == code
        assert (await operator.patch(f"{pods}/{name}/status", OUT_OF_TRAFFIC, STRATEGIC, dryRun="All")).code == code
    taken = await operator.patch(f"{pods}/foreign", {"metadata": {"labels": OURS}}, dryRun="All")
    released = await operator.patch(f"{pods}/web", {"metadata": {"labels": {MANAGED_BY: None}}}, dryRun="All")
    unmarked = await operator.post(pods, {**POD, "metadata": {"name": "made"}}, dryRun="All")
    assert [taken.code, released.code, unmarked.code] == [403, 403, 403]


NOT_ITS_CONDITION: dict[str, Manifest] = {
    "another condition": {"status": {"conditions": [{"type": "Ready", "status": "True"}]}},
    "its condition and another": {
        "status": {"conditions": [*OUT_OF_TRAFFIC["status"]["conditions"], {"type": "Ready", "status": "True"}]}
    },
    "the phase": {"status": {"phase": "Failed"}},
    "an address": {"status": {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}},
    "a note": {"metadata": {"annotations": {"a": "b"}}, **OUT_OF_TRAFFIC},
}


@member_only
@pytest.mark.parametrize("what", NOT_ITS_CONDITION)
async def test_the_operator_changes_nothing_else_in_the_status_of_a_pod(cluster: Cluster, what: str) -> None:
    path = PODS.format("shop") + "/web/status"
    answer = await cluster.processes[OPERATOR].patch(path, NOT_ITS_CONDITION[what], STRATEGIC, dryRun="All")
    assert answer.code == 403
    assert "pincompute.io/InPlaceUpdateReady" in str(answer.body)


@member_only
async def test_the_operator_reports_on_shards_and_changes_no_spec(cluster: Cluster) -> None:
    federation, operator, shards = cluster.processes[FEDERATION], cluster.processes[OPERATOR], SHARDS.format("shop")
    finalizers = {"finalizers": ["pincompute.io/pods"]}
    ordered = {**SHARD, "metadata": {"name": "ordered", "labels": OURS, **finalizers}}
    assert (await federation.post(shards, ordered)).code == 201
    for change in ({"spec": {"cluster": "b1"}}, {"metadata": {"labels": {"a": "b"}}}):
        assert (await cluster.admin.patch(f"{shards}/ordered", change, dryRun="All")).code == 200
        assert (await operator.patch(f"{shards}/ordered", change, dryRun="All")).code == 403
    assert (await operator.patch(f"{shards}/ordered", {"metadata": {"finalizers": []}}, dryRun="All")).code == 200
    there = (await operator.get(f"{shards}/ordered")).body
    reported = await operator.put(f"{shards}/ordered/status", {**there, "status": {"replicas": 1}}, dryRun="All")
    assert reported.code == 200


@member_only
async def test_only_the_operator_makes_daemon_sets_and_only_where_daemons_run(cluster: Cluster) -> None:
    """They may have access to nodes, so a process that may make them anywhere would hold every node."""
    federation, operator, admin = cluster.processes[FEDERATION], cluster.processes[OPERATOR], cluster.admin
    rendered = _rendered("made", DaemonContainer(image="i"))
    body = {**rendered, "metadata": {"name": "made", "labels": OURS}}
    placed = {place: {**body, "metadata": {**body["metadata"], "namespace": place}} for place in PLACES}
    made = {place: await operator.post(DAEMON_SETS.format(place), each, dryRun="All") for place, each in placed.items()}
    assert {place: answer.code for place, answer in made.items()} == {
        DAEMONS_NAMESPACE: 201,
        "shop": 403,
        SYSTEM_NAMESPACE: 403,
    }
    for other in (federation, cluster.somebody):
        assert (await other.post(DAEMON_SETS.format(DAEMONS_NAMESPACE), placed[DAEMONS_NAMESPACE], dryRun="All")).code == 403
    for place in (DAEMONS_NAMESPACE, SYSTEM_NAMESPACE):
        await admin.post(PODS.format(place), {"metadata": {"name": "copy", "labels": OURS}, "spec": CONTAINERS})
        ended = await operator.delete(f"{PODS.format(place)}/copy", dryRun="All")
        assert (ended.code == 200) is (place == DAEMONS_NAMESPACE), ended.body
        assert (await operator.post(PODS.format(place), POD, dryRun="All")).code == 403


def _daemon(name: str, container: DaemonContainer) -> PinDaemonShard:
    version = DaemonVersion(revision="d1", container=container)
    spec = PinDaemonShardSpec(origin=Origin(uid="u", generation=1), version=version)
    return PinDaemonShard(metadata=ObjectMeta(name=name, uid="u"), spec=spec)


def _rendered(name: str, container: DaemonContainer) -> Manifest:
    return daemon_set.render(_daemon(name, container))


FIXED = "registry.internal/logs@sha256:" + "a" * 64
ON_NODES = {
    "root-files": DaemonContainer(
        image=FIXED,
        security_context=DaemonSecurity(run_as_user=0),
        volumes=(DaemonVolume(name="logs", mount_path="/logs", read_only=True, host_path=HostPath(path="/var/log")),),
    ),
    "privileged": DaemonContainer(image=FIXED, security_context=DaemonSecurity(privileged=True, host_pid=True)),
    "network": DaemonContainer(
        image=FIXED, security_context=DaemonSecurity(host_network=True), ports=(DaemonPort(name="m", port=80),)
    ),
    "port": DaemonContainer(image=FIXED, ports=(DaemonPort(name="m", port=80, host_port=80),)),
    "capability": DaemonContainer(image=FIXED, security_context=DaemonSecurity(capabilities=("SYS_ADMIN",))),
}
EVIL: dict[str, Manifest] = {
    "another image": {"image": "registry.internal/evil@sha256:" + "a" * 64},
    "a tag": {"image": "registry.internal/logs:1"},
    "all of the node": {"volumes": [{"name": "logs", "mountPath": "/logs", "readOnly": True, "hostPath": {"path": "/"}}]},
    "the folder to write": {"volumes": [{"name": "logs", "mountPath": "/logs", "hostPath": {"path": "/var/log"}}]},
    "more rights": {"securityContext": {"runAsUser": 0, "privileged": True}},
}


@member_only
async def test_a_stolen_credential_gives_a_daemon_the_access_that_an_administrator_grants(cluster: Cluster) -> None:
    """Of the federation, which writes shards, and of the operator, which writes DaemonSets."""
    federation, operator, admin = cluster.processes[FEDERATION], cluster.processes[OPERATOR], cluster.admin

    async def codes(name: str, container: DaemonContainer) -> tuple[int, int]:
        body = {"apiVersion": PINDAEMONSHARDS.api_version, "kind": PINDAEMONSHARDS.kind, "metadata": {"name": name}}
        asked = {**body, "spec": merge_patch.to_json(_daemon(name, container).spec)}
        made = _rendered(name, container)
        del made["metadata"]["ownerReferences"]
        answers = [
            await federation.post(PINDAEMONSHARDS.path(), asked, dryRun="All"),
            await operator.post(DAEMON_SETS.format(DAEMONS_NAMESPACE), made, dryRun="All"),
        ]
        assert all(each.code == 201 or "no administrator of this cluster grants" in str(each.body) for each in answers), answers
        return answers[0].code, answers[1].code

    assert await codes("plain", DaemonContainer(image="i")) == (201, 201)
    assert {name: await codes(name, each) for name, each in ON_NODES.items()} == dict.fromkeys(ON_NODES, (403, 403))
    granted = node_access.grants({name: merge_patch.to_json(each) for name, each in ON_NODES.items()})
    place = f"/api/v1/namespaces/{DAEMONS_NAMESPACE}/configmaps/{granted['metadata']['name']}"
    for process in (federation, operator):
        assert (await process.patch(place, {"data": granted["data"]}, dryRun="All")).code == 403
    (await admin.patch(place, {"data": granted["data"]})).ok()

    async def known() -> bool:
        return await codes("root-files", ON_NODES["root-files"]) == (201, 201)

    await until(known, "the API server to know the grants")
    assert {name: await codes(name, each) for name, each in ON_NODES.items()} == dict.fromkeys(ON_NODES, (201, 201))
    whole = merge_patch.to_json(ON_NODES["root-files"])
    evil = {what: msgspec.convert({**whole, **change}, DaemonContainer) for what, change in EVIL.items()}
    assert {what: await codes("root-files", each) for what, each in evil.items()} == dict.fromkeys(EVIL, (403, 403))
    assert await codes("other-name", ON_NODES["root-files"]) == (403, 403)


@member_only
async def test_the_operator_changes_no_spec_of_a_daemons_shard(cluster: Cluster) -> None:
    federation, operator, shards = cluster.processes[FEDERATION], cluster.processes[OPERATOR], PINDAEMONSHARDS.path()
    body = {
        "apiVersion": PINDAEMONSHARDS.api_version,
        "kind": PINDAEMONSHARDS.kind,
        "metadata": {"name": "logs", "labels": OURS, "finalizers": ["pincompute.io/pods"]},
        "spec": {"origin": {"uid": "u", "generation": 1}, "version": {"revision": "d1", "container": {"image": "i"}}},
    }
    assert (await operator.post(shards, body)).code == 403
    assert (await cluster.somebody.post(shards, body)).code == 403
    assert (await federation.post(shards, body)).code == 201
    assert (await operator.patch(f"{shards}/logs", {"spec": {"maxUnavailable": 9}}, dryRun="All")).code == 403
    assert (await operator.patch(f"{shards}/logs", {"metadata": {"finalizers": []}}, dryRun="All")).code == 200


@member_only
async def test_whoever_may_resize_pods_resizes_no_container_of_the_platform(cluster: Cluster) -> None:
    """An autoscaler of the cluster, or a person with the right. An amount of nothing is refused as in a new pod."""
    pods, sidecar = PODS.format("shop"), {"name": "platform-metrics", "image": "i", "resources": RESOURCES}
    spec = {**CONTAINERS, "initContainers": [{**sidecar, "restartPolicy": "Always"}]}
    carried = {"metadata": {"name": "carried", "labels": OURS}, "spec": spec}
    assert (await cluster.processes[OPERATOR].post(pods, carried)).code == 201

    async def resized(part: str, name: str, **amounts: dict[str, str]) -> int:
        body = {"spec": {part: [{"name": name, "resources": {**RESOURCES, **amounts}}]}}
        return (await cluster.admin.patch(f"{pods}/carried/resize", body, STRATEGIC, dryRun="All")).code

    more, less = {"cpu": "2m", "memory": "1Mi"}, {"cpu": "0", "memory": "1Mi"}
    assert await resized("containers", "web", requests=more) == 200
    assert await resized("initContainers", "platform-metrics", requests=more) == 403
    assert await resized("containers", "web", requests=less) == 422


@member_only
async def test_the_federation_takes_back_a_network_policy_that_lost_its_label(cluster: Cluster) -> None:
    """Somebody with rights in the cluster could otherwise open a project for good. Other policies stay theirs."""
    admin, federation = cluster.admin, cluster.processes[FEDERATION]
    policies = NETWORK_POLICIES.format("shop")
    opened = {**NETWORK_POLICY, "spec": {"podSelector": {}, "ingress": [{}], "policyTypes": ["Ingress"]}}
    for name, code in (("pincompute", 200), ("theirs", 403)):
        made = await admin.post(policies, {**opened, "metadata": {"name": name}})
        assert made.code in (201, 409), made.body
        listed = {**NETWORK_POLICY, "metadata": {"name": name, "labels": OURS}}
        taken = await federation.patch(f"{policies}/{name}", listed, APPLY, fieldManager="f", force="true", dryRun="All")
        assert taken.code == code, taken.body
        released = {**NETWORK_POLICY, "metadata": {"name": name}}
        kept = await federation.patch(f"{policies}/{name}", released, APPLY, fieldManager="f", force="true", dryRun="All")
        assert kept.code == 403, kept.body
        assert (await federation.delete(f"{policies}/{name}", dryRun="All")).code == 403
        (await admin.delete(f"{policies}/{name}")).ok()


@member_only
async def test_nobody_else_writes_the_platforms_network_policies(cluster: Cluster) -> None:
    """Neither somebody who may do everything in the cluster, as long as they are no administrator of the region."""
    admin, federation = cluster.admin, cluster.processes[FEDERATION]
    policies = NETWORK_POLICIES.format("shop")
    assert (await federation.post(policies, NETWORK_POLICY)).code in (201, 409)
    assert (await admin.post(policies, {**NETWORK_POLICY, "metadata": {"name": "theirs"}})).code in (201, 409)

    async def guarded() -> bool:
        return (await cluster.somebody.delete(f"{policies}/made", dryRun="All")).code == 403

    await until(guarded, "the policy to be in force")
    opened: Manifest = {"spec": {"ingress": [{}]}}
    tries: list[tuple[str, str, Any]] = [
        ("PATCH", "made", opened),
        ("PATCH", "made", {"metadata": {"labels": {MANAGED_BY: None}}}),
        ("DELETE", "made", None),
        ("PATCH", "theirs", {"metadata": {"labels": OURS}}),
    ]
    for verb, name, body in tries:
        path = f"{policies}/{name}"
        refused = await cluster.somebody.call(verb, path, body, content_type=MERGE, dryRun="All")
        assert "only the platform writes networkpolicies" in refused.refused(403, "Forbidden")["message"]
        (await admin.call(verb, path, body, content_type=MERGE, dryRun="All")).ok()
    (await cluster.somebody.patch(f"{policies}/theirs", opened, MERGE, dryRun="All")).ok()
    (await cluster.somebody.delete(f"{policies}/theirs", dryRun="All")).ok()
    for path in (f"{policies}/made", f"{policies}/theirs"):
        (await admin.delete(path)).ok()


@member_only
@pytest.mark.parametrize(
    "patch",
    [
        {"metadata": {"annotations": {"other": "x"}}},
        {"metadata": {"labels": {"x": "y"}}},
        {"metadata": {"finalizers": ["example.com/held"]}},
        {"spec": {"activeDeadlineSeconds": 1}},
        {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "u"}]}},
    ],
)
async def test_the_gateway_changes_nothing_of_a_pod_but_its_requests_for_a_restart(cluster: Cluster, patch: Manifest) -> None:
    gateway, path = cluster.processes[GATEWAY], PODS.format("shop") + "/web"
    (await gateway.patch(path, RESTART, dryRun="All")).ok()
    (
        await gateway.patch(path, {"metadata": {**RESTART["metadata"], **patch.get("metadata", {})}} | patch, dryRun="All")
    ).refused(403, "Forbidden")


async def test_the_federation_touches_namespaces_of_projects_only(cluster: Cluster) -> None:
    federation = cluster.processes[FEDERATION]

    async def apply(name: str, labels: dict[str, str]) -> int:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        path = f"/api/v1/namespaces/{name}"
        return (await federation.patch(path, body, APPLY, fieldManager="f", force="true", dryRun="All")).code

    assert await apply("fresh", OURS | {PROJECT: "fresh"}) == 201
    assert await apply("shop", OURS | {PROJECT: "shop"}) == 200
    for name in ("monitoring", "claimed", "managed", "kube-system", "pincompute-system"):
        assert await apply(name, OURS | {PROJECT: name}) == 403, name
        ended = await federation.delete(f"/api/v1/namespaces/{name}", dryRun="All")
        assert ended.code == 403, name
    assert (await federation.delete("/api/v1/namespaces/shop", dryRun="All")).code == 200
    assert await apply("fresh", OURS) == 403
    assert await apply("fresh", {PROJECT: "fresh"}) == 403
    assert await apply("fresh", OURS | {PROJECT: "other"}) == 403
    released = await federation.patch("/api/v1/namespaces/shop", {"metadata": {"labels": {PROJECT: None}}}, dryRun="All")
    assert released.code == 403


@host_only
async def test_on_the_host_each_process_changes_only_its_part_of_what_users_ask_for(cluster: Cluster) -> None:
    admin, federation, gateway = cluster.admin, cluster.processes[FEDERATION], cluster.processes[GATEWAY]
    template = {"spec": {"containers": [{"name": "web", "image": "hello:1"}]}}
    app = {"apiVersion": PINAPPS.api_version, "kind": "PinApp", "metadata": {"name": "web"}, "spec": {"template": template}}
    assert (await admin.post(PINAPPS.path("shop"), app)).code in (201, 409)
    path = PINAPPS.path("shop", "web")
    (await gateway.patch(path, {"spec": {"replicas": 3}}, dryRun="All")).ok()
    (await federation.patch(path, {"spec": {"replicas": 3}}, dryRun="All")).refused(403, "Forbidden")
    (await admin.delete(path)).ok()
    (await federation.patch(path, {"metadata": {"finalizers": []}}, dryRun="All")).ok()
    (await gateway.patch(path, {"metadata": {"finalizers": []}}, dryRun="All")).refused(403, "Forbidden")
    (await admin.patch(path, {"metadata": {"finalizers": []}})).ok()


@host_only
async def test_the_federation_holds_a_project_that_says_nothing_but_its_name(cluster: Cluster) -> None:
    project = {"apiVersion": PROJECTS.api_version, "kind": PROJECTS.kind, "metadata": {"name": "bare"}}
    assert (await cluster.admin.post(PROJECTS.path(), project)).code in (201, 409)
    path, federation = PROJECTS.path("", "bare"), cluster.processes[FEDERATION]
    (await federation.patch(path, {"metadata": {"finalizers": ["pincompute.io/namespaces"]}}, dryRun="All")).ok()
    (await federation.patch(path, {"spec": {"members": []}}, dryRun="All")).refused(403, "Forbidden")


@host_only
async def test_a_process_reads_the_kubeconfigs_of_members_that_are_its_own(cluster: Cluster, server: RealServer) -> None:
    member = {"apiVersion": "pincompute.io/v1alpha1", "kind": "MemberCluster", "metadata": {"name": "a1"}}
    member |= {"spec": {"zone": "a", "kubeconfig": {"name": "member-a1"}}}
    former = {"metadata": {"name": "member-a1", "labels": OURS}, "data": {"kubeconfig": "ZmVk", "gateway.kubeconfig": "Z2F0"}}
    assert (await cluster.admin.post("/apis/pincompute.io/v1alpha1/memberclusters", member)).code in (201, 409)
    (await cluster.admin.post("/api/v1/namespaces/pincompute-system/secrets", former)).ok(201)
    async with ApiClient(ClusterConfig(server.url, verify=False, token=TOKEN), name=HOST) as client:
        await member_registration.migrate(client)
        await member_registration.migrate(client)
    held = {FEDERATION: "ZmVk", GATEWAY: "Z2F0"}
    for process, api in cluster.processes.items():
        for owner in held:
            path = f"/api/v1/namespaces/pincompute-{owner}/secrets"
            for asked in (path, f"{path}/member-a1"):
                assert (await api.get(asked)).code == (200 if owner == process else 403)
        assert (await api.get(f"/api/v1/namespaces/pincompute-{process}/secrets/member-a1")).body["data"] == {
            "kubeconfig": held[process]
        }
        for elsewhere in ("/api/v1/secrets", "/api/v1/namespaces/pincompute-system/secrets"):
            assert (await api.get(elsewhere)).code == 403
    assert (await cluster.admin.get("/api/v1/namespaces/pincompute-system/secrets/member-a1")).code == 404


VALUE_READERS = {
    ("host", FEDERATION): {"secrets", "configmaps"},
    ("host", GATEWAY): {"configmaps"},  # that users read; it writes the values of secrets and never reads them
    ("member", FEDERATION): {"secrets", "configmaps"},
}


async def test_nobody_but_the_declared_processes_reads_a_value(cluster: Cluster, role: installation.Role) -> None:
    """One value at a time, by its name, in a project; nobody lists values, and strangers to the project read none."""
    for bound in project_roles.ON_HOST if role == "host" else project_roles.IN_MEMBERS:
        await _bind(cluster.admin, "shop", bound)
    for namespace in ("shop", "monitoring"):
        for kind in ("secrets", "configmaps"):
            held = {"metadata": {"name": "db.7", "labels": OURS}, "data": {"value": "a2VzdHJlbA=="}}
            answer = await cluster.admin.post(f"/api/v1/namespaces/{namespace}/{kind}", held)
            assert answer.code in (201, 409), answer.body
    for process, api in cluster.processes.items():
        await _reads_only(api, VALUE_READERS.get((role, process), set()))
    accounts = (f"system:serviceaccount:{SYSTEM_NAMESPACE}:{service_account(each)}" for each in (USAGE, GATEWAY_USAGE))
    for stranger in ("dan", *accounts):  # a developer of another project has no right in Kubernetes
        cluster.somebody.session.headers["Impersonate-User"] = stranger
        await _reads_only(cluster.somebody, set())


async def _reads_only(api: Api, readable: set[str]) -> None:
    for kind in ("secrets", "configmaps"):
        asked = await api.get(f"/api/v1/namespaces/shop/{kind}/db.7")
        assert asked.code == (200 if kind in readable else 403), asked.body
        elsewhere = (f"namespaces/shop/{kind}", kind, f"namespaces/monitoring/{kind}/db.7", f"namespaces/monitoring/{kind}")
        assert [(await api.get(f"/api/v1/{path}")).code for path in elsewhere] == [403] * len(elsewhere)


KWOK_NODES = {"a1-sim-0": {SIMULATED_NODE: "fake"}, "a1-node-0": {}, "x-sim-0": {}}
KWOK_EVERYTHING = {
    "metadata": {"name": "kwok-everything"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": KWOK_USER}],
}
RUNS: Manifest = {"status": {"phase": "Running", "podIP": "100.64.0.7"}}
READY: Manifest = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"


@member_only
async def test_kwok_writes_statuses_of_simulated_nodes_and_of_pods_on_them_only(cluster: Cluster) -> None:
    """The same request beside each attack. RBAC gives the credential everything here, so the policies alone refuse."""
    admin, kwok, pods = cluster.admin, cluster.somebody, PODS.format("monitoring")
    kwok.session.headers["Impersonate-User"] = KWOK_USER
    everything = await admin.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", KWOK_EVERYTHING)
    assert everything.code == 201, everything.body
    for node, marks in KWOK_NODES.items():
        (await admin.post("/api/v1/nodes", {"metadata": {"name": node, "annotations": marks}})).ok(201)
        bound = {"metadata": {"name": f"on-{node}"}, "spec": {**CONTAINERS, "nodeName": node}}
        (await admin.post(pods, bound)).ok(201)

    async def code(verb: str, path: str, body: Any = None) -> int:
        at_once = {"gracePeriodSeconds": "0"} if verb == "DELETE" else {}  # as a node says that a pod has ended
        return (await kwok.call(verb, path, body, content_type=MERGE, dryRun="All", **at_once)).code

    ours, foreign = f"{pods}/on-a1-sim-0", f"{pods}/on-a1-node-0"
    assert await code("PATCH", f"{ours}/status", RUNS) == 200
    await until(lambda: _answers(code("PATCH", f"{foreign}/status", RUNS), 403), "the policies to be in force")
    attacks: list[tuple[str, str, Any]] = [
        ("PATCH", ours, {"spec": {"containers": [{**CONTAINERS["containers"][0], "image": "other"}]}}),
        ("PATCH", ours, {"metadata": {"labels": {"app": "other"}}}),
        ("PATCH", f"{ours}/status", {**RUNS, "metadata": {"labels": {"app": "other"}}}),
        ("PATCH", f"{ours}/status", {"status": {"podIP": "10.64.0.5"}}),
        ("PATCH", f"{ours}/status", {"status": {"podIP": "fd00::1"}}),
        ("DELETE", ours, None),
        ("DELETE", foreign, None),
    ]
    for verb, path, body in attacks:
        assert await code(verb, path, body) == 403, (path, body)
    made = {**POD, "metadata": {"name": "made"}, "spec": {**CONTAINERS, "nodeName": "a1-sim-0"}}
    assert (await kwok.post(pods, made, dryRun="All")).code == 403
    for pod, wanted in ((ours, 200), (foreign, 403)):
        (await admin.delete(pod)).ok()  # with a grace period
        assert await code("DELETE", pod) == wanted

    assert await code("PATCH", "/api/v1/nodes/a1-sim-0/status", READY) == 200
    marked = {**READY, "metadata": {"annotations": {SIMULATED_NODE: "fake"}}}
    nodes: list[tuple[str, str, Any]] = [
        ("PATCH", "a1-node-0/status", READY),
        ("PATCH", "a1-node-0/status", marked),
        ("PATCH", "x-sim-0/status", READY),
        ("PATCH", "a1-sim-0/status", {"metadata": {"labels": {"a": "b"}}}),
        ("PATCH", "a1-sim-0", {"spec": {"unschedulable": True}}),
        ("DELETE", "a1-sim-0", None),
    ]
    for verb, path, body in nodes:
        assert await code(verb, f"/api/v1/nodes/{path}", body) == 403, path
    for namespace, name, wanted in (
        ("kube-node-lease", "a1-sim-0", 201),
        ("kube-node-lease", "a1-node-0", 403),
        ("kube-system", "kube-scheduler", 403),
    ):
        lease = await kwok.post(LEASES.format(namespace), {"metadata": {"name": name}}, dryRun="All")
        assert lease.code == wanted, lease.body
    for node in KWOK_NODES:
        (await admin.delete(f"{pods}/on-{node}", gracePeriodSeconds="0")).ok()
        (await admin.delete(f"/api/v1/nodes/{node}")).ok()


async def _answers(asked: Awaitable[int], wanted: int) -> bool:
    return await asked == wanted
