"""The kinds and policies of `deploy/` in a real API server: it takes them, refuses bad input in words, and explains itself."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from contract_client import JSON_PATCH, MERGE, Answer, Api, until
from pod_security_cases import LEVELS, SECURE, template, unit
from real_api_server import TOKEN, RealServer

from pincompute.api import (
    daemons,
    labels,
    member_clusters,
    object_validation,
    projects,
    settings,
    shards,
    sidecars,
    template_limits,
    template_schema,
    validation_rules,
    workloads,
)
from pincompute.api.meta import GROUP, Resource
from pincompute.api.projects import PodSecurityLevel
from pincompute.domain import pod_resources, pod_security_defaults, project_namespace
from pincompute.kube import api_errors
from pincompute.kube.api_client import ApiClient
from pincompute.kube.kubeconfig import ClusterConfig

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests/unit/api"))  # the table of inputs is shared with the tests of validation

from manifest_samples import INPUTS, patched  # noqa: E402

pytestmark = pytest.mark.region

RESOURCES: dict[str, Resource[Any]] = {
    resource.kind: resource
    for resource in (
        workloads.PINAPPS,
        workloads.PINPODS,
        member_clusters.MEMBERCLUSTERS,
        projects.PROJECTS,
        sidecars.PINSIDECARS,
        daemons.PINDAEMONS,
    )
}
POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "web", "image": "i"}]}}
SHARD = {
    "apiVersion": "pincompute.io/v1alpha1",
    "kind": "PinAppShard",
    "metadata": {"name": "s"},
    "spec": {"origin": {"uid": "u", "generation": 1}, "cluster": "a1", "zone": "a", "mix": []},
}


class Kubectl:
    """kubectl against the real server, as a user types it."""

    def __init__(self, server: RealServer, folder: Path) -> None:
        self._begin = (
            str(server.programs / "kubectl"),
            f"--server={server.url}",
            f"--token={TOKEN}",
            "--insecure-skip-tls-verify",
            f"--cache-dir={folder}",
            "--kubeconfig=/dev/null",
        )

        self.in_force = False

    def __call__(self, *argv: str, typed: str = "") -> str:
        done = subprocess.run((*self._begin, *argv), input=typed, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def kubectl(real_server: RealServer, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """With everything of `deploy/` applied; one server plays host and member."""
    run = Kubectl(real_server, tmp_path_factory.mktemp("kubectl"))
    for folder in ("host", "member"):
        run("apply", "--server-side", "--filename", str(ROOT / "deploy" / folder))
    run("wait", "--for=condition=Established", "customresourcedefinitions", "--all", "--timeout=30s")
    return run


@pytest.fixture
async def server(real_server: RealServer, kubectl: Kubectl, unique: str) -> AsyncIterator[Api]:
    """A client, in a project of the test's own, once the policies are in force."""

    async def compact() -> None: ...

    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        api = Api(session, real_server.url, compact, unique)
        (
            await api.post(
                "/api/v1/namespaces", {"metadata": {"name": unique, "labels": project_namespace.labels_of(unique, "uid")}}
            )
        ).ok(201)
        if not kubectl.in_force:
            await until(lambda: _policies_in_force(api), "the admission policies to be in force")
            kubectl.in_force = True
        yield api
        await _remove_all(api)


async def _policies_in_force(api: Api) -> bool:
    """Every kind is served (a new one answers 429 at first) and every policy shows, without anything left behind."""
    app = patched(INPUTS["good"]["least"])
    elsewhere = await api.post(workloads.PINAPPS.path("default"), app, dryRun="All")
    fractions = patched(INPUTS["good"]["fractions that are not in quotes"])
    here = await api.post(workloads.PINAPPS.path(api.namespace), fractions, dryRun="All")
    member = await api.post(member_clusters.MEMBERCLUSTERS.path(), patched(INPUTS["good"]["a member"]), dryRun="All")
    pod = await api.post(f"/api/v1/namespaces/{api.namespace}/pods", POD, dryRun="All")
    shard = await _as_alice(api, "POST", shards.PINAPPSHARDS.path(api.namespace), SHARD, dryRun="All")
    listed = [(await api.get(resource.path())).code for resource in (*RESOURCES.values(), shards.PINAPPSHARDS)]
    refused = set(listed) == {200} and elsewhere.code == 403 and pod.code == 422 and "denied request" in str(shard.body)
    return refused and here.code == 201 and "finalizers" in here.body["metadata"] and "finalizers" in member.body["metadata"]


async def _as_alice(api: Api, verb: str, path: str, body: Any, **query: Any) -> Answer:
    """A user who may do everything by RBAC, and is not of the platform."""
    binding = {
        "metadata": {"name": "alice"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}],
    }
    assert (await api.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)).code in (201, 409)
    return await _as_user(api, "alice", verb, path, body, **query)


async def _as_gateway(api: Api, verb: str, path: str, body: Any) -> Answer:
    api.session.headers["Impersonate-Group"] = "system:masters"
    try:
        return await _as_user(api, "pincompute:gateway", verb, path, body, content_type=MERGE)
    finally:
        del api.session.headers["Impersonate-Group"]


async def _as_user(api: Api, user: str, verb: str, path: str, body: Any, **query: Any) -> Answer:
    api.session.headers["Impersonate-User"] = user
    try:
        return await api.call(verb, path, body, **query)
    finally:
        del api.session.headers["Impersonate-User"]


async def _remove_all(api: Api) -> None:
    """Nobody runs here who would take the finalizers away."""
    for resource in (workloads.PINAPPS, workloads.PINPODS):
        for item in (await api.get(resource.path(api.namespace))).ok()["items"]:
            path = resource.path(api.namespace, item["metadata"]["name"])
            await api.delete(path)
            await api.patch(path, {"metadata": {"finalizers": None}})
    await api.delete(f"/api/v1/namespaces/{api.namespace}")


async def _create(api: Api, manifest: dict[str, Any]) -> Answer:
    path = RESOURCES[manifest["kind"]].path(api.namespace)
    return await api.post(path, manifest, dryRun="All", fieldValidation="Strict")


@pytest.mark.parametrize("name", INPUTS["good"])
async def test_takes_what_validation_takes(server: Api, name: str) -> None:
    (await _create(server, patched(INPUTS["good"][name]))).ok(201)


@pytest.mark.parametrize("level", LEVELS)
async def test_the_rules_of_pod_security_follow_the_level_of_the_namespace(server: Api, level: PodSecurityLevel) -> None:
    """They say of a template what validation says. `test_contract_pod_security` compares that with Kubernetes' own verdict."""
    labelled = {"metadata": {"labels": pod_security_defaults.namespace_labels(level)}}
    (await server.patch(f"/api/v1/namespaces/{server.namespace}", labelled)).ok()
    as_root = patched({"patch": {"spec": {"template": {"spec": {"securityContext": {"runAsUser": 0}}}}}})
    if level != "restricted":
        await until(lambda: _is_taken(server, workloads.PINAPPS.path(server.namespace), as_root), "the level to be in force")
    for case, (pod, container, strictest) in SECURE.items():
        manifest = unit(server.namespace, template(pod, container, "initContainers"))
        answer = await _create(server, manifest)
        assert (answer.code == 201) is (LEVELS.index(level) >= LEVELS.index(strictest)), (case, answer.body)
        found = [str(problem) for problem in object_validation.problems(manifest, level=level)]
        assert all(problem in answer.body["message"] for problem in found), (found, answer.body)


async def test_fewer_replicas_than_a_step_says_are_no_reason_to_refuse_a_scale(server: Api) -> None:
    """Without a change of the steps, that is; `kubectl scale` and scalers ask for it too."""
    app = patched({"patch": {"spec": {"replicas": 4, "update": {"steps": [3]}}}})
    path = workloads.PINAPPS.path(server.namespace, "hello")
    (await server.post(workloads.PINAPPS.path(server.namespace), app)).ok(201)
    (await server.patch(path, {"spec": {"replicas": 2, "paused": True}})).ok()
    refused = (await server.patch(path, {"spec": {"update": {"steps": [1, 3]}}})).refused(422, "Invalid")
    assert "spec.update.steps: no number of steps may be more than replicas" in refused["message"]


WORDS = {"metadata.name": "the name"}  # what messages call a field that app.yaml has elsewhere


