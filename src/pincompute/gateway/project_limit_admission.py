"""Admits requests within the limits of their project, computes how much of each is used, and limits the projects of a user.

The caches add up what the workloads of each project take, event by event, so a request costs two look-ups and no scan. Where
projects pay for sidecars that select, workloads that wait for the scheduler are looked at one by one. What a
request takes is reserved until its answer is in the cache, so requests at the same time do not pass the same limit together.
Several gateways may together pass it by what each has reserved; the quotas of the API servers stand behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import msgspec

from pincompute.api import merge_patch, resource_requests
from pincompute.api.kinds import Kinds, WorkloadKind, WorkloadObject
from pincompute.api.labels import CREATED_BY, HOST
from pincompute.api.meta import Key, Manifest, Resource
from pincompute.api.projects import PROJECTS, Project
from pincompute.api.resource_requests import NOTHING, Requests
from pincompute.api.revisions import PINREVISIONS, PinRevision
from pincompute.api.settings import SETTINGS, Setting
from pincompute.api.sidecars import PINSIDECARS, PinSidecar
from pincompute.domain import project_limits, sidecar_requests, stored_documents
from pincompute.domain.project_limits import ExceededLimit
from pincompute.gateway import problems
from pincompute.gateway.problems import FieldError, Problem
from pincompute.kube.cache_views import Unknown, View
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.indexer import IndexEntry, Sum

BY_CREATOR = "creator"  # index over projects: the user who created it
BY_PROJECT = "project"  # sum over workloads and settings: what they take of the limits of their project

UNDECIDED = "undecided"  # index over workloads: the project of those that the scheduler has not decided yet

_View: TypeAlias = View[Any]


class LimitExceeded(Problem):
    """A limit of the project, or of the user's projects, does not allow the request."""

    def __init__(self, detail: str, remedy: str, errors: tuple[FieldError, ...]) -> None:
        super().__init__("limit-exceeded", detail, remedy, errors=errors)


@dataclass(frozen=True, slots=True)
class WrittenDocument:
    """What a user's document makes of the workload `before`, None of a new one: its spec, and a merge patch of its labels and
    annotations. `kept` are the revisions of the workload, the newest first.
    """

    name: str
    kind: WorkloadKind
    before: WorkloadObject | None
    spec: Manifest
    notes: Manifest
    kept: tuple[PinRevision, ...] = ()


