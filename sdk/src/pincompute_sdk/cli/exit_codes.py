"""Lists the exit codes. They never change their meaning. The root's help lists them, so this module imports nothing."""

from __future__ import annotations

OK, FAILURE, USAGE, NOT_FOUND, ACCESS, CONFLICT, TIMEOUT = range(7)
INTERRUPTED = 130
MEANING = {
    OK: "success",
    FAILURE: "something failed",
    USAGE: "wrong arguments, or an unusable file",
    NOT_FOUND: "not found, or you may not see it",
    ACCESS: "you are not logged in, or not allowed",
    CONFLICT: "somebody else changed it in the meantime, or the name is taken",
    TIMEOUT: "not finished in time",
    INTERRUPTED: "Ctrl-C; what began on the server continues",
}
