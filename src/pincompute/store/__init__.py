"""The store: history and service tokens, in SQLite by default and in PostgreSQL by URL. Only this package uses SQL."""
