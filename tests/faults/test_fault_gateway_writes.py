"""The gateway is killed in the middle of writes of every kind: each is done, once, and its record says so once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from live_region import Region
from pincompute_sdk.client import Client
from pincompute_sdk.core import retry
from pincompute_sdk.generated.models import OperationRecord
from terminal_user import TerminalUser

pytestmark = [pytest.mark.alone, pytest.mark.usefixtures("calm")]

APP = "talker"
MANY = 60  # attempts: a gateway that is killed again and again is started later and later
PATIENT = retry.Policy(attempts=MANY, few=MANY, first=2.0, cap=4.0, budget=120.0)
AFTER = 0.01  # seconds from sending to killing: about as long as a write takes

Write = Callable[[Client, str, str], Any]
WRITES: dict[str, Write] = {
    "update": lambda pin, project, why: pin.apps.patch(project, APP, {"labels": {"team": "web"}, "replicas": 4}, reason=why),
    "stop": lambda pin, project, why: pin.apps.stop(project, APP, reason=why),
    "start": lambda pin, project, why: pin.apps.start(project, APP, reason=why),
    "restart": lambda pin, project, why: pin.apps.restart(project, APP, reason=why),
    "scale": lambda pin, project, why: pin.apps.scale(project, APP, {"replicas": 3}, reason=why),
}


def patient(user: TerminalUser) -> Client:
    client = Client(user.context(), policy=PATIENT)
    client.state.budget = retry.RetryBudget(tokens=MANY, most=MANY)
    return client


def test_changes_and_verbs_are_done_once_each(region: Region, dev: TerminalUser, running: str):
    """S-258, S-259, S-260: the SDK repeats each under its key; a restart is not two, and no record is missing or doubled."""
    before = region.app(running, APP).metadata.generation
    reasons = {verb: f"{verb} {region.pid('gateway')}" for verb in WRITES}
    for number, (verb, write) in enumerate(WRITES.items(), 1):
        with patient(dev) as pin:
            pin.apps.get(running, APP)  # the connection is there
            threading.Timer(AFTER, region.kill, ("gateway",)).start()
            write(pin, running, reasons[verb])
        assert region.app(running, APP).metadata.generation == before + number, verb
        region.all_ready()

    with patient(dev) as pin:

        def told() -> list[tuple[str, str]]:
            found = [r for r in pin.apps.iterate_history(running, APP) if isinstance(r, OperationRecord)]
            return sorted((r.verb, r.reason) for r in found if r.reason in reasons.values())

        region.eventually("the history has each of them, once", lambda: told() == sorted(reasons.items()))
    region.settled(running, APP, replicas=3)


def test_a_deletion_is_repeated_until_it_is_done(region: Region, dev: TerminalUser, running: str):
    """S-259: what is gone in the meantime is as good as deleted."""
    dev.pin("deploy", "-f", "app.yaml", "--yes")  # a second try needs another one
    with patient(dev) as pin:
        pin.apps.get(running, APP)
        threading.Timer(AFTER, region.kill, ("gateway",)).start()
        pin.apps.delete(running, APP)
    region.eventually("nothing of it is left", lambda: region.leftovers(running, APP) == [])
