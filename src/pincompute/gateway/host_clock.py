"""Reads the host's clock, by which the gateway stamps its records.

Several gateways write one history, beside events that clusters stamp, and only one clock can order them. So the host's clock
counts even where ours is right. Credentials are judged by our own clock (`access`).
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from pincompute.api.labels import HOST
from pincompute.kube.cache_views import Unknown
from pincompute.kube.clock import SYSTEM, Clock
from pincompute.kube.cluster_set import Clusters

log = logging.getLogger(__name__)

AGREES = timedelta(seconds=5)  # answers carry whole seconds and are delayed
STEP = timedelta(microseconds=1)


class HostClock:
    """Call it for the time. It is our own until the host has answered. Each call gives a later time than the one before."""

    def __init__(self, clusters: Clusters, clock: Clock = SYSTEM) -> None:
        self._clusters = clusters
        self._clock = clock
        self._agreed = True
        self._last: datetime | None = None

    def __call__(self) -> datetime:
        ours = self._clock.wall()
        theirs = self._host()
        agreed = theirs is None or abs(theirs - ours) <= AGREES
        if agreed != self._agreed:
            self._agreed = agreed
            self._tell(ours - (theirs or ours))
        return self._in_order(ours if theirs is None or agreed else theirs)

    def _in_order(self, now: datetime) -> datetime:
        """Keeps the order of records: an answer with whole seconds may set the time back a little, which is not followed."""
        if self._last is not None and timedelta() <= self._last - now <= AGREES:
            now = self._last + STEP
        self._last = now
        return now

    def _host(self) -> datetime | None:
        try:
            return self._clusters.client(HOST).now()
        except Unknown:
            return None

    def _tell(self, ahead: timedelta) -> None:
        if self._agreed:
            log.info("our clock agrees with the host's again")
        else:
            log.warning("our clock differs from the host's: set it right", extra={"ahead_seconds": ahead.total_seconds()})
