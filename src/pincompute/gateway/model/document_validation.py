"""Validates a document that a user wrote, in the simple form or as a full resource, and converts it to the desired resource.

All problems are reported at once, each at the field as the user wrote it. The document is judged by the schema of its form
(names and types); the resource that it means is judged by the schema and the rules that the API server has.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, cast

from pincompute.api import (
    labels,
    near_names,
    object_validation,
    sidecars,
    structural_schema,
    template_settings,
    validation_rules,
)
from pincompute.api.meta import Manifest
from pincompute.api.object_validation import ManifestProblem, UnknownField, say
from pincompute.api.projects import RESTRICTED, PodSecurityLevel
from pincompute.api.settings import ROOT_CERTIFICATES
from pincompute.api.template_settings import Reference
from pincompute.domain import change_cause
from pincompute.gateway import problems
from pincompute.gateway.model import KINDS, SimpleKinds, codecs, container_settings, field_mapping, of_workloads
from pincompute.gateway.model.field_mapping import Data
from pincompute.gateway.model.field_tables import kubernetes_names
from pincompute.gateway.model.simple_kind import HIDDEN, SimpleKind, users
from pincompute.gateway.problems import FieldError

_LABEL_LENGTH = 63
MOST_SIDECARS = 100  # of an annotation that are looked at
MOST_HOOKS = 4  # of an update that are looked at; more are refused
MOST_NAMED = 10  # sidecars or hooks that a problem lists
SHOWN = 253  # characters of a setting's name that a problem shows; none has more
_KEYS = validation_rules.KEYS[0]


@dataclass(frozen=True, slots=True)
class DocumentScope:
    """What the request says beside the document: the project, empty for kinds outside of projects, and the name.

    The name is empty when the document says it. `zones` are the region's, None when they are not known; `kinds` are all that
    the gateway has; `level` is the project's of Pod Security. `settings` are the names of secrets and of configs in the
    project, by their word, None when they are not known. `present` is the spec that is replaced, None for a new object.
    `sidecars` are those of the region, each with whether the project may have it, and `hooks` those that updates of the project
    may name; None when they are not known.
    """

    project: str = ""
    name: str = ""
    zones: Collection[str] | None = None
    kinds: SimpleKinds = KINDS
    level: PodSecurityLevel = RESTRICTED
    settings: Mapping[str, Collection[str]] | None = None
    present: Manifest | None = None
    sidecars: Mapping[str, bool] | None = None
    hooks: Collection[str] | None = None

    def problems(self, manifest: Manifest) -> list[ManifestProblem]:
        found = object_validation.problems(self._whole(manifest), self.zones, of_workloads(self.kinds), self.level)
        if self._keeps_steps(manifest):
            found = [problem for problem in found if problem.message != validation_rules.STEPS_WITHIN_REPLICAS.problem]
        if self.settings is not None:
            found += _missing_settings(_template(manifest), self.settings)
        if self.sidecars is not None:
            found += self._missing_sidecars(manifest, self.sidecars)
        if self.hooks is not None:
            found += _missing_hooks(manifest, self.hooks)
        return found

    def _missing_sidecars(self, manifest: Manifest, known: Mapping[str, bool]) -> Iterator[ManifestProblem]:
        """Yields the names of sidecars that the region does not have, or not for this project."""
        allowed = [name for name, may in known.items() if may]
        field = f"spec.template.metadata.annotations[{labels.SIDECARS}]"
        for place, name in enumerate(_named_sidecars(manifest)):
            if name not in known:
                near = object_validation.nearest(name, allowed) if place < near_names.SUGGESTED else ""
                there = f"there is {', '.join(sorted(allowed)[:MOST_NAMED])}" if allowed else "there is none"
                remedy = f"write {near}" if near else f"{there}; an administrator adds one"
                yield ManifestProblem(field, f"sidecar {say(name)} does not exist", remedy)
            elif not known[name]:
                problem, _, remedy = sidecars.forbidden(name, self.project).partition(": ")
                yield ManifestProblem(field, problem, remedy)

    def _whole(self, manifest: Manifest) -> Manifest:
        """Returns the manifest with the present number of replicas where it names none."""
        spec = manifest.get("spec")
        if self.present is None or "replicas" not in self.present or not isinstance(spec, dict):
            return manifest
        return {**manifest, "spec": {"replicas": self.present["replicas"], **cast("Data", spec)}}

    def _keeps_steps(self, manifest: Manifest) -> bool:
        """Returns whether neither the steps of updates nor the replicas change: a scale may have left fewer replicas."""
        if self.present is None:
            return False
        return _steps_and_replicas(self.present) == _steps_and_replicas(self._whole(manifest).get("spec"))


def _template(manifest: Manifest) -> Manifest:
    spec = manifest.get("spec")
    template = cast("Data", spec).get("template") if isinstance(spec, dict) else None
    return cast("Data", template) if isinstance(template, dict) else {}


def _steps_and_replicas(spec: Any) -> tuple[Any, Any]:
    replicas = field_mapping.at(spec, ("replicas",))
    return field_mapping.at(spec, ("update", "steps")), 1 if replicas is field_mapping.NOTHING else replicas


def check_settings(template: Manifest, known: Mapping[str, Collection[str]]) -> None:
    """Raises Problem with every secret and config that a template of a workload names and that is not known."""
    if found := list(_missing_settings(template, known)):
        raise problems.invalid(*(_error(each.field, each) for each in found))


def _missing_settings(template: Manifest, known: Mapping[str, Collection[str]]) -> Iterator[ManifestProblem]:
    """Yields the names of secrets and configs that the project does not have."""
    suggested = dict[Reference, str]()
    for place in template_settings.places(template):
        ref, names = place.reference, known[place.word]
        if not ref.required or ref.stored in names or ref.stored == ROOT_CERTIFICATES:
            continue
        if ref not in suggested and len(suggested) < near_names.SUGGESTED:
            suggested[ref] = object_validation.nearest(ref.name, [name for name in names if "." not in name])
        near = suggested.get(ref, "")
        meant = f"did you mean {near}? Or set it" if near else "set it first"
        field = f"spec.template.{field_mapping.text(place.path)}"
        shown = ref._replace(name=ref.name[:SHOWN])
        yield ManifestProblem(field, f"the project has no {shown}", f"{meant} with `pin {ref.word} set {shown.name}`")


def _missing_hooks(manifest: Manifest, known: Collection[str]) -> Iterator[ManifestProblem]:
    """Yields the names of hooks that the project's updates may not name. To it there are no others."""
    for place, name in enumerate(named_hooks(manifest.get("spec"))):
        if name not in known:
            near = object_validation.nearest(name, known) if place < near_names.SUGGESTED else ""
            shown = sorted(known)[:MOST_NAMED]
            there = f"write one of {', '.join(shown)}, or ask" if shown else "there is none for this project: remove it, or ask"
            remedy = f"write {near}" if near else f"{there} an administrator for it"
            yield ManifestProblem(f"spec.update.hooks[{place}].name", f"hook {say(name)} does not exist", remedy)


