"""PinPod: one pod, never doubled, that may run to its end."""

from __future__ import annotations

from functools import partial

from pincompute.api.kinds import PINPOD as KIND
from pincompute.api.meta import Manifest
from pincompute.api.workloads import PinPod
from pincompute.federation.kinds import replicated
from pincompute.federation.kinds.behaviour import Account, Behaviour

ALONE = Account(unavailable=1, surge=0)  # there is no other replica to wait for, and never a second one


def account(_unit: PinPod) -> Account:
    return ALONE


def runs_to_end(unit: PinPod) -> bool:
    pod: Manifest = unit.spec.template.get("spec") or {}
    return pod.get("restartPolicy", "Always") in ("Never", "OnFailure")


PINPOD = Behaviour(KIND, partial(replicated.demand, KIND), account, replicated.share, replicated.summarise, runs_to_end)