@pytest.mark.parametrize("name", INPUTS["bad"])
async def test_refuses_what_validation_refuses_and_says_why(server: Api, name: str) -> None:
    case = INPUTS["bad"][name]
    answer = await _create(server, patched(case))
    assert answer.code in (400, 422), answer.body
    assert WORDS.get(case["field"], case["field"]) in answer.body["message"]
    assert case["says"] in answer.body["message"]


async def test_fractions_are_stored_as_text_in_every_amount(server: Api) -> None:
    spec = (await _create(server, patched(INPUTS["good"]["fractions that are not in quotes"]))).ok(201)["spec"]["template"][
        "spec"
    ]
    assert spec["overhead"] == {"cpu": "0.25"}
    assert spec["resources"] == {"requests": {"cpu": "2.5"}, "limits": {"cpu": "2.5", "memory": "1Gi"}}
    assert spec["initContainers"][0]["resources"]["requests"] == {"cpu": "0.5"}
    assert spec["containers"][0]["resources"] == {"requests": {"cpu": "0.1", "memory": "1Gi"}, "limits": {"cpu": "0.25"}}
    empty, claim = spec["volumes"]
    assert empty["emptyDir"]["sizeLimit"] == "1.0485765e+06"
    assert claim["ephemeral"]["volumeClaimTemplate"]["spec"]["resources"]["requests"] == {"storage": "2.5000005e+06"}


async def test_a_fraction_is_applied_as_kubectl_does_it(server: Api) -> None:
    app = patched(INPUTS["good"]["fractions that are not in quotes"])
    path = workloads.PINAPPS.path(server.namespace, "hello")
    first = (await server.apply(path, app, "kubectl")).ok(201)
    again = (await server.apply(path, app, "kubectl")).ok()
    assert again["metadata"]["generation"] == first["metadata"]["generation"]


async def test_a_workload_needs_a_project_and_the_message_has_the_command(server: Api) -> None:
    answer = await server.post(workloads.PINAPPS.path("default"), patched(INPUTS["good"]["least"]))
    message = answer.refused(403, "Forbidden")["message"]
    assert "namespace default is not a project: create the Project first, with: echo '" in message
    said = json.loads(message.partition("echo '")[2].partition("'")[0])
    assert said == {"apiVersion": "pincompute.io/v1alpha1", "kind": "Project", "metadata": {"name": "default"}}
    missing = await server.post(workloads.PINAPPS.path("nowhere"), patched(INPUTS["good"]["least"]))
    assert missing.refused(404, "NotFound")["message"] == 'namespaces "nowhere" not found'


async def test_finalizers_are_there_from_the_start_and_stay_until_deletion(server: Api) -> None:
    path = workloads.PINAPPS.path(server.namespace, "hello")
    app = patched(INPUTS["good"]["least"])
    made = (await server.post(workloads.PINAPPS.path(server.namespace), app)).ok(201)
    assert made["metadata"]["finalizers"] == [labels.SHARDS_FINALIZER]
    version = {"name": "hello", "resourceVersion": made["metadata"]["resourceVersion"]}
    replaced = (await server.put(path, app | {"metadata": version})).ok()
    assert replaced["metadata"]["finalizers"] == [labels.SHARDS_FINALIZER]
    (await server.delete(path)).ok()
    (await server.patch(path, {"metadata": {"finalizers": []}})).ok()
    await server.until_gone(path)


async def test_the_author_of_a_spec_is_told_by_the_api_server_and_cannot_be_forged(server: Api) -> None:
    """The annotation replaces the record of field managers; it names the generation, so that an old one misleads nobody."""
    app, collection = patched(INPUTS["good"]["least"]), workloads.PINAPPS.path(server.namespace)
    path = workloads.PINAPPS.path(server.namespace, "hello")
    forged = {**app, "metadata": {**app["metadata"], "annotations": {labels.CHANGED_BY: "1 bob"}}}
    made = (await _as_alice(server, "POST", collection, forged)).ok(201)
    assert made["metadata"]["annotations"] == {labels.CHANGED_BY: "1 alice"}
    assert "managedFields" not in made["metadata"]

    scaled = (await _as_alice(server, "PATCH", path, {"spec": {"replicas": 2}}, content_type=MERGE)).ok()
    kept = {labels.CHANGED_BY: "2 alice"}
    assert scaled["metadata"]["annotations"] == kept
    forgery = {"metadata": {"annotations": {labels.CHANGED_BY: "2 bob"}}}
    assert (await _as_alice(server, "PATCH", path, forgery, content_type=MERGE)).ok()["metadata"]["annotations"] == {
        labels.CHANGED_BY: "2 alice"
    }
    erased = {"metadata": {"annotations": None}}
    assert (await _as_alice(server, "PATCH", path, erased, content_type=MERGE)).ok()["metadata"]["annotations"] == {
        labels.CHANGED_BY: "2 alice"
    }

    status = (await server.patch(f"{path}/status", {"status": {"phase": "Running"}})).ok()
    assert "managedFields" not in status["metadata"]
    assert status["metadata"]["annotations"] == kept


@pytest.mark.parametrize("spec", [{"description": "ours"}, None], ids=["with a spec", "without a spec"])
async def test_the_author_of_a_project_cannot_be_forged_either(server: Api, spec: Any) -> None:
    """A forged generation of 5,000 digits, or notes of any depth, also must not reach the gateway's list of projects."""
    name = f"forged-{'with' if spec else 'without'}"
    notes = {labels.CHANGED_BY: "1 bob", labels.OPERATIONS: "[]"}
    project = {"metadata": {"name": name, "annotations": notes}, **({"spec": spec} if spec else {})}
    body = {"apiVersion": projects.PROJECTS.api_version, "kind": "Project", **project}
    made = (await _as_alice(server, "POST", projects.PROJECTS.path(), body)).ok(201)
    assert made["metadata"]["annotations"] == {labels.CHANGED_BY: "1 alice"}
    path = projects.PROJECTS.path("", name)
    changed = (await _as_alice(server, "PATCH", path, {"metadata": {"annotations": notes}}, content_type=MERGE)).ok()
    assert changed["metadata"]["annotations"] == {labels.CHANGED_BY: "1 alice"}
    noted = {"metadata": {"annotations": {labels.OPERATIONS: "[]"}}}
    written = (await _as_gateway(server, "PATCH", path, noted)).ok()
    assert written["metadata"]["annotations"] == {labels.CHANGED_BY: "1 alice", labels.OPERATIONS: "[]"}
    (await server.delete(path)).ok()


async def test_who_may_change_a_project_gives_nobody_a_role_in_it(server: Api) -> None:
    """With the permission to update projects somebody became an owner of each. The right to do so has a name of its own."""
    project = {"apiVersion": projects.PROJECTS.api_version, "kind": "Project", "metadata": {"name": "granted"}}
    (await server.post(projects.PROJECTS.path(), project)).ok(201)
    path = projects.PROJECTS.path("", "granted")
    await _may(server, "bob", "projects", "get", "update", "patch")
    described = {"spec": {"description": "ours"}}
    members = {"spec": {"members": [{"name": "bob", "role": "owner"}]}}
    await until(lambda: _taken(server, "bob", path, described), "bob to describe it")
    refused = await _as_user(server, "bob", "PATCH", path, members, content_type=MERGE)
    assert "bob may not change the members of project granted" in refused.refused(403, "Forbidden")["message"]
    await _may(server, "bob", "projects/members", "update")
    await until(lambda: _taken(server, "bob", path, members), "bob to change members")
    (await server.delete(path)).ok()


