"""The audit log: writes, denials and access to logs, files and shells, in a chain of hashes."""

from pincompute.gateway.audit.audit_log import AuditLog
from pincompute.gateway.audit.chain_verification import AuditReport, verify
from pincompute.gateway.audit.log_files import AuditError

__all__ = ["AuditError", "AuditLog", "AuditReport", "verify"]
