"""Credentials: who they name, what they are worth where, and when they are made anew."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID
from joserfc.jwk import ECKey

from pincompute.kube import kubeconfig
from pincompute.region.cluster import certificates
from pincompute.region.layout import Layout, MemberSpec, RegionSpec

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Only a1 has simulated nodes."""
    members = (MemberSpec(name="a1", zone="a", index=0, simulated_nodes=1), MemberSpec(name="b1", zone="b", index=1))
    return Layout(tmp_path, RegionSpec(slot=2, members=members))


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def name(subject: x509.Name, oid: x509.ObjectIdentifier) -> str:
    return next((str(attribute.value) for attribute in subject.get_attributes_for_oid(oid)), "")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_user_of_a_cluster_has_the_name_that_rbac_knows(layout: Layout) -> None:
    certificates.issue(layout, NOW)
    cluster = certificates.cluster(layout, "a1")
    for user, (common_name, group) in certificates.USERS.items():
        subject = certificate(cluster.certificate(user)).subject
        got = (name(subject, NameOID.COMMON_NAME), name(subject, NameOID.ORGANIZATION_NAME))
        assert got == (common_name, group)
    kubelet = certificate(cluster.certificate(certificates.kubelet("a1-node-0")))
    assert name(kubelet.subject, NameOID.COMMON_NAME) == "system:node:a1-node-0"
    assert name(kubelet.subject, NameOID.ORGANIZATION_NAME) == "system:nodes"


def kwok_files(layout: Layout) -> set[str]:
    return {str(path.relative_to(layout.pki)) for path in layout.pki.rglob("kwok.*")}


def test_the_credential_that_plays_nodes_exists_only_where_nodes_are_simulated(layout: Layout) -> None:
    certificates.issue(layout, NOW)
    assert kwok_files(layout) == {f"a1/kwok.{suffix}" for suffix in ("crt", "key", "kubeconfig")}
    members = tuple(msgspec.structs.replace(member, simulated_nodes=0) for member in layout.spec.members)
    none_left = Layout(layout.home, msgspec.structs.replace(layout.spec, members=members))
    certificates.issue(none_left, NOW)
    assert kwok_files(none_left) == set()


def test_a_credential_of_one_cluster_is_worth_nothing_in_another(layout: Layout) -> None:
    certificates.issue(layout, NOW)
    here, there = (certificate(certificates.cluster(layout, cluster).certificate(certificates.CA)) for cluster in ("a1", "b1"))
    admin = certificate(certificates.cluster(layout, "a1").certificate(certificates.ADMIN))
    admin.verify_directly_issued_by(here)
    with pytest.raises(ValueError, match="not match"):
        admin.verify_directly_issued_by(there)


def test_only_the_api_server_may_talk_to_etcd(layout: Layout) -> None:
    certificates.issue(layout, NOW)
    cluster = certificates.cluster(layout, "a1")
    authority = certificate(cluster.certificate(certificates.ETCD_CA))
    trusted = {path.stem for path in cluster.directory.glob("*.crt") if certificate(path).issuer == authority.subject}
    assert trusted == {certificates.ETCD_CA, certificates.ETCD, certificates.ETCD_CLIENT}


def test_keys_are_readable_by_their_owner_only(layout: Layout) -> None:
    certificates.issue(layout, NOW)
    secret = [layout.kubeconfig, *layout.pki.rglob("*.key"), *layout.pki.rglob("*.kubeconfig")]
    assert len(secret) > 30
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}


def test_issuing_again_changes_nothing(layout: Layout) -> None:
    certificates.issue(layout, NOW)
    before = content(layout.home)
    certificates.issue(layout, NOW + timedelta(days=300))
    assert content(layout.home) == before


def test_leaves_are_renewed_a_month_before_they_expire_and_authorities_stay(layout: Layout) -> None:
    certificates.issue(layout, NOW)
    before = content(layout.home)
    later = NOW + certificates.LEAF_LIFE - certificates.RENEW_BEFORE + timedelta(hours=1)
    certificates.issue(layout, later)
    after = content(layout.home)
    same = {path for path in before if before[path] == after[path]}
    assert {path for path in same if path.endswith(".crt")} == {
        f"pki/{cluster}/{authority}.crt"
        for cluster in ("host", "a1", "b1")
        for authority in (certificates.CA, certificates.ETCD_CA)
    } | {
        "pki/registry.internal/ca.crt",
        "pki/host/registry-server.crt",
        "pki/a1/usage-server.crt",
        "pki/b1/usage-server.crt",
    }  # what a program reads only when it starts stays
    assert certificate(
        certificates.cluster(layout, "host").certificate(certificates.ADMIN)
    ).not_valid_after_utc > later + timedelta(days=300)


