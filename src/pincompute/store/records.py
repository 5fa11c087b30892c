"""Defines history records: one struct for each kind of thing that happens to a workload.

Every record has a natural key, made only from what the objects themselves say, so several gateways, and one gateway after a
restart, may all write the same record and it exists once. A record replaces the former one with the same key only when it
knows more, which `rank` decides, so an event's count rises and never falls back.
"""

from __future__ import annotations

import hashlib
import zlib
from datetime import UTC, datetime
from typing import ClassVar, Literal, TypeAlias, cast

import msgspec

from pincompute.api.meta import Manifest
from pincompute.api.workloads import Scheduling

RecordType: TypeAlias = Literal["revision", "decision", "state", "exit", "event", "operation", "access"]

GONE = "Deleted"  # the last state of every workload
DONE = "done"  # outcome of an operation

_WORTH_COMPRESSING = 512  # bytes; shorter bodies gain nothing
_SEPARATOR = "\x1f"  # in no name


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", tag_field="type"):
    """Something that happened. `workload` is its kind; `name` is empty for what concerns a whole project.

    `project_uid` tells projects of one name apart; it is empty in records of earlier versions.
    """

    searched: ClassVar[tuple[str, ...]] = ()
    """The fields that a search by text reads."""

    project: str
    project_uid: str = ""
    workload: str = ""
    name: str = ""
    uid: str = ""
    at: datetime
    cluster: str = ""
    zone: str = ""

    @property
    def identity(self) -> tuple[str | int, ...]:
        """Returns what makes it this record and no other, within its type."""
        raise NotImplementedError

    @property
    def rank(self) -> int:
        """Returns how much it knows, compared with others of the same key."""
        return 0

    @property
    def until(self) -> datetime:
        """Returns when it last held."""
        return self.at

    @property
    def words(self) -> tuple[str, ...]:
        """Returns what a search by text reads."""
        return tuple(getattr(self, name) for name in self.searched)

    @property
    def type(self) -> RecordType:
        return cast("RecordType", self.__struct_config__.tag)

    @property
    def key(self) -> str:
        """Returns the key, 32 hex digits."""
        text = _SEPARATOR.join((self.type, *(str(part) for part in self.identity)))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class RevisionRecord(Record, frozen=True, kw_only=True, tag="revision"):
    """A spec that somebody wrote. `revision` names the pod template; `author` and `reason` are empty when they are not known.

    `manager` is the program that wrote the spec, when it was not the gateway. `settings` are the versions of secrets and
    configs that belong to the revision, because the workload rolls with them: `version 3 of secret db`. `observed`: the
    platform has named the revision so; before that the name is that of the template as its author wrote it. `rolled`: another
    version of a setting made it, and nobody wrote a spec.
    """

    searched: ClassVar[tuple[str, ...]] = ("revision", "author", "reason", "manager")
    generation: int
    revision: str = ""
    spec: Manifest = {}
    author: str = ""
    reason: str = ""
    manager: str = ""
    settings: tuple[str, ...] = ()
    observed: bool = False
    rolled: bool = False

    @property
    def identity(self) -> tuple[str | int, ...]:
        return (self.uid, self.generation, self.revision) if self.rolled else (self.uid, self.generation)

    def settings_since(self, previous: RevisionRecord) -> tuple[str, ...]:
        """Returns the versions of settings that the revision before it did not have."""
        return tuple(version for version in self.settings if version not in previous.settings)

    @property
    def rank(self) -> int:
        return 4 * self.observed + 2 * bool(self.author) + bool(self.manager)


class DecisionRecord(Record, frozen=True, kw_only=True, tag="decision"):
    """Where it was placed, and why not elsewhere."""

    scheduling: Scheduling

    @property
    def identity(self) -> tuple[str | int, ...]:
        return self.uid, self.scheduling.generation, digest(self.scheduling)

    @property
    def words(self) -> tuple[str, ...]:
        made = self.scheduling
        return (*(row.cluster for row in made.placement), *(r.reason + " " + r.message for r in made.rejections))


class StateRecord(Record, frozen=True, kw_only=True, tag="state"):
    """The workload's phase changed. `before` is empty when it is not known or there was none."""

    searched: ClassVar[tuple[str, ...]] = ("before", "after", "message")
    after: str
    before: str = ""
    message: str = ""

    @property
    def identity(self) -> tuple[str | int, ...]:
        if self.after == GONE:
            return self.uid, GONE
        return self.uid, self.after, micros(self.at)


