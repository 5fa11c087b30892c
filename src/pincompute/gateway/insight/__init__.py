"""Insight: what happened to running and past workloads, and why, recorded and told in sentences."""

from pincompute.gateway.insight.figures import Figures
from pincompute.gateway.insight.insight import Insight
from pincompute.gateway.insight.operations import Operations
from pincompute.gateway.insight.recorder import Recorder

__all__ = ["Figures", "Insight", "Operations", "Recorder"]
