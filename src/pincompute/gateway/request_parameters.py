"""Checks the parameters of each route: it refuses unknown ones, and names wrong ones as the caller wrote them.

An unknown query parameter is refused, because to ignore it would answer another question: everything, where somebody meant a
few.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args, get_origin
from urllib.parse import unquote_plus

from pincompute.api import allowed_values
from pincompute.api.object_validation import nearest
from pincompute.gateway.problems import FieldError, Problem

PARAMETERS = "parameters"  # key in a route's `opt`
_READ_BY_HAND = "query"  # key in a route's `opt`

Wrong: TypeAlias = Mapping[str, Any]
"""One thing that Litestar found wrong: `key`, `message`, and `source` where it is known."""


@dataclass(frozen=True, slots=True)
class RouteParameters:
    """`query` are the names that a query may have; `sent` says by the name in our code how a caller names a parameter.

    `choices` are by that name: all values that such a parameter may have. `body` is the type of the body, None without one.
    """

    query: frozenset[str]
    sent: Mapping[str, str]
    choices: Mapping[str, Sequence[str]]
    body: Any = None

    def name(self, wrong: Wrong) -> str:
        """As the caller named it; fields of a body are named by the model already."""
        key: str = wrong["key"]
        if wrong.get("source") == "body":
            return "body" if key == "data" else key
        return self.sent.get(key, key)

    def error(self, wrong: Wrong) -> FieldError:
        """What was expected, with the choices where there are some."""
        name, message = self.name(wrong), wrong["message"]
        if wrong.get("source") == "body":
            message = allowed_values.told(message, self.body, name)
            return FieldError(name, message, message)
        choices = self.choices.get(wrong["key"])
        if not choices:
            return FieldError(name, message, message)
        expected = f"one of {', '.join(choices)}"
        return FieldError(name, expected, f"{message}: must be {expected}")


def by_hand(*names: str) -> dict[str, Any]:
    """A route's `opt`: it reads these from the query itself."""
    return {_READ_BY_HAND: frozenset(names)}


def of(opt: Mapping[str, Any], model: Any, signatures: Iterable[Any]) -> RouteParameters:
    """Returns the parameters of a route, from what Litestar has read of its function and of those that it depends on."""
    fields = [field for signature in signatures for field in signature.parameters.items()]
    found = (*model.expected_query_params, *model.expected_header_params, *model.expected_path_params)
    query = {parameter.field_alias for parameter in model.expected_query_params}
    return RouteParameters(
        frozenset(query | opt.get(_READ_BY_HAND, frozenset())),
        {each.field_name: each.field_alias for each in found},
        {name: choices for name, field in fields if (choices := _choices(field.annotation))},
        next((field.annotation for name, field in fields if name == "data"), None),
    )


def _choices(kind: Any) -> Sequence[str]:
    """The values of a Literal; the empty one only stands for a parameter that is not sent."""
    return [value for value in get_args(kind) if value] if get_origin(kind) is Literal else []


def refuse_unknown(query: bytes, known: frozenset[str]) -> None:
    """Raises Problem that names every one. `query` as in an ASGI scope."""
    names = (unquote_plus(part.partition(b"=")[0].decode(errors="replace")) for part in query.split(b"&") if part)
    unknown = [name for name in dict.fromkeys(names) if name not in known]
    if unknown:
        raise wrong(
            [_unknown(name[:64], known) for name in unknown], f"send only {_listed(known)}" if known else "send no query"
        )


def wrong(errors: Iterable[FieldError], remedy: str) -> Problem:
    """Parameters or a body that cannot be read."""
    found = tuple(errors)
    return Problem("malformed", "; ".join(f"{e.field}: {e.message}" for e in found), remedy, errors=found)


def _unknown(name: str, known: frozenset[str]) -> FieldError:
    near = nearest(name, known)
    expected = f"one of {_listed(known)}" if known else "no query parameter"
    meant = f": write {near}" if near else f": there is {_listed(known)}" if known else ": there is none here"
    return FieldError(name, expected, f"is not a query parameter{meant}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
