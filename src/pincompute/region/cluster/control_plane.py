"""Describes the control plane of one cluster: etcd, kube-apiserver, kube-controller-manager, kube-scheduler.

Pure: the same layout gives the same programs. All four talk TLS with the cluster's own certificates; etcd, controller
manager and scheduler listen on loopback only.
"""

from __future__ import annotations

from pathlib import Path

from pincompute.api.labels import HOST
from pincompute.region.cluster import api_server_audit, certificates, secret_encryption
from pincompute.region.layout import ControlPlanePorts, Layout, MemberSpec
from pincompute.region.process.program import HttpReady, Program

HOST_CONTROLLERS = (
    "namespace-controller",
    "garbage-collector-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "root-ca-certificate-publisher-controller",
    "clusterrole-aggregation-controller",
    "resourcequota-controller",
    "validatingadmissionpolicy-status-controller",
)
"""No pod ever runs in the host cluster: what is left keeps namespaces, owners, accounts and policies."""

QPS = ("--kube-api-qps=2000", "--kube-api-burst=4000")  # client-side throttling only adds waiting to one machine
APISERVER_ENVIRONMENT = {"GOGC": "200"}  # collects half as often; start-up is mostly garbage


def programs(layout: Layout, member: MemberSpec | None, binaries: Path) -> tuple[Program, ...]:
    """The control plane of a member, or of the host for None. The host has nothing to schedule, and so no scheduler."""
    name, index = (HOST, 0) if member is None else (member.name, 1 + member.index)
    common = (etcd(layout, name, index, binaries), apiserver(layout, name, index, binaries))
    if member is None:
        return (*common, controller_manager(layout, name, index, binaries, HOST_CONTROLLERS))
    return (
        *common,
        controller_manager(layout, name, index, binaries, ("*",)),
        scheduler(layout, name, index, binaries),
    )


def etcd(layout: Layout, name: str, index: int, binaries: Path) -> Program:
    ports, credentials, directory = layout.ports(index), certificates.cluster(layout, name), layout.cluster_dir(name) / "etcd"
    client, peer = f"https://127.0.0.1:{ports.etcd}", f"https://127.0.0.1:{ports.etcd_peer}"
    certificate, key, authority = (
        credentials.certificate(certificates.ETCD),
        credentials.key(certificates.ETCD),
        credentials.certificate(certificates.ETCD_CA),
    )
    return Program(
        name=f"{name}-etcd",
        argv=(
            str(binaries / "etcd"),
            f"--name={name}",
            f"--data-dir={directory}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster={name}={peer}",
            f"--cert-file={certificate}",
            f"--key-file={key}",
            f"--trusted-ca-file={authority}",
            "--client-cert-auth",
            f"--peer-cert-file={certificate}",
            f"--peer-key-file={key}",
            f"--peer-trusted-ca-file={authority}",
            "--peer-client-cert-auth",
            "--snapshot-count=5000",
            "--max-snapshots=1",
            "--max-wals=2",
            "--quota-backend-bytes=4294967296",
            "--log-level=warn",
        ),
        prepare=(("mkdir", "-p", "-m", "700", str(directory)),),
        ready=HttpReady(
            url=f"{client}/readyz",
            ca=str(authority),
            cert=str(credentials.certificate(certificates.ETCD_CLIENT)),
            key=str(credentials.key(certificates.ETCD_CLIENT)),
        ),
        stop_after=(f"{name}-apiserver",),
    )


