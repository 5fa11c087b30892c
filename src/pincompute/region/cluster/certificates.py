"""Issues the certificates and kubeconfigs of a region in `<home>/pki` and renews them a month before they expire.

Every cluster has an authority of its own, so that a credential of one cluster is worth nothing in another; a second one
signs what may talk to its etcd, because etcd knows no roles. Service-account tokens are signed with a third key.

The image registry has an authority for the certificates with which nodes pull, and a key that signs tokens for it.

    pki/CLUSTER/ca.crt  NAME.crt  NAME.key  NAME.kubeconfig  PROCESS.token  service-account.key
    pki/registry.internal/ca.crt  NODE.crt  NODE.key  token.key  token.jwks
"""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from joserfc.jwk import ECKey

from pincompute.api import image_ownership, labels
from pincompute.domain import registry_access
from pincompute.region import atomic_files
from pincompute.region.layout import Layout, MemberSpec

AUTHORITY_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)
BACKDATE = timedelta(hours=1)  # clocks may differ, and be set back

ADMIN = "admin"
CONTROLLER_MANAGER = "controller-manager"
SCHEDULER = "scheduler"
KUBE_PROXY = "kube-proxy"
COREDNS = "coredns"
KWOK = "kwok"
FEDERATION = labels.FEDERATION
OPERATOR = labels.OPERATOR
GATEWAY = labels.GATEWAY
NETWORK = labels.NETWORK
USAGE = labels.USAGE
GATEWAY_USAGE = labels.GATEWAY_USAGE
GATEWAY_SERVER = "gateway-server"
USAGE_SERVER = "usage-server"
APISERVER = "apiserver"
APISERVER_KUBELET = "apiserver-kubelet"
ETCD = "etcd"
ETCD_CLIENT = "etcd-client"

REGISTRY_SERVER = "registry-server"
REGISTRY_NODES = "pincompute:nodes"
"""Organization in the certificates with which nodes pull from the registry."""

CA = "ca"
ETCD_CA = "etcd-ca"

USERS = {
    ADMIN: (labels.ADMINISTRATOR, "system:masters"),
    CONTROLLER_MANAGER: ("system:kube-controller-manager", ""),
    SCHEDULER: ("system:kube-scheduler", ""),
    KUBE_PROXY: ("system:kube-proxy", ""),
    COREDNS: ("pincompute:coredns", ""),
    KWOK: (labels.KWOK_USER, ""),
}
"""File name of each user of a cluster that has a certificate -> common name and group that RBAC sees. KWOK has one only in a
member with simulated nodes.
"""

TOKEN_USERS = (FEDERATION, OPERATOR, GATEWAY, NETWORK, USAGE, GATEWAY_USAGE)
"""The platform's own processes: they have a service account's token instead (`service_account_tokens`)."""


@dataclass(frozen=True, slots=True)
class LeafCertificate:
    """A certificate to be had: whom it names and which authority signs it."""

    name: str
    common_name: str
    organization: str = ""
    hosts: tuple[str, ...] = ()
    authority: str = CA
    life: timedelta = LEAF_LIFE  # of the authority where a program reads its certificate only when it starts


@dataclass(frozen=True, slots=True)
class ClusterCredentials:
    """Where the credentials of one cluster lie."""

    directory: Path

    def certificate(self, name: str) -> Path:
        return self.directory / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.directory / f"{name}.key"

    def kubeconfig(self, user: str) -> Path:
        return self.directory / f"{user}.kubeconfig"

    def token(self, user: str) -> Path:
        return self.directory / f"{user}.token"

    @property
    def service_account_key(self) -> Path:
        return self.directory / "service-account.key"


@dataclass(frozen=True, slots=True)
class RegistryCredentials(ClusterCredentials):
    """Where the credentials of the image registry lie."""

    @property
    def token_key(self) -> Path:
        """Signs tokens. The gateway and `pincompute region` read it, the registry never does."""
        return self.directory / "token.key"

    @property
    def token_key_set(self) -> Path:
        """The public half, by which the registry verifies tokens."""
        return self.directory / "token.jwks"


def cluster(layout: Layout, name: str) -> ClusterCredentials:
    return ClusterCredentials(layout.pki / name)


def registry(layout: Layout) -> RegistryCredentials:
    """No cluster has this folder, because no cluster's name contains a dot."""
    return RegistryCredentials(layout.pki / image_ownership.REGISTRY)


def kubelet(node: str) -> str:
    """Name of the credential with which a node's kubelet both serves and speaks to its API server."""
    return f"kubelet-{node}"


def issue(layout: Layout, now: datetime) -> None:
    """Make what is missing or near expiry of every cluster, the per-process kubeconfigs and the user's kubeconfig."""
    for index, name in enumerate(("host", *(member.name for member in layout.spec.members))):
        member = next((member for member in layout.spec.members if member.name == name), None)
        number = index if member is None else 1 + member.index
        _issue_cluster(layout, name, number, member, now)
    _issue_registry(layout, now)
    atomic_files.write(layout.kubeconfig, admin_kubeconfig(layout))


