"""Defines the rules that a schema cannot express, each in CEL for the API server and in Python for our programs.

The API server evaluates the CEL, so no webhook is needed. `object_validation` evaluates the Python, so that a user gets all
problems before anything is sent. A contract test proves that both give the same verdicts. The API server refuses a schema
whose rules *might* cost too much, so every list and string that a rule iterates over has a limit.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from pincompute.api import labels, quantity
from pincompute.api.meta import GROUP, NAME, Manifest
from pincompute.api.projects import PodSecurityLevel

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that must be true of a value. `path` names the field below it that is at fault, if one is.

    `holds` says in Python what `cel` says; it is None where the answer needs the object before the change. It may count on
    the types of the schema, not on anything being there. `needs` is a pattern of paths below: where such a part has the wrong
    type, the rule cannot be judged. `names_value`: our own message begins with the value, which the API server shows by itself.
    `levels`: the levels of Pod Security at which the rule applies; empty for every level. `host_users`: it applies to pods with
    the users of the host, and not to those in a user namespace of their own (`hostUsers: false`). `on_create`: an API server
    judges only new objects by it, so `oldSelf` is optional in `cel`.
    """

    cel: str
    problem: str
    remedy: str
    holds: Callable[[Any], bool] | None = None
    path: str = ""
    needs: str = ""
    names_value: bool = False
    levels: tuple[PodSecurityLevel, ...] = ()
    host_users: bool = False
    on_create: bool = False

    def manifest(self) -> Manifest:
        path = {"fieldPath": f".{self.path}"} if self.path else {}
        levels = {"levels": list(self.levels)} if self.levels else {}
        users = {"hostUsers": True} if self.host_users else {}
        created = {"optionalOldSelf": True} if self.on_create else {}
        return {"rule": self.cel, "message": f"{self.problem}: {self.remedy}", **path, **levels, **users, **created}

    def applies(self, level: PodSecurityLevel, *, host_users: bool) -> bool:
        return (not self.levels or level in self.levels) and (host_users or not self.host_users)


def _parsed(value: str | int) -> quantity.Quantity | None:
    try:
        return quantity.parse(value)
    except quantity.InvalidQuantityError:
        return None


_FAR = re.compile(r"[eE][+-]?[0-9]{3}")  # an exponent that is far out of range whatever stands before it

QUANTITY = Rule(
    # isQuantity takes "." and "+k" for zero, hence the digit
    # and the bound on the exponent comes first: the API server works out 1e999999999 digit by digit
    "type(self) == int ? self >= 0 : !string(self).matches('[eE][+-]?[0-9]{3}') && isQuantity(string(self)) && "
    "string(self).matches('^[+]?[.]?[0-9]')",
    "is not a quantity",
    quantity.EXPECTED,
    lambda value: _FAR.search(str(value)) is None and _parsed(value) is not None and not str(value).startswith("-"),
    names_value=True,
)


def _matches(pattern: str, problem: str, remedy: str) -> Rule:
    """A pattern in words; a pattern in the schema would be shown to users as it is."""
    return Rule(f"self.matches('{pattern}')", problem, remedy, lambda text: re.fullmatch(pattern, text) is not None)


_NAME_WORDS = "must be lower-case letters, digits and '-', and begin and end with a letter or digit"
DNS_LABEL = _matches("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", _NAME_WORDS, "for example web-1")
PORT_NAME = _matches(
    "^[0-9-]*[a-z][a-z0-9-]*$", "must be lower-case letters, digits and '-', with at least one letter", "for example http"
)
LABEL_VALUE = _matches(
    "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
    "must be letters, digits, '-', '_' and '.', and begin and end with a letter or digit",
    "correct the value, or use an annotation",
)


def _requests_fit(resources: Manifest) -> bool:
    wants, limits = (_amounts(resources.get(part)) for part in ("requests", "limits"))
    return all(wanted <= limits[name] for name, wanted in wants.items() if name in limits)


