"""Defines the rules that a schema cannot express, each in CEL for the API server and in Python for our programs.

The API server evaluates the CEL, so no webhook is needed. `object_validation` evaluates the Python, so that a user gets all
problems before anything is sent. A contract test proves that both give the same verdicts. The API server refuses a schema
whose rules *might* cost too much, so every list and string that a rule iterates over has a limit.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, cast

from pincompute.api import image_ownership, labels, node_access, quantity
from pincompute.api.daemons import Sharing
from pincompute.api.meta import GROUP, NAME, Manifest
from pincompute.api.projects import PodSecurityLevel
from pincompute.api.sidecars import FleetUpdate
from pincompute.api.workloads import Update, UpdateStrategy

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Fault(NamedTuple):
    """A field below the value that a rule judges, and what is wrong with it."""

    path: str
    problem: str


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that must be true of a value. `path` names the field below it that is at fault, if one is.

    `holds` says in Python what `cel` says; it is None where the answer needs the object before the change. It may count on
    the types of the schema, not on anything being there. `needs` is a pattern of paths below: where such a part has the wrong
    type, the rule cannot be judged. `names_value`: our own message begins with the value, which the API server shows by itself.
    `levels`: the levels of Pod Security at which the rule applies; empty for every level. `host_users`: it applies to pods with
    the users of the host, and not to those in a user namespace of their own (`hostUsers: false`). `on_create`: an API server
    judges only new objects by it, so `oldSelf` is optional in `cel`. `found` says more exactly than `holds` what is at fault.
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
    found: Callable[[Any], Iterable[Fault]] | None = None

    def faults(self, value: Any) -> Iterator[Fault]:
        if self.found is not None:
            yield from self.found(value)
        elif self.holds is not None and not self.holds(value):
            yield Fault(self.path, self.problem)

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

_PLAIN = "^[0-9]{1,9}([mkMGT]|[KMGT]i)?$"  # of a quantity that needs no closer look, which would cost more

QUANTITY = Rule(
    # isQuantity takes "." and "+k" for zero, hence the digit
    # and the bound on the exponent comes first: the API server works out 1e999999999 digit by digit
    f"type(self) == int ? self >= 0 : string(self).matches('{_PLAIN}') || "
    "!string(self).matches('[eE][+-]?[0-9]{3}') && isQuantity(string(self)) && "
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
    f"(!string(self.requests[r]).matches('{_PLAIN}') || !string(self.limits[r]).matches('{_PLAIN}')) && "
    "[self.requests[r], self.limits[r]].exists(q, string(q).matches('[eE][+-]?[0-9]{3}') || !isQuantity(string(q))) || "
    "quantity(string(self.requests[r])).compareTo(quantity(string(self.limits[r]))) <= 0)",
    "requests must not be above limits",
    "lower the request or raise the limit",
    _requests_fit,
    "requests",
)


LEAST = {"cpu": "1m", "memory": "1Mi", "ephemeral-storage": "1Mi"}
"""The least of each resource that a container may request, and may have as its limit: a project's limits count requests, and a
limit of 0 limits nothing."""
_USUAL = {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "1Gi"}
_PLAINLY_ENOUGH = {"1m": "^[1-9][0-9]{0,8}m?$", "1Mi": "^[1-9][0-9]{0,8}[MGT]i$"}


def _reaches(least: str) -> str:
    """Returns the condition that a quantity `q`, as text, is at least `least`."""
    amount = f"quantity(q).compareTo(quantity('{least}')) >= 0"
    return f"q.matches('[eE][+-]?[0-9]{{3}}') || !isQuantity(q) || q.startsWith('-') || {amount}"


def _at_least(name: str, least: str) -> Rule:
    """On requests or limits. What is no quantity, or negative, is another rule's to report."""
    return Rule(
        f"!('{name}' in self) || string(self['{name}']).matches('{_PLAINLY_ENOUGH[least]}') || "
        f"[string(self['{name}'])].all(q, {_reaches(least)})",
        f"{name} must be at least {least}, since a project's limits count what its containers request",
        f"write for example {_USUAL[name]}, or remove it",
        lambda amounts: not _is_below(quantity.parse(least), _amounts(amounts).get(name)),
        name,
    )


def _is_below(least: quantity.Quantity, amount: quantity.Quantity | None) -> bool:
    return amount is not None and quantity.ZERO <= amount < least


LEAST_AMOUNTS = tuple(_at_least(*each) for each in LEAST.items())


def _sidecar_at_least(name: str, least: str) -> Rule:
    """On the container of a sidecar."""
    return Rule(
        f"!has(self.{name}) || [string(self.{name})].all(q, {_reaches(least)})",
        f"{name} must be at least {least}",
        f"write for example {_USUAL[name]}, or remove it",
        lambda container: not _is_below(quantity.parse(least), _parsed(container.get(name, ""))),
        name,
        name,
    )


SIDECAR_AMOUNTS = tuple(_sidecar_at_least(name, LEAST[name]) for name in ("cpu", "memory"))


def _named(longest: int, why: str) -> Rule:
    """On the root: metadata.name is a DNS label of at most so many characters."""
    return Rule(
        f"self.metadata.name.size() <= {longest} && self.metadata.name.matches('{NAME}')",
        f"the name must have at most {longest} lower-case letters, digits or '-', start with a letter and not end with '-'",
        f"choose another name ({why})",
        lambda root: len(_name(root)) <= longest and re.fullmatch(NAME, _name(root)) is not None,
    )


def _name(root: Manifest) -> str:
    return root["metadata"].get("name", "")