def admin_kubeconfig(layout: Layout) -> bytes:
    """One context per cluster, certificates inside, so that the file may be copied elsewhere."""
    names = {"host": 0} | {member.name: 1 + member.index for member in layout.spec.members}
    entries = [embedded_kubeconfig(layout, name, index, ADMIN) for name, index in names.items()]
    merged = entries[0] | {
        part: [item for entry in entries for item in entry[part]] for part in ("clusters", "users", "contexts")
    }
    return yaml.safe_dump(merged, sort_keys=False).encode()


def embedded_kubeconfig(layout: Layout, name: str, index: int, user: str, *, server: str = "") -> dict[str, Any]:
    """A kubeconfig that stands alone, such as the one in a MemberCluster's Secret."""
    pki = cluster(layout, name)
    trust = {"certificate-authority-data": _base64(pki.certificate(CA))}
    return _kubeconfig(name, server or layout.api_url(index), f"{name}-{user}", trust, _embedded_credentials(pki, user))


def usage_kubeconfig(layout: Layout, member: MemberSpec) -> dict[str, Any]:
    """How the gateway reaches the member's usage reader: a token that opens nothing else."""
    index, user = 1 + member.index, GATEWAY_USAGE
    return embedded_kubeconfig(layout, member.name, index, user, server=layout.usage_url(index))


def client_kubeconfig(
    layout: Layout, name: str, index: int, user: str, certificate: x509.Certificate, key: bytes
) -> dict[str, Any]:
    """A kubeconfig that stands alone, with a client certificate that is nowhere else."""
    trust = {"certificate-authority-data": _base64(cluster(layout, name).certificate(CA))}
    encoded = base64.b64encode(certificate.public_bytes(serialization.Encoding.PEM)).decode()
    credentials = {"client-certificate-data": encoded, "client-key-data": base64.b64encode(key).decode()}
    return _kubeconfig(name, layout.api_url(index), user, trust, credentials)


def _embedded_credentials(pki: ClusterCredentials, user: str) -> dict[str, str]:
    if user in TOKEN_USERS:
        return {"token": pki.token(user).read_text()}
    return {"client-certificate-data": _base64(pki.certificate(user)), "client-key-data": _base64(pki.key(user))}


def _issue_cluster(layout: Layout, name: str, index: int, member: MemberSpec | None, now: datetime) -> None:
    pki = cluster(layout, name)
    pki.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for authority in (CA, ETCD_CA):
        _ensure_authority(pki, authority, f"pincompute {name} {authority}", now)
    if not pki.service_account_key.exists():
        atomic_files.write(pki.service_account_key, _private_pem(_new_key()))
    for leaf in leaves(layout, index, member):
        _ensure_leaf(pki, leaf, now)
        if leaf.authority == CA and leaf.name not in (
            APISERVER,
            APISERVER_KUBELET,
            GATEWAY_SERVER,
            REGISTRY_SERVER,
            USAGE_SERVER,
        ):
            credentials = {
                "client-certificate": str(pki.certificate(leaf.name)),
                "client-key": str(pki.key(leaf.name)),
            }
            atomic_files.write(pki.kubeconfig(leaf.name), _file_kubeconfig(layout, name, index, leaf.name, credentials))
    if not _simulates(layout, member):
        for former in (pki.certificate(KWOK), pki.key(KWOK), pki.kubeconfig(KWOK)):  # of simulated nodes that are gone
            former.unlink(missing_ok=True)
    for user in TOKEN_USERS:
        for former in (pki.certificate(user), pki.key(user)):  # of a version that gave these processes certificates
            former.unlink(missing_ok=True)
        credentials = {"tokenFile": str(pki.token(user))}
        atomic_files.write(pki.kubeconfig(user), _file_kubeconfig(layout, name, index, user, credentials))


def _issue_registry(layout: Layout, now: datetime) -> None:
    pki = registry(layout)
    pki.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    _ensure_authority(pki, CA, "pincompute registry nodes ca", now)
    for node in map(layout.node_name, layout.spec.members):
        _ensure_leaf(pki, LeafCertificate(node, node, REGISTRY_NODES), now)
    if not pki.token_key.exists():
        atomic_files.write(pki.token_key, _private_pem(_new_key()))
    key = ECKey.import_key(pki.token_key.read_text())
    public = key.as_dict(private=False, use="sig", alg=registry_access.ALGORITHM, kid=key.thumbprint())
    atomic_files.write(pki.token_key_set, msgspec.json.format(msgspec.json.encode({"keys": [public]})))


