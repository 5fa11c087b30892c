"""Names the values that a field may have, where a wrong one is refused that must be one of a few.

The decoder says of such a value only that it is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

_WRONG = "Invalid enum value "
_AT = " - at `$"  # before the path of the field, which ends the message
_PART = re.compile(r"\[(?:[0-9]+|\.\.\.)\]|[^.\[\]]+")


def told(message: str, of: Any, path: str = "") -> str:
    """Returns a message of the decoder of the type `of`, with the values that the field may have if it is about such a one.
    `path` is the field's, where the message does not name it.
    """
    if not message.startswith(_WRONG):
        return message
    value, at, named = message.rpartition(_AT) if _AT in message else (message, "", "")
    values = allowed_at(of, named.removesuffix("`").lstrip(".") or path)
    return f"must be one of {', '.join(values)}, not {value.removeprefix(_WRONG)}{at}{named}" if values else message


def allowed_at(of: Any, path: str) -> Sequence[str]:
    """Returns the values that the field at the path may have, such as `update.hooks[0].when`; none where it may have any."""
    found = [msgspec.inspect.type_info(of)]
    for part in _PART.findall(path):
        found = [inner for each in found for option in _options(each) for inner in _at(option, part)]
    return sorted({value for each in found for option in _options(each) for value in _values(option)})


def _options(of: msgspec.inspect.Type) -> Sequence[msgspec.inspect.Type]:
    """Returns what a value of the type may be: of a union each of its types."""
    match of:
        case msgspec.inspect.Metadata(type=inner):
            return _options(inner)
        case msgspec.inspect.UnionType(types=types):
            return [option for each in types for option in _options(each)]
        case _:
            return (of,)


def _at(of: msgspec.inspect.Type, part: str) -> Sequence[msgspec.inspect.Type]:
    match of:
        case msgspec.inspect.StructType(fields=fields):
            return [each.type for each in fields if each.encode_name == part]
        case msgspec.inspect.DictType(value_type=inner):
            return (inner,)
        case msgspec.inspect.VarTupleType(item_type=inner) | msgspec.inspect.ListType(item_type=inner):
            return (inner,)
        case _:
            return ()


def _values(of: msgspec.inspect.Type) -> Sequence[str]:
    return (
        [value for value in of.values if isinstance(value, str) and value]
        if isinstance(of, msgspec.inspect.LiteralType)
        else ()
    )
