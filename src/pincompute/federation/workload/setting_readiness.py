"""Judges which revisions of a workload a member can run: those whose secrets, configs and sidecars are there (S-067)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pincompute.api import settings
from pincompute.api.labels import HOST
from pincompute.api.meta import Key, Manifest, Resource
from pincompute.api.settings import SETTINGS, Setting
from pincompute.api.template_settings import Reference, references
from pincompute.domain import zone_text
from pincompute.engine.plan import Confirm, Ref
from pincompute.federation.sidecar import sidecar_references
from pincompute.federation.workload import workload_model
from pincompute.federation.workload.member_shards import MemberShard, MissingDependency
from pincompute.federation.workload.workload_model import Workload
from pincompute.kube.cache_views import Views

_RESOURCES: Mapping[str, Resource[Any]] = {kind.word: kind.resource for kind in SETTINGS}


@dataclass(frozen=True, slots=True)
class JudgedSites:
    """The members with what each cannot run yet, and the proof that the settings are as they were seen."""

    sites: tuple[MemberShard, ...]
    proof: tuple[Confirm, ...] = ()


def judge(workload: Workload, sites: tuple[MemberShard, ...], earlier: Mapping[str, Manifest], views: Views) -> JudgedSites:
    """Returns the members, judged by the templates of the present and of earlier revisions."""
    rendered = workload.rendered
    held = {share.revision: share.template for site in sites for share in site.mix}
    templates = {**earlier, **held, **({} if rendered.problem else {rendered.revision: rendered.template})}
    needs = {revision: found for revision, template in templates.items() if (found := references(template))}
    sites = _judged_by_sidecars(workload.key.namespace, sites, templates, views)
    if not needs:
        return JudgedSites(sites)
    known = {(ref.word, ref.name): _setting(workload, ref, views) for found in needs.values() for ref in found}
    judged = tuple(replace(site, unready={**_unready(site, needs, known), **site.unready}) for site in sites)
    return JudgedSites(judged, tuple(_proof(word, setting) for (word, _), setting in sorted(known.items()) if setting))


def _judged_by_sidecars(
    project: str, sites: tuple[MemberShard, ...], templates: Mapping[str, Manifest], views: Views
) -> tuple[MemberShard, ...]:
    """Returns the members, where no revision gets more replicas that names a sidecar which the project cannot have."""
    absent = {revision: sidecar_references.missing(project, template, views) for revision, template in templates.items()}
    lacking = {revision: MissingDependency(why, reason="SidecarMissing") for revision, why in absent.items() if why}
    return tuple(replace(site, unready=lacking) for site in sites) if lacking else sites


def _setting(workload: Workload, ref: Reference, views: Views) -> Setting | None:
    return views.view(HOST, _RESOURCES[ref.word]).get(Key(workload.key.namespace, ref.name))


def _proof(word: str, setting: Setting) -> Confirm:
    meta = setting.metadata
    return Confirm(Ref(HOST, _RESOURCES[word], setting.key), meta.uid, resource_version=meta.resource_version)


def _unready(
    site: MemberShard,
    needs: Mapping[str, frozenset[Reference]],
    known: Mapping[tuple[str, str], Setting | None],
) -> Mapping[str, MissingDependency]:
    found = {revision: _first(site, refs, known) for revision, refs in needs.items()}
    return {revision: missing for revision, missing in found.items() if missing is not None}


def _first(
    site: MemberShard, refs: frozenset[Reference], known: Mapping[tuple[str, str], Setting | None]
) -> MissingDependency | None:
    missing = [each for ref in sorted(refs) if (each := _missing(site.name, ref, known[ref.word, ref.name])) is not None]
    return next((each for each in missing if each.final), missing[0] if missing else None)


def _missing(member: str, ref: Reference, setting: Setting | None) -> MissingDependency | None:
    """Returns why the member does not have it; None when it has, or when replicas start without it."""
    if setting is None or not setting.spec.version:
        remedy = f"set it with `pin {ref.word} set {ref.name}`; one made with kubectl does not count"
        return MissingDependency(f"{ref.word} {ref.name} does not exist: {remedy}") if ref.required else None
    if setting.deleting:
        return MissingDependency(f"{ref.word} {ref.name} is being deleted: name another one") if ref.required else None
    version = ref.version or setting.spec.version
    if not settings.is_kept(setting, version):
        remedy = f"name another version, or {ref.name} for the one in use"
        return MissingDependency(f"{ref} is no longer kept: {remedy}") if ref.required else None
    mine = [copy for copy in setting.status.copies if copy.cluster == member]
    if any(copy.present and (copy.version, copy.pinned) == (version, bool(ref.version)) for copy in mine):
        return None
    problem = next((copy.problem for copy in mine if copy.problem), "")
    return (
        MissingDependency(f"{ref} does not arrive: {problem}")
        if problem
        else MissingDependency(f"{ref} is not there yet", final=False)
    )


def waits(workload: Workload, sites: tuple[MemberShard, ...]) -> tuple[MissingDependency, ...]:
    """Returns what replicas wait for, each with the zones where they do if these are not all."""
    revision = workload.rendered.revision
    placed = {row.cluster: row.replicas for row in workload_model.placement(workload.obj)}
    everywhere = {site.member.zone for site in sites if site.name in placed}
    zones: dict[MissingDependency, set[str]] = {}
    for site in sites:
        missing = site.unready.get(revision) if site.known else None
        there = sum(share.replicas for share in site.mix if share.revision == revision)
        if missing is not None and placed.get(site.name, 0) > there:
            zones.setdefault(missing, set()).add(site.member.zone)
    return tuple(
        missing if found >= everywhere else replace(missing, message=f"in {zone_text.zones(found)}, {missing.message}")
        for missing, found in zones.items()
    )
