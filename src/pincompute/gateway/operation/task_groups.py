"""Runs tasks that belong together: it raises one failure in place of a group, or returns the first result of several."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@contextmanager
def single() -> Generator[None]:
    """Around a TaskGroup: raise its first failure in place of the group."""
    try:
        yield
    except ExceptionGroup as group:
        raise _first(group) from None


def _first(failure: Exception) -> Exception:
    inner: tuple[Exception, ...] = getattr(failure, "exceptions", ())
    return _first(inner[0]) if inner else failure


async def first_of(*parts: Coroutine[Any, Any, T]) -> T:
    """Run all parts until one of them ends, cancel the others, and return its result."""
    with single():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in parts]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
    return next(iter(done)).result()
