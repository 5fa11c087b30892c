"""How much may be asked: rates and costs, fair shares, sizes, connections and streams."""

from pincompute.gateway.limits.limiter import Limiter

__all__ = ["Limiter"]
