"""The schema of a pod template: Kubernetes' own, made structural, with what every cluster would refuse refused at once.

`extract` makes it from the OpenAPI v3 document of the pinned Kubernetes version (`tools/podtemplate.py` runs it); the
result is package data, `podtemplate.json`. The surprising rule: a custom resource's schema may hold no references, so
every type is written out wherever it is used; that is why descriptions are cut to their beginnings.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Any, TypeAlias

from pincompute.api import rules
from pincompute.api.meta import Manifest

Schema: TypeAlias = dict[str, Any]

ROOT = "io.k8s.api.core.v1.PodTemplateSpec"
LONGEST_DESCRIPTION = 240  # characters; first sentences up to here


def _ruled(*every: rules.Rule) -> Schema:
    return {"x-kubernetes-validations": [rule.manifest() for rule in every]}


QUANTITY: Schema = {
    "x-kubernetes-int-or-string": True,
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "maxLength": 64,
    **_ruled(rules.QUANTITY),
}
_INT_OR_STRING: Schema = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}

_REPLACED: dict[str, Schema] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": QUANTITY,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _INT_OR_STRING,
}
# The parts of metadata that mean something in a template; tools write creationTimestamp: null into it.
_TEMPLATE_METADATA = ("name", "namespace", "labels", "annotations", "finalizers", "creationTimestamp")
_NOT_IN_TEMPLATES = {"io.k8s.api.core.v1.PodSpec": ("ephemeralContainers",)}

_DNS_LABEL: Schema = {"minLength": 1, "maxLength": 63, **_ruled(rules.DNS_LABEL)}
_LABEL_VALUE: Schema = {"type": "string", "maxLength": 63, **_ruled(rules.LABEL_VALUE)}
_PORT: Schema = {"minimum": 1, "maximum": 65535}
_CONTAINER: dict[str, Schema] = {
    "name": _DNS_LABEL,
    "image": {"minLength": 1, "maxLength": 1024},
    "imagePullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "terminationMessagePolicy": {"enum": ["File", "FallbackToLogsOnError"]},
    "ports": {"maxItems": 64},
    "volumeMounts": {"maxItems": 64},
}
_TIGHTENED: dict[str, dict[str, Schema]] = {
    "Container": _CONTAINER,
    "ContainerPort": {
        "containerPort": _PORT,
        "hostPort": {"minimum": 0, "maximum": 65535},
        "name": {"maxLength": 15, **_ruled(rules.PORT_NAME)},
        "protocol": {"enum": ["TCP", "UDP", "SCTP"], "default": "TCP"},
    },
    "PodSpec": {
        "containers": {"minItems": 1, "maxItems": 32},
        "initContainers": {"maxItems": 32},
        "volumes": {"maxItems": 64},
        "overhead": {"maxProperties": 32},
        "restartPolicy": {"enum": ["Always", "OnFailure", "Never"]},
        "dnsPolicy": {"enum": ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]},
        "terminationGracePeriodSeconds": {"minimum": 0},
    },
    "ObjectMeta": {
        "labels": {"maxProperties": 64, "additionalProperties": _LABEL_VALUE},
        "annotations": {"maxProperties": 256},
    },
    "ResourceRequirements": {"requests": {"maxProperties": 32}, "limits": {"maxProperties": 32}},
    "VolumeResourceRequirements": {"requests": {"maxProperties": 32}, "limits": {"maxProperties": 32}},
    # Deep in four nested lists: a rule there could cost too much, a pattern costs nothing.
    "ResourceFieldSelector": {"divisor": {"x-kubernetes-validations": None, "pattern": "^[0-9]+([KMGTPE]i|[mkMGTPE])?$"}},
    "EnvVar": {"name": {"minLength": 1}},
    "Volume": {"name": _DNS_LABEL},
    "VolumeMount": {"name": _DNS_LABEL, "mountPath": {"minLength": 1}},
    "Probe": {name: {"minimum": 0} for name in ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold")},
    "Toleration": {
        "effect": {"enum": ["", "NoSchedule", "PreferNoSchedule", "NoExecute"]},
        "operator": {"enum": ["", "Equal", "Exists", "Lt", "Gt"]},
    },
    "TopologySpreadConstraint": {
        "whenUnsatisfiable": {"enum": ["DoNotSchedule", "ScheduleAnyway"]},
        "maxSkew": {"minimum": 1},
    },
}
_REQUIRED = {"Container": ("image",), "PodTemplateSpec": ("spec",)}
_KEPT = ("type", "format", "required", "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type")


@cache
def schema() -> Schema:
    """The extracted schema. Shared: take `copy.deepcopy` before changing it."""
    return json.loads(resources.files("pincompute.api").joinpath("podtemplate.json").read_text("utf-8"))


def extract(document: Manifest) -> Schema:
    """The structural schema of PodTemplateSpec from Kubernetes' OpenAPI v3 document of the core group."""
    return _Extraction(document["components"]["schemas"]).named(ROOT)


