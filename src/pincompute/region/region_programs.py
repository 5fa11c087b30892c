"""Derives all programs of a region, and the files they read, from its layout. No I/O here."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from pincompute.api.labels import HOST
from pincompute.region import gateway_programs
from pincompute.region.cluster import api_server_audit, certificates, cluster_dns, control_plane, secret_encryption
from pincompute.region.images import image_registry
from pincompute.region.layout import Layout, MemberSpec
from pincompute.region.network_policy import enforcer_program
from pincompute.region.nodes import real_node, simulated_nodes
from pincompute.region.process.program import HttpReady, Liveness, Program, TcpReady

FEDERATION = "federation"
SETTINGS = "federation.yaml"  # in the home
CONFIGURATION = "PINCOMPUTE_CONFIGURATION"


def programs(layout: Layout, binaries: Path) -> tuple[Program, ...]:
    """Everything the supervisor keeps running."""
    gateway, issuer = gateway_programs.programs(layout)
    gateway = _marked(gateway, gateway_programs.configuration(layout))
    found = [*_control_plane(layout, None, binaries), _marked(federation(layout), _given(layout)), gateway, issuer]
    found.append(_marked(image_registry.program(layout, binaries), image_registry.configuration(layout)))
    for member in layout.spec.members:
        found += _of_member(layout, member, binaries)
    return tuple(found)


def configuration(layout: Layout, binaries: Path) -> dict[Path, bytes]:
    """Every file the programs read, to be written before they start."""
    found = dict(image_registry.configuration(layout)) | gateway_programs.configuration(layout)
    for cluster in clusters(layout):
        found |= api_server_audit.configuration(layout, cluster)
    for member in layout.spec.members:
        found |= cluster_dns.configuration(layout, 1 + member.index) | _of_node(layout, member, binaries)
        found |= enforcer_program.configuration(layout, member) if layout.spec.real_nodes else {}
    return found


def clusters(layout: Layout) -> dict[str, int]:
    """Name -> index of every cluster: the host has 0, a member one more than its own."""
    return {HOST: 0} | {member.name: 1 + member.index for member in layout.spec.members}


def federation(layout: Layout) -> Program:
    """The federation. Its settings are the administrator's to write; it starts without."""
    return _own(layout, FEDERATION, HOST, certificates.FEDERATION, f"--settings={layout.home / SETTINGS}")


def _given(layout: Layout) -> dict[Path, bytes]:
    """Returns the federation's settings, so that `up` starts it anew when the administrator has changed them."""
    file = layout.home / SETTINGS
    return {file: file.read_bytes()} if file.is_file() else {}


def operator(layout: Layout, member: MemberSpec) -> Program:
    return _own(layout, f"{member.name}-operator", member.name, certificates.OPERATOR)


def usage(layout: Layout, member: MemberSpec) -> Program:
    """The member's usage reader, at loopback, where the gateway is as well."""
    credentials, ports = certificates.cluster(layout, member.name), layout.ports(1 + member.index)
    name = f"{member.name}-usage"
    listen = (
        f"--listen=127.0.0.1:{ports.usage}",
        f"--certificate={credentials.certificate(certificates.USAGE_SERVER)}",
        f"--key={credentials.key(certificates.USAGE_SERVER)}",
    )
    kubeconfig = credentials.kubeconfig(certificates.USAGE)
    argv = (sys.executable, "-m", "pincompute.main", "usage", f"--kubeconfig={kubeconfig}", f"--context={member.name}")
    return Program(
        name=name,
        argv=(*argv, *listen),
        ready=TcpReady(host="127.0.0.1", port=ports.usage),
        live=Liveness(http=HttpReady(url=f"https://127.0.0.1:{ports.usage}/")),
        needs=(f"{member.name}-apiserver",),
        grace=3.0,
    )


def _own(layout: Layout, name: str, cluster: str, process: str, *arguments: str) -> Program:
    """A process of ours: it reaches its cluster with its own credential and serves its readiness on loopback."""
    port = layout.ports(clusters(layout)[cluster]).operator
    kubeconfig = certificates.cluster(layout, cluster).kubeconfig(process)
    argv = (sys.executable, "-m", "pincompute.main", process, f"--kubeconfig={kubeconfig}", f"--context={cluster}")
    return Program(
        name=name,
        argv=(*argv, f"--port={port}", *arguments),
        ready=HttpReady(url=f"http://127.0.0.1:{port}/readyz"),
        live=Liveness(http=HttpReady(url=f"http://127.0.0.1:{port}/livez")),
        needs=(f"{cluster}-apiserver",),
        grace=5.0,
    )


def _of_member(layout: Layout, member: MemberSpec, binaries: Path) -> list[Program]:
    index = 1 + member.index
    nodes = [_marked(program, _of_node(layout, member, binaries)) for program in real_node.programs(layout, member, binaries)]
    coredns = _marked(cluster_dns.program(layout, index, binaries), cluster_dns.configuration(layout, index))
    found = [*_control_plane(layout, member, binaries), coredns, *nodes, operator(layout, member), usage(layout, member)]
    if layout.spec.real_nodes:
        found.append(_marked(enforcer_program.program(layout, member), enforcer_program.configuration(layout, member)))
    if layout.simulated_nodes(member):
        found.append(simulated_nodes.program(layout, member, binaries))
    return found


def _control_plane(layout: Layout, member: MemberSpec | None, binaries: Path) -> list[Program]:
    """An API server reads its audit policy and its keys only when it starts."""
    cluster = HOST if member is None else member.name
    reads = api_server_audit.configuration(layout, cluster) | secret_encryption.version(layout, cluster)
    programs = control_plane.programs(layout, member, binaries)
    return [_marked(program, reads) if program.name == f"{cluster}-apiserver" else program for program in programs]


def _of_node(layout: Layout, member: MemberSpec, binaries: Path) -> dict[Path, bytes]:
    return real_node.configuration(layout, member, binaries) if layout.spec.real_nodes else {}


def _marked(program: Program, reads: Mapping[Path, bytes]) -> Program:
    """The program with a hash of the files it reads, so that it differs, and is started anew, when one of them does."""
    content = hashlib.blake2b(digest_size=8)
    for path, data in sorted(reads.items()):
        content.update(str(path).encode() + b"\0" + data)
    return msgspec.structs.replace(program, environment=program.environment | {CONFIGURATION: content.hexdigest()})