def _amounts(quantities: Manifest | None) -> dict[str, quantity.Quantity]:
    """Those that are quantities; the others are another rule's to report."""
    parsed = {name: _parsed(value) for name, value in (quantities or {}).items()}
    return {name: amount for name, amount in parsed.items() if amount is not None}


REQUESTS_FIT = Rule(
    "!has(self.requests) || !has(self.limits) || self.requests.all(r, !(r in self.limits) || "
    "[self.requests[r], self.limits[r]].exists(q, string(q).matches('[eE][+-]?[0-9]{3}') || !isQuantity(string(q))) || "
    "quantity(string(self.requests[r])).compareTo(quantity(string(self.limits[r]))) <= 0)",
    "requests must not be above limits",
    "lower the request or raise the limit",
    _requests_fit,
    "requests",
)


def _named(longest: int, why: str) -> Rule:
    """On the root: metadata.name is a DNS label of at most so many characters."""
    return Rule(
        f"self.metadata.name.size() <= {longest} && self.metadata.name.matches('{NAME}')",
        f"metadata.name must have at most {longest} lower-case letters, digits or '-', "
        "start with a letter and not end with '-'",
        f"choose another name ({why})",
        lambda root: len(_name(root)) <= longest and re.fullmatch(NAME, _name(root)) is not None,
    )


def _name(root: Manifest) -> str:
    return root["metadata"].get("name", "")


WORKLOAD_NAME = _named(40, "pods are named <workload>-<cluster>-<number>, in 63 characters")
CLUSTER_NAME = _named(15, "it is part of every pod's name")
PROJECT_NAME = _named(63, "it names a namespace in every cluster")

PRIVATE_RANGES = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
    *("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
)
"""Addresses that are no public ones: private, of this machine, of the link, for many, embedded in IPv6, or reserved.

168.63.129.16 is the platform address of Azure, which answers as metadata services do."""

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")  # an API server takes no such address for a range
_CIDR = re.compile(r"[0-9a-f.:]+/(0|[1-9][0-9]{0,2})", re.IGNORECASE)


def public_range(cidr: str) -> Network | None:
    """Returns the range; None for what is no range, or lies in private addresses."""
    try:
        wanted = ipaddress.ip_network(cidr, strict=False) if _CIDR.fullmatch(cidr) else None
    except ValueError:
        return None
    private = (_MAPPED, *map(ipaddress.ip_network, PRIVATE_RANGES))
    return None if wanted is None or any(contains(outer, wanted) for outer in private) else wanted


