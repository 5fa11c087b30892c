"""Encodes objects as JSON that is also YAML, because API servers read server-side apply bodies as YAML.

YAML refuses most literal control characters, and folds three of Unicode's line breaks into others. JSON's escapes mean the
same in both. Only characters of four hex digits are escaped: YAML refuses JSON's surrogate pairs, which a larger character
such as an emoji would need, and such characters are valid unescaped in both.
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
    """Returns the escape. JSON always escapes control characters below these, and outside its texts it is ASCII."""
    return f"\\u{ord(found[0].decode()):04x}".encode()
