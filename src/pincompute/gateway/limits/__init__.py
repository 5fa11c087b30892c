"""How much may be asked: rates and costs, fair shares, sizes, connections and streams."""

from pincompute.gateway.limits.request_limiter import RequestLimiter

__all__ = ["RequestLimiter"]
