"""Administration: the session, service tokens, roles, clusters and the audit log."""
