"""Makes the region's network: one bridge, and per node a namespace, a veth pair and routes. Every step may be repeated.

    machine                               namespace pc0-a1-node-0
    pc0-br 10.64.0.1/24 ── pc0-v0 ══════ eth0 10.64.0.10/24 ── cni0 10.64.16.1/20 ── pods
    route 10.64.16.0/20 via 10.64.0.10    default via 10.64.0.1

Pods of different zones meet on the machine: it forwards what comes in on the bridge, and only back to the bridge. Forwarding
is switched on for the bridge alone, so the setting goes when the bridge goes; a rule refuses what would leave the region.

Run as a module it connects one node: `python -m pincompute.region.nodes.node_network '{"bridge": ...}'`.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pincompute.region.layout import Layout, MemberSpec
from pincompute.region.network_policy import nft_script
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
        _run(("nft", "-f", "-"), machine_rules(layout, layout.home.stat().st_uid))


def machine_rules(layout: Layout, owner: int) -> str:
    """What may come in from the bridge, and who may send to it.

    Pods reach the DNS and the API server of their own cluster, nodes also the registry. Whether a pod may reach its API server
    is for the node to judge. Everything else on the machine is closed to both, and nobody beyond the bridge reaches what is on
    it. Of the accounts of the machine, only root and the owner of the region's home do.

    No connection that begins on the bridge has an entry in the machine's table of connections: none that the machine forwards
    or answers is tracked, and none that it refuses is kept.
    """
    chains = {
        "input": ("input priority filter - 10", _accepted(layout)),
        "untracked_in": ("prerouting priority raw", _untracked_in(layout)),
        "untracked_out": ("output priority raw", _untracked_out(layout)),
        "accounts": ("output priority filter", _accounts(layout, owner)),
    }
    machine = f"inet {table(layout.bridge)}"
    commands = [f"add table {machine}"]
    for name, (hook, rules) in chains.items():
        commands += [
            f"add chain {machine} {name} {{ type filter hook {hook}; policy accept; }}",
            f"flush chain {machine} {name}",
        ]
        commands += [f"add rule {machine} {name} {rule}" for rule in rules]
    return "".join(f"{command}\n" for command in commands)


def _accepted(layout: Layout) -> Iterator[str]:
    yield f'iifname != "{layout.bridge}" accept'
    yield "ct state established,related ct direction reply accept"
    for member in layout.spec.members:
        ports, pods, node = layout.ports(1 + member.index), layout.pod_range(member), layout.node_address(member)
        yield f"ip saddr {{ {pods}, {node} }} ip daddr {layout.address} udp dport {ports.dns} accept"
        own = f"ip daddr {layout.address} tcp dport {{ {ports.dns}, {ports.apiserver}"
        yield from (f"ip saddr {pods} {own} }} accept", f"ip saddr {node} {own}, {_registry_port(layout)} }} accept")
    yield "drop"


def _untracked_in(layout: Layout) -> Iterator[str]:
    arriving = f'iifname "{layout.bridge}"'
    yield f"{arriving} fib daddr type != local notrack"
    yield from (f"{arriving} ip daddr {layout.address} {protocol} dport {ports} notrack" for protocol, ports in _open(layout))


def _untracked_out(layout: Layout) -> Iterator[str]:
    for protocol, ports in _open(layout):
        yield f'oifname "{layout.bridge}" ip saddr {layout.address} {protocol} sport {ports} notrack'


def _accounts(layout: Layout, owner: int) -> Iterator[str]:
    trusted = ", ".join(map(str, sorted({0, owner})))
    yield f'oifname "{layout.bridge}" meta skuid != {{ {trusted} }} reject with icmpx type admin-prohibited'


def _open(layout: Layout) -> tuple[tuple[str, str], ...]:
    """The ports that some pod or node may reach, by protocol."""
    members = [layout.ports(1 + member.index) for member in layout.spec.members]
    dns = [ports.dns for ports in members]
    tcp = [*dns, *(ports.apiserver for ports in members), _registry_port(layout)]
    return tuple((name, f"{{ {', '.join(map(str, ports))} }}") for name, ports in (("udp", dns), ("tcp", tcp)) if ports)


def _registry_port(layout: Layout) -> int:
    return int(layout.registry.rpartition(":")[2])


def connect(node: NodeNetwork) -> None:
    """Bring the node's namespace, link, addresses and routes into being, or repair them."""
    with _one_at_a_time():
        _connect(node)


def _connect(node: NodeNetwork) -> None:
    _ensure_bridge(node.bridge, node.gateway)
    if not (NAMESPACES / node.namespace).exists():
        ip("netns", "add", node.namespace)
    if not (LINKS / node.link).exists():
        ip("link", "add", node.link, "type", "veth", "peer", "name", "eth0", "netns", node.namespace)
    _close(node.namespace)
    ip("link", "set", node.link, "master", node.bridge, "up")
    ip("-n", node.namespace, "link", "set", "lo", "up")
    ip("-n", node.namespace, "address", "replace", f"{node.address}/24", "dev", "eth0")
    ip("-n", node.namespace, "link", "set", "eth0", "up")
    ip("-n", node.namespace, "route", "replace", "default", "via", node.gateway)
    for range_ in node.ranges:
        ip("route", "replace", range_, "via", node.address, "dev", node.bridge)


@contextmanager
def _one_at_a_time() -> Generator[None, None, None]:
    """Two programs arrange the same node's network when both start. The lock leaves no file behind."""
    folder = os.open(NAMESPACES.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _close(namespace: str) -> None:
    """Give pods no network until the node's policies are known; a table that is there already stays."""
    inside = ("nsenter", f"--net={NAMESPACES / namespace}")
    if subprocess.run(
        (*inside, "nft", "list", "table", *nft_script.TABLE.split()), capture_output=True, check=False
    ).returncode:
        _run((*inside, "nft", "-f", "-"), nft_script.closed())


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
add rule inet {table(bridge)} forward oifname "{bridge}" iifname != "{bridge}" drop
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
