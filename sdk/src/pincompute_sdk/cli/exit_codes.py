"""Exit codes. They never change their meaning. The root's help lists them, so this module imports nothing."""

from __future__ import annotations

OK, FAILURE, USAGE, NOT_FOUND, ACCESS, CONFLICT, TIMEOUT = range(7)
INTERRUPTED = 130
MEANING = {
    OK: "success",
    FAILURE: "something failed",
    USAGE: "wrong arguments, or an unusable file",
    NOT_FOUND: "it does not exist, or you may not see it",
    ACCESS: "you are not logged in, or not allowed",
    CONFLICT: "somebody else changed it meanwhile, or the name is taken",
    TIMEOUT: "it did not happen in time",
    INTERRUPTED: "Ctrl-C; what began on the server continues",
}
