"""Names what a mistyped name probably means, among the names that there are."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress

from pincompute_sdk.core.errors import NotFoundError, PinError


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is written most alike; empty where none is."""
    return next(iter(difflib.get_close_matches(name, [each for each in known if each != name], n=1)), "")


def question(name: str, known: Iterable[str]) -> str:
    """`did you mean web?`; empty where no known name is written alike."""
    near = nearest(name, known)
    return f"did you mean {near}?" if near else ""


@contextmanager
def explained(name: str, known: Callable[[], Iterable[str]], listed: str) -> Generator[None]:
    """Where nothing has the name, the error names the nearest one that there is, or else the command `listed`."""
    try:
        yield
    except NotFoundError as error:
        with suppress(PinError):
            names = list(known())
            if name not in names:  # otherwise a part of it is missing
                error.remedy = question(name, names) or f"`{listed}` shows what there is"
        raise
