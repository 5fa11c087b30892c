"""Parses the arguments of a daemon, with the standard library alone, and says of a wrong one what was expected."""

from __future__ import annotations

import argparse
import re

UNITS = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_SIZE = re.compile(r"(\d{1,15})(|Ki|Mi|Gi|Ti)")
_ADDRESS = re.compile(r"(?P<host>.*):(?P<port>\d{1,5})")


def listen(text: str) -> tuple[str, int]:
    """Returns the address and port of "0.0.0.0:9100"."""
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: expected ADDRESS:PORT, such as 0.0.0.0:9100")
    return found["host"].strip("[]"), int(found["port"])


def size(text: str) -> int:
    """Returns the bytes of "10Mi"."""
    found = _SIZE.fullmatch(text)
    if found is None or not int(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of bytes above 0, such as 10Mi or 1Gi")
    return int(found[1]) * UNITS[found[2]]


def mount(text: str) -> tuple[str, str]:
    """Returns the mount point and the path of "/var=/host/var"; a path alone is both."""
    point, equals, path = text.partition("=")
    where = path if equals else point
    if not point.startswith("/") or not where.startswith("/"):
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected MOUNTPOINT=PATH with absolute paths, such as /var/lib/kubelet=/host/kubelet"
        )
    return point, where
