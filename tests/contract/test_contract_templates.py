"""Two templates that the API server reads alike have one normal form, and the normal form makes the same pods (S-131).

The real API server fills in its defaults in a dry run; the tables of `poddefaults` are held to that, every line of them.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any, TypeAlias, cast
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st
from random_pod_templates import templates as random_templates
from real_api_server import TOKEN, RealServer

from pincompute.api import quantity, template_defaults, template_hash, template_normalization
from pincompute.api.meta import Manifest
from pincompute.api.template_normalization import suffixes

Json: TypeAlias = Any
Filled: TypeAlias = Callable[[Json], Json]

EXAMPLES = 2000
WITHIN = 60.0  # seconds in which a busy machine's API server answers
PATH = "/api/v1/namespaces/default/podtemplates?dryRun=All"
FILLED_IN_PODS: dict[str, Json] = {"template.spec.enableServiceLinks": True}  # and not in templates
UNPROVEN = ("clusterTrustBundle.",)  # the server drops what a feature gate hides

# What chance brings too seldom to count on: first zeros that count, then values that are the same as nothing.
SELDOM_ZEROS: Manifest = {
    "spec": {
        "automountServiceAccountToken": False,
        "setHostnameAsFQDN": False,
        "shareProcessNamespace": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"fsGroup": 0, "runAsUser": 0, "runAsGroup": 0, "runAsNonRoot": False},
        "dnsConfig": {"options": [{"name": "ndots", "value": ""}]},
        "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}],
        "volumes": [
            {
                "name": "c",
                "configMap": {
                    "name": "c",
                    "optional": False,
                    "defaultMode": 0,
                    "items": [{"key": "k", "path": "p", "mode": 0}],
                },
            },
            {"name": "s", "secret": {"secretName": "s", "optional": False, "defaultMode": 0}},
            {"name": "d", "csi": {"driver": "example.com", "fsType": "", "readOnly": False}},
            {"name": "f", "fc": {"targetWWNs": ["5000"], "lun": 0}},
        ],
        "containers": [
            {
                "name": "a",
                "image": "b",
                "securityContext": {
                    "runAsUser": 0,
                    "runAsGroup": 0,
                    "privileged": False,
                    "readOnlyRootFilesystem": False,
                    "allowPrivilegeEscalation": False,
                    "windowsOptions": {"hostProcess": False},
                },
                "envFrom": [
                    {"configMapRef": {"name": "c", "optional": False}},
                    {"secretRef": {"name": "s", "optional": False}},
                ],
                "env": [
                    {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k", "optional": False}}},
                    {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": False}}},
                ],
            }
        ],
    }
}
SELDOM_DEFAULTS: Manifest = {
    "spec": {
        "affinity": {"nodeAffinity": {}, "podAffinity": {}, "podAntiAffinity": {}},
        "dnsConfig": {},
        "securityContext": {"seLinuxOptions": {}, "windowsOptions": {}},
        "volumes": [
            {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}]}},
            {
                "name": "r",
                "rbd": {"monitors": ["m"], "image": "i", "keyring": "/etc/ceph/keyring", "pool": "rbd", "user": "admin"},
            },
            {
                "name": "s",
                "scaleIO": {
                    "gateway": "g",
                    "system": "s",
                    "secretRef": {"name": "s"},
                    "volumeName": "v",
                    "storageMode": "ThinProvisioned",
                    "fsType": "xfs",
                },
            },
            {"name": "a", "azureDisk": {"diskName": "d", "diskURI": "https://example.com/d", "kind": "Shared"}},
            {"name": "d", "downwardAPI": {"defaultMode": 420}},
            {
                "name": "e",
                "ephemeral": {
                    "volumeClaimTemplate": {
                        "spec": {
                            "accessModes": ["ReadWriteOnce"],
                            "resources": {"requests": {"storage": "1Gi"}},
                            "volumeAttributesClassName": "",
                        }
                    }
                },
            },
        ],
        "initContainers": [
            {
                "name": "i",
                "image": "b",
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "containers": [
            {
                "name": "a",
                "image": "b",
                "resources": {},
                "securityContext": {"capabilities": {}, "seLinuxOptions": {}, "windowsOptions": {}},
            }
        ],
    }
}

pytestmark = pytest.mark.region


@pytest.fixture(scope="module")
def filled(real_server: RealServer) -> Iterator[Filled]:
    """A template as the API server would store it; None for one that it refuses."""
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(urlsplit(real_server.url).netloc, context=trusting, timeout=WITHIN)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}

    def ask(template: Json) -> Json:
        body = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "t"}, "template": template}
        connection.request("POST", PATH, json.dumps(body), headers)
        answer = connection.getresponse()
        made = json.loads(answer.read())
        assert answer.status in (201, 422), made  # anything else says nothing about the template
        return made["template"] if answer.status == 201 else None

    yield ask
    connection.close()


def test_random_templates_have_the_normal_form_of_what_the_api_server_makes_of_them(filled: Filled) -> None:
    """S-131. And the normal form, which the members get, becomes what the template would have become."""
    said = Counter[str]()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(random_templates(), st.sampled_from((True, False, False, False)))
    @example(SELDOM_ZEROS, True)
    @example(SELDOM_DEFAULTS, True)
    def check(template: Json, there_and_back: bool) -> None:
        stored = filled(template)
        assume(stored is not None)
        assert template_hash.normalise(template) == template_hash.normalise(stored)
        if there_and_back:
            assert list(_differences(filled(template_normalization.of(template)), stored, "template")) == []
        said.update(_said(template, "template"))

    assert [template for template in (SELDOM_ZEROS, SELDOM_DEFAULTS) if filled(template) is None] == []
    check()
    tables = (
        *template_defaults.DEFAULTS,
        *template_defaults.FINISHES,
        *_zeros(template_defaults.ZERO_COUNTS),
        *_zeros(template_defaults.EMPTY_IS_NOTHING),
    )
    assert [line for line in tables if not said[line] and not line.startswith(UNPROVEN)] == []


def _zeros(table: frozenset[str]) -> list[str]:
    return [f"{line} is zero" for line in table]


def _said(value: Json, path: str) -> Iterator[str]:
    """Which lines of the tables a template has to do with."""
    if value is None:
        return
    yield from suffixes(path)
    if not value:
        yield from (f"{suffix} is zero" for suffix in suffixes(path))
    if isinstance(value, dict):
        for name, part in cast("Manifest", value).items():
            yield from _said(part, f"{path}.{name}")
    elif isinstance(value, list):
        for part in cast("list[Json]", value):
            yield from _said(part, f"{path}[]")


def _differences(one: Json, other: Json, path: str) -> Iterator[str]:
    """Without regard to notations of quantities, and to empty objects that say nothing."""
    if isinstance(one, dict) or isinstance(other, dict):
        mine, theirs = cast("tuple[Manifest, Manifest]", (one or {}, other or {}))
        if (one is None or other is None) and not _says_nothing(path):
            yield f"{path}: {one} is not {other}"
        for name in {*mine, *theirs}:
            yield from _differences(mine.get(name), theirs.get(name), f"{path}.{name}")
    elif isinstance(one, list) and isinstance(other, list):
        pairs = zip_longest(cast("list[Json]", one), cast("list[Json]", other))
        for mine, theirs in pairs:
            yield from _differences(mine, theirs, f"{path}[]")
    elif one != other and not _is_one_amount(one, other) and other != FILLED_IN_PODS.get(path):
        yield f"{path}: {one} is not {other}"


def _says_nothing(path: str) -> bool:
    return any(suffix in template_defaults.EMPTY_IS_NOTHING for suffix in suffixes(path))


def _is_one_amount(one: Json, other: Json) -> bool:
    try:
        return quantity.parse(one) == quantity.parse(other)
    except quantity.InvalidQuantityError:
        return False
