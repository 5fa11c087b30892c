"""Who did what: a record of writes, denials and looks inside, in a chain of hashes."""

from pincompute.gateway.audit.files import AuditError
from pincompute.gateway.audit.log import AuditLog
from pincompute.gateway.audit.verification import Report, verify

__all__ = ["AuditError", "AuditLog", "Report", "verify"]
