"""The only access to SQL: history and service tokens, in SQLite by default or PostgreSQL by URL."""
