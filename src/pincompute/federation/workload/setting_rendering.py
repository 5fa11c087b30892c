"""Renders what a template says of settings: the versions in use for an app that rolls with them, and logins at registries.

With `update.settings: Roll` a template that names `db-password` is rendered with `db-password.7`. So another value is another
revision: it reaches the replicas within the disruption account, and a rollback brings the former value back.
A template with an image of a registry for which the project has a login names that login by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pincompute.api import template_hash, template_settings
from pincompute.api.labels import HOST
from pincompute.api.meta import Key, Manifest, Resource
from pincompute.api.settings import Setting
from pincompute.api.template_settings import Place, renamed
from pincompute.federation.settings import setting_references
from pincompute.federation.workload.workload_model import Rendered, Workload
from pincompute.kube.cache_views import Views

REMEMBERED = 50_000  # workloads whose rendering is kept
_rendered: dict[str, tuple[Rendered, tuple[Any, ...], Rendered]] = {}  # by uid, with what it was made from


def rendered(workload: Workload, views: Views) -> Workload:
    """Returns the workload with the template that members get."""
    if workload.rendered.problem:
        return workload
    base = workload.rendered
    versions = tuple(_versions(workload, views)) if workload.obj.spec.update.settings == "Roll" else ()
    logins = tuple(_logins(workload, views))
    if not versions and not logins:
        return workload
    known = _rendered.get(workload.uid)
    if known is None or known[0] is not base or known[1] != (versions, logins):
        _rendered.pop(workload.uid, None)
        if len(_rendered) >= REMEMBERED:
            del _rendered[next(iter(_rendered))]
        known = _rendered[workload.uid] = (base, (versions, logins), _render(base, dict(versions), logins))
    return replace(workload, rendered=known[2])


def _versions(workload: Workload, views: Views) -> Iterator[tuple[tuple[str, str], str]]:
    """Yields the names in the template that stand for the version in use, each with the name of that version."""

    def find(resource: Resource[Any], key: Key) -> Setting | None:
        return views.view(HOST, resource).get(key)

    for ref in template_settings.in_use(workload.rendered.template, workload.key.namespace, find):
        yield (ref.word, ref.name), ref.stored


def _logins(workload: Workload, views: Views) -> Iterator[str]:
    """Yields the names of the logins that the template's images need."""
    for secret in setting_references.logins_for(workload.rendered.template, workload.key.namespace, views):
        if secret.spec.version and not secret.deleting:
            yield secret.metadata.name


def _render(base: Rendered, versions: Mapping[tuple[str, str], str], logins: tuple[str, ...]) -> Rendered:
    def name(place: Place) -> str:
        return place.name if "imagePullSecrets" in place.path else versions.get((place.word, place.name), place.name)

    template = renamed(base.template, name)
    spec: Manifest = template["spec"]
    there: list[Manifest] = spec.get("imagePullSecrets") or []
    more = [{"name": login} for login in logins if all(each.get("name") != login for each in there)]
    if more:
        template = {**template, "spec": {**spec, "imagePullSecrets": [*there, *more]}}
    return replace(base, template=template, revision=template_hash.revision(template))
