"""PinApp: so many replicas, spread; disturbed as its spec allows."""

from __future__ import annotations

from functools import partial

from pincompute.api.kinds import PINAPP as KIND
from pincompute.api.workloads import PinApp
from pincompute.federation.kinds import replicated
from pincompute.federation.kinds.behaviour import Account, Behaviour


def account(app: PinApp) -> Account:
    """`disruption` speaks for everything; where it does not, the update's limit holds for everything too."""
    update, named = app.spec.update, app.spec.disruption.max_unavailable
    return Account(update.max_unavailable if named is None else named, update.max_surge)


PINAPP = Behaviour(KIND, partial(replicated.demand, KIND), account, replicated.share, replicated.summarise)
