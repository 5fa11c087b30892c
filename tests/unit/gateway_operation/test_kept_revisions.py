"""The kept revisions of a workload: numbers, notes and authors, and what differs between any two."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from replica_samples import NOW, app

from pincompute.api import labels, template_hash
from pincompute.api.meta import Manifest, ObjectMeta
from pincompute.api.revisions import PinRevision, PinRevisionSpec
from pincompute.api.template_settings import Reference
from pincompute.api.workloads import RolloutStatus
from pincompute.gateway.model import APP
from pincompute.gateway.operation import kept_revisions
from pincompute.gateway.operation.kept_revisions import KeptRevision
from pincompute.gateway.operation.rollback_target import RollbackRevision
from pincompute.gateway.problems import Problem


def template(image: str) -> Manifest:
    return {"spec": {"containers": [{"name": "main", "image": image, "env": [{"name": "A", "value": image}]}]}}


def kept(image: str, number: int, **facts: Any) -> PinRevision:
    """As the federation keeps it: with all defaults."""
    full = template_hash.normalise(template(image))
    return PinRevision(
        metadata=ObjectMeta(name=image, creation_timestamp=NOW),
        spec=PinRevisionSpec(revision=template_hash.revision(full), number=number, template=full, **facts),
    )


def present(image: str, note: str = "") -> Any:
    made = app(annotations={labels.CHANGE_CAUSE: note} if note else {})
    return msgspec.structs.replace(made, spec=msgspec.structs.replace(made.spec, template=template(image)))


def rows(*there: PinRevision, of: Any, known: tuple[RollbackRevision, ...] = ()) -> tuple[KeptRevision, ...]:
    return kept_revisions.listed(of, there, known)


def test_the_present_one_comes_first_with_the_next_number():
    found = rows(kept("b", 2, note="second", failure="it crashes"), kept("a", 1), of=present("c", "third"))
    assert [(row.number, row.note, row.present, row.failure) for row in found] == [
        (3, "third", True, ""),
        (2, "second", False, "it crashes"),
        (1, "", False, ""),
    ]


def test_the_present_one_says_why_its_update_failed():
    """It serves nowhere then, and is kept as failed only when another one takes its place."""
    of = present("c")
    name = rows(of=of)[0].revision
    for revision, failure in ((name, "a hook refuses"), ("another", "")):
        record = RolloutStatus(revision=revision, state="RolledBack", failure="a hook refuses")
        failed = msgspec.structs.replace(of, status=msgspec.structs.replace(of.status, rollout=record))
        assert rows(kept("b", 1), of=failed)[0].failure == failure


def test_what_came_back_stands_once():
    """As in a Deployment, a rollback makes it the newest."""
    assert [row.number for row in rows(kept("b", 2), kept("a", 1), of=present("a"))] == [3, 2]
    assert [row.number for row in rows(kept("a", 2), kept("b", 1), of=present("a"))] == [2, 1]


def test_the_history_says_who_made_it_and_whether_it_ran_well():
    one = kept("a", 1)
    known = RollbackRevision(one.spec.revision, {}, NOW, ran_well=True, author="ann")
    (_, row) = rows(one, of=present("b"), known=(known,))
    assert (row.author, row.ran_well) == ("ann", True)
    assert rows(one, of=present("b"))[1].ran_well is None


def test_a_revision_that_a_new_value_of_a_secret_made_says_so():
    """Nobody deployed it, and the note of the object is that of the deploy before."""
    (of,) = (present("b", "a note of the deploy"),)
    name = rows(of=of)[0].revision
    known = RollbackRevision(name, {}, NOW, ran_well=True, rolls=True, rolled_by="version 2 of secret db")
    assert rows(of=of, known=(known,))[0].note == "version 2 of secret db"


def test_any_two_are_compared_in_the_form_of_app_yaml():
    """What a template leaves out counts as its default, so only what somebody changed differs."""
    there, of = (kept("b", 2), kept("a", 1)), present("c")
    found = rows(*there, of=of)
    for start, end, images in (("1", "2", ("a", "b")), ("1", "present", ("a", "c")), (found[1].revision[:9], "3", ("b", "c"))):
        one, other = kept_revisions.find(found, "from", start), kept_revisions.find(found, "to", end)
        made = kept_revisions.difference(APP, of, kept_revisions.templates(of, there, (), ()), one, other)
        assert [(each.field, each.before, each.after) for each in made.changes] == [
            ("containers.main.image", *images),
            ("containers.main.env.A", *images),
        ]
        assert f"image: {images[1]}" in made.text


def secretly(name: str, login: str = "") -> Manifest:
    """A template that takes a variable from a secret."""
    value = {"secretKeyRef": {"name": name, "key": "value"}}
    logins = {"imagePullSecrets": [{"name": login}]} if login else {}
    return {"spec": {"containers": [{"name": "main", "image": "a", "env": [{"name": "A", "valueFrom": value}]}], **logins}}


def test_another_version_of_a_secret_is_the_only_difference():
    """The host keeps what the members ran: names of versions, and the login that the platform adds."""
    ran = template_hash.normalise(secretly("db.2", login="hub.1"))
    spec = PinRevisionSpec(revision="v2", number=2, template=ran)
    there = (PinRevision(metadata=ObjectMeta(name="v2", creation_timestamp=NOW), spec=spec),)
    of = present("a")
    of = msgspec.structs.replace(of, spec=msgspec.structs.replace(of.spec, template=secretly("db")))
    known = (RollbackRevision("v2", secretly("db"), NOW, ran_well=True, rolls=True),)
    (now, former) = rows(*there, of=of, known=known)
    templates = kept_revisions.templates(of, there, known, [Reference("secret", "db", 3)])
    (change,) = kept_revisions.difference(APP, of, templates, former, now).changes
    assert (change.field, change.before, change.after) == ("containers.main.env.A.secret", "db.2", "db.3")


@pytest.mark.parametrize("asked", ["7", "nope", "v2"])
def test_what_is_not_kept_names_what_is(asked: str):
    with pytest.raises(Problem, match="1, present") as caught:
        kept_revisions.find(rows(kept("b", 2), kept("a", 1), of=present("c")), "from", asked)
    assert caught.value.errors[0].field == "from"