class ProjectLimitAdmission:
    """Admits what the limits allow. It declares its sums in the caches, so create it before the first cluster is added."""

    def __init__(self, clusters: Clusters, kinds: Kinds) -> None:
        self._clusters = clusters
        self._reserved: dict[str, Requests] = {}
        self._reserved_projects: Counter[str] = Counter()
        clusters.declare("host", PROJECTS, {BY_CREATOR: _creator})
        clusters.declare("host", PINSIDECARS)
        for kind in kinds:
            clusters.declare("host", kind.workload, {BY_PROJECT: Sum(partial(_workload_entry, kind)), UNDECIDED: _undecided})
        for each in SETTINGS:
            clusters.declare("host", each.resource, {BY_PROJECT: Sum(_setting_entry)})
        clusters.declare("host", PINREVISIONS, {BY_PROJECT: Sum(_revision_entry)})
        self._kinds = kinds
        self._counted = (*(kind.workload for kind in kinds), PINREVISIONS, *(each.resource for each in SETTINGS))

    def used(self, project: str) -> Requests:
        """What the project takes of its limits, by resource. Raises Problem 503 until that is known."""
        found: Requests = NOTHING
        for resource in self._counted:
            found = resource_requests.plus(found, self._view(resource).total(BY_PROJECT, project))
        return self._complete(project, resource_requests.plus(found, self._selected_since(project)))

    def _selected_since(self, project: str) -> Requests:
        """Returns what the project pays for sidecars that select workloads of which no decision has counted them yet."""
        paid = [each for each in self._paid() if sidecar_requests.may_select_in(project, each)]
        found: Requests = NOTHING
        for kind in self._kinds if paid else ():
            for obj in self._view(kind.workload).by(UNDECIDED, project):
                names = (each.name for each in sidecar_requests.counted(kind, obj, paid))
                found = resource_requests.plus(found, project_limits.of_selected(kind, obj, names))
        return found

    def _paid(self) -> list[PinSidecar]:
        return [each for each in self._view(PINSIDECARS).list() if each.spec.paid_by == "Project"]

    def _complete(self, project: str, amounts: Requests) -> Requests:
        """Returns amounts with those that follow from the project, and from the sidecars of the region."""
        each = project_limits.default_container_storage(self._project(project))
        stored = project_limits.with_default_container_storage(amounts, each)
        return project_limits.with_sidecars(stored, self._view(PINSIDECARS).list())

    def allowed(self, project: str) -> dict[str, int]:
        """What each limit of the project allows, by resource."""
        return dict(project_limits.allowed(self._project(project)))

    @contextmanager
    def reserve(
        self, project: str, kind: WorkloadKind, before: WorkloadObject, spec: Manifest, *, dry_run: bool = False
    ) -> Generator[None]:
        """Reserves what the replicas of the workload `before` take more with this spec until the block ends, if it is written.
        Raises LimitExceeded if the project's limits do not allow it. What a verb writes is not judged by its bytes.
        """
        took = self._use(project, kind, before)
        takes = self._use(project, kind, _with_spec(before.metadata.name, kind, before, spec))
        with self.reserve_change(project, took, takes, dry_run=dry_run):
            yield

    @contextmanager
    def reserve_document(self, project: str, written: WrittenDocument, *, dry_run: bool = False) -> Generator[None]:
        """As `reserve`, for a document that a user wrote, which takes bytes too."""
        kind, before = written.kind, written.before
        after = _with_notes(_with_spec(written.name, kind, before, written.spec), before, written.notes)
        if before is None:
            took, takes = NOTHING, {**self._use(project, kind, after), **stored_documents.of_workload(after)}
        else:
            took = {**self._use(project, kind, before), **stored_documents.of_workload(before)}
            takes = {
                **self._use(project, kind, after),
                **stored_documents.after_change(before, after, written.kept),
            }
        with self.reserve_change(project, took, takes, dry_run=dry_run):
            yield

    @contextmanager
    def reserve_change(self, project: str, took: Requests, takes: Requests, *, dry_run: bool = False) -> Generator[None]:
        """As `reserve`, for anything that took and takes so much."""
        known = self._view(PINSIDECARS).list()
        of_sidecars = resource_requests.plus(
            project_limits.of_sidecars(takes, known), project_limits.of_sidecars(took, known), times=-1
        )
        took, takes = (self._complete(project, amounts) for amounts in (took, takes))
        used = resource_requests.plus(self.used(project), self._reserved.get(project, NOTHING))
        exceeded = project_limits.exceeded_limits(self.allowed(project), used, took, takes, of_sidecars)
        if exceeded:
            raise refusal(project, exceeded)
        more = {name: number - took.get(name, 0) for name, number in takes.items() if number > took.get(name, 0)}
        if dry_run or not more:
            yield
            return
        self._count(project, more, 1)
        try:
            yield
        finally:
            self._count(project, more, -1)

    @contextmanager
    def reserve_project(self, creator: str, most: int) -> Generator[None]:
        """Reserves one more project of this user until the block ends. Raises LimitExceeded if the user has created `most`
        projects that exist, those that are being deleted included.
        """
        there = sum(1 for _ in self._view(PROJECTS).by(BY_CREATOR, creator)) + self._reserved_projects[creator]
        if there >= most:
            raise LimitExceeded(
                f"{creator} has created {there} projects that exist, and one user may have created {most}",
                "delete one that is not needed (`pin project delete`), or ask an administrator to create this one, or to raise "
                "limits.projectsPerUser in the gateway's settings",
                errors=(FieldError("name", f"at most {most} projects of one user", f"{creator} has {there} projects"),),
            )
        self._reserved_projects[creator] += 1
        try:
            yield
        finally:
            self._reserved_projects[creator] -= 1

    def _use(self, project: str, kind: WorkloadKind, obj: WorkloadObject) -> Requests:
        """Returns what the workload takes with the sidecars that its replicas would get now. It counts the same ones before and
        after a change, so a sidecar that an administrator adds refuses no change that asks for nothing more.
        """
        paid = self._paid()
        if not paid:
            return project_limits.use_of_workload(kind, obj)
        made: Any = obj
        placed = msgspec.structs.replace(made, metadata=msgspec.structs.replace(obj.metadata, namespace=project))
        selected = [each.name for each in sidecar_requests.counted(kind, placed, paid)]
        return project_limits.use_of_workload(kind, obj, selected)

    def _count(self, project: str, amounts: Requests, times: int) -> None:
        counted = resource_requests.plus(self._reserved.get(project, NOTHING), amounts, times)
        left = {name: number for name, number in counted.items() if number}
        if left:
            self._reserved[project] = left
        else:
            self._reserved.pop(project, None)

    def _project(self, name: str) -> Project | None:
        return self._view(PROJECTS).get(Key("", name))

    def _view(self, resource: Resource[Any]) -> _View:
        try:
            return self._clusters.view(HOST, resource)
        except Unknown as unknown:
            raise problems.unavailable(str(unknown)) from None