def leaves(layout: Layout, index: int, member: MemberSpec | None) -> tuple[LeafCertificate, ...]:
    """Every certificate of a cluster; the host has no member, and so no nodes."""
    service = str(next(ipaddress.ip_network(layout.service_range(index)).hosts()))
    names = ("localhost", *(f"kubernetes{tail}" for tail in ("", ".default", ".default.svc", ".default.svc.cluster.local")))
    users = tuple(
        LeafCertificate(name, common, group)
        for name, (common, group) in USERS.items()
        if name != KWOK or _simulates(layout, member)
    )
    servers = (
        LeafCertificate(APISERVER, "kube-apiserver", hosts=(layout.address, "127.0.0.1", service, *names)),
        LeafCertificate(APISERVER_KUBELET, "kube-apiserver", "system:masters"),
        LeafCertificate(ETCD, "etcd", hosts=("127.0.0.1", "localhost"), authority=ETCD_CA),
        LeafCertificate(ETCD_CLIENT, "kube-apiserver", authority=ETCD_CA),
    )
    if member is None:
        return (
            *users,
            *servers,
            LeafCertificate(GATEWAY_SERVER, "pincompute-gateway", hosts=(layout.address, "127.0.0.1", "localhost")),
            LeafCertificate(REGISTRY_SERVER, "pincompute-registry", hosts=(layout.address,), life=AUTHORITY_LIFE),
        )
    node = layout.node_name(member)
    return (
        *users,
        *servers,
        LeafCertificate(USAGE_SERVER, "pincompute-usage-server", hosts=("127.0.0.1", "localhost"), life=AUTHORITY_LIFE),
        LeafCertificate(kubelet(node), f"system:node:{node}", "system:nodes", (node, layout.node_address(member))),
    )


def _simulates(layout: Layout, member: MemberSpec | None) -> bool:
    return member is not None and layout.simulated_nodes(member) > 0


def _ensure_authority(pki: ClusterCredentials, name: str, common_name: str, now: datetime) -> None:
    held = _fresh(pki.certificate(name), now)
    if held is not None and _belongs(held, pki.key(name)):
        return
    key = _new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        _builder(subject, subject, key, now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    atomic_files.write(pki.key(name), _private_pem(key))
    atomic_files.write(pki.certificate(name), certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _ensure_leaf(pki: ClusterCredentials, leaf: LeafCertificate, now: datetime) -> None:
    issuer = x509.load_pem_x509_certificate(pki.certificate(leaf.authority).read_bytes())
    held = _fresh(pki.certificate(leaf.name), now)
    if held is not None and _suits(held, leaf, issuer) and _belongs(held, pki.key(leaf.name)):
        return
    signed, key = sign(pki, leaf, now, leaf.life)
    atomic_files.write(pki.key(leaf.name), key)
    atomic_files.write(pki.certificate(leaf.name), signed.public_bytes(serialization.Encoding.PEM), 0o644)


def sign(pki: ClusterCredentials, leaf: LeafCertificate, now: datetime, life: timedelta) -> tuple[x509.Certificate, bytes]:
    """A new certificate of the leaf's authority, and its private key in PEM. Nothing is written."""
    issuer = x509.load_pem_x509_certificate(pki.certificate(leaf.authority).read_bytes())
    key = _new_key()
    certificate = (
        _builder(_subject(leaf), issuer.subject, key, now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
    )
    if leaf.hosts:
        certificate = certificate.add_extension(
            x509.SubjectAlternativeName([_host(host) for host in leaf.hosts]), critical=False
        )
    return certificate.sign(_load_key(pki.key(leaf.authority)), hashes.SHA256()), _private_pem(key)


def _suits(held: x509.Certificate, leaf: LeafCertificate, issuer: x509.Certificate) -> bool:
    """False when the authority was made anew or the addresses are others now."""
    try:
        held.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, a new one is the answer
        return False
    names = next((e.value for e in held.extensions if isinstance(e.value, x509.SubjectAlternativeName)), ())
    return held.subject == _subject(leaf) and set(names) == {_host(host) for host in leaf.hosts}


def _belongs(certificate: x509.Certificate, path: Path) -> bool:
    """False after a crash between writing the key and writing its certificate."""
    return path.exists() and _load_key(path).public_key() == certificate.public_key()


def _fresh(path: Path, now: datetime) -> x509.Certificate | None:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return certificate if certificate.not_valid_after_utc - RENEW_BEFORE > now else None


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + life)
    )


def _subject(leaf: LeafCertificate) -> x509.Name:
    group = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, leaf.organization)] if leaf.organization else []
    return x509.Name([*group, x509.NameAttribute(NameOID.COMMON_NAME, leaf.common_name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not signs,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())  # thousands a second, where RSA takes a tenth of a second each


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} holds no elliptic-curve key; remove the file to have it made anew")
    return key


def _file_kubeconfig(layout: Layout, name: str, index: int, user: str, credentials: dict[str, str]) -> bytes:
    """Makes a local process's kubeconfig. It names files, so the process reads renewed credentials without a restart."""
    trust = {"certificate-authority": str(cluster(layout, name).certificate(CA))}
    content = _kubeconfig(name, layout.api_url(index), user, trust, credentials)
    return yaml.safe_dump(content, sort_keys=False).encode()


def _kubeconfig(name: str, server: str, user: str, trust: dict[str, str], credentials: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": server} | trust}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
    }


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
