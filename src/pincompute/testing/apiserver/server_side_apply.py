"""Tracks who owns which field: managed fields of every write, and server-side apply.

An entry of `metadata.managedFields` is one manager's set for one operation and subresource; the sets have the API's `fieldsV1`
form (`field_sets`). Apply takes what the manager lists now, and removes what it listed before and nobody else owns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pincompute.api.meta import Manifest
from pincompute.kube.api_errors import StatusCause
from pincompute.testing.apiserver import error_responses, field_sets
from pincompute.testing.apiserver.field_sets import Fields
from pincompute.testing.apiserver.jsondata import is_list, is_map
from pincompute.testing.apiserver.merge_strategies import MergeStrategy

_SERVER_OWNED = (
    ("f:apiVersion",),
    ("f:kind",),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "managedFields",
            "selfLink",
            "generateName",
        )
    ),
)
"""Fields that no manager ever owns."""


@dataclass(frozen=True, slots=True)
class FieldWriter:
    """Who writes, when, and through which subresource. `hidden` are roots that this subresource does not write."""

    manager: str
    api_version: str
    time: str
    subresource: str = ""
    hidden: tuple[tuple[str, ...], ...] = ()

    def visible(self, found: Fields | None) -> Fields:
        return field_sets.without(found or {}, *_SERVER_OWNED, *self.hidden)

    def entry(self, operation: str, owned: Fields) -> Manifest:
        entry = {
            "manager": self.manager or "unknown",
            "operation": operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": owned,
        }
        return entry | {"subresource": self.subresource} if self.subresource else entry

    def wrote(self, entry: Manifest, operation: str) -> bool:
        return (entry["manager"], entry["operation"], entry.get("subresource", "")) == (
            self.manager or "unknown",
            operation,
            self.subresource,
        )


def after_update(old: Manifest, new: Manifest, writer: FieldWriter, shape: MergeStrategy) -> list[Manifest]:
    """Returns the managed fields after a write that is not an apply: what it changed belongs to the writer alone."""
    entries = managed(old)
    written, removed = field_sets.compare(old, new, shape)
    mine = writer.visible(written)
    lost = field_sets.union(mine, writer.visible(removed))
    before = next((e for e in entries if writer.wrote(e, "Update")), None)
    others = [_reduced(e, lost) for e in entries if e is not before]
    owned = field_sets.union(field_sets.difference(before["fieldsV1"], lost), mine) if before else mine
    if before is not None and before["fieldsV1"] == owned:
        return _present([*others, before])
    return _present([*others, writer.entry("Update", owned)])


def managed(obj: Manifest) -> list[Manifest]:
    return obj["metadata"].get("managedFields", [])


def _reduced(entry: Manifest, lost: Fields) -> Manifest:
    left = field_sets.difference(entry["fieldsV1"], lost)
    return entry if left == entry["fieldsV1"] else {**entry, "fieldsV1": left}


def _present(entries: list[Manifest]) -> list[Manifest]:
    """Returns entries that own something, applies first and then in order of time, as the API server sorts them."""
    kept = [entry for entry in entries if entry["fieldsV1"]]
    return sorted(
        kept, key=lambda e: (e["operation"], e.get("subresource", "") == "status", e["time"], e["manager"], e["apiVersion"])
    )


def apply(live: Manifest, config: Manifest, writer: FieldWriter, shape: MergeStrategy, *, force: bool) -> Manifest:
    """Returns `live` with the configuration applied, managed fields included. Raises Conflict naming every owner and field."""
    entries = managed(live)
    wanted = writer.visible(field_sets.of(config, shape))
    merged = merge(live, config, shape)
    written = writer.visible(field_sets.compare(live, merged, shape)[0])
    before = next((e for e in entries if writer.wrote(e, "Apply")), None)
    others = [e for e in entries if e is not before]
    if not force:
        _refuse_conflicts(others, written)
    others = [_reduced(e, written) for e in others]
    if before is not None:
        merged = _prune(merged, before["fieldsV1"], wanted, others, shape)
    same = before is not None and before["fieldsV1"] == wanted
    mine = before if before is not None and same else writer.entry("Apply", wanted)
    return with_managed(merged, _present([*others, mine]))


def with_managed(obj: Manifest, entries: list[Manifest]) -> Manifest:
    metadata = {name: part for name, part in obj["metadata"].items() if name != "managedFields"}
    return {**obj, "metadata": {**metadata, "managedFields": entries} if entries else metadata}


def _refuse_conflicts(others: list[Manifest], written: Fields) -> None:
    causes = [
        StatusCause(path, f'conflict with "{entry["manager"]}"{_detail(entry)}', "FieldManagerConflict")
        for entry in others
        for path in field_sets.paths(field_sets.intersection(entry["fieldsV1"], written))
    ]
    if not causes:
        return
    plural = "conflict" if len(causes) == 1 else "conflicts"
    listed = "\n".join(f"- {cause.field} ({cause.message})" for cause in causes)
    one = f"{causes[0].message}: {causes[0].field}"
    text = one if len(causes) == 1 else f"conflicts:\n{listed}"
    raise error_responses.refuse(409, f"Apply failed with {len(causes)} {plural}: {text}", causes=tuple(causes))


def _detail(entry: Manifest) -> str:
    if entry["operation"] == "Apply":
        return ""
    through = f' with subresource "{entry["subresource"]}"' if entry.get("subresource") else ""
    return f"{through} using {entry['apiVersion']}"


def merge(live: Any, config: Any, shape: MergeStrategy) -> Any:
    """Returns `live` with everything that the configuration sets; keyed items and set members are added or merged, in its
    order.
    """
    if is_map(live) and is_map(config) and not shape.atomic:
        merged = {name: merge(live.get(name), part, shape.field(name)) for name, part in config.items()}
        return {**live, **merged}
    if is_list(live) and is_list(config) and (shape.keys or shape.each):
        return _merge_items(live, config, shape)
    return config


def _merge_items(live: list[Any], config: list[Any], shape: MergeStrategy) -> list[Any]:
    present = {shape.element(item): item for item in live}
    for item in config:
        name = shape.element(item)
        present[name] = merge(present.get(name), item, shape.item)
    return list(present.values())


def _prune(merged: Manifest, before: Fields, wanted: Fields, others: list[Manifest], shape: MergeStrategy) -> Manifest:
    dropped = field_sets.difference(before, wanted)
    kept: Fields = wanted
    for entry in others:
        kept = field_sets.union(kept, entry["fieldsV1"])
    content = {name: part for name, part in merged.items() if name != "metadata"}
    metadata = _remove(merged["metadata"], dropped.get("f:metadata", {}), kept.get("f:metadata", {}), shape.field("metadata"))
    return {**(_remove(content, dropped, kept, shape) or {}), "metadata": metadata}


def _remove(value: Any, dropped: Fields, kept: Fields, shape: MergeStrategy) -> Any:
    """The value without dropped fields. A map that keeps nothing is null: custom kinds then fail validation, as they do
    on a real API server when a manager empties a map that it still applies."""
    if is_map(value):
        left = {
            name: _rest(part, f"f:{name}", shape.field(name), dropped, kept)
            for name, part in value.items()
            if not _goes(f"f:{name}", dropped, kept)
        }
        return left or None
    if is_list(value) and (shape.keys or shape.each):
        named = [(item, shape.element(item)) for item in value]
        left = [_item(item, name, shape, dropped, kept) for item, name in named if not _goes(name, dropped, kept)]
        return left or None
    return value


def _goes(name: str, dropped: Fields, kept: Fields) -> bool:
    """Returns whether it goes with everything in it, defaults too, because nobody owns any of it."""
    return name in dropped and name not in kept


def _rest(value: Any, name: str, shape: MergeStrategy, dropped: Fields, kept: Fields) -> Any:
    below = dropped.get(name)
    return _remove(value, below, kept.get(name, {}), shape) if below else value


def _item(item: Any, name: str, shape: MergeStrategy, dropped: Fields, kept: Fields) -> Any:
    """A keyed item that stays keeps its keys."""
    if shape.each:
        return item
    keys: Manifest = {key: item[key] for key, _ in shape.keys if key in item}
    left: Manifest | None = _rest(item, name, shape.item, dropped, kept)
    return {**keys, **(left or {})}
