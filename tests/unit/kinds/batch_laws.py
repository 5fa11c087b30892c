"""Runs the laws of a region in which every workload is a PinBatch, of the package beside it."""

from __future__ import annotations

import random

import region_worlds
from batches.kind import PINBATCH
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pincompute.testing.laws import LAWS, Case, Chance, uphold

EXAMPLES = 3


def main() -> None:
    region_worlds.PINAPPS, region_worlds.PINAPPSHARDS = PINBATCH.workload, PINBATCH.shard
    region_worlds.TIER = {PINBATCH.workload: {"tier": lambda obj: (obj.spec.tier,)}}
    for law in LAWS:
        check(law)
        print(f"{law}: {EXAMPLES} regions of {PINBATCH.workload}")


def check(law: str) -> None:
    @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=[*HealthCheck])
    @given(case=region_worlds.regions(), seed=st.integers(0, 2**32))
    def holds(case: Case, seed: int) -> None:
        uphold(law, case, Chance(random.Random(seed)))

    holds()


if __name__ == "__main__":
    main()
