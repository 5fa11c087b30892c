"""Chooses which lines of a program that builds Dockerfiles a user sees. Pure.

buildah and podman tell of layers, caches and copies, which says nothing to a user. What the commands of a Dockerfile print is
always shown, whatever it looks like.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field

_STEP = re.compile(r"^(?:\[\d+/\d+\] )?STEP \d+(?:/\d+)?: (?P<instruction>\w+)")
_LAYER = re.compile(r"^(?:\[\d+/\d+\] )?--> (?:Using cache )?[0-9a-f]{11,64}$")
_OWN = re.compile(
    r"^(?:COMMIT( |$)|Successfully tagged |[0-9a-f]{64}$|Getting image source signatures$|Copying (?:blob|config) "
    r"|Writing manifest to image destination$|Storing signatures$|time=\"[^\"]*\" level=(?:debug|info|warning) )"
)
_UNUSED = re.compile(r"^\[Warning\] one or more build args were not consumed: \[(?P<names>.*)\]$")


@dataclass(slots=True)
class BuildOutput:
    """The output of one build with buildah or podman. `arguments` are the names of the user's build arguments."""

    arguments: Container[str] = ()
    _runs: bool = field(default=False, init=False)  # a command of the Dockerfile prints now

    def shows(self, line: str) -> bool:
        """Takes the lines in their order."""
        if step := _STEP.match(line):
            self._runs = step["instruction"].upper() == "RUN"
            return True
        if _LAYER.match(line):
            self._runs = False
            return False
        if self._runs:
            return True
        if unused := _UNUSED.match(line):
            return any(name in self.arguments for name in unused["names"].split())
        return bool(line.strip()) and not _OWN.match(line)