async def test_who_may_change_a_project_does_not_change_its_limits(server: Api) -> None:
    head = {"apiVersion": projects.PROJECTS.api_version, "kind": "Project"}
    limited = {**head, "metadata": {"name": "limited"}, "spec": {"limits": {"pods": 5, "cpu": 2, "memory": "1Gi"}}}
    path = projects.PROJECTS.path("", "limited")
    await _may(server, "eve", "projects", "get", "create", "update", "patch")
    described = {"spec": {"description": "ours"}}
    (await server.post(projects.PROJECTS.path(), limited)).ok(201)
    await until(lambda: _taken(server, "eve", path, described), "eve to describe it")
    for limits in ({"pods": 6}, {"pods": None}, None, {"storage": "1Gi"}, {"cpu": "2001m"}):
        refused = await _as_user(server, "eve", "PATCH", path, {"spec": {"limits": limits}}, content_type=MERGE)
        assert "spec.limits: only an administrator changes it" in refused.refused(403, "Forbidden")["message"], limits
    made = {**head, "metadata": {"name": "larger"}, "spec": {"limits": {"pods": 9000}}}
    refused = await _as_user(server, "eve", "POST", projects.PROJECTS.path(), made)
    assert "spec.limits: only an administrator changes it" in refused.refused(403, "Forbidden")["message"]
    (await _as_user(server, "eve", "POST", projects.PROJECTS.path(), {**made, "spec": {}})).ok(201)
    for limits in ({"cpu": "much"}, {"memory": "-1Gi"}, {"pods": -1}):
        assert (await server.patch(path, {"spec": {"limits": limits}})).code == 422, limits
    for name in ("limited", "larger"):
        (await server.delete(projects.PROJECTS.path("", name))).ok()


async def _may(api: Api, user: str, resource: str, *verbs: str) -> None:
    name = f"{user}-{resource.replace('/', '-')}"
    rules = [{"apiGroups": [GROUP], "resources": [resource], "verbs": list(verbs)}]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]
    root = "/apis/rbac.authorization.k8s.io/v1"
    (await api.post(f"{root}/clusterroles", {"metadata": {"name": name}, "rules": rules})).ok(201)
    (await api.post(f"{root}/clusterrolebindings", {"metadata": {"name": name}, "roleRef": role, "subjects": subjects})).ok(201)


async def _taken(api: Api, user: str, path: str, body: Any) -> bool:
    """The API server learns of a new permission a moment after it answered."""
    return (await _as_user(api, user, "PATCH", path, body, content_type=MERGE)).code == 200


FRACTIONS = f"/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies/fractions-as-text.{GROUP}"
FRACTIONS_VERSION = "admissionregistration.k8s.io/v1"


async def _reload_policies(api: Api, number: int) -> None:
    """Change a policy of the test's own, and wait until the API server, which takes in all policies at once, goes by it.

    A policy of the platform that changes is not in force for a moment.
    """
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "reload-probe"}}
    resources = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]
    mark = f'Object{{metadata: Object.metadata{{annotations: {{"reload": "{number}"}}}}}}'
    spec = {
        "matchConstraints": {"resourceRules": resources},
        "matchConditions": [{"name": "probe", "expression": "object.metadata.name == 'reload-probe'"}],
        "failurePolicy": "Ignore",
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": mark}}],
    }
    root, name = FRACTIONS.rsplit("/", 2)[0], "reload-probe"
    for plural, kind, content in (
        ("mutatingadmissionpolicies", "MutatingAdmissionPolicy", spec),
        ("mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding", {"policyName": name}),
    ):
        manifest = {"apiVersion": FRACTIONS_VERSION, "kind": kind, "metadata": {"name": name}, "spec": content}
        applied = await api.apply(f"{root}/{plural}/{name}", manifest, "contract")
        assert applied.code in (200, 201), applied.body

    async def is_in_force() -> bool:
        made = (await api.post(api.core("configmaps"), body, dryRun="All")).ok(201)
        return made["metadata"].get("annotations", {}).get("reload") == str(number)

    await until(is_in_force, "the changed policy to be in force")


@pytest.mark.parametrize("reload", range(6))
async def test_a_spec_that_differs_in_notation_alone_has_no_new_author(server: Api, reload: int) -> None:
    """Otherwise alice would be the author of the next change, by `kubectl scale`, which names nobody.

    The order in which the API server evaluates policies changes whenever one of them does.
    """
    await _reload_policies(server, reload)
    app, collection = patched(INPUTS["good"]["fractions that are not in quotes"]), workloads.PINAPPS.path(server.namespace)
    made = (await server.post(collection, app)).ok(201)
    file = {**app, "metadata": {**app["metadata"], "resourceVersion": made["metadata"]["resourceVersion"]}}
    path = workloads.PINAPPS.path(server.namespace, app["metadata"]["name"])
    replaced = (await _as_alice(server, "PUT", path, file)).ok()
    generation, _, _ = replaced["metadata"]["annotations"].get(labels.CHANGED_BY, "0").partition(" ")
    assert int(generation) <= replaced["metadata"]["generation"] == 1


ABSENT = {"apiVersion": "v1", "kind": "Namespace", "name": "nothere", "uid": "00000000-0000-0000-0000-000000000001"}
FOREIGN_METADATA: dict[str, dict[str, Any]] = {
    "an owner that does not exist": {"ownerReferences": [ABSENT]},
    "a finalizer": {"finalizers": ["example.com/hold"]},
    "an annotation of the platform": {"annotations": {labels.TRANSCRIPTS: "false"}},
    "a label of the platform": {"labels": {labels.PROJECT: "other"}},
}
OWN_METADATA = {"labels": {"app.kubernetes.io/instance": "argo"}, "annotations": {"example.com/team": "web"}}
USERS_OBJECTS = ("least", "a member", "a project")


@pytest.mark.parametrize("sample", USERS_OBJECTS)
@pytest.mark.parametrize("case", FOREIGN_METADATA)
async def test_users_write_their_own_metadata_and_none_that_ends_holds_or_forges(
    server: Api, case: str, sample: str, unique: str
) -> None:
    """An administrator may, and what is there stays without being in anybody's way."""
    body = patched(INPUTS["good"][sample])
    resource, name = RESOURCES[body["kind"]], f"m{unique[-10:]}"
    namespace = server.namespace if resource.namespaced else ""
    collection, path = resource.path(namespace), resource.path(namespace, name)
    foreign = FOREIGN_METADATA[case]
    made = await _as_alice(server, "POST", collection, {**body, "metadata": {"name": name, **foreign}}, dryRun="All")
    assert made.code == 403, made.body
    (await _as_alice(server, "POST", collection, {**body, "metadata": {"name": name, **OWN_METADATA}})).ok(201)
    refused = await _as_alice(server, "PATCH", path, {"metadata": foreign}, content_type=MERGE)
    assert refused.code == 403, refused.body
    assert f"metadata.{next(iter(foreign))}: " in str(refused.body)
    changed = {"metadata": {"annotations": {"example.com/team": "shop"}}}
    (await _as_alice(server, "PATCH", path, changed, content_type=MERGE)).ok()
    if "ownerReferences" not in foreign:
        (await server.patch(path, {"metadata": foreign})).ok()
        (await _as_alice(server, "PATCH", path, {"metadata": {"labels": {"own": "1"}}}, content_type=MERGE)).ok()
    if part := next((part for part in ("annotations", "labels") if part in foreign), ""):
        removed = {"metadata": {part: dict.fromkeys(foreign[part])}}
        assert (await _as_alice(server, "PATCH", path, removed, content_type=MERGE)).code == 403
    (await server.delete(path)).ok()
    await server.patch(path, {"metadata": {"finalizers": None}})


@pytest.mark.parametrize("sample", USERS_OBJECTS)
async def test_the_platform_alone_writes_a_status(server: Api, sample: str, unique: str) -> None:
    """The history, limits and decisions of the platform follow from it, and rights on a whole group are common."""
    body = patched(INPUTS["good"][sample])
    resource, name = RESOURCES[body["kind"]], f"s{unique[-10:]}"
    namespace = server.namespace if resource.namespaced else ""
    path = resource.path(namespace, name)
    (await server.post(resource.path(namespace), {**body, "metadata": {"name": name}})).ok(201)
    forged = {"status": {"conditions": []}}
    refused = await _as_alice(server, "PATCH", f"{path}/status", forged, content_type=MERGE)
    assert (refused.code, "only the platform writes the status" in str(refused.body)) == (403, True), refused.body
    (await _as_alice(server, "PATCH", path, {"metadata": {"labels": {"own": "1"}}}, content_type=MERGE)).ok()
    (await server.patch(f"{path}/status", forged)).ok()
    (await server.delete(path)).ok()
    await server.patch(path, {"metadata": {"finalizers": None}})