class ExitRecord(Record, frozen=True, kw_only=True, tag="exit"):
    """A container ended, or a whole pod when `container` is empty. `expected`: it had been asked to stop."""

    pod: str
    pod_uid: str
    container: str = ""
    code: int = 0
    reason: str = ""
    message: str = ""
    restarts: int = 0
    memory_limit: str = ""
    expected: bool = False

    @property
    def identity(self) -> tuple[str | int, ...]:
        return self.pod_uid, self.container, micros(self.at)

    @property
    def rank(self) -> int:
        return int(self.expected)

    @property
    def words(self) -> tuple[str, ...]:
        return self.pod, self.container, self.reason, self.message, f"exit code {self.code}"


class EventRecord(Record, frozen=True, kw_only=True, tag="event"):
    """A Kubernetes event: `count` times from `at` to `last`. `about` is the kind of the object, `object` its name, `container`
    the part of a pod that it is about, where that is known.
    """

    searched: ClassVar[tuple[str, ...]] = ("about", "object", "reason", "message", "component")
    event_uid: str
    about: str
    object: str
    container: str = ""
    reason: str = ""
    message: str = ""
    warning: bool = False
    count: int = 1
    last: datetime
    component: str = ""

    @property
    def identity(self) -> tuple[str | int, ...]:
        return self.cluster, self.event_uid

    @property
    def rank(self) -> int:
        return micros(self.last)

    @property
    def until(self) -> datetime:
        return self.last


class OperationRecord(Record, frozen=True, kw_only=True, tag="operation"):
    """A user did something through the gateway. `generation` is the one that it made, 0 for none.

    `outcome` is empty until it is known, then "done" or the problem's code; `detail` is what the verb was given.
    `updated_files` and `removed_files` are those by which a new version of a config differs from the one before.
    """

    searched: ClassVar[tuple[str, ...]] = ("verb", "author", "reason", "outcome", "detail", "request_id")
    request_id: str
    verb: str
    author: str
    reason: str = ""
    outcome: str = ""
    generation: int = 0
    detail: str = ""
    source: str = ""
    updated_files: tuple[str, ...] = ()
    removed_files: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[str | int, ...]:
        return self.request_id, micros(self.at), self.project, self.workload, self.name  # callers may repeat their ids

    @property
    def rank(self) -> int:
        return 2 * bool(self.outcome) + bool(self.generation)


class AccessRecord(Record, frozen=True, kw_only=True, tag="access"):
    """A user opened a shell, connected to a port or copied files. `detail` is the resource, and nothing of it is stored."""

    searched: ClassVar[tuple[str, ...]] = ("verb", "author", "reason", "detail", "request_id")
    request_id: str
    verb: str
    author: str
    reason: str = ""
    detail: str = ""
    source: str = ""

    @property
    def identity(self) -> tuple[str | int, ...]:
        return self.request_id, micros(self.at), self.project, self.workload, self.name


AnyRecord: TypeAlias = RevisionRecord | DecisionRecord | StateRecord | ExitRecord | EventRecord | OperationRecord | AccessRecord
TYPES: tuple[RecordType, ...] = ("revision", "decision", "state", "exit", "event", "operation", "access")

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyRecord] = msgspec.json.Decoder(AnyRecord)


def digest(scheduling: Scheduling) -> str:
    return hashlib.blake2b(_encoder.encode(scheduling), digest_size=8).hexdigest()


def encode(record: AnyRecord) -> bytes:
    """Returns one line of JSON, without its end."""
    return _encoder.encode(record)


def decode(line: bytes) -> AnyRecord | None:
    """Returns the record; None for a type or shape that this version does not know, because a newer gateway may have written
    it.
    """
    try:
        return _decoder.decode(line)
    except msgspec.MsgspecError:
        return None


def pack(line: bytes) -> bytes:
    """Returns the stored form, compressed when that saves bytes. JSON begins with `{`, zlib with 0x78, so no flag is needed."""
    return zlib.compress(line) if len(line) > _WORTH_COMPRESSING else line


def unpack(body: bytes) -> bytes:
    return body if body.startswith(b"{") else zlib.decompress(body)


def micros(at: datetime) -> int:
    """Returns microseconds since the epoch: exact, ordered, and the same in both databases."""
    whole = at.replace(microsecond=0).timestamp()
    return int(whole) * 1_000_000 + at.microsecond


def moment(stored: int) -> datetime:
    return datetime.fromtimestamp(stored // 1_000_000, UTC).replace(microsecond=stored % 1_000_000)
