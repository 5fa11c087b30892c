"""Says what a file is that was named as an archive of an image and is none, by its first bytes. No I/O."""

from __future__ import annotations

from pincompute_sdk.core import tar_headers
from pincompute_sdk.core.tar_headers import BLOCK, ArchiveError

SAVE = "save the image to a file with `docker save`, `podman save` or as an OCI archive, and name that file"
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd", "decompress it with `zstd -d FILE`, and name the result"),
    (b"\xfd7zXZ\x00", "it is compressed with xz", "decompress it with `xz -d FILE`, and name the result"),
    (b"\x04\x22\x4d\x18", "it is compressed with lz4", "decompress it with `lz4 -d FILE`, and name the result"),
    (b"PK\x03\x04", "it is a zip archive", f"unpack it, and name the archive of an image in it; or {SAVE}"),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive", f"unpack it, and name the archive of an image in it; or {SAVE}"),
    (b"QFI\xfb", "it is the disk of a virtual machine", SAVE),
    (b"hsqs", "it is a squashfs file system", SAVE),
    (b"\x7fELF", "it is a program", f"write a Dockerfile or an image.yaml that takes it, and `pin image build`; or {SAVE}"),
)
_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head")
_PAGE = "download the file again: the server has answered with a page, perhaps of a login or an error"
_TEXT = f"`pin image build` builds the image of a folder with a Dockerfile or a Python project; or {SAVE}"
_JSON = f"this is only a part or a description of an image: {SAVE}"


def of(begin: bytes) -> tuple[str, str]:
    """What the file is, and what to do. `begin` are its first bytes; those of what is in it, where it is compressed."""
    if not begin:
        return "it is empty", f"the download or the copy failed: repeat it, or {SAVE}"
    for signature, what, remedy in _SIGNATURES:
        if begin.startswith(signature):
            return what, remedy
    if is_archive(begin):
        return "it is a tar archive that is cut off", f"the download or the copy is not complete: repeat it, or {SAVE}"
    return _text(begin.lstrip(b"\xef\xbb\xbf \t\r\n")) if _readable(begin) else ("it is no tar archive", SAVE)


def is_archive(begin: bytes) -> bool:
    """The first block is the header of a tar archive."""
    try:
        return len(begin) >= BLOCK and tar_headers.parse(begin[:BLOCK]) is not None
    except ArchiveError:
        return False


def _text(begin: bytes) -> tuple[str, str]:
    if begin.lower().startswith(_PAGES):
        return "it is a web page or an XML document", _PAGE
    if begin[:1] in (b"{", b"["):
        return "it is a JSON document", _JSON
    return "it is a text", _TEXT


def _readable(begin: bytes) -> bool:
    """It has no control characters that no text has."""
    return not any(byte < 0x20 and byte not in b"\t\n\r\f\x1b" for byte in begin)
