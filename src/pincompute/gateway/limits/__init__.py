"""Limits: rates and costs, fair shares, streams, connections and sizes."""

from pincompute.gateway.limits.request_limiter import RequestLimiter

__all__ = ["RequestLimiter"]