def named_hooks(spec: Any) -> list[str]:
    """Returns the names of the hooks of a spec's updates, whatever it looks like."""
    given = field_mapping.at(spec, ("update", "hooks"))
    hooks = cast("list[Any]", given)[:MOST_HOOKS] if isinstance(given, list) else []
    return [str(cast("Data", hook).get("name", "")) if isinstance(hook, dict) else "" for hook in hooks]


def _named_sidecars(manifest: Manifest) -> list[str]:
    given: Any = manifest
    for part in ("spec", "template", "metadata", "annotations", labels.SIDECARS):
        given = cast("Data", given).get(part) if isinstance(given, dict) else None
    return given.split(",", MOST_SIDECARS)[:MOST_SIDECARS] if isinstance(given, str) else []


@dataclass(frozen=True, slots=True)
class DesiredResource:
    """A resource as it should be. `version` is the one it replaces; empty: whichever exists.

    `keeps` are the fields of the spec that stay as they are where the resource exists.
    """

    manifest: Manifest
    version: str = ""
    keeps: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.manifest["metadata"]["name"]

    def with_spec(self, spec: Data) -> DesiredResource:
        return replace(self, manifest={**self.manifest, "spec": spec})

    def annotated(self, notes: Mapping[str, str]) -> DesiredResource:
        """Returns the resource with the platform's own annotations."""
        if not notes:
            return self
        metadata = self.manifest["metadata"]
        annotations: Data = {**(metadata.get("annotations") or {}), **notes}
        return replace(self, manifest={**self.manifest, "metadata": {**metadata, "annotations": annotations}})


