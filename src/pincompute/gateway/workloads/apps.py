"""Apps: long-running services."""

from __future__ import annotations

from pincompute.gateway.model import APP
from pincompute.gateway.workloads import resources

ROUTES = resources.routes(APP)
