"""Defines PinRevision, which keeps an earlier template of a workload so that a rollback needs no database.

The federation creates a PinRevision when its template is superseded, before any part of the new template reaches a member. A
workload that never changed has none.
"""

from __future__ import annotations

from typing import Annotated

from pincompute.api.meta import GROUP, VERSION, Manifest, Object, Resource, Struct, doc

KEPT = 10  # superseded revisions of a workload that are kept, as a Deployment keeps


class PinRevisionSpec(Struct):
    revision: Annotated[str, doc("Names the template, as on pods and in the status of the workload.")]
    number: Annotated[int, doc("Counts the revisions of the workload from 1.", minimum=1)]
    template: Annotated[Manifest, doc("The pod template with defaults filled in, as the members ran it.")]
    note: Annotated[
        str, doc("What somebody noted about it: the annotation kubernetes.io/change-cause of the workload.", maxLength=512)
    ] = ""
    failure: Annotated[str, doc("Why its update failed, in a sentence; empty where it did not.", maxLength=1024)] = ""


class PinRevision(Object):
    """A template that a workload had. Its owner is the workload, and it goes with it."""

    spec: Annotated[PinRevisionSpec, doc("The template.")]


PINREVISIONS = Resource(GROUP, VERSION, "PinRevision", "pinrevisions", True, PinRevision)