WORKLOAD_NAME = _named(40, "the names of its pods begin with it")
SETTING_NAME = _named(63, "the names of its versions begin with it")
CLUSTER_NAME = _named(15, "it is part of every pod's name")
SIDECAR_NAME = _named(40, "the name of its container begins with platform-")
PROJECT_NAME = _named(63, "it names a namespace in every cluster")

SIDECAR_IMAGE = Rule(
    image_ownership.nameable("self"),
    "must be an image that nodes can pull by name: lower-case names, after registry.internal or another registry with a DNS "
    "name, and before a tag or a sha256 digest",
    "write for example registry.internal/metrics:1",
    image_ownership.is_nameable,
)
PROGRAM_IMAGE = Rule(
    f"!{image_ownership.is_of_project_cel('self')} || {node_access.is_fixed_cel('self')}",
    "must be named by its digest, because the developers of a project give its tags to other images",
    "add @sha256:DIGEST, or name an image of the platform such as registry.internal/metrics:1",
    lambda image: not image_ownership.is_of_project(image) or node_access.is_fixed(image),
)
"""Pods of all projects and nodes run a program of the platform, so whoever writes to one project must not replace it."""
NODE_IMAGE = Rule(
    f"!({node_access.of('self')}) || ({node_access.may_have_it_cel('self.image')})",
    f"image must have a digest and be no project's, because it has access to its node ({node_access.FIELDS})",
    "push it as the platform's, and write for example registry.internal/log-shipper:1@sha256:DIGEST",
    lambda container: not node_access.is_given(container) or node_access.may_have_it(container.get("image", "")),
    "image",
    r"image|volumes(\[\d+\])?|ports(\[\d+\])?|securityContext(\..*)?",
)
_VARIABLE = "^[-._a-zA-Z][-._a-zA-Z0-9]*$"
VARIABLE_NAMES = Rule(
    f"self.all(k, k.matches('{_VARIABLE}') && k != '.' && !k.startsWith('..'))",
    "names of variables must be letters, digits, '_', '-' and '.', and not begin with a digit",
    "correct the name, for example LOG_LEVEL",
    lambda names: all(re.fullmatch(_VARIABLE, name) and name != "." and not name.startswith("..") for name in names),
)
_POD_FIELD = (
    r"^(metadata[.](name|namespace|uid)|metadata[.](labels|annotations)[\x5b]\x27[^\x27]+\x27[\x5d]|"
    "spec[.](nodeName|serviceAccountName)|status[.](hostIP|hostIPs|podIP|podIPs))$"
)
POD_FIELD = _matches(
    _POD_FIELD,
    "must be a field of a pod that a variable can have",
    "write for example metadata.name, metadata.namespace, metadata.labels['team'], spec.nodeName or status.podIP",
)
FOLDER = _matches("^/[^:]*$", "must be a path that begins with '/' and has no ':'", "write for example /run/metrics")
SHARED_ONCE = tuple(
    Rule(
        f"self.all(s, self.exists_one(other, other.{field} == s.{field}))",
        f"{field} must be different for each shared folder",
        "change one, or remove it",
        lambda shared, field=field: len({each.get(field) for each in shared}) == len(shared),
    )
    for field in ("name", "mountPath")
)

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
    lambda egress: "cidr" not in egress or public_range(egress["cidr"]) is not None,
    "cidr",
)

