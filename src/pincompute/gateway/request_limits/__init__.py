"""Limits of requests, not of projects: their rates, costs, fair shares, streams, connections and sizes."""

from pincompute.gateway.request_limits.request_limiter import RequestLimiter

__all__ = ["RequestLimiter"]
