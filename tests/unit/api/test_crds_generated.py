"""What is generated from the structs: structural, described, bounded, and the files under `deploy/` up to date."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml

from pincompute.api import crds, labels, manifests, object_validation, structural_schema, template_schema
from pincompute.api.kinds import KINDS
from pincompute.api.meta import Object, doc

ROOT = Path(__file__).parents[3]
DEFINITIONS = {definition["spec"]["names"]["kind"]: definition for definition in (*crds.host(), *crds.member())}
HOST = {"PinApp", "PinPod", "MemberCluster", "Project", "PinRevision", "PinSecret", "PinConfig", "PinSidecar", "PinDaemon"}
MEMBER = {"PinAppShard", "PinPodShard", "ClusterCapacity", "PinSidecarShard", "PinDaemonShard"}


def root_of(kind: str) -> dict[str, Any]:
    return DEFINITIONS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def parts(part: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema below, with its path."""
    yield path, part
    for name, below in part.get("properties", {}).items():
        yield from parts(below, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(part.get(key), dict):
            yield from parts(part[key], f"{path}[]")


def test_every_kind_has_a_definition() -> None:
    assert set(DEFINITIONS) == HOST | MEMBER
    assert {definition["spec"]["names"]["kind"] for definition in crds.host()} == HOST


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_schemas_are_structural(kind: str) -> None:
    for path, part in parts(root_of(kind)):
        assert "$ref" not in part, path
        assert "type" in part or part.get("x-kubernetes-int-or-string"), path
        for key in part.get("x-kubernetes-list-map-keys", ()):
            item = part["items"]
            assert key in item["required"] or "default" in item["properties"][key], path


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_every_field_is_described(kind: str) -> None:
    undescribed = [path for path, part in parts(root_of(kind)) if not part.get("description") and not path.endswith("]")]
    assert [path for path in undescribed if path != ".metadata"] == []


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_kinds_have_a_category_short_names_columns_and_a_status_of_their_own(kind: str) -> None:
    spec = DEFINITIONS[kind]["spec"]
    assert spec["names"]["categories"] == ["pincompute"]
    assert spec["names"]["shortNames"]
    assert spec["versions"][0]["additionalPrinterColumns"]
    assert spec["versions"][0]["subresources"]["status"] == {}


def test_short_names_are_unique() -> None:
    names = [name for definition in DEFINITIONS.values() for name in definition["spec"]["names"]["shortNames"]]
    assert len(names) == len(set(names))


def test_specs_have_defaults_and_statuses_only_the_counts_that_get_shows() -> None:
    """A controller reads back what it wrote."""
    root = root_of("PinApp")
    spec = structural_schema.at(root, "spec")
    assert {name: part.get("default") for name, part in spec["properties"].items()} == {
        "template": None,
        "replicas": 1,
        "tier": "OnDemand",
        "placement": {},
        "update": {},
        "disruption": {},
        "historyLimit": 10,
        "rollout": None,
        "paused": False,
        "stopped": False,
    }
    defaulted = [path for path, part in parts(structural_schema.at(root, "status")) if "default" in part]
    assert defaulted == [".replicas", ".readyReplicas"]


def test_a_field_without_a_description_is_refused() -> None:
    class Silent(Object):
        known: Annotated[int, doc("Is described.")] = 0
        unknown: int = 0

    with pytest.raises(structural_schema.UndescribedError, match=r"Silent\.unknown needs a description"):
        structural_schema.of_kind(Silent)


def test_a_type_without_a_structural_schema_is_refused() -> None:
    class Odd(Object):
        either: Annotated[bool | str, doc("Cannot be said.")] = False

    with pytest.raises(TypeError, match="no structural schema for the union"):
        structural_schema.of_kind(Odd)


def test_every_rule_is_known_to_validation_and_names_a_remedy() -> None:
    schemas = [*map(root_of, DEFINITIONS), *map(crds.workload_schema, KINDS)]
    said = [rule for root in schemas for _, part in parts(root) for rule in part.get("x-kubernetes-validations", ())]
    assert len(said) > 40
    for rule in said:
        known = object_validation.RULES[rule["rule"], rule["message"]]
        assert rule["message"] == f"{known.problem}: {known.remedy}"
        assert known.problem
        assert known.remedy


def test_a_shards_template_is_kept_as_it_comes() -> None:
    spec = structural_schema.at(root_of("PinAppShard"), "spec")
    assert spec["x-kubernetes-preserve-unknown-fields"] is True
    assert "properties" not in spec


def test_the_pod_template_is_compact_and_complete() -> None:
    path = ROOT / "src/pincompute/api/podtemplate.json"
    assert path.stat().st_size < 300_000
    container = structural_schema.at(template_schema.schema(), "spec.containers[]")
    assert container["required"] == ["image", "name"]
    assert {"args", "command", "env", "envFrom", "lifecycle", "ports", "resources", "securityContext"} <= set(
        container["properties"]
    )
    assert "ephemeralContainers" not in structural_schema.at(template_schema.schema(), "spec")["properties"]


SENTENCES = {
    "first sentences as long as they fit": ("One. Two. " + "X" * 300 + ".", "One. Two."),
    "links are left out": ("Name of it. More info: https://example.org/x", "Name of it."),
    "what templates do not care about is left out": ("Name. Cannot be updated. More.", "Name. More."),
    "one long sentence is cut at a word": ("word " * 100, "word " * 46 + "word..."),
    "choices are the enum's": ('Kind. Possible enum values: - `"A"`', "Kind."),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_descriptions_are_cut_to_first_sentences(case: str) -> None:
    given, want = SENTENCES[case]
    assert template_schema.first_sentences(given) == want


def test_generated_files_are_up_to_date() -> None:
    """`make generate` writes it."""
    generate = runpy.run_path(str(ROOT / "tools/generate.py"))
    wanted = generate["files"]()
    assert wanted
    for path, content in wanted.items():
        assert (ROOT / path).read_text("utf-8") == content, f"{path} is old: run `make generate`"
        assert len(content) < 1 << 20
    assert generate["stale"](wanted) == []


def test_manifests_are_applied_in_an_order_that_works() -> None:
    for every in (manifests.host_manifests(), manifests.member_manifests()):
        kinds = [manifest["kind"] for manifest in every]
        assert kinds[0] == "Namespace"
        assert kinds.index("CustomResourceDefinition") < kinds.index("ValidatingAdmissionPolicy")
        assert json.loads(json.dumps(every)) == every
        assert yaml.load(yaml.dump(every, Dumper=yaml.CSafeDumper), yaml.CSafeLoader) == every


def test_every_policy_is_bound_and_fails_closed() -> None:
    every = [*manifests.host_manifests(), *manifests.member_manifests()]
    policies = {m["metadata"]["name"]: m["spec"] for m in every if m["kind"].endswith("AdmissionPolicy")}
    bound = {m["spec"]["policyName"] for m in every if m["kind"].endswith("AdmissionPolicyBinding")}
    assert policies
    assert set(policies) == bound
    open_to_failure = [name for name, spec in policies.items() if spec["failurePolicy"] != "Fail"]
    assert open_to_failure == [
        "fractions-as-text.pincompute.io",
        "shards-untracked.pincompute.io",
    ], "they guard nothing"
    assert labels.SHARDS_FINALIZER in json.dumps(policies["workload-metadata.pincompute.io"])
    assert labels.DRAIN_FINALIZER in json.dumps(policies["membercluster-finalizer.pincompute.io"])
