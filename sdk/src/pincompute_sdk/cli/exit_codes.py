"""Exit codes. They never change their meaning. The root's help lists them, so this module imports nothing."""

from __future__ import annotations

OK, FAILURE, USAGE, NOT_FOUND, ACCESS, CONFLICT, TIMEOUT = range(7)
INTERRUPTED = 130
MEANING = {
    OK: "done",
    FAILURE: "something failed",
    USAGE: "wrong arguments, or a file that cannot be used",
    NOT_FOUND: "it does not exist, or you may not see it",
    ACCESS: "not logged in, or not allowed",
    CONFLICT: "it was changed meanwhile, or the name is taken",
    TIMEOUT: "it did not happen in time",
    INTERRUPTED: "Ctrl-C; what was begun on the server goes on",
}
