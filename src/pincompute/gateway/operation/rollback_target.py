"""Chooses the revision that a rollback goes back to: the one that is named, or the newest earlier one that ran well. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pincompute.api import template_hash
from pincompute.api.kinds import WorkloadObject
from pincompute.api.meta import Manifest
from pincompute.gateway import problems
from pincompute.gateway.observed_revision import observed_revision
from pincompute.gateway.problems import FieldError

SHOWN = 10  # revisions that a message names


@dataclass(frozen=True, slots=True)
class RollbackRevision:
    """An earlier revision. `ran_well`: all its replicas were ready once; None when that is not known. Of a revision that the
    host keeps, also its number, its note, and why its update failed, if it did. `rolls`: the versions of the settings that it
    names belong to it. `rolled_by` names those that made it, where nobody deployed it: `version 3 of secret db`.
    """

    name: str
    template: Manifest
    at: datetime
    ran_well: bool | None
    author: str = ""
    number: int = 0
    note: str = ""
    failure: str = ""
    rolls: bool = False
    rolled_by: str = ""


def former(
    obj: WorkloadObject, history: Sequence[RollbackRevision], present: Sequence[str], *, force: bool = False
) -> RollbackRevision:
    """Returns the newest earlier revision that ran well; if nothing is known of any, the newest. One whose last update failed
    counts only for a forced rollback. Every way back that the platform names is the answer of this function. Raises Problem.

    The present one may have several names, because versions of this program name the same template differently.
    """
    name, earlier = obj.metadata.name, [revision for revision in history if revision.name not in present]
    if _unobserved(obj, present) and all(revision.name != obj.status.revision for revision in earlier):
        raise problems.wrong_state(
            f"the platform has not observed the last change of {name} yet, so the previous revision is not kept yet",
            "try again in a moment",
        )
    unfailed = [revision for revision in earlier if not revision.failure]
    good = (revision for revision in (earlier if force else unfailed) if revision.ran_well)
    found = next(good, None) or next((revision for revision in unfailed if revision.ran_well is None), None)
    if found is None:
        raise problems.wrong_state(f"no earlier revision of {name} is known to have run well", _remedy(earlier, unfailed))
    return found


def _remedy(earlier: Sequence[RollbackRevision], unfailed: Sequence[RollbackRevision]) -> str:
    names = _listed(unfailed or earlier)
    if not names:
        return "deploy a corrected version, or delete it"
    return f"name one of {names}" if unfailed else f"deploy a corrected version, or name one of {names} and force the rollback"


def present_names(obj: WorkloadObject, history: Sequence[RollbackRevision]) -> tuple[str, ...]:
    """Returns the names of the present revision, the first of which is shown."""
    same = [revision.name for revision in history if template_hash.same(revision.template, obj.spec.template)]
    return (observed_revision(obj) or (same[0] if same else template_hash.revision(obj.spec.template)), *same)


def _unobserved(obj: WorkloadObject, present: Sequence[str]) -> bool:
    """Returns whether the federation has not observed the present template yet, and so has not kept the former one."""
    status = obj.status
    return status.observed_generation < obj.metadata.generation and status.revision not in ("", *present)


def named(obj: WorkloadObject, to: str, history: Sequence[RollbackRevision]) -> RollbackRevision:
    """Returns the revision with this number or name, or the only one whose name begins so, with or without the version of the
    naming. Raises Problem.
    """
    exact = [r for r in history if r.name == to or (r.number and str(r.number) == to)]
    found = exact or [r for r in history if r.name.startswith(to) or _unversioned(r.name).startswith(to)]
    if len({revision.name for revision in found}) == 1:
        return found[0]
    names = ", ".join(r.name for r in found[:SHOWN]) if found else _listed(history) or "none is known"
    if found:
        error = FieldError("revision", f"a longer beginning of one of {names}", f"{to} begins several revisions")
    else:
        error = FieldError("revision", f"one of the history: {names}", f"{to} is not in the history of {obj.metadata.name}")
    raise problems.invalid(error)


def _listed(revisions: Sequence[RollbackRevision]) -> str:
    """Returns the revisions as people write them: by their numbers, and by the name where one has none."""
    return ", ".join(str(revision.number) if revision.number else revision.name for revision in revisions[:SHOWN])


def _unversioned(name: str) -> str:
    return re.sub(r"^v\d+(?=.{10})", "", name)
