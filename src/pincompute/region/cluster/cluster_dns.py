"""Describes cluster DNS: one CoreDNS per cluster on the bridge, which pods reach as the Service kube-dns. No I/O here.

It answers for the cluster's own names only and asks nobody else: nothing outside the region is reachable from a pod.
"""

from __future__ import annotations

from pathlib import Path

from pincompute.api.labels import HOST, MANAGED_BY, PINCOMPUTE
from pincompute.api.meta import Manifest
from pincompute.region.cluster import certificates
from pincompute.region.layout import Layout
from pincompute.region.process.program import Program, TcpReady

DOMAIN = "cluster.local"
TTL = 5  # seconds an answer may be remembered
NAMESPACE, SERVICE = "kube-system", "kube-dns"


def program(layout: Layout, index: int, binaries: Path) -> Program:
    """CoreDNS of a cluster; index 0 is the host, member i has 1 + i."""
    name = _cluster(layout, index)
    return Program(
        name=f"{name}-coredns",
        argv=(str(binaries / "coredns"), f"-conf={_corefile(layout, index)}"),
        ready=TcpReady(host=layout.address, port=layout.ports(index).dns),
        needs=(f"{name}-apiserver",),
        grace=3.0,
    )


def configuration(layout: Layout, index: int) -> dict[Path, bytes]:
    """The file CoreDNS reads, to be written before it starts."""
    kubeconfig = certificates.cluster(layout, _cluster(layout, index)).kubeconfig(certificates.COREDNS)
    corefile = f"""\
{DOMAIN}:{layout.ports(index).dns} in-addr.arpa:{layout.ports(index).dns} {{
    bind {layout.address}
    errors
    kubernetes {DOMAIN} in-addr.arpa {{
        kubeconfig {kubeconfig}
        pods verified
        ttl {TTL}
    }}
    cache {TTL}
}}
"""
    return {_corefile(layout, index): corefile.encode()}


def manifests(layout: Layout, index: int) -> tuple[Manifest, ...]:
    """What the cluster must hold: rights to read Services, and the Service whose one endpoint is CoreDNS on the bridge."""
    if not layout.spec.real_nodes:  # loopback is no valid endpoint, and simulated pods ask nothing
        return ()
    labels = {"k8s-app": SERVICE, MANAGED_BY: PINCOMPUTE}
    ports = ("dns", "UDP"), ("dns-tcp", "TCP")
    service: Manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": SERVICE, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "clusterIP": layout.dns_address(index),
            "ports": [{"name": name, "protocol": protocol, "port": 53} for name, protocol in ports],
        },
    }
    endpoints: Manifest = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{SERVICE}-pincompute",
            "namespace": NAMESPACE,
            "labels": {
                "kubernetes.io/service-name": SERVICE,
                "endpointslice.kubernetes.io/managed-by": PINCOMPUTE,
                MANAGED_BY: PINCOMPUTE,
            },
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [layout.address], "conditions": {"ready": True}}],
        "ports": [{"name": name, "protocol": protocol, "port": layout.ports(index).dns} for name, protocol in ports],
    }
    return (*_rights(), service, endpoints)


def _rights() -> tuple[Manifest, Manifest]:
    name = f"{PINCOMPUTE}:{certificates.COREDNS}"
    metadata = {"name": name, "labels": {MANAGED_BY: PINCOMPUTE}}
    read = ["get", "list", "watch"]
    rules = [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": read},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
    ]
    role: Manifest = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules}
    binding: Manifest = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": certificates.USERS[certificates.COREDNS][0]}
        ],
    }
    return role, binding


def _cluster(layout: Layout, index: int) -> str:
    if index == 0:
        return HOST
    return next(member.name for member in layout.spec.members if member.index == index - 1)


def _corefile(layout: Layout, index: int) -> Path:
    return layout.cluster_dir(_cluster(layout, index)) / "Corefile"
