"""Which revisions a rollback can lead to: those the host keeps, and what the history knows of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from replica_samples import NOW, TARGET, app

from pincompute.api.meta import Manifest, ObjectMeta
from pincompute.api.projects import Project
from pincompute.api.revisions import PinRevision, PinRevisionSpec
from pincompute.gateway.operation import rollback_candidates
from pincompute.gateway.operation.rollback_candidates import RollbackCandidates
from pincompute.gateway.operation.rollback_target import RollbackRevision
from pincompute.gateway.problems import Problem
from pincompute.store.database import StoreUnavailable
from pincompute.store.history_table import ProjectLifetime, RecordFilter
from pincompute.store.records import RevisionRecord


def kept(*names: str) -> tuple[PinRevision, ...]:
    """Newest first, as reads give them."""
    count = len(names)
    return tuple(
        PinRevision(
            metadata=ObjectMeta(name=f"web-{name}", creation_timestamp=NOW - timedelta(minutes=age)),
            spec=PinRevisionSpec(revision=name, number=count - age, template=template(name, "host")),
        )
        for age, name in enumerate(names)
    )


def told(**good: bool) -> tuple[RollbackRevision, ...]:
    return tuple(RollbackRevision(name, template(name, "history"), NOW, ran_well=well) for name, well in good.items())


def template(name: str, source: str) -> Manifest:
    return {"spec": {"containers": [{"name": source, "image": name}]}}


ORDERS = {
    "the host alone, without the store": (kept("b", "a"), {}, ["b", "a"]),
    "the history alone": ((), {"c": False, "b": True}, ["c", "b"]),
    "both say the same": (kept("b", "a"), {"b": True, "a": True}, ["b", "a"]),
    "the present is known to the history only": (kept("b", "a"), {"c": False, "b": True, "a": True}, ["c", "b", "a"]),
    "the history missed one": (kept("c", "b", "a"), {"d": False, "c": True, "a": True}, ["d", "c", "b", "a"]),
    "the host has forgotten the oldest": (kept("c", "b"), {"c": True, "b": True, "a": True}, ["c", "b", "a"]),
    "one came back": (kept("b", "a"), {"a": True, "b": True}, ["a", "b"]),
}


@pytest.mark.parametrize("case", ORDERS)
def test_each_stands_once_and_the_newest_first(case: str) -> None:
    there, history, names = ORDERS[case]
    assert [revision.name for revision in rollback_candidates.merged(there, told(**history))] == names


def test_the_history_adds_who_ran_well_and_how_its_author_wrote_it() -> None:
    found = {r.name: r for r in rollback_candidates.merged(kept("c", "b", "a"), told(c=False, a=True))}
    assert {name: revision.ran_well for name, revision in found.items()} == {"c": False, "b": None, "a": True}
    sources = {name: revision.template["spec"]["containers"][0]["name"] for name, revision in found.items()}
    assert sources == {"c": "history", "b": "host", "a": "history"}


def test_the_former_value_of_a_secret_is_in_the_template_that_the_members_ran() -> None:
    """What its author wrote names no version, so it would bring the present value."""
    written, ran = ({"spec": {"volumes": [{"secret": {"secretName": name}}]}} for name in ("db", "db.1"))
    (there,) = kept("a")
    there = msgspec.structs.replace(there, spec=msgspec.structs.replace(there.spec, template={**ran, "metadata": {"more": 1}}))
    recorded = RollbackRevision("a", written, NOW, ran_well=True, rolls=True)
    (found,) = rollback_candidates.merged([there], [recorded])
    assert (found.template, found.ran_well) == (ran, True)


def test_what_a_secret_made_still_says_so_after_a_rollback_to_it() -> None:
    """The note of `pin rollout history` was lost, because a rollback names the version and so has no new one."""
    owner = {"project": "shop", "workload": "PinApp", "name": "web", "uid": "u", "at": NOW}
    one, two = ("version 1 of secret db",), ("version 2 of secret db",)
    deployed = RevisionRecord(**owner, generation=1, revision="a", author="ann", settings=one)
    rolled = RevisionRecord(**owner, generation=1, revision="b", author="bob", rolled=True, settings=two)
    other = RevisionRecord(**owner, generation=2, revision="c", author="ann", settings=two)
    back = RevisionRecord(**owner, generation=3, revision="b", author="eve")
    found = rollback_candidates.revisions([back, other, rolled, deployed])
    assert [(each.name, each.author, each.rolled_by) for each in found] == [
        ("b", "eve", "version 2 of secret db"),
        ("c", "ann", ""),
        ("a", "ann", ""),
    ]


def test_what_nobody_deployed_names_the_versions_of_settings_that_made_it() -> None:
    owner: Any = {"project": "demo", "workload": "PinApp", "name": "web", "uid": "u", "at": NOW, "generation": 1}
    deployed = RevisionRecord(**owner, revision="a", author="ann", settings=("version 1 of config c", "version 1 of secret db"))
    rolled = RevisionRecord(**owner, revision="b", rolled=True, settings=("version 1 of config c", "version 2 of secret db"))
    found = rollback_candidates.revisions([rolled, deployed])
    assert [(each.name, each.author, each.rolled_by) for each in found] == [
        ("b", "", "version 2 of secret db"),
        ("a", "ann", ""),
    ]


class Away:
    """A store whose database does not answer, and a host that keeps what it is told to."""

    def __init__(self, *names: str) -> None:
        self._kept = kept(*names)

    def revisions(self, _obj: Any) -> tuple[PinRevision, ...]:
        return self._kept

    def get(self, _resource: Any, _project: str, name: str) -> Project:
        return Project(metadata=ObjectMeta(name=name, uid="p", creation_timestamp=NOW))

    @property
    def history(self) -> Away:
        return self

    async def page(self, wanted: RecordFilter, **__: Any) -> Any:
        assert wanted.lifetime == ProjectLifetime("p", NOW), "templates of a former project are not for this one"
        raise StoreUnavailable("no answer")


async def test_a_rollback_needs_no_database() -> None:
    there: Any = Away("b", "a")
    found = await RollbackCandidates(there, there).of(TARGET, app())
    assert [(revision.name, revision.ran_well) for revision in found] == [("b", None), ("a", None)]


async def test_where_nothing_can_be_known_that_is_said() -> None:
    there: Any = Away()
    with pytest.raises(Problem, match="does not answer now, and the host keeps no earlier revision"):
        await RollbackCandidates(there, there).of(TARGET, app())


def test_a_revision_is_as_old_as_the_deploy_that_brought_it() -> None:
    """Its age and author were those of the last scale."""
    made = (("a", "ann"), ("a", "ann"), ("b", "bob"), ("b", "cid"), ("a", "dan"), ("a", "eve"))  # oldest first
    owner = {"project": "shop", "workload": "PinApp", "name": "web", "uid": "u"}
    written = [
        RevisionRecord(**owner, at=NOW + timedelta(seconds=n), generation=n + 1, revision=name, author=author)  # type: ignore[arg-type]
        for n, (name, author) in enumerate(made)
    ]
    found = rollback_candidates.revisions(written[::-1])
    assert [(each.name, each.at - NOW, each.author) for each in found] == [
        ("a", timedelta(seconds=4), "dan"),
        ("b", timedelta(seconds=2), "bob"),
    ]
