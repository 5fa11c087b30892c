"""Projects that are ready to be used."""

from __future__ import annotations

import manifests
from region import Region

from pincompute.api import conditions
from pincompute.api.clusters import PROJECTS


def make_project(region: Region, name: str) -> None:
    region.apply(manifests.project(name))

    def prepared() -> bool:
        found = region.host.get(PROJECTS, "", name)
        return found is not None and conditions.is_true(found.status.conditions, "Ready")

    region.eventually(f"project {name} is ready", prepared)
