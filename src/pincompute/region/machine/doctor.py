"""`doctor` as a whole: looks at everything, ports included, and gives the findings."""

from __future__ import annotations

import os

from pincompute.region import home
from pincompute.region.build import binary_cache, go_toolchain
from pincompute.region.errors import RegionError
from pincompute.region.machine import features, port_conflicts, requirements
from pincompute.region.machine.requirements import DiskSpace, MachineFinding


def examine() -> tuple[MachineFinding, ...]:
    """Look at the machine; takes about a second."""
    basics = features.basics()
    place, cache = home.path(), binary_cache.cache_root(os.environ)
    kernel = features.kernel_features() if basics.root else None
    building = None if _have_binaries() else features.building()
    space = DiskSpace(features.free_space(place), features.free_space(cache))
    return (*requirements.findings(basics, building, kernel, space), _ports())


def _have_binaries() -> bool:
    try:
        if binary_cache.given(os.environ) is not None:
            return True
        toolchain = go_toolchain.find()
    except RegionError:
        toolchain = None
    return binary_cache.BinaryCache(binary_cache.cache_root(os.environ)).complete(toolchain) is not None


def _ports() -> MachineFinding:
    place = home.path()
    try:
        layout = home.load(place)
        if layout is not None:
            port_conflicts.check(port_conflicts.wanted(layout), place)
    except RegionError as error:
        return MachineFinding("ports", "missing", str(error), "see the message")
    return MachineFinding("ports", "ok", "free, or held by this region" if layout else "a new region takes free ones")