def apiserver(layout: Layout, name: str, index: int, binaries: Path) -> Program:
    ports, credentials = layout.ports(index), certificates.cluster(layout, name)
    return Program(
        name=f"{name}-apiserver",
        argv=(
            str(binaries / "kube-apiserver"),
            *_apiserver_listens(layout, index, ports, credentials),
            f"--etcd-servers=https://127.0.0.1:{ports.etcd}",
            f"--etcd-cafile={credentials.certificate(certificates.ETCD_CA)}",
            f"--etcd-certfile={credentials.certificate(certificates.ETCD_CLIENT)}",
            f"--etcd-keyfile={credentials.key(certificates.ETCD_CLIENT)}",
            f"--client-ca-file={credentials.certificate(certificates.CA)}",
            "--anonymous-auth=false",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--kubelet-certificate-authority={credentials.certificate(certificates.CA)}",
            f"--kubelet-client-certificate={credentials.certificate(certificates.APISERVER_KUBELET)}",
            f"--kubelet-client-key={credentials.key(certificates.APISERVER_KUBELET)}",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={credentials.service_account_key}",
            f"--service-account-signing-key-file={credentials.service_account_key}",
            "--max-requests-inflight=800",
            "--max-mutating-requests-inflight=400",
            "--profiling=false",
            *api_server_audit.flags(layout, name),
            *secret_encryption.flags(layout, name),
        ),
        environment=APISERVER_ENVIRONMENT,
        ready=_ready(f"{layout.api_url(index)}/readyz", credentials),
        needs=(f"{name}-etcd",),
        stop_after=(f"{name}-controller-manager", *(() if name == HOST else (f"{name}-scheduler",))),
        grace=5.0,
    )


def controller_manager(layout: Layout, name: str, index: int, binaries: Path, controllers: tuple[str, ...]) -> Program:
    port, credentials = layout.ports(index).controller_manager, certificates.cluster(layout, name)
    return Program(
        name=f"{name}-controller-manager",
        argv=(
            str(binaries / "kube-controller-manager"),
            *_client(credentials, certificates.CONTROLLER_MANAGER, port),
            f"--controllers={','.join(controllers)}",
            "--use-service-account-credentials",
            f"--root-ca-file={credentials.certificate(certificates.CA)}",
            f"--service-account-private-key-file={credentials.service_account_key}",
            "--allocate-node-cidrs=false",
        ),
        ready=_ready(f"https://127.0.0.1:{port}/healthz", None),
        needs=(f"{name}-apiserver",),
        grace=3.0,
    )


def scheduler(layout: Layout, name: str, index: int, binaries: Path) -> Program:
    port, credentials = layout.ports(index).scheduler, certificates.cluster(layout, name)
    return Program(
        name=f"{name}-scheduler",
        argv=(str(binaries / "kube-scheduler"), *_client(credentials, certificates.SCHEDULER, port)),
        ready=_ready(f"https://127.0.0.1:{port}/healthz", None),
        needs=(f"{name}-apiserver",),
        grace=3.0,
    )


def _apiserver_listens(
    layout: Layout, index: int, ports: ControlPlanePorts, credentials: certificates.ClusterCredentials
) -> tuple[str, ...]:
    flags = (
        f"--bind-address={layout.address}",
        f"--secure-port={ports.apiserver}",
        f"--tls-cert-file={credentials.certificate(certificates.APISERVER)}",
        f"--tls-private-key-file={credentials.key(certificates.APISERVER)}",
        f"--service-cluster-ip-range={layout.service_range(index)}",
    )
    if layout.spec.real_nodes:
        return (*flags, f"--advertise-address={layout.address}")
    return (*flags, "--endpoint-reconciler-type=none")  # loopback is no valid endpoint, and simulated pods need none


def _client(credentials: certificates.ClusterCredentials, user: str, port: int) -> tuple[str, ...]:
    """What controller manager and scheduler share. Their health is open; metrics are for those the API server knows."""
    kubeconfig = credentials.kubeconfig(user)
    return (
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        "--leader-elect=false",
        "--profiling=false",
        *QPS,
    )


def _ready(url: str, credentials: certificates.ClusterCredentials | None) -> HttpReady:
    """Without credentials the server's certificate is one it made itself: reached on loopback, not verified."""
    if credentials is None:
        return HttpReady(url=url)
    return HttpReady(
        url=url,
        ca=str(credentials.certificate(certificates.CA)),
        cert=str(credentials.certificate(certificates.ADMIN)),
        key=str(credentials.key(certificates.ADMIN)),
    )