def read(kind: SimpleKind[Any], document: Data, scope: DocumentScope) -> DesiredResource:
    """Raises Problem with everything that is wrong."""
    named = document.get("kind", kind.name)
    if named == kind.resource.kind and (named != kind.name or "apiVersion" in document):  # both forms of a Project say so
        return _resource(kind, document, scope)
    if named != kind.name:
        raise problems.invalid(_wrong_kind(kind, named, scope.kinds))
    return _simple(kind, document, scope)


def _wrong_kind(kind: SimpleKind[Any], named: Any, kinds: SimpleKinds) -> FieldError:
    other = next((each for each in kinds if named in (each.name, each.resource.kind)), None)
    expected = f"{kind.name} or {kind.resource.kind}"
    if other is not None:
        remedy = f"send it to {other.path} instead"
    else:
        near = object_validation.nearest(str(named), [name for each in kinds for name in (each.name, each.resource.kind)])
        remedy = f"write {near or kind.name}"
    return FieldError("kind", expected, f"must be {expected} here, not {say(named)}: {remedy}")


def _simple(kind: SimpleKind[Any], document: Data, scope: DocumentScope) -> DesiredResource:
    name = {"name": scope.name} if scope.name else {}
    project = {"project": scope.project} if kind.in_project else {}
    schema, others = _schema(kind.type), _of_others(kind, scope.kinds)
    unknown = UnknownField(kubernetes_names(kind.table), others, "remove it, or put it into advanced", schema["properties"])
    given = {**name, **project, **_without_null(document)}
    data, found = object_validation.fitting(given, schema, unknown)
    errors = [_error(field_mapping.text(field_mapping.parts(p.field)), p) for p in found]
    errors += [*_misplaced(data, scope, ""), *_notes(data, "")]
    errors += [FieldError(field_mapping.text(w.path), w.expected, w.message) for w in container_settings.spell_out(data).wrong]
    manifest, clashes = kind.to_manifest(data)
    errors += [_clash(kind, data, path) for path in clashes]
    errors += _not_reported((_as_written(kind, data, p) for p in scope.problems(manifest)), errors)
    if errors:
        raise problems.invalid(*errors)
    return DesiredResource(codecs.fractions_as_text(manifest), data.get("version") or "")


def _of_others(kind: SimpleKind[Any], kinds: SimpleKinds) -> dict[str, str]:
    """Returns the fields that workloads of another kind have and this one has not, with the kind."""
    if kind.workload is None:
        return {}
    own = _schema(kind.type)["properties"]
    others = (each for each in kinds if each.workload is not None and each is not kind)
    return {name: f"only kind {each.name}" for each in others for name in _schema(each.type)["properties"] if name not in own}


@cache
def _schema(form: type[Any]) -> Data:
    return structural_schema.of_struct(form)


def _resource(kind: SimpleKind[Any], document: Data, scope: DocumentScope) -> DesiredResource:
    given = document.get("metadata")
    metadata = _without_null(cast("Data", given)) if isinstance(given, dict) else {}
    name = {"name": scope.name} if scope.name else {}
    named = {**name, **({"namespace": scope.project} if scope.project else {}), **metadata}
    names = {"name": named.get("name"), "project": named.get("namespace", "")}
    errors = [*_misplaced(names, scope, "metadata."), *_notes(_users_notes(metadata), "metadata.")]
    judged = {**document, "metadata": named} if isinstance(given, dict | None) else document
    found = scope.problems({name: part for name, part in judged.items() if name != "status"})
    errors += _not_reported(((p.field, p) for p in found), errors)
    if errors:
        raise problems.invalid(*errors)
    kept = {name: named[name] for name in ("name", "namespace") if name in named and (name == "name" or kind.in_project)}
    head = {"apiVersion": document["apiVersion"], "kind": document["kind"]}
    spec = codecs.fractions_as_text(document["spec"])
    return DesiredResource({**head, "metadata": {**kept, **_users_notes(metadata)}, "spec": spec})


