"""Adds the uid of the project to history records, so that a project does not show the history of a former one of its name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Records that are there keep an empty uid: which project of the name they belong to follows from their time."""
    op.add_column("records", sa.Column("project_uid", sa.String(64), nullable=False, server_default=""))
