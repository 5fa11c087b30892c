"""PinBatch: one replica of it may be down, and one more may be there."""

from __future__ import annotations

from functools import partial

from batches.kind import PINBATCH as KIND
from pincompute.domain.budget import Account
from pincompute.federation.kinds import replicated
from pincompute.federation.kinds.behaviour import Behaviour

PINBATCH = Behaviour(
    KIND,
    partial(replicated.demand, KIND),
    lambda _batch, replicas: Account(replicas, unavailable=1, surge=1),
    replicated.share,
    replicated.summarise,
)
