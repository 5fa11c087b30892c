"""PinBatch: one replica of it may be down, and one more may be there."""

from __future__ import annotations

from functools import partial

from batches.kind import PINBATCH as KIND
from pincompute.domain.disruption_account import Account
from pincompute.federation.kinds import replicated_behaviour
from pincompute.federation.kinds.behaviour import Behaviour

PINBATCH = Behaviour(
    KIND,
    partial(replicated_behaviour.demand, KIND),
    lambda _batch, replicas: Account(replicas, unavailable=1, surge=1),
    replicated_behaviour.share,
    replicated_behaviour.summarise,
)
