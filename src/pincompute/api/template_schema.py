"""Makes the schema of a pod template: that of Kubernetes, made structural and stricter.

`extract` makes it from the OpenAPI v3 document of the pinned Kubernetes version (`tools/generate_template_schema.py` runs it),
and the result is package data, `podtemplate.json`. It refuses at once what every cluster would refuse. The schema of a custom
resource must not contain references, so every type is written out wherever it is used, and descriptions are cut to their first
sentences.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources

from pincompute.api import template_limits
from pincompute.api.meta import Manifest
from pincompute.api.template_limits import Schema

ROOT = "io.k8s.api.core.v1.PodTemplateSpec"
LONGEST_DESCRIPTION = 240  # characters; first sentences up to here

_INT_OR_STRING: Schema = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
_REPLACED: dict[str, Schema] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": template_limits.QUANTITY,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _INT_OR_STRING,
}
# The parts of metadata that mean something in a template; tools write creationTimestamp: null into it.
_TEMPLATE_METADATA = ("name", "namespace", "labels", "annotations", "finalizers", "creationTimestamp")
_NOT_IN_TEMPLATES = {"PodSpec": ("ephemeralContainers",)}
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
    flat = flat.partition(" Possible enum values:")[0]
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
        for absent in _NOT_IN_TEMPLATES.get(short, ()):
            del properties[absent]
        for key, limits in template_limits.of(short).items():
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
    """Returns the schema with the limits added. A limit of None removes a keyword."""
    return {keyword: value for keyword, value in (part | limits).items() if value is not None}


def _require_keys(listing: Schema) -> None:
    """Keys of a list-type map must be required or have a default."""
    for key in listing.get("x-kubernetes-list-map-keys", ()):
        if "default" not in listing["items"]["properties"][key]:
            listing["items"]["required"] = sorted({*listing["items"].get("required", ()), key})
