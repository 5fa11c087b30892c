"""Makes the region's network: one bridge, and per node a namespace, a veth pair and routes. Every step may be repeated.

    machine                               namespace pc0-a1-node-0
    pc0-br 10.64.0.1/24 ── pc0-v0 ══════ eth0 10.64.0.10/24 ── cni0 10.64.16.1/20 ── pods
    route 10.64.16.0/20 via 10.64.0.10    default via 10.64.0.1

Pods of different zones meet on the machine: it forwards what comes in on the bridge, and only back to the bridge. Forwarding
is switched on for the bridge alone, so the setting goes when the bridge goes; a rule refuses what would leave the region.

Run as a module it connects one node: `python -m pincompute.region.nodes.node_network '{"bridge": ...}'`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from pincompute.region.layout import Layout, MemberSpec
from pincompute.region.region_error import RegionError

NAMESPACES = Path("/run/netns")
LINKS = Path("/sys/class/net")
SECONDS = 20.0  # an `ip` command takes milliseconds; it waits only for the kernel's network lock


class NetworkError(RegionError):
    """The kernel refused a link, an address or a route; the message carries the command and its answer."""


class NodeNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """What connects one node: its namespace, its link on the bridge, and the ranges that are routed to it."""

    bridge: str
    gateway: str
    namespace: str
    link: str
    address: str
    ranges: tuple[str, ...]


def namespace(layout: Layout, member: MemberSpec) -> str:
    return f"{layout.prefix}-{layout.node_name(member)}"


def node_network(layout: Layout, member: MemberSpec) -> NodeNetwork:
    return NodeNetwork(
        bridge=layout.bridge,
        gateway=layout.address,
        namespace=namespace(layout, member),
        link=f"{layout.prefix}-v{member.index}",
        address=layout.node_address(member),
        ranges=(layout.pod_range(member), layout.service_range(1 + member.index)),
    )


def node_commands(layout: Layout, member: MemberSpec) -> tuple[tuple[str, ...], ...]:
    """Commands that connect the node of `member`, to be run before each of its starts."""
    described = msgspec.json.encode(node_network(layout, member)).decode()
    return ((sys.executable, "-m", "pincompute.region.nodes.node_network", described),)


def prepare_region(layout: Layout) -> None:
    """The bridge, on whose address API servers and the registry listen. Nothing to do without real nodes."""
    if layout.spec.real_nodes:
        _ensure_bridge(layout.bridge, layout.address)


def connect(node: NodeNetwork) -> None:
    """Bring the node's namespace, link, addresses and routes into being, or repair them."""
    _ensure_bridge(node.bridge, node.gateway)
    if not (NAMESPACES / node.namespace).exists():
        ip("netns", "add", node.namespace)
    if not (LINKS / node.link).exists():
        ip("link", "add", node.link, "type", "veth", "peer", "name", "eth0", "netns", node.namespace)
    ip("link", "set", node.link, "master", node.bridge, "up")
    ip("-n", node.namespace, "link", "set", "lo", "up")
    ip("-n", node.namespace, "address", "replace", f"{node.address}/24", "dev", "eth0")
    ip("-n", node.namespace, "link", "set", "eth0", "up")
    ip("-n", node.namespace, "route", "replace", "default", "via", node.gateway)
    for range_ in node.ranges:
        ip("route", "replace", range_, "via", node.address, "dev", node.bridge)


def table(bridge: str) -> str:
    """The nftables table that keeps the traffic of a bridge inside its region."""
    return f"pincompute_{bridge.removesuffix('-br')}"


def ip(*arguments: str) -> str:
    """Run iproute2; an error carries the kernel's own words."""
    return _run(("ip", *arguments))


def _ensure_bridge(bridge: str, address: str) -> None:
    if not (LINKS / bridge).exists():
        ip("link", "add", "name", bridge, "type", "bridge")
    ip("address", "replace", f"{address}/24", "dev", bridge)
    ip("link", "set", bridge, "up")
    _run(
        ("nft", "-f", "-"),
        f"""\
add table inet {table(bridge)}
add chain inet {table(bridge)} forward {{ type filter hook forward priority filter; policy accept; }}
flush chain inet {table(bridge)} forward
add rule inet {table(bridge)} forward iifname "{bridge}" oifname != "{bridge}" reject
""",
    )
    Path(f"/proc/sys/net/ipv4/conf/{bridge}/forwarding").write_text("1")


def _run(command: tuple[str, ...], entered: str = "") -> str:
    try:
        done = subprocess.run(command, input=entered, capture_output=True, text=True, timeout=SECONDS, check=False)
    except FileNotFoundError as missing:
        raise NetworkError(f"the program `{command[0]}` is missing: install iproute2 (or iproute) and nftables") from missing
    if done.returncode != 0:
        raise NetworkError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    try:
        connect(msgspec.json.decode(sys.argv[1], type=NodeNetwork))
    except NetworkError as error:
        sys.exit(str(error))
