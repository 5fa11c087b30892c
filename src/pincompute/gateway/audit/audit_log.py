"""Writes the audit log: every write, every denial, every access to logs, files and shells.

An operation is recorded before it happens, and its outcome after, so that even a kill leaves nothing without a record. Only the
first record can refuse: when it cannot be written and `fail_open` is off, the operation does not happen. An outcome that cannot
be written waits in memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from pathlib import Path
from typing import Self

from pincompute.gateway import problems
from pincompute.gateway.audit import audit_files, hash_chain
from pincompute.gateway.audit.audit_files import AuditError, LogFileAppender
from pincompute.gateway.audit.hash_chain import AnchoredHead, AuditEntry
from pincompute.gateway.call_context import Call
from pincompute.gateway.gateway_settings import AuditSettings
from pincompute.kube.clock import SYSTEM, Clock

log = logging.getLogger(__name__)

PERIOD = 0.1  # seconds until the disk has what was recorded, unless every record waits for it
OWED = 10_000  # records that wait in memory for a disk that cannot take them


class AuditLog:
    """An async context manager; one for a file."""

    def __init__(self, settings: AuditSettings, path: Path, clock: Clock = SYSTEM) -> None:
        self._path = path
        self._settings = settings
        self._clock = clock
        self._file: LogFileAppender | None = None
        self._seq = self._synced = 0
        self._first = 1  # record that the file begins with
        self._previous = hash_chain.START
        self._after_torn = False
        self._owed: deque[AuditEntry] = deque()
        self._lost = 0
        self._trouble = ""
        self._syncing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Raises AuditError, unless it fails open."""
        try:
            self._open()
        except OSError as problem:
            self._fail(problem)
            if not self._settings.fail_open:
                raise AuditError(f"{self._path} cannot be opened: {problem.strerror}; or set audit.failOpen") from None
        self._task = asyncio.create_task(self._sync_all(), name="audit sync")
        return self

    async def __aexit__(self, *raised: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._flush()
        if self._file is None:
            return
        await self._sync(self._seq)
        self._file.close()

    @property
    def trouble(self) -> str:
        """Why records cannot be written; empty when they can."""
        return self._trouble

    @property
    def seq(self) -> int:
        """The number of the last record."""
        return self._seq

    async def head(self) -> AnchoredHead | None:
        """The last record, once the disk has it; None for an empty log, and when the disk does not take it."""
        head = AnchoredHead(self._seq, self._previous, self._clock.wall())
        await self._sync(head.seq)
        return head if head.seq and self._synced >= head.seq else None

    async def head_at(self, seq: int) -> AnchoredHead | None:
        """An earlier record; None where the files lack it. Raises OSError."""
        found = await asyncio.to_thread(audit_files.hash_of, self._path, seq)
        return AnchoredHead(seq, found, self._clock.wall()) if found else None

    async def continue_from(self, anchored: AnchoredHead) -> None:
        """If the log is not the one whose head was anchored, add a record that says so. Its number follows the anchored one.

        Raises OSError.
        """
        if anchored.seq > self._seq:
            why = f"the log ends with record {self._seq}, and record {anchored.seq} was anchored"
        elif await asyncio.to_thread(audit_files.hash_of, self._path, anchored.seq) != anchored.hash:
            why = f"record {anchored.seq} is not the one that was anchored"
        else:
            return
        log.error("the audit log is not the one whose head was anchored", extra={"file": str(self._path), "why": why})
        self._seq = max(self._seq, anchored.seq)
        await self._write(AuditEntry(stage="unproved", time=self._clock.wall(), why=why, anchor=anchored))

    async def begin(self, call: Call) -> None:
        """Records that an allowed call begins. Raises Problem 503 when it must not happen without a record."""
        await self._require(hash_chain.of_call(call, "begun", self._clock.wall(), allowed=True))

    async def opened(self, call: Call) -> None:
        """Records that a stream into a replica is about to be opened. Raises Problem 503 as `begin` does."""
        await self._require(hash_chain.of_call(call, "opened", self._clock.wall(), allowed=True))

    async def _require(self, entry: AuditEntry) -> None:
        await self._write(entry)
        if self._trouble and not self._settings.fail_open:
            if self._owed and self._owed[-1] is entry:
                self._owed.pop()  # it does not happen
            raise problems.unavailable(
                f"what you ask leaves an audit record, and none can be written: {self._trouble}",
                remedy="tell the administrators; reads without records still work",
            )

    async def record(self, call: Call, *, allowed: bool, status: int, why: str = "") -> None:
        """The outcome, or a denial. Never raises."""
        await self._write(hash_chain.of_call(call, "done", self._clock.wall(), allowed=allowed, status=status, why=why))

    async def _write(self, entry: AuditEntry) -> None:
        if len(self._owed) >= OWED:
            self._owed.popleft()
            self._lost += 1
        self._owed.append(entry)
        self._flush()
        if self._settings.sync == "always" and not self._trouble:
            await self._sync(self._seq)

    def _flush(self) -> None:
        """Writes what is owed, in order; stops at the first that the disk does not take."""
        try:
            file = self._file or self._open()
            if self._lost:
                self._append(file, AuditEntry(stage="lost", time=self._clock.wall(), lost=self._lost))
                self._lost = 0
            while self._owed:
                self._append(file, self._owed[0])
                self._owed.popleft()
        except (OSError, AuditError) as problem:
            self._fail(problem)
        else:
            if self._trouble:
                log.info("audit records are written again")
            self._trouble = ""

    def _append(self, file: LogFileAppender, entry: AuditEntry) -> None:
        if file.size >= self._settings.rotate and not self._after_torn:
            file.rotate(self._first, self._settings.keep)
            self._first = self._seq + 1
        line, digest = hash_chain.encode(entry, self._seq + 1, self._previous)
        file.append(b"\n" + line if self._after_torn else line)
        self._after_torn = False
        self._seq, self._previous = self._seq + 1, digest

    def _open(self) -> LogFileAppender:
        """Goes on where the file ends; the remains of a torn line get a record that names them."""
        file = self._file = LogFileAppender(self._path)
        self._seq, self._previous = file.tail.seq, file.tail.hash
        self._synced = self._seq
        self._first = _first(self._path, self._seq + 1)
        self._after_torn = file.tail.torn is not None
        if file.tail.torn is not None:
            log.warning("audit log ends in a torn line", extra={"file": str(self._path), "bytes": file.tail.torn.bytes})
            self._owed.appendleft(AuditEntry(stage="torn", time=self._clock.wall(), torn=file.tail.torn))
        return file

    def _fail(self, problem: Exception) -> None:
        """Logged once, not for each record."""
        if not self._trouble:
            log.error("audit records cannot be written", extra={"file": str(self._path), "problem": str(problem)})
        self._trouble = str(problem)

    async def _sync_all(self) -> None:
        while True:
            await self._clock.sleep(PERIOD)
            if self._settings.sync != "never" and self._synced < self._seq:
                await self._sync(self._seq)

    async def _sync(self, seq: int) -> None:
        """Writes to the disk, together with what others wrote meanwhile. Whoever waited for the lock may find it done."""
        async with self._syncing:
            if self._synced >= seq or self._file is None:
                return
            upto = self._seq
            try:
                await asyncio.to_thread(audit_files.sync, self._file.duplicate())
            except OSError as problem:
                self._fail(problem)
            else:
                self._synced = upto


def _first(path: Path, otherwise: int) -> int:
    """The record a file begins with, for its name once it is finished."""
    for line in audit_files.lines(path):
        if line.whole:
            try:
                return hash_chain.decode(line.content).seq
            except hash_chain.DamagedLine:
                continue
    return otherwise
