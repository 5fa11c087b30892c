"""Defines the SQL tables for statements; migrations create them.

All kinds of history are in one table: a timeline is one walk over one index, and keys, paging and retention are written once.
What only one kind has is in `body`, which SQL never reads.
"""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

BigId = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite counts up by itself only for INTEGER

records = sa.Table(
    "records",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("key", sa.String(32), nullable=False),
    sa.Column("type", sa.String(16), nullable=False),
    sa.Column("project", sa.String(63), nullable=False),
    sa.Column("workload", sa.String(63), nullable=False),
    sa.Column("name", sa.String(253), nullable=False),
    sa.Column("uid", sa.String(64), nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),  # microseconds since the epoch, as are all times
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Column("rank", sa.BigInteger, nullable=False),
    sa.Column("words", sa.Text, nullable=False),  # casefolded
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),  # bytes the row takes, about
    sa.Column("project_uid", sa.String(64), nullable=False, server_default=""),  # empty in rows of earlier versions
    sa.UniqueConstraint("key", name="records_key"),
    sa.Index("records_workload", "project", "name", "at", "id"),
    sa.Index("records_project", "project", "at", "id"),
    sa.Index("records_age", "until", "id"),
    sa.Index("records_latest", "type", "uid", "at"),
)

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Column("revoked", sa.BigInteger, nullable=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
