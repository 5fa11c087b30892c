"""What goes wrong in one of several tasks that belong together, raised as itself."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def single() -> Generator[None]:
    """Around a TaskGroup: its first failure in place of the group of them."""
    try:
        yield
    except ExceptionGroup as group:
        raise _first(group) from None


def _first(failure: Exception) -> Exception:
    inner: tuple[Exception, ...] = getattr(failure, "exceptions", ())
    return _first(inner[0]) if inner else failure