PORT_RANGE = Rule(
    "!has(self.endPort) || self.endPort >= self.port",
    "endPort must not be below port",
    "raise it, or remove it for one port",
    lambda port: not port.keys() >= {"port", "endPort"} or port["endPort"] >= port["port"],
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


_ZEROS: set[str | int] = {0, "0%", "00%"}
DEFAULT_STRATEGY: UpdateStrategy = Update().strategy


def _is_zero(field: str) -> str:
    return f"(type(self.{field}) == int ? self.{field} == 0 : string(self.{field}).matches('^0{{1,2}}%$'))"


_SHARE = "^(100|[1-9][0-9]?)%$"  # a percentage of replicas that means at least one
_STEPS_ARE_COUNTS = f"self.steps.all(s, type(s) == int ? s >= 1 : string(s).matches('{_SHARE}'))"
_COUNTS = "self.steps.filter(s, type(s) == int).map(s, int(s))"
_SHARES = "self.steps.filter(s, type(s) != int).map(s, int(string(s).replace('%', '')))"
_GROWS = "l.isSorted() && l.all(a, l.exists_one(b, a == b))"


def _is_step(step: str | int) -> bool:
    return step >= 1 if isinstance(step, int) else re.fullmatch(_SHARE, step) is not None


def _steps(update: Manifest) -> list[str | int]:
    """Those of an update; none where one of them is no step, which is another rule's to report."""
    steps: list[str | int] = update.get("steps") or []
    return steps if all(map(_is_step, steps)) else []


def _grow(update: Manifest) -> bool:
    counts = [step for step in _steps(update) if isinstance(step, int)]
    shares = [int(step.removesuffix("%")) for step in _steps(update) if isinstance(step, str)]
    return all(numbers == sorted(set(numbers)) for numbers in (counts, shares))


def _without(
    field: str, strategies: tuple[str, ...], why: str, remedy: str, default: UpdateStrategy = DEFAULT_STRATEGY
) -> Rule:
    """A list that means something only with one of these strategies."""
    return Rule(
        f"!has(self.{field}) || self.{field}.size() == 0 || self.strategy in {list(strategies)}",
        f"{field} must not be set, since {why}",
        remedy,
        lambda update: not update.get(field) or update.get("strategy", default) in strategies,
        field,
        r"strategy",
    )


_ZONES_ONCE = Rule(
    "!has(self.zoneOrder) || self.zoneOrder.all(z, self.zoneOrder.exists_one(other, other == z))",
    "each zone of zoneOrder must be there once",
    "remove the repetition",
    lambda update: len(set(update.get("zoneOrder", ()))) == len(update.get("zoneOrder", ())),
    "zoneOrder",
    r"zoneOrder\[[0-9]+\]",
)
_APPROVAL = Rule(
    "!has(self.approval) || self.approval == 'Never' || self.strategy in ['ZoneByZone', 'Canary'] || "
    "(has(self.steps) && self.steps.size() > 0)",
    "approval must be Never for an update of one step, which has nothing to wait for",
    "choose the strategy ZoneByZone or Canary, or write steps",
    lambda update: (
        update.get("approval", "Never") == "Never"
        or update.get("strategy", DEFAULT_STRATEGY) in ("ZoneByZone", "Canary")
        or bool(update.get("steps"))
    ),
    "approval",
    r"strategy|steps(\[[0-9]+\])?",
)
_DEADLINE = Rule(
    "!has(self.progressDeadlineSeconds) || !has(self.minReadySeconds) || self.progressDeadlineSeconds > self.minReadySeconds",
    "progressDeadlineSeconds must be more than minReadySeconds, or every step would fail",
    "raise it, or lower minReadySeconds (bakeSeconds does not count)",
    lambda update: update.get("progressDeadlineSeconds", 600) > update.get("minReadySeconds", 0),
    "progressDeadlineSeconds",
    "minReadySeconds",
)
_LABEL = "^[a-zA-Z_][a-zA-Z0-9_]*$"
_OF_PLATFORM = "namespace"  # the label by which the platform keeps a query within its project


def _is_metric_label(name: str) -> bool:
    return re.fullmatch(_LABEL.strip("^$"), name) is not None and not name.startswith("__") and name != _OF_PLATFORM


def _metrics(update: Manifest) -> list[Manifest]:
    return update.get("metrics") or []


def _hooks(update: Manifest) -> list[Manifest]:
    return update.get("hooks") or []


def _of_metrics(cel: str, problem: str, remedy: str, holds: Callable[[Manifest], bool]) -> Rule:
    """Something that must be true of each `m` of an update's metrics."""
    return Rule(
        f"!has(self.metrics) || self.metrics.all(m, {cel})",
        problem,
        remedy,
        lambda update: all(map(holds, _metrics(update))),
        "metrics",
        r"metrics(\[[0-9]+\].*)?",
    )


def _labels_are_free(field: str) -> Rule:
    names = f"m.{field}.all(k, k.matches('{_LABEL}') && !k.startsWith('__') && k != '{_OF_PLATFORM}')"
    return _of_metrics(
        f"!has(m.{field}) || {names}",
        f"{field} of metrics must be names of labels, and not {_OF_PLATFORM}, which is always that of the project",
        f"remove {_OF_PLATFORM}, and write for example job or code",
        lambda metric: all(map(_is_metric_label, metric.get(field) or {})),
    )


METRICS = (
    Rule(
        "!has(self.metrics) || self.metrics.all(m, self.metrics.exists_one(other, other.name == m.name))",
        "each name of metrics must be there once",
        "give each of them a name of its own",
        lambda update: len({m.get("name") for m in _metrics(update)}) == len(_metrics(update)),
        "metrics",
        r"metrics(\[[0-9]+\].*)?",
    ),
    _of_metrics(
        "has(m.min) || has(m.max)",
        "each of metrics needs a bound",
        "write min, max or both",
        lambda metric: metric.get("min") is not None or metric.get("max") is not None,
    ),
    _of_metrics(
        "!has(m.min) || !has(m.max) || m.min <= m.max",
        "min of metrics must not be more than max, or no value could be between them",
        "exchange the two, or correct one",
        lambda metric: metric.get("min") is None or metric.get("max") is None or metric["min"] <= metric["max"],
    ),
    _of_metrics(
        "(m.function == 'Ratio') == (has(m.part) && m.part.size() > 0)",
        "part of metrics says which part a Ratio measures: it needs one, and no other function takes one",
        "write for example function: Ratio with part: {code: 5..}, or remove part",
        lambda metric: (metric.get("function", "Rate") == "Ratio") == bool(metric.get("part")),
    ),
    _labels_are_free("labels"),
    _labels_are_free("part"),
    Rule(
        "!has(self.metrics) || self.metrics.all(m, m.windowSeconds <= self.bakeSeconds)",
        "bakeSeconds must be at least windowSeconds of each of metrics, or the value would be about the time before the step",
        "raise bakeSeconds, or lower windowSeconds",
        lambda update: all(m.get("windowSeconds", 60) <= update.get("bakeSeconds", 0) for m in _metrics(update)),
        "bakeSeconds",
        r"metrics(\[[0-9]+\].*)?",
    ),
)
HOOKS = Rule(
    "!has(self.hooks) || self.hooks.all(h, self.hooks.exists_one(other, other.name == h.name && other.when == h.when))",
    "each of hooks must be there once for each moment",
    "remove the second one, or give it the other `when`",
    lambda update: len({(h.get("name"), h.get("when")) for h in _hooks(update)}) == len(_hooks(update)),
    "hooks",
    r"hooks(\[[0-9]+\].*)?",
)
STEPS = (
    Rule(
        f"!has(self.steps) || {_STEPS_ARE_COUNTS}",
        'each of steps must be a number from 1, or a percentage from "1%" to "100%"',
        'write for example [1, "50%"]',
        lambda update: all(map(_is_step, update.get("steps", ()))),
        "steps",
    ),
    Rule(
        f"!has(self.steps) || !{_STEPS_ARE_COUNTS} || [{_COUNTS}, {_SHARES}].all(l, {_GROWS})",
        "each of steps must be more than the one before, since it counts all replicas that have the new revision",
        'write for example [1, "25%", "50%"]',
        _grow,
        "steps",
        r"steps\[[0-9]+\]",
    ),
)
UPDATE = (
    _count_or_percent("maxUnavailable"),
    _count_or_percent("maxSurge"),
    Rule(
        f"!has(self.maxUnavailable) || !has(self.maxSurge) || !({_is_zero('maxUnavailable')} && {_is_zero('maxSurge')})",
        "maxUnavailable and maxSurge must not both be zero, or no update could ever begin",
        "raise one of them",
        lambda update: not {update.get("maxUnavailable", "25%"), update.get("maxSurge", "25%")} <= _ZEROS,
        "maxUnavailable",
    ),
    *STEPS,
    _without("steps", ("Parallel", "ZoneByZone", "Canary"), "Recreate ends all replicas in one step", "remove it"),
    _without(
        "zoneOrder", ("ZoneByZone",), "only ZoneByZone changes one zone after the other", "remove it, or choose ZoneByZone"
    ),
    Rule(
        "!has(self.inPlace) || self.inPlace != 'Require' || !has(self.strategy) || self.strategy != 'Recreate'",
        "Recreate makes new pods, which inPlace: Require rules out",
        "choose another strategy, or Prefer",
        lambda update: (update.get("inPlace"), update.get("strategy")) != ("Require", "Recreate"),
        "inPlace",
    ),
    _ZONES_ONCE,
    _APPROVAL,
    _DEADLINE,
    *METRICS,
    HOOKS,
)

FLEET_UPDATE = (
    *STEPS,
    _without(
        "zoneOrder",
        ("ZoneByZone",),
        "only the strategy ZoneByZone changes one zone after the other",
        "remove it, or choose ZoneByZone",
        FleetUpdate().strategy,
    ),
    _ZONES_ONCE,
)

DISRUPTION = _count_or_percent("maxUnavailable")

DAEMON_NAME = _named(40, "the names of its pods begin with it")
DAEMON_UPDATE = (
    Rule(
        f"!has(self.maxUnavailable) || (type(self.maxUnavailable) == int ? self.maxUnavailable >= 1 "
        f": string(self.maxUnavailable).matches('{_SHARE}'))",
        'maxUnavailable must be a number of nodes from 1, or a percentage from "1%" to "100%"',
        'write for example 1 or "10%"',
        lambda update: _is_step(update.get("maxUnavailable", 1)),
        "maxUnavailable",
        r"maxUnavailable",
    ),
    _ZONES_ONCE,
)
_DUAL = "has(self.mode) && self.mode == 'Dual'"


def _of_sharing(cel: str, field: str, allowed: str, why: str, holds: Callable[[Manifest], bool]) -> Rule:
    """What one copy per node cannot do is the part of a sidecar."""
    return Rule(
        f"{cel} || ({_DUAL})",
        f"{field} must be {allowed} for a daemon, since {why}: it must be a sidecar",
        "write a PinSidecar, or mode: Dual with the sidecar that does this part",
        lambda sharing: holds(sharing) or sharing.get("mode", Sharing().mode) == "Dual",
        field,
        r"mode",
    )


SHARING = (
    _of_sharing(
        "!has(self.tenancy) || self.tenancy == 'Shared'",
        "tenancy",
        "Shared",
        "one copy serves the pods of all projects and a program that keeps projects apart needs one in each pod",
        lambda sharing: sharing.get("tenancy", "Shared") == "Shared",
    ),
    _of_sharing(
        "!has(self.dataPath) || !self.dataPath",
        "dataPath",
        "false",
        "a copy that is down or busy would hold up the requests of every pod on its node",
        lambda sharing: not sharing.get("dataPath", False),
    ),
    Rule(
        f"({_DUAL}) == (has(self.sidecar) && self.sidecar != '')",
        "sidecar must name a PinSidecar in mode Dual, and nothing in mode Daemon",
        "write mode: Dual and sidecar: NAME, or neither",
        lambda sharing: (sharing.get("mode", "Daemon") == "Dual") == bool(sharing.get("sidecar")),
        "sidecar",
        r"mode",
    ),
)
"""M-44, M-107: what can be shared is a daemon, and what keeps projects apart or lies on the data path is a sidecar, or both."""


def _different(field: str, noun: str) -> Rule:
    """On a list of objects."""
    return Rule(
        f"self.all(v, self.exists_one(other, other.{field} == v.{field}))",
        f"{field} must be different for each {noun}",
        "change one, or remove it",
        lambda entries: len({each.get(field) for each in entries}) == len(entries),
    )


DAEMON_VOLUMES = tuple(_different(field, "volume") for field in ("name", "mountPath"))
DAEMON_PORTS = _different("name", "port")
_DNS_NAME = "[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_NODE_LABEL = f"^({_DNS_NAME}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$"
NODE_LABELS = Rule(
    f"self.all(k, k.matches('{_NODE_LABEL}'))",
    "every key must be the name of a label: at most 63 letters, digits, '-', '_' and '.', after a DNS name and '/' if wanted",
    "correct the key, for example example.com/class",
    lambda mapping: all(re.fullmatch(_NODE_LABEL, key) for key in mapping),
)
HOST_PATH = Rule(
    "self.matches('^/[^:]*$') && !self.split('/').exists(part, part == '..')",
    "must be a path of the node that begins with '/' and has no ':' and no '..'",
    "write for example /var/log/pods",
    lambda path: re.fullmatch("/[^:]*", path) is not None and ".." not in path.split("/"),
)
CAPABILITY = _matches(
    "^[A-Z][A-Z_]{0,62}$", "must be the name of a capability, without CAP_", "write for example DAC_READ_SEARCH"
)
PRIVILEGES = Rule(
    "!has(self.privileged) || !self.privileged || !has(self.capabilities) || self.capabilities.size() == 0",
    "capabilities must not be listed for a privileged program, which has them all",
    "remove them, or privileged",
    lambda given: not given.get("privileged", False) or not given.get("capabilities"),
    "capabilities",
    r"privileged",
)
DAEMON_TOLERATION = (
    Rule(
        "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
        "value must be empty for the operator Exists, which takes any",
        "remove it, or write operator: Equal",
        lambda given: given.get("operator", "Exists") != "Exists" or not given.get("value"),
        "value",
        r"operator",
    ),
    Rule(
        "!has(self.operator) || self.operator != 'Equal' || (has(self.key) && self.key != '')",
        "key must name a taint for the operator Equal",
        "write its key, or operator: Exists for every taint",
        lambda given: given.get("operator", "Exists") != "Equal" or bool(given.get("key")),
        "key",
        r"operator",
    ),
)

ZONES_PLACED = Rule(
    "!has(self.update) || !has(self.update.zoneOrder) || !has(self.placement) || !has(self.placement.zones) || "
    "self.placement.zones.size() == 0 || self.update.zoneOrder.all(z, z in self.placement.zones)",
    "each zone of zoneOrder must be one of placement.zones, where the replicas run",
    "remove it from zoneOrder, or add it to placement.zones",
    lambda spec: (
        not (placed := spec.get("placement", {}).get("zones"))
        or set(spec.get("update", {}).get("zoneOrder", ())) <= set(placed)
    ),
    "update.zoneOrder",
    r"update(\.zoneOrder(\[[0-9]+\])?)?|placement(\.zones(\[[0-9]+\])?)?",
)
"""The zones of the region are known to the gateway only; with kubectl, those of the object itself are."""

STEPS_WITHIN_REPLICAS = Rule(
    # a scale is never refused, hence only where the steps change; without replicas, the app is only being prepared
    "!has(self.update) || !has(self.update.steps) || self.replicas == 0 || "
    "(oldObject != null && oldObject.spec.?update.?steps == object.spec.?update.?steps) || "
    "self.update.steps.all(s, type(s) != int || s <= self.replicas)",
    "no number of steps may be more than replicas",
    'lower it, or write percentages, for example ["25%", "50%"]',
    lambda spec: (
        not (replicas := spec.get("replicas", 1))
        or all(step <= replicas for step in _steps(spec.get("update", {})) if isinstance(step, int))
    ),
    "update.steps",
    r"replicas|update(\.steps(\[[0-9]+\])?)?",
)
_KEEPS_ALL = _is_zero("disruption.maxUnavailable")
ACCOUNT = Rule(
    "!has(self.disruption) || !has(self.disruption.maxUnavailable) || !has(self.update) || !has(self.update.maxSurge) || "
    f"!({_KEEPS_ALL} && {_is_zero('update.maxSurge')})",
    "disruption.maxUnavailable and update.maxSurge must not both be zero, or nothing could ever change",
    "raise one of them",
    lambda spec: (
        not {
            spec.get("disruption", {}).get("maxUnavailable", 1),
            spec.get("update", {}).get("maxSurge", "25%"),
        }
        <= _ZEROS
    ),
    "disruption.maxUnavailable",
    r"disruption|update(\.maxSurge)?",
)
SERVICE = (ZONES_PLACED, STEPS_WITHIN_REPLICAS, ACCOUNT)


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
        f"!has(self.{where}) || self.{where}.all(c, !has(c.volumeMounts)) || "
        "[has(self.volumes) ? self.volumes.map(v, v.name) : []].all(names, "
        f"self.{where}.all(c, !has(c.volumeMounts) || c.volumeMounts.all(m, m.name in names "
        f"|| m.name.startsWith('{labels.OF_PLATFORM}'))))",
        "every name in volumeMounts must be that of a volume in volumes",
        "add the volume, or correct the name",
        lambda spec: all(
            name.startswith(labels.OF_PLATFORM) for name in _mounted(spec, where) - set(_names(spec.get("volumes") or []))
        ),
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


def _not_of_platform(where: str) -> Rule:
    return Rule(
        f"!has(self.{where}) || self.{where}.all(c, !c.name.startsWith('{labels.OF_PLATFORM}'))",
        f"names that begin with {labels.OF_PLATFORM} are those of the platform's sidecars",
        "choose another name; name a sidecar in `sidecars`",
        lambda spec: not any(name.startswith(labels.OF_PLATFORM) for name in _names(spec.get(where) or [])),
        where,
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

_MOST_PARTS = 64
_PARTS_BESIDE = 32  # what the platform adds to a pod: the token of its service account, and folders of sidecars
_PARTS_OF = ("secret", "configMap", "downwardAPI")


def _parts_of(field: str) -> str:
    """CEL: how many parts one of such sources brings: its items, or the whole, which counts as one."""
    return f"(has({field}.items) && {field}.items.size() > 0 ? {field}.items.size() : 1)"


def _parts_of_either(item: str, otherwise: str) -> str:
    found = [f"has({item}.{kind}) ? {_parts_of(f'{item}.{kind}')}" for kind in _PARTS_OF]
    return f"({' : '.join([*found, otherwise])})"


def _parts(spec: Manifest) -> int:
    volumes: list[Manifest] = spec.get("volumes") or []
    return sum(_parts_of_volume(volume) for volume in volumes)


def _parts_of_volume(volume: Manifest) -> int:
    projected: Manifest = volume.get("projected") or {}
    sources: list[Manifest] = projected.get("sources") or []
    return sum(map(_parts_of_source, sources)) if "projected" in volume else _parts_of_source(volume, 0)


def _parts_of_source(source: Manifest, otherwise: int = 1) -> int:
    given: list[Manifest] = [source[kind] for kind in _PARTS_OF if kind in source]
    return sum(len(each.get("items") or []) or 1 for each in given[:1]) if given else otherwise


def _volume_parts(most: int) -> Rule:
    """Each part may be as large as a whole secret, and the node's memory holds it, in the limit of no pod."""
    projected = "has(v.projected) && has(v.projected.sources) ? v.projected.sources.map(s, PARTS).sum() : 0".replace(
        "PARTS", _parts_of_either("s", "1")
    )
    return Rule(
        f"!has(self.volumes) || self.volumes.map(v, {_parts_of_either('v', projected)}).sum() <= {most}",
        f"volumes may have at most {most} items and sources of secrets, configs, fields and tokens together, since the node's "
        "memory holds their files",
        "mount a secret or config once, as a whole and without items",
        lambda spec: _parts(spec) <= most,
        "volumes",
        r"volumes(\[[0-9]+\].*)?",
    )


_MOST_EXECS = 4  # in a second; each takes some 35 ms of CPU of the node's own programs
_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
_USUAL_PERIOD = 10  # seconds


def _execs_of(probe: str) -> str:
    """CEL: how often a probe of the container `c` runs a command, in 1000 s."""
    period = f"has({probe}.periodSeconds) && {probe}.periodSeconds > 0 ? {probe}.periodSeconds : {_USUAL_PERIOD}"
    return f"(has({probe}) && has({probe}.exec) ? 1000 / ({period}) : 0)"


def _execs(spec: Manifest) -> int:
    every = (*_containers(spec), *_containers(spec, "initContainers"))
    probes: list[Manifest] = [container[probe] for container in every for probe in _PROBES if probe in container]
    periods: list[int] = [probe.get("periodSeconds") or _USUAL_PERIOD for probe in probes if "exec" in probe]
    return sum(1000 // period for period in periods)


def _exec_probes(most: int) -> Rule:
    return Rule(
        "(self.containers + (has(self.initContainers) ? self.initContainers : []))"
        f".map(c, {' + '.join(_execs_of(f'c.{probe}') for probe in _PROBES)}).sum() <= {1000 * most}",
        f"health checks of all containers may run at most {most} commands in a second together, since each costs the node CPU "
        "that no pod accounts for",
        "check less often, or by HTTP, TCP or gRPC",
        lambda spec: _execs(spec) <= 1000 * most,
        "containers",
        r"(containers|initContainers)(\[[0-9]+\](\.(startup|liveness|readiness)Probe(\..*)?)?)?",
    )


_USUAL_GRACE = 30  # seconds


def _outlasting_hooks(spec: Manifest) -> Iterator[Fault]:
    """Yields hooks that sleep for longer than the pod has to end: its containers have no time of their own (S-163)."""
    grace: int = spec.get("terminationGracePeriodSeconds", _USUAL_GRACE)
    for where in ("containers", "initContainers"):
        for index, container in enumerate(_containers(spec, where)):
            sleep: Manifest | None = container.get("lifecycle", {}).get("preStop", {}).get("sleep")
            if sleep is not None and sleep.get("seconds", 0) > grace:
                field = f"{where}[{index}].lifecycle.preStop.sleep.seconds"
                yield Fault(field, f"must be at most the {grace} seconds in which all containers of the pod end")


HOOKS_END = Rule(
    "(self.containers + (has(self.initContainers) ? self.initContainers : [])).all(c, !has(c.lifecycle) || "
    "!has(c.lifecycle.preStop) || !has(c.lifecycle.preStop.sleep) || c.lifecycle.preStop.sleep.seconds <= "
    f"(has(self.terminationGracePeriodSeconds) ? self.terminationGracePeriodSeconds : {_USUAL_GRACE}))",
    "a preStop hook must not sleep for longer than the pod has to end, which is one time for all of its containers",
    "sleep for less, or raise terminationGracePeriodSeconds",
    lambda spec: not any(_outlasting_hooks(spec)),
    "containers",
    r"terminationGracePeriodSeconds|(containers|initContainers)(\[[0-9]+\](\.lifecycle(\.preStop(\.sleep(\.seconds)?)?)?)?)?",
    found=_outlasting_hooks,
)
VOLUME_PARTS = _volume_parts(_MOST_PARTS)
EXEC_PROBES = _exec_probes(_MOST_EXECS)

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
    _volume_parts(_MOST_PARTS + _PARTS_BESIDE),
    _exec_probes(2 * _MOST_EXECS),  # with those of sidecars
)
"""What Pod Security does not judge of a pod in a member, beyond single fields. A template says less: see `POD_SPEC`."""

_BESIDE = "has(i.restartPolicy) && i.restartPolicy == 'Always'"  # a sidecar runs for as long as the containers
_KEYS_OF_PORTS = "has(c.ports) ? c.ports.map(p, string(p.containerPort) + '/' + p.protocol) : []"

_COMPARED = 512  # ports of all containers; the API server could not afford to sort more


def _shared_ports(spec: Manifest) -> list[Fault]:
    found = list[Fault]()
    sidecars = ((i, c) for i, c in enumerate(_containers(spec, "initContainers")) if c.get("restartPolicy") == "Always")
    beside = [("initContainers", *each) for each in sidecars] + [("containers", *c) for c in enumerate(_containers(spec))]
    declared = dict[tuple[Any, str], tuple[int, str]]()
    for place, (where, index, container) in enumerate(beside):
        for number, port in enumerate(container.get("ports") or []):
            key = (port.get("containerPort"), port.get("protocol") or "TCP")
            first, name = declared.setdefault(key, (place, container.get("name", "")))
            if first != place:
                field = f"{where}[{index}].ports[{number}].containerPort"
                found.append(
                    Fault(field, f"port {key[0]} ({key[1]}) is that of container {name} already, and both have one address")
                )
    return found if sum(len(container.get("ports") or []) for _, _, container in beside) <= _COMPARED else []


SHARED_PORTS = Rule(
    # the schema itself refuses two equal ports of one container
    "self.containers.size() == 1 && !has(self.initContainers) || "
    f"[(self.containers + (has(self.initContainers) ? self.initContainers.filter(i, {_BESIDE}) : []))"
    f".map(c, {_KEYS_OF_PORTS}).flatten()].all(every, every.size() > {_COMPARED} || "
    "[every.sort()].all(keys, keys.all(n, key, n == 0 || keys[n - 1] != key)))",
    "two containers that run at the same time have the same port in ports, and both have one address",
    "choose another port for one of them, or remove it where nothing listens",
    lambda spec: not _shared_ports(spec),
    "containers",
    r"(containers|initContainers)(\[[0-9]+\](\.ports(\[[0-9]+\](\.(containerPort|protocol))?)?)?)?",
    found=_shared_ports,
)
"""Kubernetes takes such a pod, and one of the containers then ends with "address already in use"."""


def _named_port(where: str) -> Rule:
    """On a container: a check or a hook that names a port names one that the container has."""
    steps = f"{where}.port".split(".")
    absent = " || ".join(f"!has(self.{'.'.join(steps[: n + 1])})" for n in range(len(steps) - 1))
    port = f"self.{where}.port"

    def found(container: Manifest) -> Iterator[Fault]:
        asked: Any = container
        for step in steps:
            asked = cast("Manifest", asked or {}).get(step)
        ports: list[Manifest] = container.get("ports") or []
        if isinstance(asked, str) and asked not in _names(ports):
            known = ", ".join(f"{each.get('name', '')} {each.get('containerPort', '')}".strip() for each in ports)
            yield Fault(
                f"{where}.port", f'"{asked[:64]}" is the name of none of the container\'s ports ({known or "it has none"})'
            )

    return Rule(
        f"{absent} || type({port}) == int || "
        f"(has(self.ports) && [string({port})].all(asked, self.ports.exists(p, has(p.name) && p.name == asked)))",
        "is the name of none of the container's ports",
        "write the number of a port without quotes, or add a port of this name to ports",
        lambda container: not any(found(container)),
        f"{where}.port",
        r"ports(\[[0-9]+\](\.name)?)?",
        found=found,
    )


NAMED_PORTS = tuple(
    _named_port(f"{where}.{how}")
    for where in ("readinessProbe", "livenessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop")
    for how in ("httpGet", "tcpSocket")
)

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
    _refused("hostNetwork", "remove it, since each pod has a network of its own; declare ports in containers[].ports"),
    _refused("hostPID", "remove it"),
    _refused("hostIPC", "remove it"),
    *map(_not_of_platform, ("containers", "initContainers", "volumes")),
    *NODE_CHOICE,
    _absent("priorityClassName", "the tier decides the priority", "remove it, and choose the tier"),
    Rule(
        "!has(self.priority)",
        "priority must not be set, since the tier decides it",
        "remove it, and choose the tier",
        lambda spec: "priority" not in spec,
        "priority",
    ),
    SHARED_PORTS,
    VOLUME_PARTS,
    EXEC_PROBES,
    HOOKS_END,
)

SERVICE_POD_SPEC = (
    Rule(
        "!has(self.restartPolicy) || self.restartPolicy == 'Always'",
        "restartPolicy must be Always, since every PinApp runs until it is deleted",
        "remove it",
        lambda spec: spec.get("restartPolicy", "Always") == "Always",
        "restartPolicy",
    ),
    Rule(
        "!has(self.activeDeadlineSeconds)",
        "activeDeadlineSeconds must not be set, since every PinApp runs until it is deleted",
        "remove it",
        lambda spec: "activeDeadlineSeconds" not in spec,
        "activeDeadlineSeconds",
    ),
)

PORTS = Rule(
    # sorted, because it costs less than comparing each name with every other one
    "[self.filter(p, has(p.name)).map(p, p.name).sort()].all(names, names.all(n, name, n == 0 || names[n - 1] != name))",
    "port names must be unique within a container",
    "rename one",
    lambda ports: len(_names(ports)) == len(set(_names(ports))),
)

_PLAIN_KEY = "^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")

_WELL_FORMED = Rule(
    f"self.all(k, k.matches('{_PLAIN_KEY}') || !format.qualifiedName().validate(k).hasValue())",
    "every key must be a name of at most 63 letters, digits, '-', '_' and '.', after a DNS name and '/' if wanted",
    "correct the key, for example example.com/team",
    lambda mapping: all(_KEY.fullmatch(key) for key in mapping),
)
KEYS = (
    _WELL_FORMED,
    Rule(
        f"self.all(k, !k.startsWith('{GROUP}/'))",
        f"keys that begin with {GROUP}/ are the platform's",
        "remove the key",
        lambda mapping: not any(key.startswith(f"{GROUP}/") for key in mapping),
    ),
)
_SIDECARS = "^([a-z]([-a-z0-9]{0,38}[a-z0-9])?)(,[a-z]([-a-z0-9]{0,38}[a-z0-9])?){0,15}$"
_FORMER_SECCOMP = ("seccomp.security.alpha.kubernetes.io/", "container.seccomp.security.alpha.kubernetes.io/")
ANNOTATION_KEYS = (
    _WELL_FORMED,
    Rule(
        f"self.all(k, !k.startsWith('{GROUP}/') || k == '{labels.SIDECARS}')",
        f"keys that begin with {GROUP}/ are the platform's",
        f"remove the key; of these, a template has only {labels.SIDECARS}",
        lambda mapping: not any(key.startswith(f"{GROUP}/") and key != labels.SIDECARS for key in mapping),
    ),
    Rule(
        f"!('{labels.SIDECARS}' in self) || self['{labels.SIDECARS}'].matches('{_SIDECARS}')",
        f"{labels.SIDECARS} must be names of at most 16 sidecars, with commas between them and no spaces",
        "write for example metrics,logs",
        lambda mapping: re.fullmatch(_SIDECARS, mapping.get(labels.SIDECARS, "metrics")) is not None,
    ),
    Rule(
        "self.all(k, " + " && ".join(f"!k.startsWith('{former}')" for former in _FORMER_SECCOMP) + ")",
        "annotations for seccomp are a former form of a field, and Kubernetes takes no pod that has both",
        "remove it, and write securityContext.seccompProfile",
        lambda mapping: not any(key.startswith(_FORMER_SECCOMP) for key in mapping),
    ),
)
"""Keys of a template's annotations: of the platform's, users write the names of sidecars."""

LONGEST_NOTES = 64 << 10


def notes_length(notes: dict[str, str]) -> int:
    """Returns the characters of labels or annotations together, with what kubectl keeps there. The platform bounds its own."""
    return sum(len(key) + len(value) for key, value in notes.items() if not key.startswith(f"{GROUP}/"))


NOTES_LENGTH = Rule(
    f"self.map(k, !k.startsWith('{GROUP}/'), k.size() + self[k].size()).sum() <= {LONGEST_NOTES}",
    f"must have at most {LONGEST_NOTES} characters together",
    "remove some, put large values into a config, or apply with kubectl apply --server-side, which keeps no copy in them",
    lambda notes: notes_length(notes) <= LONGEST_NOTES,
)
"""Of the labels and of the annotations of an object, and of a template's annotations: its labels are few. Kubernetes bounds
annotations at 256 KiB, and labels one by one.
"""

IMMUTABLE_ZONE = Rule(
    "self == oldSelf", "zone never changes", "delete this MemberCluster and add one with another name in the other zone"
)
RESERVED_CLUSTER_NAMES = Rule(
    f"!(self.metadata.name in ['{labels.HOST}', '{labels.LOCAL}'])",
    f"the name must not be {labels.HOST} or {labels.LOCAL}, which mean other things",
    "choose another name",
    lambda root: _name(root) not in (labels.HOST, labels.LOCAL),
)
RESERVED_PROJECT_NAMES = Rule(
    "oldSelf.hasValue() || !(self.metadata.name == 'default' || self.metadata.name.startsWith('kube-') "
    f"|| self.metadata.name.startsWith('{labels.PINCOMPUTE}'))",
    f"the name must not be default and not begin with kube- or {labels.PINCOMPUTE}, since a project owns its namespace",
    "choose another name",
    lambda root: _name(root) != "default" and not _name(root).startswith(("kube-", labels.PINCOMPUTE)),
    on_create=True,
)
SINGLETON = Rule(
    f"self.metadata.name == '{labels.LOCAL}'",
    f"the name must be {labels.LOCAL}",
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
    SETTING_NAME,
    PROJECT_NAME,
    SIDECAR_NAME,
    SIDECAR_IMAGE,
    PROGRAM_IMAGE,
    NODE_IMAGE,
    VARIABLE_NAMES,
    POD_FIELD,
    FOLDER,
    *SHARED_ONCE,
    DNS_LABEL,
    PORT_NAME,
    LABEL_VALUE,
    QUANTITY,
    REQUESTS_FIT,
    *LEAST_AMOUNTS,
    *SIDECAR_AMOUNTS,
    *UPDATE,
    *FLEET_UPDATE,
    DISRUPTION,
    DAEMON_NAME,
    *DAEMON_UPDATE,
    *SHARING,
    *DAEMON_VOLUMES,
    DAEMON_PORTS,
    NODE_LABELS,
    HOST_PATH,
    CAPABILITY,
    PRIVILEGES,
    *DAEMON_TOLERATION,
    *SERVICE,
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
    *NAMED_PORTS,
    *KEYS,
    NOTES_LENGTH,
    *ANNOTATION_KEYS[1:],
    IMMUTABLE_ZONE,
    RESERVED_CLUSTER_NAMES,
    RESERVED_PROJECT_NAMES,
    SINGLETON,
)