def _without_null(data: Data) -> Data:
    return {name: part for name, part in data.items() if part is not None}


def _users_notes(metadata: Data) -> Data:
    """Labels and annotations without those that the platform or kubectl wrote into the object this was copied from."""
    notes = {part: metadata[part] for part in ("labels", "annotations") if isinstance(metadata.get(part), dict)}
    return {part: kept for part, mapping in notes.items() if (kept := users(mapping))}


def _as_written(kind: SimpleKind[Any], data: Data, problem: ManifestProblem) -> tuple[str, ManifestProblem]:
    """The field of the simple form at fault, and what is wrong with it in the words of that form."""
    said = replace(problem, message=kind.in_users_words(problem.message), remedy=kind.in_users_words(problem.remedy))
    return kind.locate(data, problem.field), said


def _misplaced(data: Data, scope: DocumentScope, prefix: str) -> Iterator[FieldError]:
    """Name or project in the document are not those of the URL."""
    for part, field, wanted in (("project", "namespace" if prefix else "project", scope.project), ("name", "name", scope.name)):
        if wanted and data.get(part) not in (None, "", wanted):
            message = f"must be {wanted}, as in the URL, not {say(data[part])}: correct one of them"
            yield FieldError(prefix + field, wanted, message)


def _notes(data: Data, prefix: str) -> Iterator[FieldError]:
    """Problems of labels and annotations as Kubernetes judges them; a resource's schema does not cover metadata."""
    for part in ("labels", "annotations"):
        notes: Data = data.get(part) or {}
        length = validation_rules.NOTES_LENGTH
        if not _holds(length, {key: str(value) for key, value in notes.items()}):
            yield _error(prefix + part, ManifestProblem(prefix + part, length.problem, length.remedy))
        for key, value in notes.items():
            field = f"{prefix}{part}[{key}]"
            yield from (_error(field, problem) for problem in _note_problems(part, field, key, value))


def _note_problems(part: str, field: str, key: str, value: Any) -> Iterator[ManifestProblem]:
    if not isinstance(value, str):
        yield ManifestProblem(field, f"must be text, not {say(value)}", f'write it in quotes, for example "{say(value)}"')
        return
    if key.startswith(HIDDEN):
        yield ManifestProblem(field, "keys that begin so are the platform's", "remove the key")
    elif not _holds(_KEYS, {key: value}):
        yield ManifestProblem(field, _KEYS.problem.replace("every key", "the key"), _KEYS.remedy)
    if key == labels.CHANGE_CAUSE and not change_cause.is_one(value):
        yield ManifestProblem(field, f"must be one line of at most {change_cause.LONGEST} characters", "write a shorter note")
    label = validation_rules.LABEL_VALUE
    if part == "labels" and not (len(value) <= _LABEL_LENGTH and _holds(label, value)):
        yield ManifestProblem(field, f"{label.problem}, {_LABEL_LENGTH} characters at most", label.remedy)


def _holds(rule: validation_rules.Rule, value: Any) -> bool:
    return rule.holds is None or rule.holds(value)


def _clash(kind: SimpleKind[Any], data: Data, path: field_mapping.Path) -> FieldError:
    other = field_mapping.locate(kind.table, data, path)
    instead = f"`{field_mapping.text(other)}`" if other else "another field"
    field = field_mapping.text(("advanced", *path))
    return FieldError(field, f"nothing that {instead} says", f"contradicts {instead}: write it in one place only")


def _not_reported(found: Iterable[tuple[str, ManifestProblem]], errors: list[FieldError]) -> list[FieldError]:
    """The problems without repetitions and without consequences of an error that is already reported for the same part."""
    reported = [_names(error.field) for error in errors]
    fresh = dict[tuple[str, str], FieldError]()
    for field, problem in found:
        names = _names(field)
        if not any(names[: len(known)] == known for known in reported):
            fresh.setdefault((field, problem.message), _error(field, problem))
    return list(fresh.values())


def _names(field: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[.\[\]]+", field) if word)


def _error(field: str, problem: ManifestProblem) -> FieldError:
    return FieldError(field, problem.message, f"{problem.message}: {problem.remedy}")
