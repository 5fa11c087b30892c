"""`doctor` as a whole: looks at everything, ports included, and gives the findings."""

from __future__ import annotations

import os

from pincompute.region import binaries, doctor, facts, golang, home, ports
from pincompute.region.doctor import Finding, Space
from pincompute.region.errors import RegionError


def examine() -> tuple[Finding, ...]:
    """Look at the machine; takes about a second."""
    basics = facts.basics()
    place, cache = home.path(), binaries.cache_root(os.environ)
    kernel = facts.kernel_features() if basics.root else None
    building = None if _have_binaries() else facts.building()
    space = Space(facts.free_space(place), facts.free_space(cache))
    return (*doctor.findings(basics, building, kernel, space), _ports())


def _have_binaries() -> bool:
    try:
        if binaries.given(os.environ) is not None:
            return True
        toolchain = golang.find()
    except RegionError:
        toolchain = None
    return binaries.Cache(binaries.cache_root(os.environ)).complete(toolchain) is not None


def _ports() -> Finding:
    place = home.path()
    try:
        layout = home.load(place)
        if layout is not None:
            ports.check(ports.wanted(layout), place)
    except RegionError as error:
        return Finding("ports", "missing", str(error), "see the message")
    return Finding("ports", "ok", "free, or held by this region" if layout else "a new region takes free ones")
