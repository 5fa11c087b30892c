"""The audit log: writes, denials and access to logs, files and shells, in a chain of hashes."""

from pincompute.gateway.audit.audit_files import AuditError
from pincompute.gateway.audit.audit_log import AuditLog
from pincompute.gateway.audit.chain_verification import AuditReport, HostAnchors, verify
from pincompute.gateway.audit.head_anchors import HeadAnchors
from pincompute.gateway.audit.record_search import AuditPage, AuditQuery, search

__all__ = ["AuditError", "AuditLog", "AuditPage", "AuditQuery", "AuditReport", "HeadAnchors", "HostAnchors", "search", "verify"]
