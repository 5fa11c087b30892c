"""Batch: as users write it."""

from __future__ import annotations

from typing import Annotated

from batches.kind import PINBATCH
from pincompute.api.meta import doc
from pincompute.gateway.model.app import TABLE, App
from pincompute.gateway.model.kind import Kind, of_workload
from pincompute.gateway.model.lens import field, table


class Batch(App, tag="Batch"):
    """Replicas of a team."""

    team: Annotated[str, doc("Whose it is.")] = ""


BATCH: Kind[Batch] = of_workload(PINBATCH, Batch, TABLE + table(field("team", "team")), {"name": "b"}, {"team": "red"})
