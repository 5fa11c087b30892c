"""Defines a request as every part of the gateway sees it: its caller, its operation, its project.

Every route declares its operation. The gateway does not start with a route that declares none, so a forgotten check exposes
nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

Resource: TypeAlias = str
"""What an operation is about: a workload kind's collection, such as apps, or one of RESOURCES."""
Verb: TypeAlias = Literal[
    "get",
    "list",
    "watch",
    "create",
    "update",
    "delete",
    "pause",
    "resume",
    "stop",
    "start",
    "restart",
    "scale",
    "rollback",
    "approve",
    "abort",
    "retry",
    "open",
    "pull",
    "push",
]
PLATFORM = "pincompute:"  # names of platform parts begin with this
MADE_BY = ", made by "  # between a service token's name and its maker's; no user's name holds it
CallMark: TypeAlias = Literal["dry run"]
DRY_RUN: CallMark = "dry run"
FILES = "files"  # the field of a config under which its changed files are recorded
CallerKind: TypeAlias = Literal["user", "service", "platform", "anonymous"]

RESOURCES: tuple[Resource, ...] = (
    "projects",
    "members",
    "policies",
    "logs",
    "shells",
    "ports",
    "files",
    "images",
    "secrets",
    "configs",
    "history",
    "events",
    "usage",
    "tokens",
    "roles",
    "clusters",
    "sidecars",
    "daemons",
    "audit",
    "session",
)
READS: frozenset[Verb] = frozenset({"get", "list", "watch"})
RECORDED_READS: frozenset[Resource] = frozenset({"logs", "shells", "ports", "files", "audit"})
OPERATION = "operation"  # key in a route's `opt`
PUBLIC = "public"
_NOUNS: dict[Resource, str] = {"members": "member"}  # all others that stand below a workload are about the workload


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route does. `cost` is in tokens of the rate limit; a `stream` stays open; `audited` leaves a record of success.

    `noun` is how problems name what the call is about; of a part of a workload it is the workload. `basic`: the token may also
    come as the password of basic authentication, which is all that clients of image registries can send.
    """

    resource: Resource
    verb: Verb
    cost: int = 1
    audited: bool = False
    stream: bool = False
    noun: str = ""
    basic: bool = False

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: a user, a service token or a platform component. `expires` is in seconds since the epoch.

    A service token has the permissions of `name`, its maker, and is a principal of its own: `token` is what it is called, and
    `token_id` names it. Its groups count until `groups_until`. `display` is how a user likes to be called; it gives no rights.
    """

    name: str
    groups: frozenset[str] = frozenset()
    kind: CallerKind = "user"
    token_id: str = ""
    expires: float = math.inf
    token: str = ""
    groups_until: float = math.inf
    display: str = ""

    @property
    def principal(self) -> str:
        """Who acts, for records and people: `dev`, or `ci-deploy, made by dev`."""
        return f"{self.token}{MADE_BY}{self.name}" if self.token else self.name


ANONYMOUS = Caller("anonymous", kind="anonymous")


class ReplicaStream(msgspec.Struct, rename="camel", omit_defaults=True):
    """A stream into a replica: where it leads, and, once it has ended, how. Bytes are counted as the replica reads and writes.

    `ended` is a sentence, such as `exit code 0` or `cut: the permission was withdrawn`.
    """

    replica: str = ""
    container: str = ""
    command: str = ""
    path: str = ""
    port: int = 0
    transcript: str = ""
    ended: str = ""
    exit_code: int | None = None
    bytes_in: int = 0
    bytes_out: int = 0


class RecordedChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A field that an operation changed. A side on which it is not said is absent."""

    field: str
    before: Any = None
    after: Any = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `project` and `name` are empty where the path has none; `source` is the client's address.

    `reason` is what the caller says of why; read only from requests that leave a record. The handler of a stream into a replica
    fills in `stream`, what changes a project or makes a token adds `changes`, and what is only judged gets the mark DRY_RUN;
    the audit record of the outcome says all of it.
    """

    id: str
    caller: Caller
    operation: Operation
    project: str
    name: str
    source: str
    at: datetime
    reason: str = ""
    stream: ReplicaStream = field(default_factory=ReplicaStream, compare=False)
    changes: list[RecordedChange] = field(default_factory=list[RecordedChange], compare=False)
    marks: set[CallMark] = field(default_factory=set[CallMark], compare=False)

    def judged_only(self, dry_run: bool) -> bool:
        """Returns whether this is a dry run, and marks the call as one, so that no record shows it as a change."""
        if dry_run:
            self.marks.add(DRY_RUN)
        return dry_run


def may(
    resource: Resource,
    verb: Verb,
    *,
    cost: int = 0,
    audited: bool | None = None,
    stream: bool = False,
    noun: str = "",
    basic: bool = False,
) -> dict[str, Any]:
    """A route's `opt`: it does this. Lists cost more than single reads; writes and looks into containers are audited."""
    noun = noun or _NOUNS.get(resource, "workload")
    recorded = verb not in READS or resource in RECORDED_READS
    costs = cost or {"list": 5, "watch": 5}.get(verb, 1 if verb in READS else 2)
    return {OPERATION: Operation(resource, verb, costs, recorded if audited is None else audited, stream, noun, basic)}


def public() -> dict[str, Any]:
    """A route's `opt`: everybody may, without saying who they are."""
    return {PUBLIC: True}
