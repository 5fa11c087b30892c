"""Issues an administrator's credential for an emergency, such as a gateway that is down: short-lived, personal, on record.

The certificate names a person and the group `pincompute:break-glass`, which is an administrator by a ClusterRoleBinding, so it
can be withdrawn before it ends. The log in the home says who asked, why and until when, before there is a certificate; the host
gets the same record as a ConfigMap, if it answers.

    break-glass/CLUSTER-USER.kubeconfig    break-glass.log
"""

from __future__ import annotations

import getpass
import os
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import yaml

from pincompute.api.labels import BREAK_GLASS, HOST, MANAGED_BY, PINCOMPUTE, SYSTEM_NAMESPACE
from pincompute.api.meta import Manifest
from pincompute.kube.api_errors import KubeError
from pincompute.region import atomic_files
from pincompute.region.cluster import certificates, manifest_installer
from pincompute.region.cluster.certificates import LeafCertificate
from pincompute.region.cluster.manifest_installer import Installer
from pincompute.region.layout import Layout
from pincompute.region.region_error import RegionError

LOG = "break-glass.log"
MOST_MINUTES = 480
LONGEST_REASON = 500
PERSON = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9._@]{0,61}[a-zA-Z0-9])?")


@dataclass(frozen=True, slots=True)
class EmergencyAccess:
    """Who asks for which cluster, why and for how long."""

    user: str
    reason: str
    cluster: str = HOST
    minutes: int = 60


class AccessRecord(msgspec.Struct, frozen=True, rename="camel"):
    """What is recorded of an access. `account` is the user of the machine, whom the person cannot choose."""

    at: datetime
    user: str
    account: str
    reason: str
    cluster: str
    until: datetime
    serial: str


def issue(layout: Layout, access: EmergencyAccess, now: datetime) -> tuple[Path, AccessRecord]:
    """Records the access, then makes its kubeconfig; returns the file and the record."""
    index = _index(layout, access)
    leaf = LeafCertificate("", f"{BREAK_GLASS}:{access.user}", BREAK_GLASS)
    life = timedelta(minutes=access.minutes)
    certificate, key = certificates.sign(certificates.cluster(layout, access.cluster), leaf, now, life)
    account = f"{getpass.getuser()} ({os.environ.get('SUDO_USER') or os.getuid()})"
    serial = f"{certificate.serial_number:x}"
    record = AccessRecord(now, access.user, account, access.reason, access.cluster, now + life, serial)
    _append(layout.home / LOG, record)
    content = certificates.client_kubeconfig(layout, access.cluster, index, access.user, certificate, key)
    folder = layout.home / "break-glass"
    folder.mkdir(exist_ok=True, mode=0o700)
    file = folder / f"{access.cluster}-{access.user}.kubeconfig"
    atomic_files.write(file, yaml.safe_dump(content, sort_keys=False).encode())
    return file, record


async def publish(layout: Layout, record: AccessRecord) -> str:
    """Puts the record on the host; returns why that was not possible, or nothing."""
    try:
        async with manifest_installer.client(layout.kubeconfig, HOST) as client:
            await Installer(client).create_once(_config_map(record))
    except (KubeError, TimeoutError, RegionError) as problem:
        return str(problem) or "the host does not answer"
    return ""


def _config_map(record: AccessRecord) -> Manifest:
    name = f"break-glass-{record.at:%Y%m%d-%H%M%S}-{record.serial[:8]}"
    metadata = {"name": name, "namespace": SYSTEM_NAMESPACE, "labels": {MANAGED_BY: PINCOMPUTE}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": msgspec.to_builtins(record)}


def _append(log: Path, record: AccessRecord) -> None:
    """Whole and on the disk before this returns."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        file.write(msgspec.json.encode(record) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _index(layout: Layout, access: EmergencyAccess) -> int:
    """The number of the cluster; raises RegionError for what cannot be recorded or issued."""
    if not PERSON.fullmatch(access.user):
        raise RegionError(f"--user {access.user!r}: expected your name: letters, digits and . _ @ -, at most 63")
    if not access.reason.strip() or len(access.reason) > LONGEST_REASON:
        raise RegionError(f"--reason: expected why you need this access, in 1 to {LONGEST_REASON} characters")
    if not 1 <= access.minutes <= MOST_MINUTES:
        raise RegionError(f"--minutes {access.minutes}: expected 1 to {MOST_MINUTES}")
    known = {HOST: 0} | {member.name: 1 + member.index for member in layout.spec.members}
    if access.cluster not in known:
        raise RegionError(f"--cluster {access.cluster!r}: expected one of {', '.join(known)}")
    return known[access.cluster]
