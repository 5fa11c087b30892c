"""The only door to SQL: history, idempotency keys and tokens, in SQLite by default and PostgreSQL by URL."""
