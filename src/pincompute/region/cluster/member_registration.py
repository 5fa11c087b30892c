"""Manifests for the host cluster of a region: its member clusters and the demo project."""

from __future__ import annotations

from typing import Any

import yaml

from pincompute.api.labels import MANAGED_BY, PINCOMPUTE, SYSTEM_NAMESPACE
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Manifest, Resource
from pincompute.api.projects import PROJECTS
from pincompute.region.cluster import certificates
from pincompute.region.layout import Layout, MemberSpec

DEMO = "demo"


def member_cluster(member: MemberSpec) -> Manifest:
    secret = {"name": secret_name(member.name), "namespace": SYSTEM_NAMESPACE}
    return _object(MEMBERCLUSTERS, member.name, {"zone": member.zone, "kubeconfig": secret})


def secret(member: MemberSpec) -> Manifest:
    """The Secret of a member without its content: enough to delete it."""
    metadata = {"name": secret_name(member.name), "namespace": SYSTEM_NAMESPACE, "labels": {MANAGED_BY: PINCOMPUTE}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque"}


def filled_secret(layout: Layout, member: MemberSpec) -> Manifest:
    """The Secret with federation's and the gateway's credentials for a member."""
    held = {"kubeconfig": certificates.FEDERATION, f"{certificates.GATEWAY}.kubeconfig": certificates.GATEWAY}
    return secret(member) | {"stringData": {key: _kubeconfig(layout, member, user) for key, user in held.items()}}


def _kubeconfig(layout: Layout, member: MemberSpec, user: str) -> str:
    return yaml.safe_dump(certificates.embedded_kubeconfig(layout, member.name, 1 + member.index, user), sort_keys=False)


def secret_name(member: str) -> str:
    return f"member-{member}"


def demo_project() -> Manifest:
    members = [{"name": "dev", "role": "owner"}]
    return _object(PROJECTS, DEMO, {"description": "The first project: examples/hello runs here", "members": members})


def _object(resource: Resource[Any], name: str, spec: Manifest) -> Manifest:
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, "spec": spec}
