"""Batch: as users write it."""

from __future__ import annotations

from typing import Annotated

from batches.kind import PINBATCH
from pincompute.api.meta import doc
from pincompute.gateway.model.field_mapping import field, table
from pincompute.gateway.model.simple_kind import SimpleKind, of_workload
from pincompute.gateway.model.workload_forms import APP_TABLE, App


class Batch(App, tag="Batch"):
    """Replicas of a team."""

    team: Annotated[str, doc("Whose it is.")] = ""


BATCH: SimpleKind[Batch] = of_workload(
    PINBATCH, Batch, APP_TABLE + table(field("team", "team")), {"name": "b"}, {"team": "red"}
)
