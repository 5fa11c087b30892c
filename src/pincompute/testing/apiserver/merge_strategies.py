"""Knows how the lists and maps of a kind merge: by field, by list key, as a set, or as one value.

Strategies of built-in kinds are found by field name, those of custom kinds are read from their schema. A strategy without a
field returns its `rest`, or itself, so one strategy can describe everything below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from pincompute.api.meta import Manifest


@dataclass(frozen=True, slots=True)
class MergeStrategy:
    """`keys` (with their defaults) make a list a map of items; `each` makes it a set; otherwise a list is one value.

    `atomic` makes the map one value, or says so of whatever stands there.
    """

    fields: Mapping[str, MergeStrategy] = field(default_factory=dict[str, "MergeStrategy"])
    rest: MergeStrategy | None = None
    keys: tuple[tuple[str, Any], ...] = ()
    each: bool = False
    atomic: bool = False

    def field(self, name: str) -> MergeStrategy:
        return self.fields.get(name) or self.rest or self

    @property
    def item(self) -> MergeStrategy:
        return self.rest or DEDUCED

    def element(self, item: Any) -> str:
        """The name of a list item as managed fields write it: its keys, or its value."""
        if self.each:
            return "v:" + _text(item)
        return "k:" + _text({key: item.get(key, default) for key, default in self.keys if key in item or default is not None})


def _text(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


DEDUCED = MergeStrategy()
"""Where no schema tells: maps merge by field, a list is one value."""

ATOMIC = MergeStrategy(atomic=True)

_KEYED: Mapping[str, tuple[tuple[str, Any], ...]] = {
    "containers": (("name", None),),
    "initContainers": (("name", None),),
    "ephemeralContainers": (("name", None),),
    "conditions": (("type", None),),
    "env": (("name", None),),
    "volumes": (("name", None),),
    "volumeMounts": (("mountPath", None),),
    "volumeDevices": (("devicePath", None),),
    "imagePullSecrets": (("name", None),),
    "hostAliases": (("ip", None),),
    "schedulingGates": (("name", None),),
    "resourceClaims": (("name", None),),
    "topologySpreadConstraints": (("topologyKey", None), ("whenUnsatisfiable", None)),
    "ownerReferences": (("uid", None),),
}
_CONTAINER_PORTS = (("containerPort", None), ("protocol", "TCP"))
_SERVICE_PORTS = (("port", None), ("protocol", "TCP"))
_WHOLE = ("nodeSelector", "selector", "configMapKeyRef", "secretKeyRef", "fieldRef", "resourceFieldRef")


def _built_in(ports: tuple[tuple[str, Any], ...]) -> MergeStrategy:
    fields: dict[str, MergeStrategy] = {}
    root = MergeStrategy(fields=fields)
    fields.update({name: MergeStrategy(keys=keys, rest=root) for name, keys in _KEYED.items()})
    fields.update(dict.fromkeys(_WHOLE, ATOMIC))
    fields["ports"] = MergeStrategy(keys=ports, rest=root)
    fields["finalizers"] = MergeStrategy(each=True)
    for free in ("labels", "annotations", "data", "limits", "requests"):
        fields[free] = DEDUCED
    return root


BUILT_IN = _built_in(_CONTAINER_PORTS)
SERVICE = _built_in(_SERVICE_PORTS)


def read(schema: Manifest) -> MergeStrategy:
    """The shape that a structural schema describes; metadata is the same for every kind."""
    described = _read(schema)
    return MergeStrategy(fields={**described.fields, "metadata": BUILT_IN}, rest=described.rest)


def _read(schema: Manifest) -> MergeStrategy:
    if schema.get("x-kubernetes-map-type") == "atomic":
        return ATOMIC
    if schema.get("type") == "array":
        return _read_list(schema)
    fields = {name: _read(part) for name, part in schema.get("properties", {}).items()}
    if schema.get("x-kubernetes-embedded-resource"):
        fields["metadata"] = BUILT_IN
    extra = schema.get("additionalProperties")
    return MergeStrategy(fields=fields, rest=_read(cast("Manifest", extra)) if isinstance(extra, dict) else DEDUCED)


def _read_list(schema: Manifest) -> MergeStrategy:
    items: Manifest = schema.get("items", {})
    match schema.get("x-kubernetes-list-type", "atomic"):
        case "map":
            properties: Manifest = items.get("properties", {})
            keys = tuple((key, properties.get(key, {}).get("default")) for key in schema["x-kubernetes-list-map-keys"])
            return MergeStrategy(keys=keys, rest=_read(items))
        case "set":
            return MergeStrategy(each=True)
        case _:
            return ATOMIC
