"""Verifies the audit log: reads its files in order and names every place where the chain of hashes is broken.

Heads that were anchored elsewhere prove the records up to them: who owns the disk can write another chain, but not one that has
their hashes. The report says until which record that holds, and since when.

A torn last line is no tampering: a crash leaves one, and the next start records it. The report names it, so that
whoever knows of no crash can ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path

import msgspec

from pincompute.gateway.audit import audit_files, hash_chain
from pincompute.gateway.audit.audit_files import AuditLine
from pincompute.gateway.audit.hash_chain import AnchoredHead, AuditRecord

OVERDUE = timedelta(minutes=10)  # that a record may wait for an anchor
GIVEN = "the head that you gave"


class AuditFinding(msgspec.Struct, frozen=True, rename="camel"):
    """A place and what is there."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.what}"


class AuditProof(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The records up to `until` have not changed since `since`, says `anchor`. `since` is absent for a head that was given."""

    until: int
    anchor: str
    since: datetime | None = None


class AuditReport(msgspec.Struct, frozen=True, rename="camel"):
    """`faults` are changed, missing or foreign lines; `torn` lines a crash left; `head` is the hash of the last record.

    `first` is later than 1 when older files are gone, as they are where only so many are kept.

    `proofs` are the oldest and the newest one. `unproved` records stand behind the newest; `stopped` says that they have been
    waiting for an anchor for too long, and why if that is known.

    Whoever keeps `head` elsewhere and gives it to the next verification also finds a log that was cut off at its end.
    """

    files: int
    records: int
    first: int
    last: int
    head: str
    faults: tuple[AuditFinding, ...] = ()
    torn: tuple[AuditFinding, ...] = ()
    proofs: tuple[AuditProof, ...] = ()
    unproved: int = 0
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class HostAnchors:
    """The heads that the host has, the oldest first; `place` names where they are, `trouble` why there are no newer ones.

    `removed` says that the place itself is missing, which is a fault at once: no gateway may remove it.
    """

    place: str
    heads: tuple[AnchoredHead, ...]
    now: datetime
    trouble: str = ""
    removed: str = ""


def verify(path: Path, head: str = "", anchors: HostAnchors | None = None) -> AuditReport:
    """`head` is one that was reported before. Raises OSError."""
    found = audit_files.all_of(path)
    if not found:
        raise FileNotFoundError(2, "there is no audit log", str(path))
    verifier = _ChainVerifier(head, anchors, _by_record(anchors))
    for line in chain.from_iterable(map(audit_files.lines, found)):
        verifier.step(line)
    return verifier.report(found)


def _by_record(anchors: HostAnchors | None) -> dict[int, list[AnchoredHead]]:
    found: dict[int, list[AnchoredHead]] = {}
    for head in anchors.heads if anchors is not None else ():
        found.setdefault(head.seq, []).append(head)
    return found


def _misnamed(found: Iterable[Path]) -> Iterator[AuditFinding]:
    """Finished files are named by their first record: one that begins later has lost its beginning."""
    for file in found:
        first, named = next(audit_files.lines(file), None), file.suffix[1:]
        with suppress(hash_chain.DamagedLine):
            if first is not None and named.isdigit() and hash_chain.decode(first.content).seq != int(named):
                yield AuditFinding(str(file), 1, f"is not record {int(named)}, with which this file began")


@dataclass(slots=True)
class _ChainVerifier:
    """From line to line, with what the next one must carry."""

    wanted_head: str
    anchors: HostAnchors | None
    wanted: dict[int, list[AnchoredHead]]
    proved: list[AuditProof] = field(default_factory=list[AuditProof])
    waiting: AuditRecord | None = None  # the first record behind the newest proof
    records: int = 0
    first: int = 0
    seq: int = 0
    head: str = ""
    before: AuditLine | None = None
    pending: AuditLine | None = None
    faults: list[AuditFinding] = field(default_factory=list[AuditFinding])
    torn: list[AuditFinding] = field(default_factory=list[AuditFinding])
    heads_seen: bool = False

    def step(self, line: AuditLine) -> None:
        try:
            record = hash_chain.decode(line.content)
        except hash_chain.DamagedLine as damage:
            self._damaged(line, str(damage))
            return
        self._settle(record)
        self._link(line, record)
        self.records += 1
        self.first = self.first or record.seq
        self.seq, self.head, self.before = record.seq, record.hash, line
        self._prove(line, record)

    def report(self, files: Sequence[Path]) -> AuditReport:
        if self.pending is not None:
            self._unfinished(self.pending)
        if self.wanted_head and not self.heads_seen:
            where = self.before or AuditLine("", 0, b"", whole=True)
            self.faults.append(AuditFinding(where.file, where.number, f"the record with hash {self.wanted_head} is gone"))
        self._miss()
        faults = (*self.faults, *_misnamed(files))
        proofs = tuple({proof.until: proof for proof in (*self.proved[:1], *self.proved[-1:])}.values())
        unproved = self.seq - (proofs[-1].until if proofs else self.first - 1)
        return AuditReport(
            len(files),
            self.records,
            self.first,
            self.seq,
            self.head,
            faults,
            tuple(self.torn),
            proofs,
            unproved,
            self._stopped(),
        )

    def _prove(self, line: AuditLine, record: AuditRecord) -> None:
        self.waiting = self.waiting or record
        wanted = self.wanted.pop(record.seq, [])
        if self.wanted_head and record.hash == self.wanted_head:
            self.heads_seen, self.waiting = True, None
            self.proved.append(AuditProof(record.seq, GIVEN))
        if record.stage == "unproved":
            self.faults.append(AuditFinding(line.file, line.number, f"the gateway found when it started: {record.why}"))
        for head in wanted:
            if head.hash != record.hash:
                what = f"record {record.seq} is not the one that was anchored on {head.time:%Y-%m-%d %H:%M:%SZ}"
                self.faults.append(AuditFinding(line.file, line.number, what))
        if self.anchors is not None and wanted and all(head.hash == record.hash for head in wanted):
            self.waiting = None
            self.proved.append(AuditProof(record.seq, self.anchors.place, wanted[0].time))

    def _miss(self) -> None:
        """Anchored records that are not there; older files may be gone."""
        where = self.before or AuditLine("", 0, b"", whole=True)
        if self.anchors is not None and self.anchors.removed:
            self.faults.append(AuditFinding(where.file, where.number, self.anchors.removed))
        for head in (head for heads in self.wanted.values() for head in heads):
            if head.seq >= self.first:
                what = f"record {head.seq}, which was anchored on {head.time:%Y-%m-%d %H:%M:%SZ}, is gone"
                self.faults.append(AuditFinding(where.file, where.number, what))

    def _stopped(self) -> str:
        if self.anchors is None or self.waiting is None or self.anchors.now - self.waiting.time < OVERDUE:
            return ""
        why = f": {self.anchors.trouble}" if self.anchors.trouble else ""
        return f"nothing since record {self.waiting.seq} of {self.waiting.time:%Y-%m-%d %H:%M:%SZ} is anchored{why}"

    def _damaged(self, line: AuditLine, why: str) -> None:
        """A changed record, or the remains of one. The next line decides which."""
        if self.pending is not None:
            self._unfinished(self.pending)
            self.pending = None
        if why.startswith("was changed") and line.whole:
            self.faults.append(AuditFinding(line.file, line.number, why))
            self.seq, self.head, self.before = self.seq + 1, hash_chain.stated(line.content), line
            return
        self.pending = line

    def _settle(self, record: AuditRecord) -> None:
        """A record of a torn line accounts for the damaged line before it, if it is that one."""
        line, self.pending = self.pending, None
        if record.stage == "torn" and line is not None and record.torn == hash_chain.torn(line.content):
            self.torn.append(AuditFinding(line.file, line.number, f"torn by a crash, named by record {record.seq}"))
        elif line is not None:
            self.faults.append(AuditFinding(line.file, line.number, "is not a record"))

    def _unfinished(self, line: AuditLine) -> None:
        if line.whole:
            self.faults.append(AuditFinding(line.file, line.number, "is not a record"))
        else:
            self.torn.append(AuditFinding(line.file, line.number, "the last line is torn: writing it was cut off"))

    def _link(self, line: AuditLine, record: AuditRecord) -> None:
        if not self.head:
            if record.seq == 1 and record.previous != hash_chain.START:
                self.faults.append(AuditFinding(line.file, line.number, "does not begin the chain"))
            return
        if record.seq != self.seq + 1:
            what = f"record {record.seq} follows record {self.seq}: records are missing or doubled"
            self.faults.append(AuditFinding(line.file, line.number, what))
        elif record.previous != self.head and self.before is not None:
            what = "was changed and given a new hash: the line after it carries another one"
            self.faults.append(AuditFinding(self.before.file, self.before.number, what))
