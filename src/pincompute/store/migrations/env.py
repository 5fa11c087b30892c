"""Runs alembic in the transaction that it is given, so that a migration happens whole or not at all."""

from __future__ import annotations

from alembic import context

from pincompute.store.sql_tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
