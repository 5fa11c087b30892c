"""Objects to JSON that is also YAML: API servers read a body of server-side apply as YAML, even when it is JSON.

YAML refuses most control characters where they stand as themselves, and reads three line breaks of Unicode as line breaks,
which it folds to others. JSON's escapes mean the same in both. The surprising rule: only characters of four hex digits are
escaped, for YAML refuses the two escapes that JSON has for one beyond them, such as an emoji; those are themselves in both.
"""

from __future__ import annotations

import re

import msgspec

from pincompute.api.meta import Manifest

# As UTF-8: DEL, C1 with NEL, the separators of lines and paragraphs, the byte order mark, and what is no character.
_ODD = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]|\xef\xbb\xbf|\xef\xbf[\xbe\xbf]")


def encode(body: Manifest) -> bytes:
    made = msgspec.json.encode(body)
    if made.isascii() and b"\x7f" not in made:  # nearly always, and much faster than the search
        return made
    return _ODD.sub(_escaped, made)


def _escaped(found: re.Match[bytes]) -> bytes:
    """Control characters below these are escaped in any JSON, and outside of its texts JSON is ASCII."""
    return f"\\u{ord(found[0].decode()):04x}".encode()
