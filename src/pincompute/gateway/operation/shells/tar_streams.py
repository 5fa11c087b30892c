"""Tar streams on their way into and out of replicas, looked at as they pass: how large they are, where their members would
land, and whether they are whole. Nothing is kept but the header in hand.

On the way in, names that are absolute or climb, and links, are refused before a byte of the member is sent: what is copied
in stays under the folder that was named.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pincompute.gateway import problems
from pincompute.gateway.problems import Problem

BLOCK = 512
LARGEST = 1 << 30  # bytes of one copy
LONGEST_NAMES = 64 * 1024  # bytes of a long name or an extended header
_LONG_NAME, _PAX, _PAX_ALL = b"L", b"x", b"g"
_LONG_LINK = b"K"
_NAMES = (_LONG_NAME, _LONG_LINK, _PAX, _PAX_ALL)
_FILES = (b"0", b"\0", b"7", b"5")  # regular files of either kind, contiguous ones, folders


@dataclass(slots=True)
class Archive:
    """Fed with every piece in order. `feed` raises Problem. `whole`: the blocks of zeros at its end have come."""

    limit: int = LARGEST
    size: int = 0
    whole: bool = False
    _header: bytearray = field(default_factory=bytearray, init=False)
    _skip: int = field(default=0, init=False)  # bytes of the present member's content that are still to come
    _names: bytearray | None = field(default=None, init=False)  # content of a member that names the next one
    _wanted: int = field(default=0, init=False)
    _kind: bytes = field(default=b"", init=False)
    _renamed: str = field(default="", init=False)

    def feed(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self.limit:
            raise Problem("too-large", f"a copy may have {self.limit} bytes", "copy it in parts")
        view = memoryview(piece)
        while view:
            view = view[self._take(view) :]

    def end(self) -> None:
        """Raises Problem when the stream ends in the middle of something."""
        if self._skip or self._header:
            raise problems.malformed("the tar stream ends in the middle of a member", "send it whole")

    def _take(self, view: memoryview) -> int:
        """How many bytes of the view were used."""
        if self._skip:
            used = min(self._skip, len(view))
            self._skip -= used
            if self._names is not None:
                self._names += view[:used]
                if not self._skip:
                    self._named()
            return used
        used = min(BLOCK - len(self._header), len(view))
        self._header += view[:used]
        if len(self._header) == BLOCK:
            header, self._header = bytes(self._header), bytearray()
            self._member(header)
        return used

    def _member(self, header: bytes) -> None:
        if not header.strip(b"\0"):
            self.whole = True
            return
        self._kind = header[156:157]
        size = _number(header[124:136])
        self._skip = -(-size // BLOCK) * BLOCK
        if self._kind in _NAMES:
            if size > LONGEST_NAMES:
                raise problems.malformed(f"a name in the tar stream has more than {LONGEST_NAMES} bytes")
            self._names, self._wanted = bytearray(), size
            return
        name = self._renamed or _name(header)
        self._renamed = ""
        self._judge(name)

    def _judge(self, name: str) -> None:
        """Whether a member may pass."""

    def _named(self) -> None:
        """The content of a member that says how the next one is named."""
        content = bytes(self._names or b"")[: self._wanted]
        self._names = None
        if self._kind == _LONG_NAME:
            self._renamed = content.rstrip(b"\0").decode(errors="replace")
        elif self._kind in (_PAX, _PAX_ALL):
            self._renamed = _pax_path(content) or self._renamed


@dataclass(slots=True)
class Incoming(Archive):
    """One that is to be unpacked. What was fed before a Problem may have been sent already."""

    def _judge(self, name: str) -> None:
        if name.startswith("/") or ".." in name.split("/") or not name:
            raise problems.malformed(f"{name[:200]!r} in the tar stream leads out of the folder it is copied to")
        if self._kind not in _FILES:
            raise problems.malformed(
                f"{name} is a link or a device; only files and folders are copied", "copy what it points to"
            )


def _name(header: bytes) -> str:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:262] == b"ustar" and header[262:263] == b"\0" else b""
    return (prefix + b"/" + name if prefix else name).decode(errors="replace")


def _number(octal: bytes) -> int:
    """Octal digits, or base 256 for what is too large for them."""
    if octal[0] & 0x80:
        return int.from_bytes(bytes((octal[0] & 0x7F,)) + octal[1:], "big")
    digits = octal.strip(b"\0 ")
    try:
        return int(digits, 8) if digits else 0
    except ValueError:
        raise problems.malformed("the body is not a tar stream", "send what `tar -c` makes") from None


def _pax_path(content: bytes) -> str:
    """Records are "<length> <key>=<value>" and a line end."""
    while content:
        length, _, _ = content.partition(b" ")
        if not length.isdigit() or not 0 < int(length) <= len(content):
            raise problems.malformed("an extended header of the tar stream cannot be read")
        record, content = content[: int(length)], content[int(length) :]
        key, _, value = record.partition(b" ")[2].rstrip(b"\n").partition(b"=")
        if key == b"path":
            return value.decode(errors="replace")
    return ""