def refusal(project: str, exceeded: tuple[ExceededLimit, ...]) -> LimitExceeded:
    """All limits that refuse it, each with what is allowed and used."""
    errors = tuple(FieldError(each.limit.field, _expected(each), _sentence(project, each)) for each in exceeded)
    detail = "; ".join(error.message for error in errors)
    options = " ".join(f"--{each.limit.name} AMOUNT" for each in exceeded)
    return LimitExceeded(
        detail,
        f"ask for less, scale down, stop or delete something else in {project}, or ask an administrator to raise the limit: "
        f"`pin admin limits {project} {options}`",
        errors=errors,
    )


def _expected(each: ExceededLimit) -> str:
    return f"at most {project_limits.text(each.limit, each.left)} more {each.limit.name}"


def _sentence(project: str, each: ExceededLimit) -> str:
    allowed, used, needed = (project_limits.text(each.limit, number) for number in (each.allowed, each.used, each.needed))
    beside = project_limits.text(each.limit, each.of_sidecars)
    part = f", of which {beside} for sidecars of the platform" if each.of_sidecars > 0 else ""
    return f"{needed} more {each.limit.name} are asked for{part}, and project {project} uses {used} of {allowed}"


def _creator(project: Project) -> Iterable[str]:
    """A project of an earlier version says nothing of its creator, and counts for nobody."""
    name = project.metadata.annotations.get(CREATED_BY)
    return (name,) if name else ()


def _undecided(obj: WorkloadObject) -> Iterable[str]:
    return (obj.metadata.namespace,) if obj.status.scheduling is None else ()


def _workload_entry(kind: WorkloadKind, obj: WorkloadObject) -> Iterable[IndexEntry]:
    amounts = {**project_limits.counted_use(kind, obj), **stored_documents.of_workload(obj)}
    return (IndexEntry(obj.metadata.namespace, 0, amounts),)


def _revision_entry(revision: PinRevision) -> Iterable[IndexEntry]:
    return (IndexEntry(revision.metadata.namespace, 0, stored_documents.of_revision(revision)),)


def _setting_entry(setting: Setting) -> Iterable[IndexEntry]:
    return (IndexEntry(setting.metadata.namespace, 0, project_limits.use_of_setting(setting)),)


def _with_notes(obj: WorkloadObject, before: WorkloadObject | None, patch: Manifest) -> WorkloadObject:
    """The workload with the labels and annotations of `before`, changed as the patch says."""
    present = before.metadata if before is not None else obj.metadata
    labels = merge_patch.apply(present.labels, patch.get("labels") or {})
    annotations = merge_patch.apply(present.annotations, patch.get("annotations") or {})
    metadata = msgspec.structs.replace(obj.metadata, labels=labels, annotations=annotations)
    made: Any = obj
    return msgspec.structs.replace(made, metadata=metadata)


def _with_spec(name: str, kind: WorkloadKind, before: WorkloadObject | None, spec: Manifest) -> WorkloadObject:
    """A unit that has ended stays so if its template stays the same. What is stopped runs again, whatever its status says."""
    made: Any = msgspec.convert({"metadata": {"name": name}, "spec": spec}, kind.workload.type)
    return made if before is None or before.spec.stopped else msgspec.structs.replace(made, status=before.status)
