"""Reads why kube-scheduler gives a pod no node: what excludes the nodes, whether more room would help, and what to do.

A verdict counts nodes by reason: `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s)`. It names no
nodes when a volume claim keeps the pod from all of them: `0/3 nodes are available: persistentvolumeclaim "data" not found`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pincompute.api import conditions
from pincompute.api.builtin import Pod
from pincompute.api.meta import Manifest
from pincompute.domain import pod_template_text

_PREFIX = re.compile(r"^0/\d+ nodes are available: ")
_COUNTED = re.compile(r"(?:^|, )\d+ (?P<reason>.+?)(?=, \d+ |$)")
_SELECTOR = re.compile(r"didn't match (?:Pod's )?node (?:affinity|selector)")
_CLAIM = re.compile(
    r'persistentvolumeclaim "|unbound immediate PersistentVolumeClaims|available persistent volumes to bind'
    r"|PersistentVolume's node affinity|non-existent pv"
)
_MISSING_CLAIM = re.compile(r'persistentvolumeclaim "(?P<name>[^"]+)" not found')
_NAMED_CLAIM = re.compile(r'persistentvolumeclaim "(?P<name>[^"]+)"')


@dataclass(frozen=True, slots=True)
class SchedulingVerdict:
    """`kind`: the scheduler's word. `text`: its sentence without that of preemption. `reasons`: why it excludes nodes."""

    kind: str
    text: str
    reasons: tuple[str, ...]

    @property
    def selects_no_node(self) -> bool:
        """Returns whether the node selector or affinity of the pod matches no node at all."""
        return bool(self.reasons) and all(_SELECTOR.search(reason) for reason in self.reasons)

    @property
    def missing_claim(self) -> str:
        """Returns the name of a volume claim that does not exist; empty when none is missing."""
        found = _MISSING_CLAIM.search(self.text)
        return found["name"] if found is not None else ""

    @property
    def needs_room(self) -> bool:
        """Returns whether some node would take the pod if it had more room, fewer taints or other pods."""
        return any(not (_SELECTOR.search(reason) or _CLAIM.search(reason)) for reason in self.reasons or (self.text,))

    @property
    def is_final(self) -> bool:
        """Returns whether somebody has to change the pod or what it needs."""
        return self.selects_no_node or bool(self.missing_claim)

    def remedy(self, template: Manifest) -> str:
        """Returns what to do, for a pod of this template."""
        if self.missing_claim:
            return f"an administrator creates claim {self.missing_claim} in each zone, or you correct its name in volumes"
        known = next((remedy for words, remedy in _REMEDIES if words in self.text), "")
        return known.format(rules=pod_template_text.node_rules(template)) or self._remedy_of_claims(template)

    def _remedy_of_claims(self, template: Manifest) -> str:
        if not _CLAIM.search(self.text):
            return "ask for less, or add nodes"
        named = _NAMED_CLAIM.search(self.text)
        names = (named["name"],) if named is not None else tuple(pod_template_text.claims(template))
        which = f"claim {names[0]}" if len(names) == 1 else f"claims {', '.join(names)}" if names else "its claims"
        return f"no node can use {which}: an administrator looks at its storage class, its volume and its events"


_REMEDIES = (
    ("were unschedulable", "uncordon a node, or add nodes"),
    ("node affinity/selector", "remove {rules}, or label a node"),
    ("free ports", "remove hostPort: only one replica on each node can have it"),
    ("ReadWriteOncePod", "run one replica with maxSurge: 0, because only one replica can use the claim"),
)


def of(pod: Pod) -> SchedulingVerdict | None:
    """Returns the verdict; None for a pod that has a node, or that the scheduler has not looked at."""
    scheduled = conditions.find(pod.status.conditions, "PodScheduled")
    if scheduled is None or scheduled.status != "False":
        return None
    text = scheduled.message.partition(". ")[0].rstrip(".")
    return SchedulingVerdict(scheduled.reason or "Unschedulable", text, tuple(_COUNTED.findall(_PREFIX.sub("", text))))
