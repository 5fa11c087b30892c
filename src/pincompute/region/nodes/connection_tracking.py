"""Bounds how long the kernel tracks connections of a node. Everything here is about the caller's own network namespace."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

SETTINGS = Path("/proc/sys/net/netfilter")
TIMEOUTS = {
    "nf_conntrack_tcp_timeout_syn_sent": 20,  # a server that does not answer
    "nf_conntrack_tcp_timeout_time_wait": 2,  # closed by both sides
    "nf_conntrack_tcp_timeout_close": 2,  # reset
    "nf_conntrack_udp_timeout": 10,  # a question and its answer; a longer exchange keeps the kernel's two minutes
}
"""Seconds for which an entry stays after the last packet. The kernel's own values suit slow networks: 10 s to two minutes."""

NETLINK_NETFILTER = 12
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
GET, DELETE = 1 << 8 | 1, 1 << 8 | 2  # of the subsystem for connection tracking; DELETE without a connection means all of them
CTA_TUPLE_ORIG, CTA_FILTER = 1, 25
CTA_TUPLE_IP, CTA_IP_V4_SRC = 1, 1
CTA_FILTER_ORIG_FLAGS, COMPARE_SOURCE = 1, 1
NESTED, KIND = 1 << 15, (1 << 14) - 1  # of the type of an attribute
HEADER, ATTRIBUTE, FAMILY = struct.Struct("=IHHII"), struct.Struct("=HH"), struct.Struct("=BBH")
LARGEST = 1 << 16  # bytes that the kernel sends at once, with room to spare


def shorten_timeouts(settings: Path = SETTINGS) -> None:
    """Makes entries of connections that are over end soon. Raises OSError where the kernel tracks no connections."""
    for name, seconds in TIMEOUTS.items():
        (settings / name).write_text(f"{seconds}\n")


def forget_all() -> None:
    """Drops all entries. Raises OSError when the kernel refuses."""
    with _netlink() as kernel:
        list(_ask(kernel, DELETE, NLM_F_ACK, socket.AF_UNSPEC))


def forget(addresses: Iterable[str]) -> int:
    """Drops the entries of connections that these IPv4 addresses began, and returns how many there were.

    Raises OSError when the kernel refuses.
    """
    dropped = 0
    with _netlink() as kernel:
        for connection in [found for address in addresses for found in _connections_of(kernel, address)]:
            with suppress(FileNotFoundError):  # it was over before
                list(_ask(kernel, DELETE, NLM_F_ACK, socket.AF_INET, connection))
                dropped += 1
    return dropped


def _connections_of(kernel: socket.socket, address: str) -> Iterator[bytes]:
    """Yields, for each entry, the attribute that names its connection. The kernel compares the addresses."""
    begins_at = _attribute(CTA_IP_V4_SRC, socket.inet_aton(address))
    wanted = _attribute(CTA_TUPLE_ORIG | NESTED, _attribute(CTA_TUPLE_IP | NESTED, begins_at))
    compared = _attribute(CTA_FILTER | NESTED, _attribute(CTA_FILTER_ORIG_FLAGS, struct.pack("=I", COMPARE_SOURCE)))
    for entry in _ask(kernel, GET, NLM_F_DUMP, socket.AF_INET, wanted + compared):
        # a kernel before 5.8 knows no filter and yields all entries
        yield from (found for found in _tuples(entry[FAMILY.size :]) if begins_at in found)


def _tuples(attributes: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(attributes):
        length, kind = ATTRIBUTE.unpack_from(attributes, at)
        if kind & KIND == CTA_TUPLE_ORIG:
            yield _attribute(kind, attributes[at + ATTRIBUTE.size : at + length])
        at += _aligned(length)


def _netlink() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)


def _ask(kernel: socket.socket, kind: int, flags: int, family: int, attributes: bytes = b"") -> Iterator[bytes]:
    """Sends one request and yields the messages of the answer. Raises OSError when the kernel refuses."""
    body = FAMILY.pack(family, 0, 0) + attributes
    kernel.send(HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | flags, 0, 0) + body)
    while True:
        received, at = kernel.recv(LARGEST), 0
        while at < len(received):
            length, answer, *_ = HEADER.unpack_from(received, at)
            message = received[at + HEADER.size : at + length]
            if answer == NLMSG_ERROR and (error := -int.from_bytes(message[:4], sys.byteorder, signed=True)):
                raise OSError(error, os.strerror(error))
            if answer in {NLMSG_ERROR, NLMSG_DONE}:
                return
            yield message
            at += _aligned(length)


def _attribute(kind: int, content: bytes) -> bytes:
    length = ATTRIBUTE.size + len(content)
    return ATTRIBUTE.pack(length, kind) + content + bytes(_aligned(length) - length)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
