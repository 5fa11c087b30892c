"""This module is the behaviour of PinPod: one pod that is never doubled, so it is down while it changes."""

from __future__ import annotations

from functools import partial

from pincompute.api.kinds import PINPOD as KIND
from pincompute.api.workloads import PinPod
from pincompute.domain.disruption_account import Account
from pincompute.federation.kinds import replicated_behaviour
from pincompute.federation.kinds.behaviour import Behaviour


def account(_unit: PinPod, replicas: int) -> Account:
    """There is no other replica to wait for, and never a second one."""
    return Account(replicas, unavailable=1, surge=0, single=True)


PINPOD = Behaviour(
    KIND, partial(replicated_behaviour.demand, KIND), account, replicated_behaviour.share, replicated_behaviour.summarise
)
