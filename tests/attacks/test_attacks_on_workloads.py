"""What somebody with rights in one project must not achieve in another, or for the whole region."""

from __future__ import annotations

import msgspec
import pytest
from federation.object_builders import app, template

from pincompute.api import admission_policies, validation_rules
from pincompute.api.builtin import PODS, Pod
from pincompute.api.labels import (
    CHANGED_BY,
    GATEWAY,
    IMAGE_PULL_SHARD_UID,
    MANAGED_BY,
    OPERATIONS,
    OPERATOR,
    PINCOMPUTE,
    PROJECT,
    RESTART_REQUEST,
    SHARD_UID,
    user_names,
)
from pincompute.api.meta import Key, ObjectMeta, OwnerReference
from pincompute.api.projects import Project
from pincompute.api.revisions import PINREVISIONS, PinRevision, PinRevisionSpec
from pincompute.domain import operation_annotation, restart_requests, shard_pods
from pincompute.federation.workload import revision_history
from pincompute.federation.workload.revision_history import NO_REVISIONS, Revisions
from pincompute.kube.informer import UNREADABLE
from pincompute.kube.object_decoding import object_decoder
from pincompute.operator.replicas import replicas_controller as replicas

DEEP = "[" * 3000 + "]" * 3000


def test_json_that_is_nested_too_deep_is_one_unreadable_object_and_no_end_of_the_process():
    """A cache notes the object and goes on; it used to end the federation and the gateway."""
    body = f'{{"metadata":{{"name":"deep"}},"spec":{{"revision":"x","number":1,"template":{{"a":{DEEP}}}}}}}'
    with pytest.raises(UNREADABLE):
        object_decoder(PINREVISIONS.type).decode(body.encode())


def test_revisions_are_written_by_the_platform_alone():
    """With rights on the whole group a user could have another template run at the next rollback."""
    (policy,) = [
        p
        for p in admission_policies.host()
        if p["kind"] == "ValidatingAdmissionPolicy" and p["metadata"]["name"].startswith("platform-writes")
    ]
    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
    assert (rule["resources"], set(rule["operations"])) == (["pinrevisions"], {"CREATE", "UPDATE", "DELETE"})
    assert policy["spec"]["failurePolicy"] == "Fail"


def test_pods_that_pull_images_are_written_by_the_operator_alone():
    """Whoever can make pods in one project could otherwise let go, or hold up, the pods of all others."""
    found = {p["kind"]: p["spec"] for p in admission_policies.member() if p["metadata"]["name"].startswith("image-pulls.")}
    policy, binding = found["ValidatingAdmissionPolicy"], found["ValidatingAdmissionPolicyBinding"]
    (rule,) = policy["matchConstraints"]["resourceRules"]
    assert set(rule["resources"]) == {"pods", "pods/ephemeralcontainers", "pods/resize"}
    assert (set(rule["operations"]), policy["failurePolicy"]) == ({"CREATE", "UPDATE"}, "Fail")
    assert policy["matchConstraints"]["namespaceSelector"]["matchExpressions"] == [{"key": PROJECT, "operator": "Exists"}]
    (selected,) = binding["matchResources"]["objectSelector"]["matchExpressions"]
    assert selected == {"key": IMAGE_PULL_SHARD_UID, "operator": "Exists"}
    (judged,) = policy["validations"]
    assert all(name in judged["expression"] for name in user_names(OPERATOR))
    assert not any(name in judged["expression"] for name in user_names(GATEWAY))


class ObservedRevisions:
    """Views of a host that holds these revisions."""

    def __init__(self, *found: PinRevision) -> None:
        self.found = found

    def view(self, _cluster: str, _resource: object) -> ObservedRevisions:
        return self

    def by(self, _index: str, value: str) -> list[PinRevision]:
        return [r for r in self.found if value in revision_history.workloads(r)]


def forged(**changes: object) -> PinRevision:
    owner = OwnerReference(kind="PinApp", name="hello", uid="uid-hello")
    facts = {"name": "pinapp-hello-x1", "namespace": "demo", "uid": "u", "labels": {MANAGED_BY: PINCOMPUTE}} | changes
    meta = ObjectMeta(**facts, owner_references=(owner,))  # type: ignore[arg-type]
    return PinRevision(metadata=meta, spec=PinRevisionSpec(revision="x1", number=1, template=template()))


@pytest.mark.parametrize(
    "revision",
    [forged(namespace="evil"), forged(name="forged"), forged(labels={})],
    ids=["of another project", "of another name", "not of the platform"],
)
def test_a_revision_that_only_claims_to_be_the_workloads_is_not_believed(revision: PinRevision):
    assert revision_history.observe(app(), ObservedRevisions(revision)) == NO_REVISIONS  # type: ignore[arg-type]
    assert revision_history.observe(app(), ObservedRevisions(forged())) == Revisions((forged(),))  # type: ignore[arg-type]


@pytest.mark.parametrize("amount", ["1e999999999999999999", "1E-100", "1e100"])
def test_an_exponent_that_the_api_server_would_work_out_for_minutes_is_refused_first(amount: str):
    assert validation_rules.QUANTITY.holds is not None
    assert not validation_rules.QUANTITY.holds(amount)
    assert validation_rules.QUANTITY.cel.index("[eE]") < validation_rules.QUANTITY.cel.index("isQuantity")


def test_a_pod_of_another_project_is_no_pod_of_the_shard_whatever_its_label_says():
    """It made every proof of the set of pods fail, so that the shard's lost pods were never made again."""
    squat = Pod(metadata=ObjectMeta(name="squat", namespace="evil", labels={SHARD_UID: "uid"}))
    (filed,) = replicas.INDEXES[PODS][replicas.BY_SHARD](squat)
    assert filed == "evil/uid"


@pytest.mark.parametrize("text", [DEEP, "{}", '[{"id":1}]', "x" * 100_000])
def test_a_restart_request_that_nobody_of_the_platform_wrote_is_none(text: str):
    pod = Pod(metadata=ObjectMeta(name="web-0", namespace="demo", annotations={RESTART_REQUEST: text}))
    assert restart_requests.waiting(pod) == ()


@pytest.mark.parametrize("text", [DEEP, f'[{{"x":{DEEP}}}]', "{}", "[1]"], ids=["deep", "deep in a note", "no list", "no note"])
def test_notes_that_nobody_of_the_platform_wrote_are_none(text: str):
    """One project with such an annotation made the list of projects an error for everybody."""
    noted = Project(metadata=ObjectMeta(name="shop", generation=1, annotations={OPERATIONS: text}))
    assert operation_annotation.read(noted) == ()
    assert operation_annotation.author(noted) == ""


@pytest.mark.parametrize(
    "text", ["9" * 5000 + " bob", "² bob", "x bob", "bob"], ids=["long", "no digit", "no number", "one word"]
)
def test_an_author_without_a_generation_is_none(text: str):
    written = Project(metadata=ObjectMeta(name="shop", generation=1, annotations={CHANGED_BY: text}))
    assert operation_annotation.author(written) == ""


@pytest.mark.parametrize("text", ["²", "9" * 5000, "-1", "x"])
def test_an_ordinal_that_nobody_of_the_platform_wrote_is_zero(text: str):
    pod = msgspec.convert({"metadata": {"name": "web", "annotations": {"pincompute.io/ordinal": text}}}, Pod)
    assert shard_pods.ordinal(pod) == 0
    assert pod.key == Key("", "web")
