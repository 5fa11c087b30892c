"""What a schema cannot say: CEL rules of the kinds, evaluated by the API server on every write. No webhook is needed.

Every rule names the field (by where it stands) and the remedy (in its message). The surprising rule: the API server refuses
a schema whose rules *might* cost too much, so every list and string that a rule walks over has a limit.
"""

from __future__ import annotations

from dataclasses import dataclass

from pincompute.api.meta import Manifest
from pincompute.api.podtemplate import Schema

LONGEST_APP_NAME = 40  # a pod is <app>-<cluster>-<ordinal>, and its name must fit a label's 63 characters
LONGEST_CLUSTER_NAME = 15  # also the zone's; <app>-<cluster>-<ordinal> again
NAME_PATTERN = "^[a-z]([-a-z0-9]*[a-z0-9])?$"


@dataclass(frozen=True, slots=True)
class Rule:
    """`rule` must be true. `path` points at the field below, where the rule does not stand on the field itself."""

    rule: str
    message: str
    path: str = ""

    def manifest(self) -> Manifest:
        path = {"fieldPath": self.path} if self.path else {}
        return {"rule": self.rule, "message": self.message, **path}


def attach(schema: Schema, *rules: Rule) -> None:
    schema.setdefault("x-kubernetes-validations", []).extend(rule.manifest() for rule in rules)


def name(longest: int, why: str) -> Rule:
    """On the root: metadata.name is a DNS label of at most so many characters."""
    return Rule(
        f"self.metadata.name.size() <= {longest} && self.metadata.name.matches('{NAME_PATTERN}')",
        f"metadata.name must be at most {longest} lower-case letters, digits and '-', begin with a letter and not end "
        f"with '-' ({why}): choose another name",
    )


_COUNT_OR_PERCENT = "(type(self.{0}) == int ? self.{0} >= 0 : string(self.{0}).matches('^(100|[0-9]{{1,2}})%$'))"
_ZERO = "(type(self.{0}) == int ? self.{0} == 0 : string(self.{0}) == '0%')"
_MUST_BE_COUNT = 'must be a number from 0, or a percentage from "0%" to "100%": write for example 1 or "25%"'

UPDATE = (
    Rule(
        "!has(self.maxUnavailable) || " + _COUNT_OR_PERCENT.format("maxUnavailable"),
        f"maxUnavailable {_MUST_BE_COUNT}",
        ".maxUnavailable",
    ),
    Rule("!has(self.maxSurge) || " + _COUNT_OR_PERCENT.format("maxSurge"), f"maxSurge {_MUST_BE_COUNT}", ".maxSurge"),
    Rule(
        f"!has(self.maxUnavailable) || !has(self.maxSurge) || !({_ZERO.format('maxUnavailable')} && {_ZERO.format('maxSurge')})",
        "maxUnavailable and maxSurge must not both be zero, or no update could ever begin: raise one of them",
        ".maxUnavailable",
    ),
)

POD_SPEC = (
    Rule(
        "!has(self.initContainers) || self.containers.all(c, !self.initContainers.exists(i, i.name == c.name))",
        "container names must be unique across containers and initContainers: rename one",
        ".initContainers",
    ),
    Rule(
        "!has(self.hostNetwork) || !self.hostNetwork",
        "hostNetwork must not be true, pods use the pod network: remove it, and declare ports in containers[].ports",
        ".hostNetwork",
    ),
    Rule("!has(self.hostPID) || !self.hostPID", "hostPID must not be true: remove it", ".hostPID"),
    Rule("!has(self.hostIPC) || !self.hostIPC", "hostIPC must not be true: remove it", ".hostIPC"),
)

SERVICE_POD_SPEC = (
    Rule(
        "!has(self.restartPolicy) || self.restartPolicy == 'Always'",
        "restartPolicy must be Always, since a PinApp runs until it is deleted: remove it",
        ".restartPolicy",
    ),
    Rule(
        "!has(self.activeDeadlineSeconds)",
        "activeDeadlineSeconds must not be set, since a PinApp runs until it is deleted: remove it",
        ".activeDeadlineSeconds",
    ),
)

PORTS = (
    Rule(
        "self.all(p, !has(p.name) || self.exists_one(q, has(q.name) && q.name == p.name))",
        "port names must be unique within a container: rename one",
    ),
)

MOUNTS = (
    Rule(
        "self.containers.all(c, !has(c.volumeMounts) || c.volumeMounts.all(m, has(self.volumes) && "
        "self.volumes.exists(v, v.name == m.name)))",
        "every volumeMounts[].name must be the name of a volume of the template: add it to volumes, or correct the name",
        ".containers",
    ),
)

IMMUTABLE_ZONE = Rule("self == oldSelf", "zone never changes: delete this MemberCluster and add one in the other zone")
RESERVED_CLUSTER_NAMES = Rule(
    "!(self.metadata.name in ['host', 'local'])",
    "metadata.name must not be host or local, these name other things: choose another name",
)
RESERVED_PROJECT_NAMES = Rule(
    "!self.metadata.name.startsWith('kube-') && !(self.metadata.name in ['default', 'pincompute-system'])",
    "metadata.name must not be default, pincompute-system or begin with kube-, a project owns its namespace: choose another name",
)
SINGLETON = Rule("self.metadata.name == 'local'", "metadata.name must be local: a cluster measures only itself")
