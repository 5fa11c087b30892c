"""Units: single replicas, such as notebooks."""

from __future__ import annotations

from pincompute.gateway.model import UNIT
from pincompute.gateway.workloads import resources

ROUTES = resources.routes(UNIT)
