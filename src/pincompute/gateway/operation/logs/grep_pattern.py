"""The pattern of `grep`, by a machine that needs time in proportion to the line, whatever the pattern (RE2).

Patterns with back-references or look-around, which nothing can match in bounded time, are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import re2

from pincompute.gateway import problems
from pincompute.gateway.problems import FieldError

_RE2: Any = re2  # has no types

LONGEST = 1000  # characters of a pattern
MEMORY = 8 << 20  # bytes one pattern may use


@dataclass(frozen=True, slots=True)
class GrepPattern:
    _compiled: Any

    def matches(self, text: str) -> bool:
        return self._compiled.search(text) is not None


def compiled(text: str) -> GrepPattern:
    """Raises Problem when it cannot be used."""
    if len(text) > LONGEST:
        raise _invalid(f"has {len(text)} characters, at most {LONGEST} are taken")
    options = _RE2.Options()
    options.max_mem = MEMORY
    options.log_errors = False
    try:
        return GrepPattern(_RE2.compile(text, options))
    except _RE2.error as error:
        why = error.args[0]
        raise _invalid(why.decode(errors="replace") if isinstance(why, bytes) else str(why)) from None


def _invalid(why: str) -> problems.Problem:
    expected = "a regular expression as RE2 takes it, without back-references and look-around"
    return problems.invalid((FieldError("grep", expected, why),))