def contains(outer: Network, inner: Network) -> bool:
    """Returns whether a range lies in another one; never so for ranges of two address families."""
    if isinstance(outer, ipaddress.IPv4Network):
        return isinstance(inner, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(inner, ipaddress.IPv6Network) and inner.subnet_of(outer)


PUBLIC_ADDRESSES = Rule(
    f"isCIDR(self.cidr) && !{list(PRIVATE_RANGES)}.exists(private, cidr(private).containsCIDR(cidr(self.cidr)))".replace(
        "'", '"'
    ),
    "cidr must be a range of public addresses",
    "write for example 192.88.99.0/24; only an administrator can open a private address, with a NetworkPolicy of their own",
    lambda egress: public_range(egress["cidr"]) is not None,
    "cidr",
)

PORT_RANGE = Rule(
    "!has(self.endPort) || self.endPort >= self.port",
    "endPort must not be below port",
    "raise it, or remove it for one port",
    lambda port: port.get("endPort", port["port"]) >= port["port"],
    "endPort",
)

_PERCENT = "^(100|[0-9]{1,2})%$"


def _count_or_percent(field: str) -> Rule:
    return Rule(
        f"!has(self.{field}) || (type(self.{field}) == int ? self.{field} >= 0 : string(self.{field}).matches('{_PERCENT}'))",
        f'{field} must be a number from 0, or a percentage from "0%" to "100%"',
        'write for example 1 or "25%"',
        lambda update: _is_count_or_percent(update.get(field, 0)),
        field,
    )


def _is_count_or_percent(value: str | int) -> bool:
    return value >= 0 if isinstance(value, int) else re.fullmatch(_PERCENT, value) is not None


def _is_zero(field: str) -> str:
    return f"(type(self.{field}) == int ? self.{field} == 0 : string(self.{field}).matches('^0{{1,2}}%$'))"


UPDATE = (
    _count_or_percent("maxUnavailable"),
    _count_or_percent("maxSurge"),
    Rule(
        f"!has(self.maxUnavailable) || !has(self.maxSurge) || !({_is_zero('maxUnavailable')} && {_is_zero('maxSurge')})",
        "maxUnavailable and maxSurge must not both be zero, or no update could ever begin",
        "raise one of them",
        lambda update: not {update.get("maxUnavailable", "25%"), update.get("maxSurge", "25%")} <= {0, "0%", "00%"},
        "maxUnavailable",
    ),
)

DISRUPTION = _count_or_percent("maxUnavailable")


UP_TO_BASELINE: tuple[PodSecurityLevel, ...] = ("restricted", "baseline")
"""The levels at which a rule of `baseline` applies: `restricted` contains it."""


def _containers(spec: Manifest, where: str = "containers") -> list[Manifest]:
    return spec.get(where) or []


def _names(items: list[Manifest]) -> list[str]:
    return [item["name"] for item in items if item.get("name")]


def _refused(field: str, remedy: str) -> Rule:
    return Rule(
        f"!has(self.{field}) || !self.{field}",
        f"{field} must not be true",
        remedy,
        lambda spec: not spec.get(field),
        field,
        levels=UP_TO_BASELINE,
    )


def _mounts_exist(where: str) -> Rule:
    return Rule(
        # collects the names of volumes once, and not for each mount
        f"!has(self.{where}) || [has(self.volumes) ? self.volumes.map(v, v.name) : []].all(names, "
        f"self.{where}.all(c, !has(c.volumeMounts) || c.volumeMounts.all(m, m.name in names)))",
        "every name in volumeMounts must be that of a volume in volumes",
        "add the volume, or correct the name",
        lambda spec: _mounted(spec, where) <= set(_names(spec.get("volumes") or [])),
        where,
        r"volumes(\[[0-9]+\](\.name)?)?",
    )


def _mounted(spec: Manifest, where: str) -> set[str]:
    return {name for container in _containers(spec, where) for name in _names(container.get("volumeMounts") or [])}


def _absent(field: str, why: str, remedy: str) -> Rule:
    return Rule(
        f"!has(self.{field}) || self.{field} == ''",
        f"{field} must not be set, since {why}",
        remedy,
        lambda spec: not spec.get(field),
        field,
    )


def _only(field: str, value: str, why: str) -> Rule:
    return Rule(
        f"!has(self.{field}) || self.{field} in ['', '{value}']",
        f"{field} must be {value}, since {why}",
        "remove it",
        lambda spec: spec.get(field, "") in ("", value),
        field,
    )


NODE_NAME = _absent(
    "nodeName", "the platform chooses nodes", "remove it, or narrow the nodes with nodeSelector or placement.zones"
)
NODE_CHOICE = (
    NODE_NAME,
    _only("schedulerName", "default-scheduler", "another scheduler could break the platform's placement"),
    _only("serviceAccountName", "default", "the project's only service account in a cluster is default"),
    _only("serviceAccount", "default", "the project's only service account in a cluster is default"),
)
"""What Pod Security does not judge: who chooses the pod's node, and as whom the pod talks to the API server."""

_TOLERABLE = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")  # Kubernetes tolerates them for every pod
_CLUSTER_TAINTS = (
    "^(|ToBeDeletedByClusterAutoscaler|DeletionCandidateOfClusterAutoscaler|"
    "(node[.]kubernetes[.]io|node-role[.]kubernetes[.]io|node[.]cloudprovider[.]kubernetes[.]io|(.+[.])?pincompute[.]io)/.*)$"
)
TOLERATION = Rule(
    f"has(self.key) && (self.key in {list(_TOLERABLE)} || !self.key.matches('{_CLUSTER_TAINTS}'))",
    "a toleration must name the key of a taint, and not one with which the platform or Kubernetes keeps pods off a node",
    f"remove it, or name a key of your own; of Kubernetes' keys only {_TOLERABLE[0]} and .../unreachable are allowed",
    lambda given: _is_tolerable(given.get("key", "")),
    "key",
)


def _is_tolerable(key: str) -> bool:
    return key in _TOLERABLE or re.fullmatch(_CLUSTER_TAINTS, key) is None


_LONGEST_GRACE = 3600
GRACE_PERIOD = Rule(
    f"self <= {_LONGEST_GRACE}",
    f"must be at most {_LONGEST_GRACE} seconds, since the deletion of a project waits for its pods",
    "lower it, or remove it for 30 seconds",
    lambda seconds: seconds <= _LONGEST_GRACE,
)
_OWN_PODS = "must not be set, since a term is about pods of the same project"
AFFINITY_NAMESPACES = Rule("self.size() == 0", _OWN_PODS, "remove it", lambda names: not names)
AFFINITY_NAMESPACE_SELECTOR = Rule("false", _OWN_PODS, "remove it", lambda _: False)

_NETWORK_PREFIXES = ("k8s.v1.cni.cncf.io/", "cni.")
NETWORK_ANNOTATIONS = Rule(
    " && ".join(f"!self.exists(k, k.startsWith('{prefix}'))" for prefix in _NETWORK_PREFIXES),
    f"keys that begin with {' or '.join(_NETWORK_PREFIXES)} choose a pod's networks, which the platform does",
    "remove the key",
    lambda notes: not any(key.startswith(_NETWORK_PREFIXES) for key in notes),
)

_CLASSES = ["", *map(labels.priority_class, (*labels.TIER_PRIORITIES, labels.PLACEHOLDER))]
MEMBER_POD = (
    *NODE_CHOICE,
    Rule(
        f"!has(self.priorityClassName) || self.priorityClassName in {_CLASSES}",
        f"priorityClassName must be a class of the platform's tiers: {', '.join(_CLASSES[1:])}",
        "remove it, or write one of these",
        lambda spec: spec.get("priorityClassName", "") in _CLASSES,
        "priorityClassName",
    ),
)
"""What Pod Security does not judge of a pod in a member, beyond single fields. A template says less: see `POD_SPEC`."""

POD_SPEC = (
    Rule(
        "!has(self.initContainers) || self.containers.all(c, !self.initContainers.exists(i, i.name == c.name))",
        "container names must be unique across containers and initContainers",
        "rename one",
        lambda spec: not set(_names(_containers(spec))) & set(_names(_containers(spec, "initContainers"))),
        "initContainers",
    ),
    _mounts_exist("containers"),
    _mounts_exist("initContainers"),
    _refused("hostNetwork", "remove it, pods use the pod network; declare ports in containers[].ports"),
    _refused("hostPID", "remove it"),
    _refused("hostIPC", "remove it"),
    *NODE_CHOICE,
    _absent("priorityClassName", "the tier decides the priority", "remove it, and choose the tier"),
    Rule(
        "!has(self.priority)",
        "priority must not be set, since the tier decides it",
        "remove it, and choose the tier",
        lambda spec: "priority" not in spec,
        "priority",
    ),
)

SERVICE_POD_SPEC = (
    Rule(
        "!has(self.restartPolicy) || self.restartPolicy == 'Always'",
        "restartPolicy must be Always, since a PinApp runs until it is deleted",
        "remove it",
        lambda spec: spec.get("restartPolicy", "Always") == "Always",
        "restartPolicy",
    ),
    Rule(
        "!has(self.activeDeadlineSeconds)",
        "activeDeadlineSeconds must not be set, since a PinApp runs until it is deleted",
        "remove it",
        lambda spec: "activeDeadlineSeconds" not in spec,
        "activeDeadlineSeconds",
    ),
)

PORTS = Rule(
    "self.all(p, !has(p.name) || self.exists_one(q, has(q.name) && q.name == p.name))",
    "port names must be unique within a container",
    "rename one",
    lambda ports: len(_names(ports)) == len(set(_names(ports))),
)

_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")

KEYS = (
    Rule(
        "self.all(k, !format.qualifiedName().validate(k).hasValue())",
        "every key must be a name of at most 63 letters, digits, '-', '_' and '.', after a DNS name and '/' if wanted",
        "correct the key, for example example.com/team",
        lambda mapping: all(_KEY.fullmatch(key) for key in mapping),
    ),
    Rule(
        f"self.all(k, !k.startsWith('{GROUP}/'))",
        f"keys that begin with {GROUP}/ are the platform's",
        "remove the key",
        lambda mapping: not any(key.startswith(f"{GROUP}/") for key in mapping),
    ),
)

IMMUTABLE_ZONE = Rule(
    "self == oldSelf", "zone never changes", "delete this MemberCluster and add one with another name in the other zone"
)
RESERVED_CLUSTER_NAMES = Rule(
    f"!(self.metadata.name in ['{labels.HOST}', '{labels.LOCAL}'])",
    f"metadata.name must not be {labels.HOST} or {labels.LOCAL}, which mean other things",
    "choose another name",
    lambda root: _name(root) not in (labels.HOST, labels.LOCAL),
)
RESERVED_PROJECT_NAMES = Rule(
    "oldSelf.hasValue() || !(self.metadata.name == 'default' || self.metadata.name.startsWith('kube-') "
    f"|| self.metadata.name.startsWith('{labels.PINCOMPUTE}'))",
    f"metadata.name must not be default and not begin with kube- or {labels.PINCOMPUTE}, since a project owns its namespace",
    "choose another name",
    lambda root: _name(root) != "default" and not _name(root).startswith(("kube-", labels.PINCOMPUTE)),
    on_create=True,
)
SINGLETON = Rule(
    f"self.metadata.name == '{labels.LOCAL}'",
    f"metadata.name must be {labels.LOCAL}",
    "a cluster measures only itself",
    lambda root: _name(root) == labels.LOCAL,
)


def _for_privileged(field: str, remedy: str) -> Rule:
    return Rule(
        f"!has(self.level) || self.level != 'privileged' || (has(self.{field}) && self.{field}.matches('[^ ]'))",
        f"{field} is required for level privileged",
        remedy,
        lambda given: given.get("level") != "privileged" or bool(given.get(field, "").strip(" ")),
        field,
    )


POD_SECURITY = (
    _for_privileged("reason", "write why the project needs it"),
    _for_privileged("approvedBy", "write who approved it"),
    _for_privileged("until", "write its end in UTC, for example 2027-01-31T00:00:00Z"),
)
_TIME = "^(|2[0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)$"
UNTIL = _matches(_TIME, "must be a time in UTC", "write for example 2027-01-31T00:00:00Z")

EVERY = (
    PUBLIC_ADDRESSES,
    PORT_RANGE,
    WORKLOAD_NAME,
    CLUSTER_NAME,
    PROJECT_NAME,
    DNS_LABEL,
    PORT_NAME,
    LABEL_VALUE,
    QUANTITY,
    REQUESTS_FIT,
    *UPDATE,
    DISRUPTION,
    *POD_SPEC,
    TOLERATION,
    GRACE_PERIOD,
    AFFINITY_NAMESPACES,
    AFFINITY_NAMESPACE_SELECTOR,
    NETWORK_ANNOTATIONS,
    *POD_SECURITY,
    UNTIL,
    *SERVICE_POD_SPEC,
    PORTS,
    *KEYS,
    IMMUTABLE_ZONE,
    RESERVED_CLUSTER_NAMES,
    RESERVED_PROJECT_NAMES,
    SINGLETON,
)
