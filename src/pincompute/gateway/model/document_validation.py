"""From a document somebody wrote, in the simple model or as the full resource, to the resource that is wanted.

All problems at once: shapes are judged on what was written, limits and rules on the resource it means, by the schema the API
server has; every problem names the field as the user wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from pincompute.api import object_validation, validation_rules
from pincompute.api.meta import Manifest
from pincompute.gateway import problems
from pincompute.gateway.model import codecs, exclusive_fields, field_mapping, struct_validation
from pincompute.gateway.model.field_mapping import Data
from pincompute.gateway.model.simple_kind import HIDDEN, SimpleKind, users
from pincompute.gateway.model.simple_kinds import KINDS, SimpleKinds, of_workloads
from pincompute.gateway.problems import FieldError

_LABEL_LENGTH = 63


@dataclass(frozen=True, slots=True)
class DocumentScope:
    """What the URL says: the project, empty for kinds outside of projects, and the name, empty when it is for the body to say.

    `zones` are the region's, None when they are not known; `kinds` are all that the gateway has.
    """

    project: str = ""
    name: str = ""
    zones: Collection[str] | None = None
    kinds: SimpleKinds = KINDS

    def problems(self, manifest: Manifest) -> list[object_validation.ManifestProblem]:
        return object_validation.problems(manifest, self.zones, of_workloads(self.kinds))


@dataclass(frozen=True, slots=True)
class DesiredResource:
    """A resource as it should be. `version` is the one it replaces, empty for whichever there is."""

    kind: SimpleKind[Any]
    manifest: Manifest
    version: str = ""

    @property
    def name(self) -> str:
        return self.manifest["metadata"]["name"]


def read(kind: SimpleKind[Any], document: Data, place: DocumentScope) -> DesiredResource:
    """Raises Problem with everything that is wrong."""
    said = document.get("kind", kind.name)
    if said == kind.resource.kind and (said != kind.name or "apiVersion" in document):  # a Project is called so in both
        return _resource(kind, document, place)
    if said != kind.name:
        raise problems.invalid((_wrong_kind(kind, said, place.kinds),))
    return _simple(kind, document, place)


def _wrong_kind(kind: SimpleKind[Any], said: Any, kinds: SimpleKinds) -> FieldError:
    other = next((each for each in kinds if said in (each.name, each.resource.kind)), None)
    expected = f"{kind.name} or {kind.resource.kind}"
    if other is not None:
        remedy = f"send it to {other.path} instead"
    else:
        near = object_validation.nearest(str(said), [name for each in kinds for name in (each.name, each.resource.kind)])
        remedy = f"write {near or kind.name}"
    return FieldError("kind", expected, f"must be {expected} here, not {object_validation.say(said)}: {remedy}")


def _simple(kind: SimpleKind[Any], document: Data, place: DocumentScope) -> DesiredResource:
    data, errors = struct_validation.fit({**_of_place(kind, place), **_without_null(document)}, kind.type, kind.table)
    errors += _misplaced(data, place, "")
    errors += [*_notes(data, ""), *exclusive_fields.problems(data)]
    manifest, clashes = kind.manifest_and_clashes(data)
    errors += [_clash(kind, data, path) for path in clashes]
    found = [(kind.locate(data, p.field), p) for p in place.problems(manifest)]
    errors += _unheard([(field, p.message, p.remedy) for field, p in found], errors)
    if errors:
        raise problems.invalid(tuple(errors))
    return DesiredResource(kind, codecs.fractions_as_text(manifest), data.get("version") or "")


def _resource(kind: SimpleKind[Any], document: Data, place: DocumentScope) -> DesiredResource:
    given = document.get("metadata")
    metadata = _without_null(cast("Data", given)) if isinstance(given, dict) else {}
    named = {
        **({"name": place.name} if place.name else {}),
        **({"namespace": place.project} if place.project else {}),
        **metadata,
    }
    names = {"name": named.get("name"), "project": named.get("namespace", "")}
    errors = _misplaced(names, place, "metadata.") + _notes(_users_notes(metadata), "metadata.")
    judged = {**document, "metadata": named} if isinstance(given, dict | None) else document
    found = place.problems({name: part for name, part in judged.items() if name != "status"})
    errors += _unheard([(p.field, p.message, p.remedy) for p in found], errors)
    if errors:
        raise problems.invalid(tuple(errors))
    kept = {name: named[name] for name in ("name", "namespace") if name in named and (name == "name" or kind.in_project)}
    head = {"apiVersion": document["apiVersion"], "kind": document["kind"]}
    spec = codecs.fractions_as_text(document["spec"])
    return DesiredResource(kind, {**head, "metadata": {**kept, **_users_notes(metadata)}, "spec": spec})


def _of_place(kind: SimpleKind[Any], place: DocumentScope) -> Data:
    name = {"name": place.name} if place.name else {}
    return {**name, **({"project": place.project} if kind.in_project else {})}


def _without_null(data: Data) -> Data:
    return {name: part for name, part in data.items() if part is not None}


def _users_notes(metadata: Data) -> Data:
    """Labels and annotations without those that the platform or kubectl wrote into the object this was copied from."""
    notes = {part: metadata[part] for part in ("labels", "annotations") if isinstance(metadata.get(part), dict)}
    return {part: kept for part, mapping in notes.items() if (kept := users(mapping))}


def _misplaced(data: Data, place: DocumentScope, prefix: str) -> list[FieldError]:
    """Name or project in the document are not those of the URL."""
    words = {"project": "namespace", "name": "name"} if prefix else {"project": "project", "name": "name"}
    told = {"project": place.project, "name": place.name}
    return [
        FieldError(
            prefix + words[part],
            told[part],
            f"must be {told[part]}, as in the URL, not {object_validation.say(data[part])}: correct one of them",
        )
        for part in ("project", "name")
        if told[part] and data.get(part) not in (None, "", told[part])
    ]


_KEY_WORDS = validation_rules.KEYS[0]


def _notes(data: Data, prefix: str) -> list[FieldError]:
    """Labels and annotations as Kubernetes judges them; a resource's schema does not cover metadata."""
    return [
        FieldError(f"{prefix}{field}", expected, f"{expected}: {remedy}")
        for part in ("labels", "annotations")
        for field, expected, remedy in _note_problems(part, data.get(part) or {})
    ]


