"""The only door to SQL: history and tokens, in SQLite by default and PostgreSQL by URL."""
