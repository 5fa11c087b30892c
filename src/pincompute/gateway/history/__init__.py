"""Insight: what happened to running and past workloads, and why, recorded and told in sentences."""

from pincompute.gateway.history.history_metrics import HistoryMetrics
from pincompute.gateway.history.history_recorder import HistoryRecorder
from pincompute.gateway.history.history_service import HistoryService
from pincompute.gateway.history.operation_recorder import OperationRecorder

__all__ = ["HistoryMetrics", "HistoryRecorder", "HistoryService", "OperationRecorder"]
