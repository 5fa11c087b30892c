"""Amounts that are legal and hardly ever meant: each is named with what it means."""

from __future__ import annotations

from typing import Any

import pytest
from pincompute_sdk.cli import doubtful_amounts
from pincompute_sdk.generated.models import Change


def web(**resources: Any) -> Change:
    return Change(field="containers", after=[{"name": "web", "image": "web:1", "resources": resources}])


DOUBTS: dict[str, tuple[Change, list[str]]] = {
    "bytes": (web(memory=32), ["containers.web.resources.memory: 32 is 32 bytes; 32Mi are mebibytes"]),
    "thousandths of a byte": (
        web(memory="512m"),
        ["containers.web.resources.memory: 512m is 0.512 bytes; 512Mi are mebibytes"],
    ),
    "kilobytes": (web(memory="64k"), ["containers.web.resources.memory: 64k is 64000 bytes; 64Mi are mebibytes"]),
    "a limit alone": (
        Change(field="containers.web.resources.limits.memory", before="64Mi", after="64"),
        ["containers.web.resources.limits.memory: 64 is 64 bytes; 64Mi are mebibytes"],
    ),
    "a hundred terabytes": (web(memory="100Ti"), ["containers.web.resources.memory: 100Ti is 100 TiB"]),
    "whole CPUs": (web(cpu=100), ["containers.web.resources.cpu: 100 means 100 whole CPUs; 100m is 0.1 of a CPU"]),
    "CPUs of a large machine": (
        web(cpu="250"),
        ["containers.web.resources.cpu: 250 means 250 whole CPUs; 250m is 0.25 of a CPU"],
    ),
    "both": (
        web(cpu=500, memory=1),
        [
            "containers.web.resources.cpu: 500 means 500 whole CPUs; 500m is 0.5 of a CPU",
            "containers.web.resources.memory: 1 is 1 byte; 1Mi are mebibytes",
        ],
    ),
    "no grace": (
        Change(field="terminationGracePeriod", before="30s", after="0s"),
        ["terminationGracePeriod: 0s ends replicas at once, without time to finish"],
    ),
    "many more": (Change(field="replicas", before=3, after=100_000), ["replicas: 100000 are more than 100 times the 3 of now"]),
    "many of a new app": (Change(field="replicas", after=100_000), ["replicas: 100000 are many for a new app"]),
    "many more than none": (Change(field="replicas", before=0, after=101), ["replicas: 101 are many where none run now"]),
    "usual": (web(cpu="250m", memory="128Mi"), []),
    "a large machine": (web(cpu=96, memory="2Ti"), []),
    "exponents": (web(memory="128e6"), []),
    "nothing asked for": (web(memory=0, cpu=0), []),
    "a hundred times": (Change(field="replicas", before=3, after=300), []),
    "less": (Change(field="replicas", before=100_000, after=3), []),
    "a count that was not said": (Change(field="replicas", before=3), []),
    "what goes": (Change(field="containers.web.resources.memory", before=32), []),
    "a label of that name": (Change(field="labels", after={"size": "10"}), []),
    "a volume": (
        Change(field="volumes", after=[{"name": "work", "size": 10}]),
        ["volumes.work.size: 10 is 10 bytes; 10Mi are mebibytes"],
    ),
    "another field of that name": (Change(field="containers.web.env.memory", after="32"), []),
    "a short grace": (Change(field="terminationGracePeriod", after="1s"), []),
}


@pytest.mark.parametrize("case", DOUBTS)
def test_doubts(case: str) -> None:
    change, doubts = DOUBTS[case]
    assert list(doubtful_amounts.of_changes([change])) == doubts
