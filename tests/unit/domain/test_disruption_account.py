"""One disruption account per workload: S-123, S-159, N7, and no sequence of reports that spends a part of it twice."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pincompute.domain import disruption_account
from pincompute.domain.disruption_account import Account, Part, account, allot, guaranteed

ACCOUNTS = {
    "surge up, unavailable down: all three stay": (3, "25%", "25%", Account(3, 0, 1)),
    "ten at 25 %": (10, "25%", "25%", Account(10, 2, 3)),
    "counts are taken as they are": (5, 2, 3, Account(5, 2, 3)),
    "without surge one at a time, whatever the percentage": (3, "25%", 0, Account(3, 1, 0)),
    "without surge as many as allowed": (8, "25%", 0, Account(8, 2, 0)),
    "an explicit zero with surge loses none": (5, 0, 1, Account(5, 0, 1)),
    "zero still needs one without surge": (4, 0, 0, Account(4, 1, 0)),
    "100% is everything": (4, "100%", "0%", Account(4, 4, 0)),
    "nothing of nothing": (0, "25%", "25%", Account(0, 1, 0)),
    "a hundred thousand": (100_000, "25%", "25%", Account(100_000, 25_000, 25_000)),
}


@pytest.mark.parametrize(("replicas", "unavailable", "surge", "expected"), ACCOUNTS.values(), ids=ACCOUNTS.keys())
def test_the_account_rounds_as_a_deployment_does(replicas, unavailable, surge, expected):
    assert account(replicas, unavailable, surge) == expected


def part(cluster: str, replicas: int = 1, **facts: object) -> Part:
    """A member that has what it should have, and whose operator has said so."""
    made = Part(cluster, target=replicas, replicas=replicas, ready=replicas, available=replicas)
    made = replace(made, **{"ready": facts.get("available", replicas), **facts})  # type: ignore[arg-type]
    return replace(made, guaranteed=made.floor) if "guaranteed" not in facts else made


def allotted(whole: Account, *parts: Part) -> dict[str, tuple[int, int, int]]:
    """Replicas, unavailable, updating by cluster."""
    return {p.cluster: (p.replicas, p.unavailable, p.updating) for p in allot(whole, parts)}


ONE = Account(3, unavailable=1, surge=0)
NONE = Account(3, unavailable=0, surge=1)
CASES = {
    "nothing to do": (ONE, (part("a"), part("b")), {"a": (1, 0, 0), "b": (1, 0, 0)}),
    "one replica in each of three clusters: one of them begins": (
        ONE,
        (part("a", updates=1), part("b", updates=1), part("c", updates=1)),
        {"a": (1, 0, 1), "b": (1, 0, 0), "c": (1, 0, 0)},
    ),
    "the next waits until the last is back": (
        ONE,
        (part("a", available=0, guaranteed=0, updating=1), part("b", updates=1), part("c", updates=1)),
        {"a": (1, 0, 0), "b": (1, 0, 0), "c": (1, 0, 0)},
    ),
    "a budget that was given back counts until the operator has acted on it": (
        ONE,
        (part("a", guaranteed=0, settled=False), part("b", updates=1), part("c", updates=1)),
        {"a": (1, 0, 0), "b": (1, 0, 0), "c": (1, 0, 0)},
    ),
    "a replica that is down for another reason uses up the account (S-159)": (
        ONE,
        (part("a", available=0), part("b", updates=1), part("c", updates=1)),
        {"a": (1, 0, 0), "b": (1, 0, 0), "c": (1, 0, 0)},
    ),
    "a silent member counts as down (S-123)": (
        ONE,
        (part("a", known=False), part("b", updates=1), part("c", updates=1)),
        {"a": (1, 0, 0), "b": (1, 0, 0), "c": (1, 0, 0)},
    ),
    "what does not serve waits for no account": (
        ONE,
        (part("a", available=0, updates=1), part("b", updates=1), part("c")),
        {"a": (1, 0, 1), "b": (1, 0, 0), "c": (1, 0, 0)},
    ),
    "while less than promised serves, a replica that comes back frees none that serves": (
        Account(5, unavailable=0, surge=2),
        (part("a", 3, known=False), part("b", 3, target=4, available=2, updates=2)),
        {"a": (3, 0, 0), "b": (4, 0, 0)},
    ),
    "where none may be missing nothing is handed out": (
        NONE,
        (part("a", updates=1), part("b", updates=1), part("c")),
        {"a": (1, 0, 0), "b": (1, 0, 0), "c": (1, 0, 0)},
    ),
    "one replica more in any cluster lets another be disturbed": (
        NONE,
        (part("a", 2, target=2), part("b", updates=1), part("c", updates=1)),
        {"a": (2, 0, 0), "b": (1, 0, 1), "c": (1, 0, 0)},
    ),
    "updates go before drains": (
        ONE,
        (part("a", drains=1), part("b", updates=1), part("c")),
        {"a": (1, 0, 0), "b": (1, 0, 1), "c": (1, 0, 0)},
    ),
    "a drain gives way to an update that waits": (
        ONE,
        (part("a", drains=1, unavailable=1), part("b", updates=1), part("c")),
        {"a": (1, 0, 0), "b": (1, 0, 0), "c": (1, 0, 0)},
    ),
    "two drains in two clusters do not add up": (
        ONE,
        (part("a", drains=1), part("b", drains=1), part("c")),
        {"a": (1, 1, 0), "b": (1, 0, 0), "c": (1, 0, 0)},
    ),
    "much is divided evenly": (
        Account(12, unavailable=4, surge=0),
        (part("a", 6, updates=6), part("b", 6, updates=6)),
        {"a": (6, 0, 2), "b": (6, 0, 2)},
    ),
    "a member that takes over grows at once, the one that gives back waits for it (N7)": (
        Account(2, unavailable=1, surge=0),
        (part("a", 2, target=0), part("b", 0, target=2)),
        {"a": (2, 0, 0), "b": (2, 0, 0)},
    ),
    "half of it may go when half of it is there": (
        Account(2, unavailable=1, surge=0),
        (part("a", 2, target=0), part("b", 2, available=1)),
        {"a": (1, 0, 0), "b": (2, 0, 0)},
    ),
    "what does not serve goes without waiting": (
        Account(2, unavailable=0, surge=1),
        (part("a", 2, target=0, available=0), part("b", 0, target=2)),
        {"a": (0, 0, 0), "b": (2, 0, 0)},
    ),
    "a scale-down takes all surplus at once": (
        Account(2, unavailable=0, surge=1),
        (part("a", 5, target=1), part("b", 5, target=1)),
        {"a": (1, 0, 0), "b": (1, 0, 0)},
    ),
    "a workload that is stopped goes at once": (Account(0, 1, 0), (part("a", 3, target=0),), {"a": (0, 0, 0)}),
    "a member that has not acted on its shard is not raised": (
        Account(3, unavailable=1, surge=0),
        (part("a", 1, target=3, guaranteed=1, settled=False),),
        {"a": (1, 0, 0)},
    ),
    "but one that never acted on it is": (
        Account(3, unavailable=1, surge=0),
        (part("a", 1, target=3, available=0, guaranteed=0, settled=False),),
        {"a": (3, 0, 0)},
    ),
    "what is ready and not yet available is not free to take": (
        ONE,
        (part("a", available=0, ready=1, updates=1), part("b", available=0, ready=1, updates=1), part("c")),
        {"a": (1, 0, 0), "b": (1, 0, 0), "c": (1, 0, 0)},
    ),
    "nor to give away": (
        Account(3, unavailable=0, surge=1),
        (part("a", 3, target=0, available=0, ready=3), part("b", 0, target=3)),
        {"a": (3, 0, 0), "b": (3, 0, 0)},
    ),
    "a budget stays while what it has disrupted proves itself": (
        ONE,
        (part("a", 2, available=0, ready=1, updating=1, updates=2), part("b")),
        {"a": (2, 0, 1), "b": (1, 0, 0)},
    ),
}


@pytest.mark.parametrize(("whole", "parts", "expected"), CASES.values(), ids=CASES.keys())
def test_budgets(whole, parts, expected):
    assert allotted(whole, *parts) == expected


WAITS = {
    "one is being changed": (
        Account(4, 1, 0),
        3,
        "3 replicas wait to be changed: 1 of 4 is unavailable, and no more than 1 may be",
    ),
    "some are lost": (Account(6, 1, 1), 3, "3 replicas wait to be changed: 3 of 6 are unavailable, and no more than 1 may be"),
    "the next may be changed": (
        Account(4, 1, 0),
        4,
        "3 replicas wait for their turn: at most 1 of 4 may be unavailable at a time",
    ),
    "none may be missing": (
        Account(4, 0, 1),
        5,
        "3 replicas wait to be changed: all have to stay available, so a new one has to become available first",
    ),
    "none may be missing and one is": (
        Account(4, 0, 1),
        3,
        "3 replicas wait to be changed: 1 of 4 is unavailable, and none may be",
    ),
}


@pytest.mark.parametrize(("whole", "available", "said"), WAITS.values(), ids=WAITS.keys())
def test_replicas_that_wait_say_what_holds_them_up(whole: Account, available: int, said: str):
    assert disruption_account.waiting_sentence(whole, 3, available) == said


@dataclass
class AccountMember:
    """A member and its operator, which acts on a shard it saw some time ago and disturbs whatever it may."""

    part: Part
    acted: Part

    def act(self, rng: random.Random) -> None:
        """The operator takes what the shard says now, and disturbs replicas down to its floor; some come back."""
        self.acted = self.part
        down = rng.randint(0, self.part.unavailable + self.part.updating)
        ready = min(self.part.replicas, max(min(self.part.ready, self.acted.floor), self.part.ready - down))
        available = min(self.part.available, ready)
        self.part = replace(self.part, ready=ready, available=available, settled=True, guaranteed=self.acted.floor)

    def recover(self, rng: random.Random) -> None:
        """All are ready; a longer time that a replica has to be ready makes none, or some, of them available."""
        self.part = replace(self.part, ready=self.part.replicas, available=rng.randint(0, self.part.replicas))


@settings(max_examples=120, derandomize=True, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.integers(0, 3),
    st.randoms(use_true_random=False),
)
def test_no_sequence_of_looks_and_reports_breaks_the_promise(sizes: list[int], unavailable: int, rng: random.Random) -> None:
    """Operators use their budgets at any time, reports come late, members fall silent; nothing else takes replicas away."""
    whole = Account(sum(sizes), unavailable, surge=1)
    members = [AccountMember(part(f"m{n}", size), part(f"m{n}", size)) for n, size in enumerate(sizes)]
    for _ in range(40):
        for member in members:
            wish = {name: rng.randint(0, 2) for name in ("evictions", "updates", "drains")}
            member.part = replace(member.part, known=rng.random() > 0.1, **wish)
        before = [m.part for m in members]
        told = allot(whole, before)
        assert guaranteed(told) >= min(whole.promised, guaranteed(before))
        for member, new in zip(members, told, strict=True):
            changed = (new.replicas, new.unavailable, new.updating) != (
                member.part.replicas,
                member.part.unavailable,
                member.part.updating,
            )
            if member.part.known and rng.random() > 0.2:  # some writes fail
                member.part = replace(new, settled=member.part.settled and not changed)
        for member in members:
            if rng.random() < 0.5:
                member.act(rng)
            if rng.random() < 0.5:
                member.recover(rng)
        assert sum(m.part.ready for m in members) >= whole.promised


def test_a_hundred_members_with_a_hundred_thousand_replicas_are_divided_exactly():
    whole = Account(100_000, 25_000, 25_000)
    told = allot(whole, [part(f"m{n}", 1000, updates=1000) for n in range(100)])
    assert sum(p.updating for p in told) == 25_000
    assert guaranteed(told) == whole.promised
    assert disruption_account.allot(whole, told) == told
