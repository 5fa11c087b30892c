"""This module is the behaviour of PinApp: many replicas, spread over zones, disrupted as the spec allows."""

from __future__ import annotations

from functools import partial

from pincompute.api.kinds import PINAPP as KIND
from pincompute.api.workloads import PinApp
from pincompute.domain import disruption_account
from pincompute.domain.disruption_account import Account
from pincompute.federation.kinds import replicated_behaviour
from pincompute.federation.kinds.behaviour import Behaviour


def account(app: PinApp, replicas: int) -> Account:
    """`disruption` speaks for everything; where it does not, the update's limit holds for everything too."""
    update, named = app.spec.update, app.spec.disruption.max_unavailable
    return disruption_account.account(replicas, update.max_unavailable if named is None else named, update.max_surge)


PINAPP = Behaviour(
    KIND, partial(replicated_behaviour.demand, KIND), account, replicated_behaviour.share, replicated_behaviour.summarise
)
