"""History: records of what happened to workloads and why, and the sentences that explain them."""

from pincompute.gateway.history.history_recorder import HistoryMetrics, HistoryRecorder
from pincompute.gateway.history.history_service import HistoryService
from pincompute.gateway.history.operation_recorder import OperationRecorder

__all__ = ["HistoryMetrics", "HistoryRecorder", "HistoryService", "OperationRecorder"]
