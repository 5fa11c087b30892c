"""What the region tells its host cluster: who the members are, and the demo project."""

from __future__ import annotations

from typing import Any

import yaml

from pincompute.api.clusters import MEMBERCLUSTERS, PROJECTS
from pincompute.api.labels import MANAGED_BY, PINCOMPUTE, SYSTEM_NAMESPACE
from pincompute.api.meta import Manifest, Resource
from pincompute.region import pki
from pincompute.region.layout import Layout, Member

DEMO = "demo"


def membership(layout: Layout, member: Member) -> tuple[Manifest, Manifest]:
    """The Secret with federation's credential for a member, and its MemberCluster."""
    name = secret_name(member.name)
    kubeconfig = pki.embedded_kubeconfig(layout, member.name, 1 + member.index, pki.FEDERATION)
    secret: Manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": SYSTEM_NAMESPACE, "labels": {MANAGED_BY: PINCOMPUTE}},
        "type": "Opaque",
        "stringData": {"kubeconfig": yaml.safe_dump(kubeconfig, sort_keys=False)},
    }
    spec: Manifest = {"zone": member.zone, "kubeconfig": {"name": name, "namespace": SYSTEM_NAMESPACE}}
    return secret, _object(MEMBERCLUSTERS, member.name, spec)


def secret_name(member: str) -> str:
    return f"member-{member}"


def demo_project() -> Manifest:
    return _object(PROJECTS, DEMO, {"description": "The first project: examples/hello runs here"})


def _object(resource: Resource[Any], name: str, spec: Manifest) -> Manifest:
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, "spec": spec}
