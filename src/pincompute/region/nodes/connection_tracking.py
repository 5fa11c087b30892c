"""Bounds how long the kernel tracks connections of a node. Everything here is about the caller's own network namespace."""

from __future__ import annotations

import os
import socket
import struct
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
NLM_F_REQUEST, NLM_F_ACK, NLMSG_ERROR = 1, 4, 2
DELETE = 1 << 8 | 2  # of the subsystem for connection tracking; without a connection it means all of them
HEADER, ANY_FAMILY = struct.Struct("=IHHII"), struct.pack("=BBH", 0, 0, 0)


def shorten_timeouts(settings: Path = SETTINGS) -> None:
    """Makes entries of connections that are over end soon. Raises OSError where the kernel tracks no connections."""
    for name, seconds in TIMEOUTS.items():
        (settings / name).write_text(f"{seconds}\n")


def forget_all() -> None:
    """Drops all entries. Raises OSError when the kernel refuses."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as kernel:
        length = HEADER.size + len(ANY_FAMILY)
        kernel.send(HEADER.pack(length, DELETE, NLM_F_REQUEST | NLM_F_ACK, 0, 0) + ANY_FAMILY)
        answer = kernel.recv(4096)
    kind, error = HEADER.unpack_from(answer)[1], struct.unpack_from("=i", answer, HEADER.size)[0]
    if kind != NLMSG_ERROR or error:
        raise OSError(-error, os.strerror(-error))
