"""Makes projects that are ready to be used."""

from __future__ import annotations

import story_manifests
from live_region import Region

from pincompute.api import conditions
from pincompute.api.projects import PROJECTS


def make_project(region: Region, name: str) -> None:
    region.apply(story_manifests.project(name))

    def prepared() -> bool:
        found = region.host.get(PROJECTS, "", name)
        return found is not None and conditions.is_true(found.status.conditions, "Ready")

    region.eventually(f"project {name} is ready", prepared)