async def test_a_project_of_a_name_that_is_reserved_by_now_still_gets_a_status(server: Api) -> None:
    definition = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{projects.PROJECTS.plural}.pincompute.io"
    before = (await server.get(definition)).ok()
    schema = before["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    kept = schema["x-kubernetes-validations"]
    path, name = projects.PROJECTS.path(), "pincompute-former"
    project = {"apiVersion": projects.PROJECTS.api_version, "kind": "Project", "metadata": {"name": name}}
    assert (await server.post(path, project)).code == 422

    async def rules(wanted: list[Any], code: int) -> None:
        patch = [{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-validations", "value": wanted}]
        (await server.patch(definition, patch, JSON_PATCH)).ok()

        async def in_force() -> bool:
            return (await server.post(path, project, dryRun="All")).code == code

        await until(in_force, "the rules to be in force")

    await rules([rule for rule in kept if "kube-" not in rule["rule"]], 201)
    (await server.post(path, project)).ok(201)
    await rules(kept, 422)
    try:
        one = projects.PROJECTS.path("", name)
        (await server.patch(f"{one}/status", {"status": {"conditions": []}})).ok()
        (await server.patch(one, {"spec": {"description": "ours"}})).ok()
    finally:
        (await server.delete(one)).ok()
        await server.patch(one, {"metadata": {"finalizers": None}})


async def test_what_the_gateway_noted_cannot_be_forged_or_lost(server: Api) -> None:
    """`kubectl replace` with the user's file keeps the notes, and nobody notes an operation in another's name."""
    app, collection = patched(INPUTS["good"]["least"]), workloads.PINAPPS.path(server.namespace)
    path, notes = workloads.PINAPPS.path(server.namespace, "hello"), {labels.OPERATIONS: "[]"}
    forged = {**app, "metadata": {**app["metadata"], "annotations": notes}}
    made = (await _as_alice(server, "POST", collection, forged)).ok(201)
    assert labels.OPERATIONS not in made["metadata"]["annotations"]
    noted = (await _as_gateway(server, "PATCH", path, {"metadata": {"annotations": notes}})).ok()
    assert noted["metadata"]["annotations"] == {**notes, labels.CHANGED_BY: "1 alice"}
    file = {**app, "metadata": {"name": "hello", "resourceVersion": noted["metadata"]["resourceVersion"]}}
    replaced = (await _as_alice(server, "PUT", path, file)).ok()
    assert replaced["metadata"]["annotations"] == {**notes, labels.CHANGED_BY: "1 alice"}
    changed = (await _as_gateway(server, "PATCH", path, {"spec": {"replicas": 2}})).ok()
    assert changed["metadata"]["annotations"] == notes, "the gateway tells the author of its changes itself"
    file = {
        **app,
        "metadata": {"name": "hello", "resourceVersion": changed["metadata"]["resourceVersion"]},
        "spec": changed["spec"],
    }
    assert (await _as_alice(server, "PUT", path, file)).ok()["metadata"]["annotations"] == notes


async def test_an_object_that_breaks_a_later_rule_can_be_changed_elsewhere_and_deleted(server: Api) -> None:
    """Rules judge changes of the spec alone: the federation must be able to let go of what an older version accepted."""
    path = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/pinapp-rules.{GROUP}"
    policy = (await server.get(path)).ok()
    (condition,) = policy["spec"]["matchConditions"]
    assert condition["expression"].startswith("(request.operation == 'CREATE' || object.spec != oldObject.spec) && ")


RULES = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/pinapp-rules.{GROUP}"


async def test_a_workload_whose_template_is_refused_by_now_can_be_stopped_and_paused(server: Api) -> None:
    """It was stored before the rule was there. Only a change of the template is judged by it."""
    app = patched({"patch": {"spec": {"template": {"spec": {"hostPID": True}}}}})
    collection = workloads.PINAPPS.path(server.namespace)
    path = workloads.PINAPPS.path(server.namespace, app["metadata"]["name"])
    binding = (await server.get(RULES)).ok()
    (await server.delete(RULES)).ok()
    try:
        await until(lambda: _is_taken(server, collection, app), "the rules to be out of force")
        (await server.post(collection, app)).ok(201)
    finally:
        kept = {part: binding[part] for part in ("apiVersion", "kind", "spec")}
        metadata = {"name": binding["metadata"]["name"], "labels": binding["metadata"].get("labels", {})}
        (await server.post(RULES.rpartition("/")[0], {**kept, "metadata": metadata})).ok(201)
    other = {**app, "metadata": {"name": "other"}}

    async def in_force() -> bool:
        return not await _is_taken(server, collection, other)

    await until(in_force, "the rules to be in force")
    for change in ({"stopped": True}, {"paused": True}, {"replicas": 5}):
        (await server.patch(path, {"spec": change})).ok()
    relabelled = {"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}
    message = (await server.patch(path, relabelled)).refused(422, "Invalid")["message"]
    assert "spec.template.spec.hostPID: hostPID must not be true" in message
    (await server.patch(path, {"spec": {"template": {"spec": {"hostPID": None}}}})).ok()


async def _is_taken(api: Api, collection: str, manifest: dict[str, Any]) -> bool:
    return (await api.post(collection, manifest, dryRun="All")).code == 201


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize("size", [1_700_000, 2_500_000])
async def test_what_etcd_does_not_take_is_refused_for_good(server: Api, real_server: RealServer, size: int) -> None:
    """The API server answers 500, as for an outage; sending the object again and again would help nobody."""
    share = {"revision": "r", "replicas": 1, "template": {"spec": {"filling": "x" * size}}}
    body = json.dumps(SHARD | {"spec": SHARD["spec"] | {"mix": [share]}}).encode()
    async with ApiClient(ClusterConfig(real_server.url, verify=False, token=TOKEN), name="a1") as client:
        with pytest.raises(api_errors.Refused) as refusal:
            await client.request("POST", shards.PINAPPSHARDS.path(server.namespace), body=body, attempts=1)
    assert not isinstance(refusal.value, api_errors.Unavailable)


async def test_the_largest_template_is_within_the_cost_that_the_api_server_allows(server: Api) -> None:
    app = patched(INPUTS["good"]["least"])
    pod = app["spec"]["template"]["spec"]
    ports = [[{"name": f"p{n}", "containerPort": 1000 + 64 * c + n} for n in range(64)] for c in range(64)]
    amounts = {"cpu": "10m", "memory": "16Mi"}
    resources = {"requests": amounts, "limits": amounts}
    pod["volumes"] = [{"name": f"v{n}", "projected": {"sources": [{"secret": {"name": f"s{n}"}}]}} for n in range(64)]
    mounts = [{"name": f"v{n}", "mountPath": f"/{n}"} for n in range(64)]
    terms = [{"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}] * 64
    weighted = [{"weight": 1, "podAffinityTerm": term} for term in terms]
    begin, kept = "DuringScheduling", "IgnoredDuringExecution"
    kinds = {f"required{begin}{kept}": terms, f"preferred{begin}{kept}": weighted}
    pod["affinity"] = {"podAffinity": kinds, "podAntiAffinity": kinds}
    image = f"registry.example.com:5000/{'a' * 200}:1"
    probes = {f"{kind}Probe": {"httpGet": {"port": "p63"}} for kind in ("readiness", "liveness", "startup")}
    full = {"image": image, "resources": resources, "volumeMounts": mounts, **probes}
    pod["containers"] = [{"name": f"c{n}", "ports": ports[n], **full} for n in range(32)]
    beside = {"restartPolicy": "Always", **full}
    pod["initContainers"] = [{"name": f"i{n}", "ports": ports[32 + n], **beside} for n in range(32)]
    (await server.post(workloads.PINAPPS.path(server.namespace), app, dryRun="All", timeout="60s")).ok(201)


async def test_who_applies_on_the_servers_side_keeps_the_record_of_field_managers(server: Api) -> None:
    app = patched(INPUTS["good"]["least"])
    path = workloads.PINAPPS.path(server.namespace, "hello")
    (await server.apply(path, app, "pipeline")).ok(201)
    changed = (await server.patch(path, {"spec": {"replicas": 2}})).ok()
    assert {entry["manager"] for entry in changed["metadata"]["managedFields"]} >= {"pipeline"}


async def test_shards_come_without_a_record_of_field_managers(server: Api) -> None:
    path = shards.PINAPPSHARDS.path(server.namespace)
    shard = {**SHARD, "spec": {**SHARD["spec"], "field of a later version": 1}}
    made = (await server.post(path, shard)).ok(201)
    assert "managedFields" not in made["metadata"]
    assert made["spec"] == shard["spec"]
    pins = {"name": "s", "uid": made["metadata"]["uid"], "resourceVersion": made["metadata"]["resourceVersion"]}
    kind = {"apiVersion": SHARD["apiVersion"], "kind": "PinAppShard"}
    put = (await server.put(f"{path}/s/status", {**kind, "metadata": pins, "status": {"replicas": 1}})).ok()
    assert (put["spec"], put["status"]) == (shard["spec"], {"replicas": 1})
    assert "managedFields" not in put["metadata"]
    stale = await server.put(f"{path}/s/status", {**kind, "metadata": pins, "status": {"replicas": 2}})
    stale.refused(409, "Conflict")
    (await server.delete(f"{path}/s")).ok()


@pytest.mark.parametrize("time", ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"])
async def test_a_time_that_our_programs_cannot_read_is_refused(server: Api, time: str) -> None:
    """One such object would stay as it is for ever: nobody could scale or delete it."""
    app = patched(INPUTS["good"]["least"])
    (await server.post(workloads.PINAPPS.path(server.namespace), app)).ok(201)
    path = f"{workloads.PINAPPS.path(server.namespace, 'hello')}/status"
    (await server.patch(path, {"status": {"lastUpdateTime": time}})).refused(422, "Invalid")
    (await server.patch(path, {"status": {"lastUpdateTime": "2026-01-01T00:00:00.5+02:00"}})).ok()


async def test_a_members_zone_never_changes(server: Api, unique: str) -> None:
    member = patched(INPUTS["good"]["a member"]) | {"metadata": {"name": unique}}
    path = member_clusters.MEMBERCLUSTERS.path(name=unique)
    made = (await server.post(member_clusters.MEMBERCLUSTERS.path(), member)).ok(201)
    assert made["metadata"]["finalizers"] == [labels.DRAIN_FINALIZER]
    message = (await server.patch(path, {"spec": {"zone": "b"}})).refused(422, "Invalid")["message"]
    assert 'spec.zone: Invalid value: "b": zone never changes: delete this MemberCluster' in message
    taken = (await server.post(member_clusters.MEMBERCLUSTERS.path(), member)).refused(409, "AlreadyExists")
    assert f'"{unique}" already exists' in taken["message"]
    (await server.delete(path)).ok()
    (await server.patch(path, {"metadata": {"finalizers": []}})).ok()


async def test_only_the_platform_writes_shards(server: Api) -> None:
    path = shards.PINAPPSHARDS.path(server.namespace)
    refused = (await _as_alice(server, "POST", path, SHARD)).refused(403, "Forbidden")
    assert "only the platform writes pinappshards, and alice is not part of it" in refused["message"]
    (await server.post(path, SHARD)).ok(201)
    assert (await _as_alice(server, "DELETE", f"{path}/s", None)).code == 403
    (await server.delete(f"{path}/s")).ok()


async def test_a_project_names_only_sidecars_that_allow_it(server: Api, unique: str) -> None:
    """The API server asks the sidecars, so that nobody gets past it with kubectl."""
    name, path = f"m{unique}", workloads.PINAPPS.path(server.namespace)
    sidecar = patched({"kind": "PinSidecar", "patch": {"metadata": {"name": name}, "spec": {"allowedProjects": ["bank"]}}})
    (await server.post(sidecars.PINSIDECARS.path(), sidecar)).ok(201)
    app = patched({"patch": {"spec": {"template": {"metadata": {"annotations": {labels.SIDECARS: f"x,{name}"}}}}}})
    await until(lambda: _is_refused(server, path, app), "the API server to know the sidecar")
    refused = (await server.post(path, app)).refused(403, "Forbidden")
    assert f"project {server.namespace} may not have sidecar {name}" in refused["message"]
    other = patched({"patch": {"spec": {"template": {"metadata": {"annotations": {labels.SIDECARS: "x"}}}}}})
    (await server.post(path, other)).ok(201)
    (await server.patch(f"{path}/hello", app)).refused(403, "Forbidden")
    allowed = {"spec": {"allowedProjects": ["bank", server.namespace]}}
    (await server.patch(sidecars.PINSIDECARS.path(name=name), allowed)).ok()
    again = {**app, "metadata": {"name": "other"}}
    await until(lambda: _is_taken(server, path, again), "the API server to know that the project is allowed")
    (await server.patch(sidecars.PINSIDECARS.path(name=name), {"metadata": {"finalizers": None}})).ok()
    (await server.delete(sidecars.PINSIDECARS.path(name=name))).ok()


DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("before", "change", "refused"),
    [
        (None, {"selector": {"projects": ["*"]}}, "spec.selector"),
        (None, {"selector": {"matchLabels": {"a": "b"}}}, "spec.selector"),
        (None, {}, ""),
        ({}, {"selector": {"projects": ["*"]}}, "spec.selector"),
        ({}, {"container": {"image": "evil:1", "command": ["sh"]}}, ""),  # no pod has it
        ({"selector": {"projects": ["*"]}}, {"container": {"image": "evil:1"}}, "spec.container"),
        (
            {"selector": {"projects": ["*"]}},
            {"container": {"image": f"registry.internal/metrics/x@{DIGEST}"}},
            "spec.container",
        ),
        ({"selector": {"projects": ["*"]}}, {"container": {"command": ["sh"]}}, "spec.container"),
        ({"selector": {"projects": ["*"]}}, {"container": {"env": {"LD_PRELOAD": "/x"}}}, "spec.container"),
        ({"selector": {"projects": ["*"]}}, {"container": {"image": "registry.internal/metrics:2"}, "paused": True}, ""),
        ({"selector": {"projects": ["a"]}}, {"selector": {"projects": ["a", "b"]}}, "spec.selector"),
        ({"selector": {"projects": ["a"]}}, {"selector": None}, ""),
        ({"selector": {"projects": ["*"]}, "allowedProjects": ["a"]}, {"allowedProjects": ["*"]}, "spec.allowedProjects"),
        ({"allowedProjects": ["a"]}, {"allowedProjects": ["a", "b"]}, ""),
    ],
)
async def test_a_stolen_gateway_credential_brings_no_program_into_all_pods(
    server: Api, unique: str, before: Any, change: Any, refused: str
) -> None:
    answer = await _by_stolen_credential(server, sidecars.PINSIDECARS, f"m{unique}", before, change)
    assert (answer.code == 403) is bool(refused), answer.body
    assert refused in str(answer.body)


OF_NODES = "only a cluster administrator gives a daemon access to its node"
_FIXED = f"registry.internal/logs@{DIGEST}"
_ON_NODE: dict[str, Any] = {
    "container": {"image": _FIXED, "volumes": [{"name": "logs", "mountPath": "/logs", "hostPath": {"path": "/var/log"}}]}
}


@pytest.mark.parametrize(
    ("before", "change", "refused"),
    [
        (None, {}, ""),
        (None, {"container": {"volumes": [{"name": "tmp", "mountPath": "/tmp"}], "ports": [{"name": "http", "port": 80}]}}, ""),
        (None, _ON_NODE, OF_NODES),
        (None, {"container": {"image": _FIXED, "ports": [{"name": "http", "port": 80, "hostPort": 80}]}}, OF_NODES),
        *(
            (None, {"container": {"image": _FIXED, "securityContext": given}}, OF_NODES)
            for given in (
                {"privileged": True},
                {"hostPID": True},
                {"hostNetwork": True},
                {"runAsUser": 0},
                {"capabilities": ["KILL"]},
            )
        ),
        (None, {"container": {"securityContext": {"runAsUser": 1}}}, ""),
        ({}, _ON_NODE, OF_NODES),
        ({}, {"container": {"image": "evil:1"}}, ""),  # it has no access to a node
        (_ON_NODE, {"update": {"maxUnavailable": 2}, "paused": True}, ""),
        (_ON_NODE, {"container": {"image": _FIXED.replace("a" * 64, "b" * 64)}}, OF_NODES),  # it pushed that itself
        (_ON_NODE, {"container": {"image": "registry.internal/evil@sha256:" + "b" * 64}}, OF_NODES),
        (_ON_NODE, {"container": {"command": ["sh"]}}, OF_NODES),
        (_ON_NODE, {"nodeSelector": {"a": "b"}}, OF_NODES),
        (_ON_NODE, {"container": {"volumes": None}}, ""),
        (None, {"container": {"memory": "2Gi"}}, "memory 1Gi"),
        (None, {"container": {"memory": 2**31}}, "memory 1Gi"),
        (None, {"container": {"cpu": "1500m"}}, "cpu is at most 1"),
        (
            None,
            {"container": {"volumes": [{"name": "tmp", "mountPath": "/tmp", "sizeLimit": "1Ti"}]}},
            "sizeLimit of a volume 1Gi",
        ),
        (None, {"container": {"storage": "2Gi"}}, "storage and sizeLimit"),
        ({"container": {"memory": "2Gi"}}, {"paused": True}, ""),
        ({"container": {"memory": "2Gi"}}, {"container": {"cpu": 1}}, "memory 1Gi"),
        (None, {"tolerations": [{}]}, "spec.tolerations"),
        (None, {"tolerations": [{"key": "node-role.kubernetes.io/control-plane"}]}, "spec.tolerations"),
        (None, {"tolerations": [{"key": "example.com/gpu"}]}, ""),
        ({"tolerations": [{}]}, {"paused": True}, ""),
    ],
)
async def test_a_stolen_gateway_credential_gives_no_daemon_a_node(
    server: Api, unique: str, before: Any, change: Any, refused: str
) -> None:
    answer = await _by_stolen_credential(server, daemons.PINDAEMONS, f"m{unique}", before, change)
    assert (answer.code == 403) is bool(refused), answer.body
    assert refused in str(answer.body)


async def test_a_stolen_gateway_credential_brings_nodes_no_image_that_had_no_access_before(server: Api, unique: str) -> None:
    """It holds the key of the registry, so it can push whatever a name says. A version without access was perhaps its own."""
    path = daemons.PINDAEMONS.path(name=f"m{unique}")
    served, former, without, pushed = (f"registry.internal/logs@sha256:{digit * 64}" for digit in "bcde")
    made = patched({"kind": "PinDaemon", "patch": {"metadata": {"name": f"m{unique}"}, "spec": _ON_NODE}})
    (await server.post(daemons.PINDAEMONS.path(), made)).ok(201)
    versions = [{"revision": image[-8:], "container": _ON_NODE["container"] | {"image": image}} for image in (served, former)]
    history = [versions[1], {"revision": "x", "container": {"image": without}}]
    (await server.patch(f"{path}/status", {"status": {"stable": versions[0], "history": history}})).ok()
    answers = {
        image: (await _as_gateway(server, "PATCH", path, {"spec": {"container": {"image": image}}})).code
        for image in (served, former, without, pushed)
    }
    assert answers == {served: 200, former: 200, without: 403, pushed: 403}
    (await server.patch(path, {"metadata": {"finalizers": None}})).ok()
    (await server.delete(path)).ok()


async def _by_stolen_credential(server: Api, kind: Resource[Any], name: str, before: Any, change: Any) -> Answer:
    """What the API server says to the gateway: of an object as it is changed, or made where there is none before."""
    collection = kind.path()
    made = patched({"kind": kind.kind, "patch": {"metadata": {"name": name}, "spec": change if before is None else before}})
    if before is None:
        server.session.headers["Impersonate-Group"] = "system:masters"
        try:
            answer = await _as_user(server, "pincompute:gateway", "POST", collection, made, dryRun="All")
        finally:
            del server.session.headers["Impersonate-Group"]
    else:
        (await server.post(collection, made)).ok(201)
        answer = await _as_gateway(server, "PATCH", f"{collection}/{name}", {"spec": change})
        (await server.patch(f"{collection}/{name}", {"metadata": {"finalizers": None}})).ok()
        (await server.delete(f"{collection}/{name}")).ok()
    return answer


async def _is_refused(api: Api, path: str, manifest: dict[str, Any]) -> bool:
    return (await api.post(path, manifest, dryRun="All")).code == 403


async def test_shards_are_only_made_in_namespaces_of_projects(server: Api, unique: str) -> None:
    """Also not by the federation, whose view may be wrong, and not by an administrator, who may err."""
    (await server.post(shards.PINAPPSHARDS.path(server.namespace), SHARD, dryRun="All")).ok(201)
    for number, lacking in enumerate(project_namespace.labels_of(unique, "uid")):
        name = f"{unique}-{number}"
        found = {label: value for label, value in project_namespace.labels_of(name, "uid").items() if label != lacking}
        (await server.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": found}})).ok(201)
        refused = (await server.post(shards.PINAPPSHARDS.path(name), SHARD, dryRun="All")).refused(403, "Forbidden")
        assert f"namespace {name} is not a project's" in refused["message"]
        (await server.delete(f"/api/v1/namespaces/{name}")).ok()


FEDERATION = "system:serviceaccount:pincompute-system:pincompute-federation"


async def test_only_the_federation_and_administrators_own_namespaces(server: Api, unique: str) -> None:
    """Whoever may label a namespace could otherwise make it a project's, or take a project's away."""
    (await _as_alice(server, "POST", "/api/v1/namespaces", {"metadata": {"name": f"{unique}-x"}})).ok(201)
    foreign, own = f"/api/v1/namespaces/{unique}-x", f"/api/v1/namespaces/{unique}"
    labels_of = project_namespace.labels_of(f"{unique}-x", "uid")
    (await _as_alice(server, "PATCH", foreign, {"metadata": {"labels": {"team": "web"}}}, content_type=MERGE)).ok()
    (await _as_alice(server, "PATCH", own, {"metadata": {"labels": {"team": "web"}}}, content_type=MERGE)).ok()
    for label, value in labels_of.items():
        for path, change in ((foreign, value), (f"{foreign}/status", value), (own, None), (own, "other")):
            body = {"metadata": {"labels": {label: change}}}
            refused = (await _as_alice(server, "PATCH", path, body, content_type=MERGE)).refused(403, "Forbidden")
            assert "only the platform changes the labels" in refused["message"]
        made = {"metadata": {"name": f"{unique}-y", "labels": {label: value}}}
        (await _as_alice(server, "POST", "/api/v1/namespaces", made, dryRun="All")).refused(403, "Forbidden")
    (await server.patch(foreign, {"metadata": {"labels": labels_of}}, dryRun="All")).ok()
    made = {"metadata": {"name": f"{unique}-y", "labels": project_namespace.labels_of(f"{unique}-y", "uid")}}
    (await _as_user(server, FEDERATION, "POST", "/api/v1/namespaces", made, dryRun="All")).ok(201)
    (await server.delete(foreign)).ok()


async def test_a_shard_keeps_template_fields_that_this_member_does_not_know(server: Api) -> None:
    share = {"revision": "r", "replicas": 1, "template": {"spec": {"fieldOfTomorrow": {"a": [1]}}}}
    shard = SHARD | {"spec": SHARD["spec"] | {"mix": [share]}}
    made = (await server.post(shards.PINAPPSHARDS.path(server.namespace), shard, fieldValidation="Strict")).ok(201)
    assert made["spec"]["mix"] == [share]


async def test_pods_of_projects_need_requests_and_limits(server: Api) -> None:
    """M-158."""
    path = f"/api/v1/namespaces/{server.namespace}/pods"
    enough = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    init = {"name": "setup", "image": "i"}
    message = (await server.post(path, POD, dryRun="All")).refused(422, "Invalid")["message"]
    assert "every container needs resources.requests.cpu" in message
    assert "incomplete: web" in message
    whole = {"containers": [POD["spec"]["containers"][0] | {"resources": enough}]}
    (await server.post(path, POD | {"spec": whole}, dryRun="All")).ok(201)
    answer = await server.post(path, POD | {"spec": whole | {"initContainers": [init]}}, dryRun="All")
    assert "incomplete: setup" in answer.refused(422, "Invalid")["message"]
    (await server.post(path, POD | {"spec": POD["spec"] | {"resources": enough}}, dryRun="All")).ok(201)
    (await server.post("/api/v1/namespaces/default/pods", POD, dryRun="All")).ok(201)


ENOUGH = {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "1m", "memory": "1Mi"}}
LITTLE: dict[str, tuple[str, dict[str, Any]]] = {
    # the field that is at fault, and what a container, an init container or the pod as a whole asks for
    "a request of no cpu": ("requests.cpu", {"requests": {"cpu": "0"}}),
    "a request of no memory": ("requests.memory", {"requests": {"memory": "0"}}),
    "a request of one byte": ("requests.memory", {"requests": {"memory": "1"}}),
    "no limit of cpu": ("limits.cpu", {"requests": {"cpu": "0"}, "limits": {"cpu": "0"}}),
    "no limit of memory": ("limits.memory", {"requests": {"memory": "0"}, "limits": {"memory": "0"}}),
    "a request of no storage": ("requests.ephemeral-storage", {"requests": {"ephemeral-storage": "0"}}),
    "no limit of storage": ("limits.ephemeral-storage", {"limits": {"ephemeral-storage": "0"}}),
}


@pytest.mark.parametrize("case", LITTLE)
async def test_no_pod_of_a_project_asks_for_almost_nothing(server: Api, case: str) -> None:
    """What a project takes is counted by requests, and a limit of 0 limits nothing."""
    path, web = f"/api/v1/namespaces/{server.namespace}/pods", POD["spec"]["containers"][0]
    field, less = LITTLE[case]
    little = {part: {**ENOUGH[part], **less.get(part, {})} for part in ENOUGH}
    for place, enough, asked in (
        ("containers[0].resources", [ENOUGH, ENOUGH], [little, ENOUGH]),
        ("initContainers[0].resources", [ENOUGH, ENOUGH], [ENOUGH, little]),
        ("resources", ENOUGH, little),
    ):
        if "storage" in field and place == "resources":
            continue  # Kubernetes knows none of the pod as a whole
        (await server.post(path, POD | {"spec": _asking(web, enough)}, dryRun="All")).ok(201)
        answer = await server.post(path, POD | {"spec": _asking(web, asked)}, dryRun="All")
        assert f"spec.{place}.{field}: {field.partition('.')[2]} must be at least " in answer.refused(422, "Invalid")["message"]


def _asking(web: dict[str, Any], of: Any) -> dict[str, Any]:
    """A pod whose container and init container ask for these, or which asks for them as a whole."""
    if isinstance(of, dict):
        return {"containers": [web], "resources": of}
    return {"containers": [web | {"resources": of[0]}], "initContainers": [web | {"name": "first", "resources": of[1]}]}


OF_THE_NODE: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    # what a pod takes of its node outside of its own limits: as much as it may, too much, and the words
    "items of a secret": (
        {"volumes": [{"name": "s", "secret": {"secretName": "s", "items": [{"key": "k", "path": f"{n}"} for n in range(90)]}}]},
        {"volumes": [{"name": "s", "secret": {"secretName": "s", "items": [{"key": "k", "path": f"{n}"} for n in range(97)]}}]},
        "spec.volumes: volumes may have at most 96 items",
    ),
    "sources of a volume": (
        {"volumes": [{"name": "s", "projected": {"sources": [{"secret": {"name": f"s{n}"}} for n in range(90)]}}]},
        {"volumes": [{"name": "s", "projected": {"sources": [{"secret": {"name": f"s{n}"}} for n in range(97)]}}]},
        "spec.volumes: volumes may have at most 96 items",
    ),
    "exec probes": (
        {"containers": [{"livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1}}] * 8},
        {"containers": [{"livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1}}] * 9},
        "spec.containers: health checks of all containers may run at most 8 commands in a second",
    ),
}


@pytest.mark.parametrize("case", OF_THE_NODE)
async def test_no_pod_of_a_project_takes_more_of_its_node_than_it_may(server: Api, case: str) -> None:
    """Memory that holds the files of volumes, and CPU that starts commands, count in the limits of no pod."""
    path, web = f"/api/v1/namespaces/{server.namespace}/pods", POD["spec"]["containers"][0] | {"resources": ENOUGH}
    *specs, words = OF_THE_NODE[case]
    fits, much = (
        spec | {"containers": [web | {"name": f"c{n}"} | each for n, each in enumerate(spec.get("containers", [{}]))]}
        for spec in specs
    )
    (await server.post(path, POD | {"spec": fits}, dryRun="All")).ok(201)
    assert words in (await server.post(path, POD | {"spec": much}, dryRun="All")).refused(422, "Invalid")["message"]


async def test_a_container_may_request_nothing_of_what_its_pod_requests_as_a_whole(server: Api) -> None:
    """As the platform writes it, so that the LimitRange of the namespace fills nothing in."""
    none = {"requests": {"cpu": "0", "memory": "0"}}
    spec = {"containers": [POD["spec"]["containers"][0] | {"resources": none}], "resources": ENOUGH}
    (await server.post(f"/api/v1/namespaces/{server.namespace}/pods", POD | {"spec": spec}, dryRun="All")).ok(201)
    unasked = {"containers": spec["containers"], "resources": {"limits": {"cpu": "1m"}}}
    answer = await server.post(f"/api/v1/namespaces/{server.namespace}/pods", POD | {"spec": unasked}, dryRun="All")
    assert "memory must be at least 1Mi" in answer.refused(422, "Invalid")["message"]


async def test_a_template_of_an_earlier_version_that_asks_for_nothing_still_gets_pods(server: Api) -> None:
    nothing = {part: dict.fromkeys(("cpu", "memory", "ephemeral-storage"), "0") for part in ("requests", "limits")}
    spec = {"containers": [POD["spec"]["containers"][0] | {"resources": nothing}]}
    path = f"/api/v1/namespaces/{server.namespace}/pods"
    (await server.post(path, POD | {"spec": spec}, dryRun="All")).refused(422, "Invalid")
    made = (await server.post(path, POD | {"spec": pod_resources.completed(spec)}, dryRun="All")).ok(201)
    assert made["spec"]["containers"][0]["resources"]["requests"] == validation_rules.LEAST


@pytest.mark.parametrize("part", ["labels", "annotations"])
async def test_labels_and_annotations_of_users_have_a_length(server: Api, part: str) -> None:
    """Judged as they change: an object of an earlier version can be changed in other ways. What kubectl keeps counts."""
    collection = workloads.PINAPPS.path(server.namespace)
    long = {f"key-{number:04}": "x" * 60 for number in range(1000)}
    app = patched({"patch": {"metadata": {part: long}}})
    answer = (await server.post(collection, app, dryRun="All")).refused(422, "Invalid")
    assert f"metadata.{part}: must have at most 65536 characters together: remove some" in answer["message"]
    short = patched({"patch": {"metadata": {part: dict(list(long.items())[:900])}}})
    (await server.post(collection, short)).ok(201)
    more = {"metadata": {part: {f"more-{number}": "x" * 60 for number in range(100)}}}
    (await server.patch(f"{collection}/hello", more)).refused(422, "Invalid")
    (await server.patch(f"{collection}/hello", {"spec": {"replicas": 2}})).ok()
    (await server.patch(f"{collection}/hello", {"metadata": {part: {"key-0000": None}}})).ok()


@pytest.mark.parametrize("whose", ["an app", "its pods", "a project"])
async def test_what_kubectl_keeps_in_annotations_has_the_same_length(server: Api, whose: str) -> None:
    def noted(size: int) -> tuple[str, dict[str, Any]]:
        notes = {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x" * size}}
        if whose == "a project":
            head = {"apiVersion": projects.PROJECTS.api_version, "kind": "Project"}
            return projects.PROJECTS.path(), {**head, "metadata": {"name": "noted", **notes}}
        path = workloads.PINAPPS.path(server.namespace)
        where: dict[str, Any] = {"metadata": notes}
        return path, patched({"patch": where if whose == "an app" else {"spec": {"template": where}}})

    path, body = noted(65_000)
    (await server.post(path, body, dryRun="All")).ok(201)
    path, body = noted(66_000)
    message = (await server.post(path, body, dryRun="All")).refused(422, "Invalid")["message"]
    assert "annotations: must have at most 65536 characters together: remove some" in message
    assert "kubectl apply --server-side" in message


GATEWAY = "system:serviceaccount:pincompute-system:pincompute-gateway"


async def test_the_gateway_leaves_no_numbers_out_that_others_have_to_count(server: Api) -> None:
    """The federation removes all versions below the newest that are not kept, so a number of 10^12 would hold it for ever."""
    path = settings.PINSECRETS.path(server.namespace)

    def secret(version: int, *numbers: int) -> dict[str, Any]:
        versions = [{"number": number, "time": "2026-01-01T00:00:00Z"} for number in numbers]
        head = {"apiVersion": settings.PINSECRETS.api_version, "kind": settings.PINSECRETS.kind, "metadata": {"name": "far"}}
        return {**head, "spec": {"version": version, "versions": versions}}

    await _may(server, GATEWAY, settings.PINSECRETS.plural, "create", "patch")

    async def permitted() -> bool:
        return (await _as_user(server, GATEWAY, "POST", path, secret(1, 1), dryRun="All")).code == 201

    await until(permitted, "the gateway to write secrets")
    for far in (secret(10**12), secret(0, 10**12), secret(1, 1, 1001)):
        answer = await _as_user(server, GATEWAY, "POST", path, far, dryRun="All")
        assert "spec.versions: a new version follows the one before, which is 0" in answer.refused(422, "Invalid")["message"]
    (await _as_user(server, GATEWAY, "POST", path, secret(1, 1))).ok(201)
    for far in (secret(1, 1, 10**12), secret(10**12, 1), secret(1, 1, 1002)):
        answer = await _as_user(server, GATEWAY, "PATCH", f"{path}/far", {"spec": far["spec"]}, content_type=MERGE)
        assert "write a number of at most 1001" in answer.refused(422, "Invalid")["message"]
    near = {"spec": secret(2, 1, 2)["spec"]}
    (await _as_user(server, GATEWAY, "PATCH", f"{path}/far", near, content_type=MERGE)).ok()
    (await server.patch(f"{path}/far", {"metadata": {"finalizers": None}})).ok()
    (await server.delete(f"{path}/far")).ok()


FOREIGN: dict[str, dict[str, Any]] = {
    "a container": {"containers": [{"name": "web", "image": "registry.internal/other/web:1"}]},
    "an init container": {"initContainers": [{"name": "first", "image": "registry.internal/other/web@sha256:" + "a" * 64}]},
    "a volume": {"volumes": [{"name": "v", "image": {"reference": "registry.internal/other/web"}}]},
    "an id": {"containers": [{"name": "web", "image": "sha256:a"}]},
    "other spellings": {
        "containers": [
            {"name": f"c{number}", "image": image}
            for number, image in enumerate(
                (
                    "REGISTRY.internal/other/web:1",
                    "registry.internal:443/other/web:1",
                    "Registry.internal/hello:1",
                    "registry.internal/hello/../other/web:1",
                    "registry.internal//hello:1",
                    "1a" * 32,
                    f"hello@sha256:{'A' * 64}",
                    "a/" * 128 + "a:1",
                    "node.localhost/hello:1",
                )
            )
        ]
    },
    "two of them": {
        "initContainers": [{"name": "first", "image": "registry.internal/other/web"}],
        "volumes": [{"name": "v", "image": {"reference": "registry.internal/other/web"}}],
    },
}


@pytest.mark.parametrize("case", FOREIGN)
async def test_images_of_other_projects_are_refused_in_the_words_of_validation(server: Api, case: str) -> None:
    app = patched({"patch": {"metadata": {"namespace": server.namespace}, "spec": {"template": {"spec": FOREIGN[case]}}}})
    said = [str(problem) for problem in object_validation.problems(app)]
    message = (await _create(server, app)).refused(422, "Invalid")["message"]
    assert said
    assert all(line in message for line in said)
    pod = f"/api/v1/namespaces/{server.namespace}/pods"
    enough = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    spec = POD["spec"] | FOREIGN[case] | {"resources": enough}
    message = (await server.post(pod, POD | {"spec": spec}, dryRun="All")).refused(422, "Invalid")["message"]
    assert all(line.removeprefix("spec.template.") in message for line in said)


async def test_a_project_runs_its_own_images_and_those_of_the_platform(server: Api) -> None:
    for image in (
        "hello:1",
        "pincompute/pause:1",
        f"{server.namespace}/web:1",
        f"{server.namespace}/team/web@sha256:" + "a" * 64,
    ):
        containers = [{"name": "web", "image": f"registry.internal/{image}"}]
        app = patched(
            {"patch": {"metadata": {"namespace": server.namespace}, "spec": {"template": {"spec": {"containers": containers}}}}}
        )
        assert object_validation.problems(app) == []
        (await server.post(f"{RESOURCES['PinApp'].path(server.namespace)}", app, dryRun="All")).ok(201)


STATUS = {
    "phase": "Degraded",
    "replicas": 6,
    "readyReplicas": 4,
    "where": "a1=2 b1=2 c1=2",
    "revision": "0123456789",
    "selector": "pincompute.io/app=hello",
    "message": "b1: image hello:1 cannot be pulled",
}


async def test_get_answers_running_where_revision_and_why_not(server: Api, kubectl: Kubectl) -> None:
    path = workloads.PINAPPS.path(server.namespace)
    (await server.post(path, patched(INPUTS["good"]["least"]))).ok(201)
    (await server.patch(f"{path}/hello/status", {"status": STATUS})).ok()
    listed = await asyncio.to_thread(kubectl, "get", "pinapps", f"--namespace={server.namespace}")
    head, line = listed.splitlines()
    assert head.split() == ["NAME", "PHASE", "WANTED", "READY", "WHERE", "REVISION", "MESSAGE", "AGE"]
    for cell in ("hello", "Degraded", " 4 ", STATUS["where"], STATUS["revision"], STATUS["message"]):
        assert cell in line
    category = await asyncio.to_thread(kubectl, "get", "pincompute", f"--namespace={server.namespace}", "--output=name")
    assert "pinapp.pincompute.io/hello" in category.split()


async def test_scale_subresource(server: Api, kubectl: Kubectl) -> None:
    path = workloads.PINAPPS.path(server.namespace)
    (await server.post(path, patched(INPUTS["good"]["least"]))).ok(201)
    (await server.patch(f"{path}/hello/status", {"status": STATUS})).ok()
    await asyncio.to_thread(kubectl, "scale", "pa/hello", "--replicas=5", f"--namespace={server.namespace}")
    scale = (await server.get(f"{path}/hello/scale")).ok()
    assert scale["spec"] == {"replicas": 5}
    assert scale["status"] == {"replicas": 6, "selector": STATUS["selector"]}


def _without_words(value: Any) -> Any:
    """Without what the served document says more of than the module's: descriptions, and choices, which we list."""
    if isinstance(value, dict):
        left_out = ("description", "enum") if "properties" not in value or "type" in value else ()
        return {key: _without_words(part) for key, part in value.items() if key not in left_out}
    return [_without_words(part) for part in value] if isinstance(value, list) else value


async def test_the_pod_templates_schema_is_that_of_this_kubernetes_version(server: Api) -> None:
    document = (await server.get("/openapi/v3/api/v1")).ok()
    assert _without_words(template_schema.extract(document)) == _without_words(template_schema.schema())


async def test_choices_are_those_of_this_kubernetes_version(server: Api) -> None:
    kinds = (await server.get("/openapi/v3/api/v1")).ok()["components"]["schemas"]
    for kind, fields in template_limits.CHOICES.items():
        properties = kinds[f"io.k8s.api.core.v1.{kind}"]["properties"]
        served = {field: {*properties[field]["enum"], ""} for field in fields}
        assert served == {field: {*values, ""} for field, values in fields.items()}


def _described(text: str) -> Iterator[tuple[str, str]]:
    """Field and description of what `kubectl explain` prints."""
    lines = text.partition("FIELDS:\n")[2].splitlines()
    for number, line in enumerate(lines):
        if line.startswith("  ") and not line.startswith("    ") and "\t<" in line:
            after = [following.strip() for following in lines[number + 1 : number + 8]]
            words = [words for words in after if words and not words.startswith(("enum:", "<no"))]
            yield line.split()[0], words[0] if words else ""


@pytest.mark.parametrize(
    "path", ["pinapp.spec", "pinapp.spec.update", "pinapp.status", "membercluster.spec", "pinapp.spec.template.spec.containers"]
)
async def test_explain_describes_every_field(kubectl: Kubectl, path: str) -> None:
    described = dict(_described(await asyncio.to_thread(kubectl, "explain", path)))
    assert len(described) >= 4
    assert all(described.values()), described