def test_a_key_that_lost_its_certificate_in_a_crash_is_replaced(layout: Layout) -> None:
    certificates.issue(layout, NOW)
    cluster = certificates.cluster(layout, "host")
    cluster.key(certificates.ADMIN).write_bytes(cluster.key(certificates.SCHEDULER).read_bytes())  # written, then the crash
    certificates.issue(layout, NOW)
    kubeconfig.load(layout.kubeconfig, "host")
    fresh = certificate(cluster.certificate(certificates.ADMIN))
    key = certificates._load_key(cluster.key(certificates.ADMIN))
    assert fresh.public_key() == key.public_key()


def test_a_new_authority_makes_all_its_leaves_new(layout: Layout) -> None:
    certificates.issue(layout, NOW)
    cluster = certificates.cluster(layout, "b1")
    cluster.certificate(certificates.CA).unlink()
    certificates.issue(layout, NOW)
    authority = certificate(cluster.certificate(certificates.CA))
    for leaf in certificates.leaves(layout, 2, layout.spec.members[1]):
        if leaf.authority == certificates.CA:
            certificate(cluster.certificate(leaf.name)).verify_directly_issued_by(authority)


def test_the_api_server_may_be_called_by_every_name_it_has(layout: Layout) -> None:
    certificates.issue(layout, NOW)
    served = certificate(certificates.cluster(layout, "a1").certificate(certificates.APISERVER))
    names = served.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(address) for address in names.get_values_for_type(x509.IPAddress)} == {"10.66.0.1", "127.0.0.1", "10.130.16.1"}
    assert "kubernetes.default.svc" in names.get_values_for_type(x509.DNSName)


def test_the_kubeconfig_has_a_context_for_every_cluster_and_stands_alone(layout: Layout) -> None:
    certificates.issue(layout, NOW)
    merged = yaml.safe_load(layout.kubeconfig.read_bytes())
    assert [context["name"] for context in merged["contexts"]] == ["host", "a1", "b1"]
    assert merged["current-context"] == "host"
    for cluster, index in (("host", 0), ("a1", 1), ("b1", 2)):
        loaded = kubeconfig.load(layout.kubeconfig, cluster)
        assert loaded.server == layout.api_url(index)
        assert isinstance(loaded.certificate, bytes)


def test_programs_read_their_certificates_from_files_so_that_renewal_reaches_them(layout: Layout) -> None:
    certificates.issue(layout, NOW)
    cluster = certificates.cluster(layout, "a1")
    loaded = kubeconfig.load(cluster.kubeconfig(certificates.KWOK), "a1")
    assert (loaded.certificate, loaded.key) == (cluster.certificate(certificates.KWOK), cluster.key(certificates.KWOK))


@pytest.mark.parametrize("user", certificates.TOKEN_USERS)
def test_the_platforms_processes_have_tokens_and_no_certificates(layout: Layout, user: str) -> None:
    cluster = certificates.cluster(layout, "a1")
    former = cluster.certificate(user)
    former.parent.mkdir(parents=True)
    former.write_text("of a former version")
    certificates.issue(layout, NOW)
    loaded = kubeconfig.load(cluster.kubeconfig(user), "a1")  # although the account, and so the token, does not exist yet
    assert (loaded.certificate, loaded.token_file) == (None, cluster.token(user))
    assert not former.exists()


def test_nodes_pull_with_a_certificate_of_an_authority_that_signs_nothing_else(layout: Layout) -> None:
    certificates.issue(layout, NOW)
    pki = certificates.registry(layout)
    names = {path.stem: certificate(path) for path in pki.directory.glob("*.crt")}
    assert set(names) == {certificates.CA, "a1-node-0", "b1-node-0"}
    organization = names["a1-node-0"].subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
    assert [attribute.value for attribute in organization] == [certificates.REGISTRY_NODES]


def test_the_registry_gets_the_public_half_of_the_key_that_signs_tokens(layout: Layout) -> None:
    certificates.issue(layout, NOW)
    pki = certificates.registry(layout)
    before = pki.token_key.read_bytes()
    certificates.issue(layout, NOW + timedelta(days=3000))
    assert pki.token_key.read_bytes() == before
    (public,) = msgspec.json.decode(pki.token_key_set.read_bytes())["keys"]
    assert public["kid"] == ECKey.import_key(before.decode()).thumbprint()
    assert "d" not in public