def first_sentences(text: str, longest: int = LONGEST_DESCRIPTION) -> str:
    """Whole sentences from the beginning, as many as fit, at least one; without links and layout."""
    flat = re.sub(r"\s+", " ", text).strip()
    flat = re.sub(r" ?(More info:?|For more information,? [Ss]ee|[Ss]ee) https?://\S+", "", flat)
    sentences = re.split(r"(?<=[.!?]) (?=[A-Z\"'*-])", flat)
    chosen = sentences[0]
    for sentence in sentences[1:]:
        if sentence == "Cannot be updated.":
            continue
        if len(chosen) + 1 + len(sentence) > longest:
            break
        chosen = f"{chosen} {sentence}"
    return chosen if len(chosen) <= longest else f"{chosen[: longest - 3].rsplit(' ', 1)[0]}..."


class _Extraction:
    """One walk over the document's types; the graph below a pod template has no cycles."""

    def __init__(self, types: dict[str, Schema]) -> None:
        self._types = types

    def named(self, name: str) -> Schema:
        if name in _REPLACED:
            return dict(_REPLACED[name])
        source, short = self._types[name], name.rpartition(".")[2]
        made = self._inline(source)
        properties: dict[str, Schema] = made.get("properties", {})
        if short == "ObjectMeta":
            properties = {key: properties[key] for key in _TEMPLATE_METADATA}
            properties["creationTimestamp"]["nullable"] = True
        for absent in _NOT_IN_TEMPLATES.get(name, ()):
            del properties[absent]
        for key, limits in _TIGHTENED.get(short, {}).items():
            properties[key] = _tighten(properties[key], limits)
        required = {*made.get("required", ()), *_REQUIRED.get(short, ())}
        parts = {"properties": properties} if properties else {}
        return made | parts | ({"required": sorted(required)} if required else {})

    def _inline(self, source: Schema) -> Schema:
        reference = source.get("$ref") or next((part["$ref"] for part in source.get("allOf", ())), None)
        made = self.named(reference.rpartition("/")[2]) if reference else {key: source[key] for key in _KEPT if key in source}
        if "description" in source:
            made["description"] = first_sentences(source["description"])
        if "properties" in source:
            made["properties"] = {name: self._inline(part) for name, part in source["properties"].items()}
        if "additionalProperties" in source:
            made["additionalProperties"] = self._undescribed(source["additionalProperties"])
        if "items" in source:
            made["items"] = self._undescribed(source["items"])
            _require_keys(made)
        return made

    def _undescribed(self, source: Schema) -> Schema:
        """Elements of a list or map are described where the list is."""
        made = self._inline(source)
        made.pop("description", None)
        return made


def _tighten(part: Schema, limits: Schema) -> Schema:
    """With the limits added; a limit of None takes a keyword away."""
    return {keyword: value for keyword, value in (part | limits).items() if value is not None}


def _require_keys(listing: Schema) -> None:
    """Keys of a list-type map must be required or have a default."""
    for key in listing.get("x-kubernetes-list-map-keys", ()):
        if "default" not in listing["items"]["properties"][key]:
            listing["items"]["required"] = sorted({*listing["items"].get("required", ()), key})