def _note_problems(part: str, notes: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for key, value in notes.items():
        field = f"{part}[{key}]"
        if not isinstance(value, str):
            said = object_validation.say(value)
            yield field, f"must be text, not {said}", f'write it in quotes, for example "{said}"'
            continue
        if key.startswith(HIDDEN):
            yield field, "keys that begin so are the platform's", "remove the key"
        elif not _holds(_KEY_WORDS, {key: value}):
            yield field, _KEY_WORDS.problem.replace("every key", "the key"), _KEY_WORDS.remedy
        if part == "labels" and not _is_label_value(value):
            yield (
                field,
                f"{validation_rules.LABEL_VALUE.problem}, {_LABEL_LENGTH} characters at most",
                validation_rules.LABEL_VALUE.remedy,
            )


def _is_label_value(value: str) -> bool:
    return len(value) <= _LABEL_LENGTH and _holds(validation_rules.LABEL_VALUE, value)


def _holds(rule: validation_rules.Rule, value: Any) -> bool:
    return rule.holds is None or rule.holds(value)


def _clash(kind: SimpleKind[Any], data: Data, path: field_mapping.Path) -> FieldError:
    other = field_mapping.locate(kind.table, data, path)
    instead = f"`{field_mapping.text(other)}`" if other else "another field"
    field = field_mapping.text(("advanced", *path))
    return FieldError(field, f"nothing that {instead} says", f"contradicts {instead}: write it in one place only")


def _unheard(found: Iterable[tuple[str, str, str]], errors: list[FieldError]) -> list[FieldError]:
    """Without what is only a consequence of an error that is told already of the same part, and without repetitions."""
    heard = [_words(error.field) for error in errors]
    fresh = dict[tuple[str, str], FieldError]()
    for field, message, remedy in found:
        words = _words(field)
        if not any(words[: len(known)] == known for known in heard):
            fresh.setdefault((field, message), FieldError(field, message, f"{message}: {remedy}"))
    return list(fresh.values())


def _words(field: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[.\[\]]+", field) if word)
