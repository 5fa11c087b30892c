"""Makes the admission policies: rules beyond one object's schema, finalizers, and fractions as text.

Policies that guard something fail closed. The API server evaluates them itself, so an evaluation that fails is a bug in the
policy and never an outage, while a write that slips through could leave pods that no object knows (finalizers) or give a
project's users what only the platform may write (shards). The policy that writes fractions as text guards nothing: what it
cannot read, the schema refuses field by field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from pincompute.api import (
    crds,
    daemons,
    fraction_policy,
    image_ownership,
    in_place_policy,
    labels,
    member_clusters,
    node_access,
    projects,
    rule_compiler,
    settings,
    sidecars,
    structural_schema,
    template_hash,
    validation_rules,
    violation_condition,
)
from pincompute.api.kinds import KINDS, Kinds, WorkloadKind
from pincompute.api.meta import GROUP, VERSION, Manifest, Resource
from pincompute.api.projects import PROJECTS
from pincompute.api.revisions import PINREVISIONS

Operation: TypeAlias = Literal["CREATE", "UPDATE", "DELETE"]

_ADMISSION = "admissionregistration.k8s.io"

_CONTROLLERS = (  # Kubernetes' own: they clear namespaces and collect garbage
    "system:serviceaccount:kube-system:namespace-controller",
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:kube-controller-manager",
)


_IS_CONTROLLER = f"(request.userInfo.username in {list(_CONTROLLERS)})"
_MASTERS = f"request.userInfo.groups.exists(g, g in ['system:masters', '{labels.BREAK_GLASS}'])"


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests a policy applies to."""

    group: str
    version: str
    resources: tuple[str, ...]
    operations: tuple[Operation, ...]
    projects_only: bool = False
    names: tuple[str, ...] = ()

    def manifest(self) -> Manifest:
        rule = {
            "apiGroups": [self.group],
            "apiVersions": [self.version],
            "resources": list(self.resources),
            "operations": list(self.operations),
            **({"resourceNames": list(self.names)} if self.names else {}),
        }
        selector: Manifest = {"matchExpressions": [{"key": labels.PROJECT, "operator": "Exists"}]} if self.projects_only else {}
        return {"resourceRules": [rule], **({"namespaceSelector": selector} if selector else {})}


def host(kinds: Kinds = KINDS) -> list[Manifest]:
    workloads = tuple(kind.workload.plural for kind in kinds)
    return [
        *(policy for kind in kinds for policy in _rules_of(kind)),
        *_validating("platform-writes", _REVISIONS_WRITTEN, _only_by(kinds, labels.FEDERATION)),
        *_validating("platform-status", _statuses_written(workloads), _STATUS_BY_FEDERATION),
        *_validating("audit-heads", _HEADS_WRITTEN, _HEADS_GROW),
        *_new_pods_ruled_out(workloads),
        *_workload_metadata(workloads),
        *_project_policies(),
        *_project_metadata(),
        *_validating("metadata", _objects_of_users(workloads), _METADATA, _PLAINLY_GOOD_METADATA),
        *_validating("project-members", Match(GROUP, VERSION, (PROJECTS.plural,), ("UPDATE",)), _MEMBERS_GRANTED),
        *_finalizer("membercluster-finalizer", (member_clusters.MEMBERCLUSTERS.plural,), labels.DRAIN_FINALIZER),
        *_setting_policies(),
        *_sidecar_policies(),
        *_sidecars_allowed(workloads),
        *_sidecars_by_gateway(),
        *_daemon_policies(),
        *_finalizer("project-finalizer", (PROJECTS.plural,), labels.NAMESPACES_FINALIZER),
        *_mutating(
            "fractions-as-text",
            Match(GROUP, VERSION, workloads, ("CREATE", "UPDATE")),
            fraction_policy.as_text(),
            "Ignore",
            [*_NOT_BY_PLATFORM, {"name": "holds-a-fraction", "expression": fraction_policy.holds_fraction()}],
        ),
        *_made_in_projects(workloads),  # last: by it, the installer sees that those before are in force
    ]


def _new_pods_ruled_out(workloads: tuple[str, ...]) -> list[Manifest]:
    body = in_place_policy.body()
    conditions = [*_NOT_BY_PLATFORM, *body["matchConditions"]]
    return _validating("in-place-only", Match(GROUP, VERSION, workloads, ("UPDATE",)), {**body, "matchConditions": conditions})


def _setting_policies() -> list[Manifest]:
    """Only the gateway and the federation write what is known of secrets and configs, and only in projects."""
    plurals = tuple(kind.resource.plural for kind in settings.SETTINGS)
    writers = [*labels.user_names(labels.GATEWAY, labels.FEDERATION), *_CONTROLLERS]
    rule: Manifest = {
        "expression": f"request.userInfo.username in {writers} || {_MASTERS}",
        "messageExpression": "'only the platform writes ' + request.resource.resource + ', and ' + request.userInfo.username "
        "+ ' is not part of it: use pin secret or pin config'",
        "reason": "Forbidden",
    }
    written = Match(GROUP, VERSION, (*plurals, *(f"{p}/status" for p in plurals)), ("CREATE", "UPDATE", "DELETE"))
    return [
        *_validating("platform-settings", written, {"validations": [rule]}),
        *_validating("setting-versions", Match(GROUP, VERSION, plurals, ("CREATE", "UPDATE")), _VERSIONS_FOLLOW),
        *_finalizer("setting-finalizer", plurals, labels.COPIES_FINALIZER),
    ]


_VERSION_STEP = 1000
_NUMBERS = "(object.?spec.?versions.orValue([]).map(v, v.number) + [object.?spec.?version.orValue(0)])"
_VERSIONS_FOLLOW: Manifest = {  # the federation removes what it does not keep of all numbers in between
    "matchConditions": [
        {"name": "spec-changes", "expression": "request.operation == 'CREATE' || object.?spec != oldObject.?spec"}
    ],
    "variables": [
        {
            "name": "highest",
            "expression": f"request.operation == 'CREATE' ? 0 : {_NUMBERS.replace('object', 'oldObject')}.max()",
        }
    ],
    "validations": [
        {
            "expression": f"{_MASTERS} || {_NUMBERS}.max() <= variables.highest + {_VERSION_STEP}",
            "messageExpression": "'spec.versions: a new version follows the one before, which is '"
            f" + string(variables.highest) + ': write a number of at most ' + string(variables.highest + {_VERSION_STEP})",
            "reason": "Invalid",
        }
    ],
}


def _sidecar_policies() -> list[Manifest]:
    """Only administrators write sidecars, and nobody deletes one that pods have or workloads name."""
    plural = sidecars.PINSIDECARS.plural
    writers = (
        f"({_administrator_or(labels.GATEWAY)} || request.userInfo.username in {list(labels.user_names(labels.FEDERATION))})"
    )
    rule: Manifest = {
        "expression": f"{writers} || {_IS_CONTROLLER}",
        "messageExpression": "'only an administrator writes sidecars, and ' + request.userInfo.username + ' is not one: "
        "ask one to run pin admin sidecar'",
        "reason": "Forbidden",
    }
    unused: Manifest = {
        "expression": "oldObject.?status.?users.orValue([]).size() == 0 && oldObject.?status.?pods.orValue(0) == 0",
        "messageExpression": "'sidecar ' + request.name + ' is in use by ' + oldObject.?status.?users.orValue([]).join(', ') "
        "+ ': deploy those that name it without it; for those that it selects, empty its selector with otherChanges: Replace'",
        "reason": "Forbidden",
    }
    written = Match(GROUP, VERSION, (plural, f"{plural}/status"), ("CREATE", "UPDATE", "DELETE"))
    return [
        *_validating("platform-sidecars", written, {"validations": [rule]}),
        *_validating("sidecars-in-use", Match(GROUP, VERSION, (plural,), ("DELETE",)), {"validations": [unused]}),
        *_finalizer("sidecar-finalizer", (plural,), labels.FLEET_FINALIZER),
    ]


def _daemon_policies() -> list[Manifest]:
    """Only administrators write daemons. The gateway writes them for administrators, and its credential may be stolen: it gives
    no program access to nodes, and one that has access it brings no image that did not have it before. It holds the key of the
    registry as well, so that a tag or a repository proves nothing.
    """
    plural = daemons.PINDAEMONS.plural
    writers = (
        f"({_administrator_or(labels.GATEWAY)} || request.userInfo.username in {list(labels.user_names(labels.FEDERATION))})"
    )
    rule: Manifest = {
        "expression": f"{writers} || {_IS_CONTROLLER}",
        "messageExpression": "'only an administrator writes daemons, and ' + request.userInfo.username + ' is not one: "
        "ask one to run pin admin daemon'",
        "reason": "Forbidden",
    }
    container = structural_schema.at(structural_schema.of_kind(daemons.PINDAEMONS.type), "spec.container")
    parts = [f"spec.container.?{name}" for name in sorted(container["properties"]) if name != "image"]
    same = " && ".join(f"object.{part} == oldObject.{part}" for part in (*parts, "spec.?nodeSelector", "spec.?tolerations"))
    former = (
        "((oldObject.?status.?stable.hasValue() ? [oldObject.status.stable] : []) + oldObject.?status.?history.orValue([]))"
    )
    served = f"{former}.exists(b, b.container.image == {_DAEMON}.image && ({node_access.of('b.container')}))"
    access: Manifest = {
        "expression": f"!({node_access.of(_DAEMON)}) || (request.operation == 'UPDATE' && {same} && "
        f"({_DAEMON}.image == oldObject.spec.container.image || {served}))",
        "message": f"spec.container: only a cluster administrator gives a daemon access to its node ({node_access.FIELDS}), "
        "and brings another image to one that has it, but for those that had it before: leave these out, or write the daemon "
        "with kubectl in the host cluster",
        "reason": "Forbidden",
    }
    by_gateway: Manifest = {
        "matchConditions": [{"name": "by-the-gateway", "expression": _IS_GATEWAY}],
        "validations": [access, *_SMALL_DAEMONS],
    }
    written = Match(GROUP, VERSION, (plural, f"{plural}/status"), ("CREATE", "UPDATE", "DELETE"))
    return [
        *_validating("platform-daemons", written, {"validations": [rule]}),
        *_validating("daemons-by-gateway", Match(GROUP, VERSION, (plural,), ("CREATE", "UPDATE")), by_gateway),
        *_finalizer("daemon-finalizer", (plural,), labels.FLEET_FINALIZER),
    ]


_DAEMON = "object.spec.container"
_MOST_CPU, _MOST_MEMORY, _MOST_STORAGE = "1", "1Gi", "1Gi"


def _at_most(amount: str, most: str) -> str:
    """CEL: an amount, which is a number or text, is at most this one."""
    return f"quantity(string({amount})).compareTo(quantity('{most}')) <= 0"


def _stays(*parts: str) -> str:
    """CEL: these parts are as an administrator may have written them before."""
    return f"(oldObject != null && {' && '.join(f'object.{part} == oldObject.{part}' for part in parts)})"


_SMALL_DAEMONS: list[Manifest] = [  # a copy on every node takes from all projects
    {
        "expression": f"({_at_most(f'{_DAEMON}.?cpu.orValue(0)', _MOST_CPU)} && "
        f"{_at_most(f'{_DAEMON}.?memory.orValue(0)', _MOST_MEMORY)} && "
        f"{_at_most(f'{_DAEMON}.?storage.orValue(0)', _MOST_STORAGE)} && "
        f"{_DAEMON}.?volumes.orValue([]).all(v, {_at_most('v.?sizeLimit.orValue(0)', _MOST_STORAGE)})) "
        f"|| {_stays(*(f'spec.container.?{part}' for part in ('cpu', 'memory', 'storage', 'volumes')))}",
        "message": f"spec.container: cpu is at most {_MOST_CPU}, memory {_MOST_MEMORY}, storage and sizeLimit of a volume "
        f"{_MOST_STORAGE}: ask for less, or write the daemon with kubectl in the host cluster",
        "reason": "Forbidden",
    },
    {
        "expression": "object.spec.?tolerations.orValue([]).all(t, [t].all(self, t.?key.orValue('') != '' "
        f"&& ({validation_rules.TOLERATION.cel}))) || {_stays('spec.?tolerations')}",
        "message": f"spec.tolerations: {validation_rules.TOLERATION.problem}: {validation_rules.TOLERATION.remedy}, or write "
        "the daemon with kubectl in the host cluster",
        "reason": "Forbidden",
    },
]


def _daemon_sets() -> list[Manifest]:
    """Only the operator writes DaemonSets in the namespace where daemons may have access to their nodes."""
    rule: Manifest = {
        "expression": f"{_administrator_or(labels.OPERATOR)} || {_IS_CONTROLLER}",
        "messageExpression": "'only the platform writes DaemonSets in ' + request.namespace + ', and ' "
        "+ request.userInfo.username + ' is not part of it: change the PinDaemon in the host cluster'",
        "reason": "Forbidden",
    }
    written = Match("apps", "v1", ("daemonsets",), ("CREATE", "UPDATE", "DELETE"))
    policy, binding = _validating("platform-daemonsets", written, {"validations": [rule]})
    place: Manifest = {"matchLabels": {"kubernetes.io/metadata.name": labels.DAEMONS_NAMESPACE}}
    return [policy, {**binding, "spec": {**binding["spec"], "matchResources": {"namespaceSelector": place}}}]


def _node_access() -> list[Manifest]:
    """A program has the access to its node that an administrator of the member grants it: as the federation asks for it in a
    shard, and as the operator and Kubernetes make DaemonSets and pods of it.
    """
    shards = Match(GROUP, VERSION, (daemons.PINDAEMONSHARDS.plural,), ("CREATE", "UPDATE"))
    granted: Manifest = {"name": "granted", "expression": "params.?data[?variables.daemon].orValue('').split(' ')"}
    lacking: Manifest = {
        "name": "lacking",
        "expression": "variables.access.filter(w, !(w in variables.granted) "
        f"&& !(w.endsWith('{_RO}') && w.substring(0, w.size() - {len(_RO)}) in variables.granted)) "
        "+ (variables.access.size() == 0 ? [] : variables.images.filter(i, "
        f"!(i.{_REPOSITORY} in variables.granted) || !{node_access.is_fixed_cel('i')}))",
    }
    rule: Manifest = {
        "expression": "variables.lacking.size() == 0",
        "messageExpression": "'no administrator of this cluster grants ' + variables.daemon + ': ' "
        "+ variables.lacking.join(' ') "
        f"+ '. An image needs a digest and the grant of its repository. Ask one to write the words into the ConfigMap "
        f"{labels.NODE_ACCESS} of namespace {labels.DAEMONS_NAMESPACE}, under ' + variables.daemon",
        "reason": "Forbidden",
    }
    kind: Manifest = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
    common = {**kind, "validations": [rule]}
    of_shards = {
        **common,
        "matchConditions": [_SPEC_CHANGES],
        "variables": [*_ACCESS_OF_SHARD, granted, lacking],
    }
    of_pods = {
        **common,
        "matchConditions": [_SPEC_CHANGES, {"name": "not-by-an-administrator", "expression": f"!{_MASTERS}"}],
        "variables": [*_ACCESS_OF_POD, granted, lacking],
        "validations": [_PLAIN_COPY, rule],
    }
    daemon_sets = Match("apps", "v1", ("daemonsets",), ("CREATE", "UPDATE"))
    pods = Match("", "v1", ("pods", "pods/ephemeralcontainers"), ("CREATE", "UPDATE"))
    place: Manifest = {"matchLabels": {"kubernetes.io/metadata.name": labels.DAEMONS_NAMESPACE}}
    grants = {"name": labels.NODE_ACCESS, "namespace": labels.DAEMONS_NAMESPACE, "parameterNotFoundAction": "Deny"}
    made: list[Manifest] = []
    for name, match, body in (
        ("node-access-of-shards", shards, of_shards),
        ("node-access-of-daemonsets", daemon_sets, of_pods),
        ("node-access-of-pods", pods, of_pods),
    ):
        policy, binding = _validating(name, match, body)
        where = {} if match is shards else {"matchResources": {"namespaceSelector": place}}
        made += [policy, {**binding, "spec": {**binding["spec"], "paramRef": grants, **where}}]
    return made


_RO = node_access.READ_ONLY


def _word(condition: str, word: str) -> str:
    return f"({condition} ? ['{word}'] : [])"


_ASKED = "object.spec.version.container"
_ASKED_SECURITY = f"{_ASKED}.?securityContext"
_ACCESS_OF_SHARD: list[Manifest] = [
    {"name": "daemon", "expression": "object.metadata.name"},
    {"name": "images", "expression": f"[{_ASKED}.image]"},
    {
        "name": "access",
        "expression": " + ".join(
            (
                *(_word(f"{_ASKED_SECURITY}.?{f}.orValue(false)", f) for f in ("privileged", "hostNetwork", "hostPID")),
                _word(f"{_ASKED_SECURITY}.?runAsUser.orValue(1) == 0", "root"),
                f"{_ASKED_SECURITY}.?capabilities.orValue([]).map(c, 'capability:' + c)",
                f"{_ASKED}.?ports.orValue([]).filter(p, has(p.hostPort)).map(p, 'hostPort:' + string(p.hostPort))",
                (
                    f"{_ASKED}.?volumes.orValue([]).filter(v, has(v.hostPath))"
                    f".map(v, 'hostPath:' + v.hostPath.path + (v.?readOnly.orValue(false) ? '{_RO}' : ''))"
                ),
            )
        ),
    },
]
_PRIVILEGED = "c.?securityContext.?privileged.orValue(false)"
_ACCESS_OF_POD: list[Manifest] = [
    {"name": "made", "expression": "has(object.spec.template) ? object.spec.template : object"},
    {"name": "daemon", "expression": f"variables.made.metadata.?labels[?'{labels.DAEMON}'].orValue('')"},
    {"name": "pod", "expression": "variables.made.spec"},
    {"name": "containers", "expression": "variables.pod.containers"},
    {"name": "images", "expression": "variables.containers.map(c, c.image)"},
    {
        "name": "access",
        "expression": " + ".join(
            (
                *(_word(f"variables.pod.?{flag}.orValue(false)", flag) for flag in ("hostNetwork", "hostPID", "hostIPC")),
                _word(f"variables.containers.exists(c, {_PRIVILEGED})", "privileged"),
                _word(
                    f"variables.containers.exists(c, !{_PRIVILEGED} && !c.?securityContext.?runAsNonRoot.orValue(false))",
                    "root",
                ),
                (
                    "variables.containers.map(c, c.?securityContext.?capabilities.?add.orValue([])).flatten()"
                    ".map(c, 'capability:' + c)"
                ),
                (
                    "(variables.pod.?hostNetwork.orValue(false) ? [] : variables.containers"
                    ".map(c, c.?ports.orValue([])).flatten()"
                    ".filter(p, p.?hostPort.orValue(0) != 0).map(p, 'hostPort:' + string(p.hostPort)))"
                ),
                (
                    "variables.pod.?volumes.orValue([]).filter(v, has(v.hostPath)).map(v, 'hostPath:' + v.hostPath.path + "
                    "(variables.containers.all(c, c.?volumeMounts.orValue([]).all(m, m.name != v.name || "
                    f"m.?readOnly.orValue(false))) ? '{_RO}' : ''))"
                ),
            )
        ),
    },
]
_GAINS = "c.?securityContext.?allowPrivilegeEscalation.orValue(true)"
_PLAIN_COPY: Manifest = {  # what words of a grant cannot say, and no copy of a daemon has
    "expression": "variables.containers.size() == 1 && variables.pod.?initContainers.orValue([]).size() == 0 "
    "&& variables.pod.?ephemeralContainers.orValue([]).size() == 0 "
    "&& !variables.pod.?automountServiceAccountToken.orValue(true) "
    "&& variables.pod.?volumes.orValue([]).all(v, has(v.emptyDir) || has(v.hostPath)) "
    "&& variables.pod.?securityContext.orValue({}).all(k, k == 'seccompProfile') "
    f"&& variables.containers.all(c, {_PRIVILEGED} || ("
    "variables.pod.?securityContext.?seccompProfile.?type.orValue('') == 'RuntimeDefault' "
    f"&& (!{_GAINS} || 'SYS_ADMIN' in c.securityContext.capabilities.add) "
    "&& 'ALL' in c.?securityContext.?capabilities.?drop.orValue([]) "
    "&& ['procMount', 'seccompProfile', 'seLinuxOptions', 'appArmorProfile', 'windowsOptions']"
    ".all(k, !(k in c.securityContext))))",
    "message": "a copy of a daemon has one container, which drops all capabilities and gains none, no token, and no volumes "
    "but emptyDir and hostPath: leave it as the operator makes it",
    "reason": "Forbidden",
}


_REPOSITORY = f"find('{node_access.REPOSITORY}')"  # of the name of an image
_IN_USE = "oldObject.?status.?users.orValue([]).size() > 0 || oldObject.?status.?pods.orValue(0) > 0"


def _selects(of: str) -> str:
    """CEL: a sidecar comes into pods that do not name it."""
    return (
        f"({of}.?spec.?selector.?matchLabels.orValue({{}}).size() > 0 || {of}.?spec.?selector.?projects.orValue([]).size() > 0)"
    )


def _sidecars_by_gateway() -> list[Manifest]:
    """The gateway writes sidecars for administrators, and its credential may be stolen: it chooses neither the pods that get a
    sidecar without naming it, nor what runs in pods besides another version of the same image.
    """
    container = structural_schema.at(structural_schema.of_kind(sidecars.PINSIDECARS.type), "spec.container")
    others = sorted(name for name in container["properties"] if name != "image")
    same = " && ".join(f"object.spec.container.?{name} == oldObject.spec.container.?{name}" for name in others)
    served = " || ".join(
        f"oldObject.?status.?{which}.?container.orValue({{}}) == object.spec.container" for which in ("stable", "former")
    )
    selected: Manifest = {
        "expression": f"!{_selects('object')} "
        "|| (request.operation == 'UPDATE' && object.spec.?selector == oldObject.spec.?selector)",
        "message": "spec.selector: only a cluster administrator chooses which pods get a sidecar without naming it: leave the "
        "selector as it is, or write it with kubectl in the host cluster",
        "reason": "Forbidden",
    }
    changed: Manifest = {
        "expression": f"request.operation == 'CREATE' || !({_IN_USE} || {_selects('oldObject')}) || {served} || ({same} && "
        f"object.spec.container.image.{_REPOSITORY} == oldObject.spec.container.image.{_REPOSITORY})",
        "message": "spec.container: of a sidecar that is in use or selects pods, only a cluster administrator changes more "
        "than the version of the image: name another tag of the same image, or write the rest with kubectl in the host cluster",
        "reason": "Forbidden",
    }
    allowed: Manifest = {
        "expression": f"!{_selects('object')} || request.operation == 'CREATE' "
        "|| object.spec.?allowedProjects == oldObject.spec.?allowedProjects",
        "message": "spec.allowedProjects: of a sidecar that selects pods, only a cluster administrator changes the projects, "
        "because their pods get it without naming it: leave them as they are, or write them with kubectl in the host cluster",
        "reason": "Forbidden",
    }
    body: Manifest = {
        "matchConditions": [{"name": "by-the-gateway", "expression": _IS_GATEWAY}],
        "validations": [selected, changed, allowed],
    }
    return _validating("sidecars-by-gateway", Match(GROUP, VERSION, (sidecars.PINSIDECARS.plural,), ("CREATE", "UPDATE")), body)


def _sidecars_allowed(workloads: tuple[str, ...]) -> list[Manifest]:
    """A template names a new sidecar only where the sidecar allows the project. The API server asks every sidecar."""
    named = f"?spec.?template.?metadata.?annotations[?'{labels.SIDECARS}'].orValue('')"
    rule: Manifest = {
        "expression": f"!object.{named}.split(',').exists(n, n == params.metadata.name) "
        f"|| params.?spec.?allowedProjects.orValue(['{sidecars.EVERY}'])"
        f".exists(p, p == request.namespace || p == '{sidecars.EVERY}')",
        "messageExpression": f"'spec.template.metadata.annotations[{labels.SIDECARS}]: project ' + request.namespace "
        "+ ' may not have sidecar ' + params.metadata.name + ': leave it out, or ask an administrator to add the project to '"
        "+ 'its allowedProjects'",
        "reason": "Forbidden",
    }
    changes = f"object.{named} != '' && (request.operation == 'CREATE' || object.{named} != oldObject.{named})"
    body: Manifest = {
        "paramKind": {"apiVersion": f"{GROUP}/{VERSION}", "kind": sidecars.PINSIDECARS.kind},
        "matchConditions": [{"name": "names-sidecars", "expression": changes}],
        "validations": [rule],
    }
    policy, binding = _validating("sidecars-allowed", Match(GROUP, VERSION, workloads, ("CREATE", "UPDATE")), body)
    every: Manifest = {"paramRef": {"selector": {}, "parameterNotFoundAction": "Allow"}}
    return [policy, {**binding, "spec": {**binding["spec"], **every}}]


def member(kinds: Kinds = KINDS) -> list[Manifest]:
    internal = (
        *(kind.shard.plural for kind in kinds),
        member_clusters.CLUSTERCAPACITIES.plural,
        sidecars.PINSIDECARSHARDS.plural,
        daemons.PINDAEMONSHARDS.plural,
    )
    statuses = tuple(f"{plural}/status" for plural in internal)
    written = Match(GROUP, VERSION, (*internal, *statuses), ("CREATE", "UPDATE", "DELETE"))
    return [
        *_validating("platform-writes", written, _only_by(kinds, labels.FEDERATION, labels.OPERATOR)),
        *_validating("requests-and-limits", _PODS_CREATED, _HAS_RESOURCES, _PLAINLY_HAS_RESOURCES),
        *_validating("resized-requests-and-limits", _PODS_RESIZED, _HAS_RESOURCES, _PLAINLY_HAS_RESOURCES),
        *_pod_policies(),
        *_validating("platform-containers", _PODS_WRITTEN, _PLATFORM_CONTAINERS),
        *_validating("resized-platform-containers", _PODS_RESIZED, _PLATFORM_CONTAINERS),
        *_image_pulls(),
        *_daemon_sets(),
        *_node_access(),
        *_validating("project-namespaces", _NAMESPACES, _PROJECT_LABELS),
        *_validating("allowed-images", _PODS_WRITTEN, _ALLOWED_IMAGES, image_ownership.plainly_holds("object.spec")),
        *_validating("kwok-pods", Match("", "v1", ("pods", "pods/*"), ("CREATE", "UPDATE", "DELETE")), _KWOK_PODS),
        *_validating("kwok-nodes", Match("", "v1", ("nodes", "nodes/*"), ("CREATE", "UPDATE", "DELETE")), _KWOK_NODES),
        *_validating(
            "kwok-leases", Match("coordination.k8s.io", "v1", ("leases",), ("CREATE", "UPDATE", "DELETE")), _KWOK_LEASES
        ),
        *_mutating("shards-untracked", _shards_created(kinds), _UNTRACKED, "Ignore"),
        *_shards_in_projects(kinds),
    ]


def platform_objects(kinds: Sequence[Resource[Any]]) -> list[Manifest]:
    """Returns the policies that keep the platform's objects of these kinds in projects: nobody else changes, removes or marks
    one.

    The API server asks for each write whether the old or the new object carries the label, so other objects cost nothing.
    """
    writers = f"({_administrator_or(labels.FEDERATION)} || {_IS_CONTROLLER})"
    rule: Manifest = {
        "expression": writers,
        "messageExpression": "'only the platform writes ' + request.resource.resource + ' with the label "
        f"{labels.MANAGED_BY}: {labels.PINCOMPUTE} in a project, and ' + request.userInfo.username + ' is not part of it: "
        "leave ' + request.name + ' as it is, or make another object without the label'",
        "reason": "Forbidden",
    }
    selected = {"matchResources": {"objectSelector": {"matchLabels": {labels.MANAGED_BY: labels.PINCOMPUTE}}}}
    made: list[Manifest] = []
    for kind in kinds:
        written = Match(kind.group, kind.version, (kind.plural,), ("CREATE", "UPDATE", "DELETE"), projects_only=True)
        policy, binding = _validating(f"platform-{kind.plural}", written, {"validations": [rule]})
        made += [policy, {**binding, "spec": {**binding["spec"], **selected}}]
    return made


_MEMBERS_GRANTED: Manifest = {
    "validations": [
        {
            "expression": "object.?spec.?members == oldObject.?spec.?members || "
            f"authorizer.group('{GROUP}').resource('{PROJECTS.plural}').subresource('members').check('update').allowed()",
            "messageExpression": "request.userInfo.username + ' may not change the members of project ' + object.metadata.name "
            f"+ ': use `pin project grant`, or ask a cluster administrator for RBAC: update of {PROJECTS.plural}/members'",
            "reason": "Forbidden",
        }
    ]
}
"""Whoever may change a project does not thereby make themselves its owner."""


def _shards_created(kinds: Kinds) -> Match:
    """Once an object is without the record of field managers, the API server keeps none for it."""
    return Match(GROUP, VERSION, tuple(kind.shard.plural for kind in kinds), ("CREATE",))


_IS_PLATFORM = f"(request.userInfo.username in {list(labels.user_names(labels.FEDERATION, labels.GATEWAY))})"
_IS_GATEWAY = f"(request.userInfo.username in {list(labels.user_names(labels.GATEWAY))})"
_NOT_BY_PLATFORM: list[Manifest] = [  # which writes fractions as text itself, so that most writes cost nothing more
    {"name": "not-by-the-platform", "expression": f"!{_IS_PLATFORM}"}
]
_REVISIONS_WRITTEN = Match(GROUP, VERSION, (PINREVISIONS.plural,), ("CREATE", "UPDATE", "DELETE"))
_PODS_CREATED = Match("", "v1", ("pods",), ("CREATE",), projects_only=True)
_PODS_RESIZED = Match("", "v1", ("pods/resize",), ("UPDATE",), projects_only=True)
_PODS_WRITTEN = Match("", "v1", ("pods", "pods/ephemeralcontainers"), ("CREATE", "UPDATE"), projects_only=True)

_METADATA_PARTS = ("labels", "annotations", "finalizers", "ownerReferences")
_HEAD_KEY = "^[a-z0-9-]{1,100}(_[0-9]{4}-[0-9]{2}-[0-9]{2})?$"
_HEAD = "^0000[0-9]{16} [0-9a-f]{64} [0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z$"
_HEAD_STEP = 10_000_000  # records that a gateway writes at most while the host does not answer
_HEAD_RATE = 1_000  # records a second that a gateway writes at most between two heads, by what they say of their times
_HEAD_BURST = labels.AUDIT_HEAD_BURST  # beyond that, and as many at once whatever the time
_HEAD_FIRST = 10**13  # records of a gateway's first head; all that may follow until the year 9999 are fewer than 10**16


def _head_number(head: str) -> str:
    """CEL: the number of the record of a head, given as an expression."""
    return f"int({head}.substring(0, 20))"


def _head_time(head: str) -> str:
    """CEL: the time of a head, given as an expression."""
    return f"timestamp({head}.substring(86, 106))"


_AFTER, _BEFORE = "variables.after[k]", "variables.before[k]"
_HEAD_DAY = f"'_' + {_AFTER}.substring(86, 96)"
_HEAD_GROWTH = f"{_head_number(_AFTER)} - {_head_number(_BEFORE)}"
_FIRST_HEAD = f"(variables.before.filter(d, d.startsWith(k + '_')).map(d, variables.before[d]) + [{_BEFORE}]).min()"
_SINCE_FIRST = (
    f"{_head_number(_AFTER)} - {_head_number('first')} - {_HEAD_BURST} <= ({_head_time(_AFTER)} > {_head_time('first')} "
    f"? {_HEAD_RATE} * ({_head_time(_AFTER)} - {_head_time('first')}).getSeconds() : 0)"
)
"""CEL: of the newest head with key `k` after the request, its gateway's first one, and how many records may lie between."""


_HEADS_WRITTEN = Match("", "v1", ("configmaps",), ("UPDATE", "DELETE"), names=(labels.AUDIT_HEADS,))
_HEADS_GROW: Manifest = {  # head_anchors.py of the gateway describes the keys; a text begins with its record's number
    "matchConditions": [
        {"name": "of-the-platform", "expression": f"request.namespace == '{labels.SYSTEM_NAMESPACE}'"},
        {"name": "not-by-an-administrator", "expression": f"!{_MASTERS} && !{_IS_CONTROLLER}"},
    ],
    "variables": [
        {"name": "before", "expression": "oldObject.?data.orValue({})"},
        {"name": "after", "expression": "request.operation == 'DELETE' ? {} : object.?data.orValue({})"},
        {
            "name": "changed",
            "expression": "variables.after.filter(k, !(k in variables.before) || variables.after[k] != variables.before[k])",
        },
    ],
    "validations": [
        {
            "expression": "request.operation != 'DELETE' && variables.before.all(k, k in variables.after) "
            "&& !object.?immutable.orValue(false)",
            "message": "an entry of this ConfigMap proves an audit log, so it is never removed: "
            "leave it, or ask a cluster administrator",
            "reason": "Forbidden",
        },
        {
            "expression": "request.operation == 'DELETE' || (object.?binaryData == oldObject.?binaryData && "
            + " && ".join(f"object.metadata.?{part} == oldObject.metadata.?{part}" for part in _METADATA_PARTS)
            + ")",
            "message": "nothing but the heads of audit logs changes here: leave metadata and binaryData to an administrator",
            "reason": "Forbidden",
        },
        {
            "expression": f"variables.changed.all(k, k.matches('{_HEAD_KEY}') && variables.after[k].matches('{_HEAD}'))",
            "message": "a head is a record's number with 20 digits, its hash and a time, under the name of its gateway",
            "reason": "Invalid",
        },
        {  # a policy knows no clock, but a head with an invented day leaves a key for ever
            "expression": f"variables.changed.all(k, k.contains('_') ? k.endsWith({_HEAD_DAY}) "
            f"&& variables.after[?k.split('_')[0]].orValue('') == {_AFTER} "
            f": (k + {_HEAD_DAY}) in variables.after || variables.before.size() >= {labels.MOST_AUDIT_HEADS})",
            "message": "the first head of a day is written under that day and as the newest head of its gateway at once",
            "reason": "Invalid",
        },
        {
            "expression": f"variables.changed.all(k, k in variables.before ? {_HEAD_GROWTH} <= {_HEAD_STEP} "
            f": {_head_number(_AFTER)} <= {_HEAD_FIRST})",
            "message": f"a head of an audit log is at most {_HEAD_STEP:,} records ahead of the one before it, and the first of "
            f"a gateway is at most record {_HEAD_FIRST:,}",
            "reason": "Invalid",
        },
        {  # an evaluation that fails refuses: no head has a time that is none
            "expression": f"variables.changed.all(k, {_head_time(_AFTER)} > timestamp('2020-01-01T00:00:00Z'))",
            "message": "the head of an audit log has the time at which it was anchored",
            "reason": "Invalid",
        },
        {  # the burst is always allowed: else heads that take up what the time allows would lock a gateway out
            "expression": f"variables.changed.all(k, !(k in variables.before) || {_HEAD_GROWTH} <= {_HEAD_BURST} "
            f"|| [{_FIRST_HEAD}].all(first, {_SINCE_FIRST}))",
            "message": f"a head of an audit log grows by at most {_HEAD_BURST:,} records, or to at most {_HEAD_RATE:,} a "
            f"second since the first head of its gateway and {_HEAD_BURST:,} more",
            "reason": "Invalid",
        },
        {
            "expression": "variables.changed.all(k, !(k in variables.before) || (!k.contains('_') "
            "&& variables.after[k].substring(0, 20) > variables.before[k].substring(0, 20)))",
            "message": "a head of an audit log only grows: its record's number increases, and the head of a day never changes",
            "reason": "Forbidden",
        },
    ],
}

_SIMULATED_NAME = f"matches('^[a-z0-9-]+{labels.SIMULATED_MARK}[0-9]+$')"
_SAME_METADATA = " && ".join(f"object.metadata.?{part} == oldObject.metadata.?{part}" for part in _METADATA_PARTS)
_IS_STATUS = "(request.operation == 'UPDATE' && request.?subResource.orValue('') == 'status')"


def _by_kwok(*expressions: str, message: str) -> Manifest:
    """Confines the credential that plays simulated nodes, which by RBAC reaches the pods of all nodes."""
    return {
        "matchConditions": [{"name": "by-kwok", "expression": f"request.userInfo.username == '{labels.KWOK_USER}'"}],
        "validations": [{"expression": each, "message": message, "reason": "Forbidden"} for each in expressions],
    }


_KWOK_PODS = _by_kwok(  # a policy cannot look a node up, but a pod's node never changes, and its name tells
    f"oldObject != null && oldObject.?spec.?nodeName.orValue('').{_SIMULATED_NAME}",
    "request.operation == 'DELETE' ? has(oldObject.metadata.deletionTimestamp) "
    f": {_IS_STATUS} && object.?spec == oldObject.?spec && {_SAME_METADATA}",
    "request.operation == 'DELETE' || [object.?status.?podIP.orValue('')].all(a, "
    f"a == '' || (isIP(a) && cidr('{labels.SIMULATED_POD_RANGE}').containsIP(a))) "
    "&& object.?status.?podIPs.orValue([]).all(p, p.ip == object.?status.?podIP.orValue(''))",
    message="KWOK writes only the status of pods on simulated nodes, with addresses of "
    f"{labels.SIMULATED_POD_RANGE}, and ends only those that somebody deleted",
)
_KWOK_NODES = _by_kwok(
    f"{_IS_STATUS} && {_SAME_METADATA} && object.metadata.name.{_SIMULATED_NAME} "
    f"&& oldObject.metadata.?annotations[?'{labels.SIMULATED_NODE}'].orValue('') == 'fake'",
    message=f"KWOK writes only the status of nodes with the annotation {labels.SIMULATED_NODE}: fake",
)
_KWOK_LEASES = _by_kwok(
    f"request.namespace == 'kube-node-lease' && (object == null ? oldObject : object).metadata.name.{_SIMULATED_NAME}",
    message="KWOK writes only the leases of simulated nodes",
)

_SPEC_CHANGES: Manifest = {  # so that an object which a later rule refuses can still be deleted, and its metadata be changed
    "name": "spec-changes",
    "expression": "request.operation == 'CREATE' || object.spec != oldObject.spec",
}


def _rules_of(kind: WorkloadKind) -> list[Manifest]:
    """The kind's rules, on create and update of its objects and not on writes of their status, of which there are more."""
    match = Match(GROUP, VERSION, (kind.workload.plural,), ("CREATE", "UPDATE"))
    schema = crds.workload_schema(kind)
    body: Manifest = {
        "matchConditions": [_SPEC_CHANGES],
        "variables": [*rule_compiler.variables(schema), *image_ownership.variables(*_TEMPLATE_IMAGES)],
        "validations": [rule_compiler.VALIDATION, _TEMPLATE_IMAGES_OWN],
    }
    own = f"({rule_compiler.TEMPLATE_STAYS} || {image_ownership.plainly_holds(*_TEMPLATE_IMAGES)})"
    return _validating(f"{kind.name}-rules", match, body, f"{rule_compiler.plainly_holds(schema)} && {own}")


_TEMPLATE_IMAGES = ("object.spec.template.spec", ("containers", "initContainers", "volumes"))
_TEMPLATE_IMAGES_OWN: Manifest = image_ownership.VALIDATION | {
    "expression": f"({rule_compiler.TEMPLATE_STAYS}) || {image_ownership.VALIDATION['expression']}"
}
_ALLOWED_IMAGES: Manifest = {
    "matchConditions": [_SPEC_CHANGES],
    "variables": image_ownership.variables("object.spec"),
    "validations": [image_ownership.VALIDATION],
}


_LEAST: Manifest = {rule_compiler.RULES: [rule.manifest() for rule in validation_rules.LEAST_AMOUNTS]}
_LEAST_OF_CONTAINERS: Manifest = {  # of what the pod requests as a whole, its containers may request nothing
    rule_compiler.RULES: [
        replace(rule, cel=f"'{rule.path}' in variables.requests || '{rule.path}' in variables.limits || {rule.cel}").manifest()
        for rule in validation_rules.LEAST_AMOUNTS
    ]
}


def _nested(properties: Manifest) -> Manifest:
    return {"properties": properties}


_CONTAINERS = {"items": _nested({"resources": _nested({"requests": _LEAST_OF_CONTAINERS, "limits": _LEAST})})}
_AMOUNTS = _nested(
    {
        "spec": _nested(
            {
                "resources": _nested({"requests": _LEAST, "limits": _LEAST}),
                "containers": _CONTAINERS,
                "initContainers": _CONTAINERS,
            }
        )
    }
)


_OF_PLATFORM = f"startsWith('{labels.OF_PLATFORM}')"
_IS_OPERATOR = f"(request.userInfo.username in {list(labels.user_names(labels.OPERATOR))})"
_PLATFORM_CONTAINERS: Manifest = {  # who may make pods in a project could otherwise pass a container off as the platform's
    "matchConditions": [_SPEC_CHANGES],
    "variables": [
        {
            "name": "injected",
            "expression": f"object.spec.?initContainers.orValue([]).filter(c, c.name.{_OF_PLATFORM})",
        },
        {
            "name": "before",
            "expression": "request.operation == 'CREATE' ? [] "
            f": oldObject.spec.?initContainers.orValue([]).filter(c, c.name.{_OF_PLATFORM})",
        },
    ],
    "validations": [
        {
            "expression": f"object.spec.containers.all(c, !c.name.{_OF_PLATFORM}) "
            f"&& object.spec.?ephemeralContainers.orValue([]).all(c, !c.name.{_OF_PLATFORM}) "
            "&& variables.injected.all(c, c.?restartPolicy.orValue('') == 'Always')",
            "message": f"names of containers that begin with {labels.OF_PLATFORM} are those of the platform's sidecars, which "
            "are init containers with restartPolicy Always: choose another name",
            "reason": "Forbidden",
        },
        {
            "expression": f"{_IS_OPERATOR} || variables.injected == variables.before",
            "messageExpression": f"""'only the platform injects containers whose names begin with {labels.OF_PLATFORM}, and '
                + request.userInfo.username + ' is not part of it: choose another name'""",
            "reason": "Forbidden",
        },
    ],
}


def _image_pulls() -> list[Manifest]:
    """Only the operator writes pods that pull images: what one reports may hold up, or let go, the pods of every project.

    The API server asks whether the old or the new pod carries the label, so other pods cost nothing.
    """
    rule: Manifest = {
        "expression": f"{_administrator_or(labels.OPERATOR)} || {_IS_CONTROLLER}",
        "messageExpression": f"""'only the platform writes pods with the label {labels.IMAGE_PULL_SHARD_UID}, and '
            + request.userInfo.username + ' is not part of it: make the pod without the label'""",
        "reason": "Forbidden",
    }
    written = Match("", "v1", ("pods", "pods/ephemeralcontainers", "pods/resize"), ("CREATE", "UPDATE"), projects_only=True)
    policy, binding = _validating("image-pulls", written, {"validations": [rule]})
    carries: Manifest = {"matchExpressions": [{"key": labels.IMAGE_PULL_SHARD_UID, "operator": "Exists"}]}
    return [policy, {**binding, "spec": {**binding["spec"], "matchResources": {"objectSelector": carries}}}]


_HAS_RESOURCES: Manifest = {
    "variables": [
        {
            "name": "containers",
            "expression": "object.spec.containers + object.spec.?initContainers.orValue([])",
        },
        {"name": "requests", "expression": "object.spec.?resources.?requests.orValue({})"},  # of the pod as a whole
        {"name": "limits", "expression": "object.spec.?resources.?limits.orValue({})"},
        {
            "name": "lacking",
            "expression": """variables.containers.filter(c,
                !['cpu', 'memory'].all(r, r in variables.requests
                    || (has(c.resources) && has(c.resources.requests) && r in c.resources.requests))
                || !('memory' in variables.limits
                    || (has(c.resources) && has(c.resources.limits) && 'memory' in c.resources.limits))
                ).map(c, c.name)""",
        },
        *rule_compiler.variables(_AMOUNTS),
    ],
    "validations": [
        rule_compiler.VALIDATION,
        {
            "expression": "variables.lacking.size() == 0",
            "messageExpression": "'in a project every container needs resources.requests.cpu, resources.requests.memory and "
            "resources.limits.memory; incomplete: ' + variables.lacking.join(', ') + '. For example requests: "
            f"{{cpu: {template_hash.DEFAULT_CPU}, memory: {template_hash.DEFAULT_MEMORY}}}, limits: "
            f"{{memory: {template_hash.DEFAULT_MEMORY}}}'",
            "reason": "Invalid",
        },
    ],
}


_PLAINLY_HAS_RESOURCES = f"{rule_compiler.plainly_holds(_AMOUNTS)} && variables.lacking.size() == 0"


def _pod_policies() -> list[Manifest]:
    """What Pod Security does not judge of a pod in a project. Nobody is exempt: the platform's own pods keep these rules too.

    An update can add tolerations and nothing else that the rules are about. Only the scheduler binds a pod to a node.
    """
    judged = Match("", "v1", ("pods",), ("CREATE", "UPDATE"), projects_only=True)
    changed = "request.operation == 'CREATE' || object.spec.?tolerations != oldObject.spec.?tolerations"
    probed = {"items": _nested(dict.fromkeys(("livenessProbe", "readinessProbe", "startupProbe"), _nested(_GRACE)))}
    fields = {
        "tolerations": {"items": {rule_compiler.RULES: [validation_rules.TOLERATION.manifest()]}},
        "affinity": _nested(dict.fromkeys(("podAffinity", "podAntiAffinity"), _AFFINITY)),
        "containers": probed,
        "initContainers": probed,
        **_GRACE,
    }
    spec = _at_creation(*validation_rules.MEMBER_POD) | _nested(fields)
    pod: Manifest = {"properties": {"spec": spec}, "required": ["spec"]}
    body: Manifest = {
        "matchConditions": [{"name": "tolerations-change", "expression": changed}],
        "variables": rule_compiler.variables(pod),
        "validations": [rule_compiler.VALIDATION],
    }
    bound = Match("", "v1", ("bindings", "pods/binding"), ("CREATE",), projects_only=True)
    binding: Manifest = {
        "expression": f"request.userInfo.username == '{_SCHEDULER}'",
        "message": "only the scheduler binds pods to nodes in a project: leave the pod to it",
        "reason": "Forbidden",
    }
    return [
        *_validating("pod-rules", judged, body, rule_compiler.plainly_holds(pod)),
        *_validating("pod-bindings", bound, {"validations": [binding]}),
    ]


_SCHEDULER = "system:kube-scheduler"


def _at_creation(*rules: validation_rules.Rule) -> Manifest:
    judged = [replace(rule, cel=f"request.operation != 'CREATE' || {rule.cel}") for rule in rules]
    return {rule_compiler.RULES: [rule.manifest() for rule in judged]}


_GRACE: Manifest = {"terminationGracePeriodSeconds": _at_creation(validation_rules.GRACE_PERIOD)}
_TERM = _nested(
    {
        "namespaces": _at_creation(validation_rules.AFFINITY_NAMESPACES),
        "namespaceSelector": _at_creation(validation_rules.AFFINITY_NAMESPACE_SELECTOR),
    }
)
_AFFINITY = _nested(
    {
        "requiredDuringSchedulingIgnoredDuringExecution": {"items": _TERM},
        "preferredDuringSchedulingIgnoredDuringExecution": {"items": _nested({"podAffinityTerm": _TERM})},
    }
)


def _objects_of_users(workloads: tuple[str, ...]) -> Match:
    return Match(GROUP, VERSION, (*workloads, PROJECTS.plural, member_clusters.MEMBERCLUSTERS.plural), ("CREATE", "UPDATE"))


def _project_policies() -> list[Manifest]:
    """Who may lower the Pod Security of a project or change its limits: an administrator, or the gateway, which asks who its
    caller is.

    The labels of the project's namespace say the same, so nobody but the federation changes these.
    """
    fields = {"level": projects.RESTRICTED, "reason": "", "approvedBy": "", "until": ""}
    pairs = [(f"object.{_POD_SECURITY}.?{name}.orValue('{usual}')", usual) for name, usual in fields.items()]
    unchanged = [f"{now} == (oldObject == null ? '{usual}' : {now.replace('object', 'oldObject', 1)})" for now, usual in pairs]
    rule: Manifest = {
        "expression": f"{_administrator_or(labels.GATEWAY)} || ({' && '.join(unchanged)})",
        "messageExpression": """'spec.podSecurity: only an administrator changes it, and ' + request.userInfo.username
            + ' is not one: leave it as it is, or ask one to run pin admin pod-security'""",
        "reason": "Forbidden",
    }
    written = Match(GROUP, VERSION, (PROJECTS.plural,), ("CREATE", "UPDATE"))
    return [
        *_validating("project-pod-security", written, {"validations": [rule]}),
        *_validating("project-limits", written, {"validations": [_LIMITS_KEPT]}),
        *_validating("project-namespaces", _NAMESPACES, _PROJECT_LABELS),
    ]


_POD_SECURITY = "?spec.?podSecurity"


def _administrator_or(process: str) -> str:
    """CEL: the request comes from an administrator of the cluster or from one process of the platform."""
    names = [labels.ADMINISTRATOR, *labels.user_names(process)]
    return f"({_MASTERS} || request.userInfo.username in {names})"


_LIMIT_FIELDS = [f"?spec.?limits.?{name}" for name in projects.DEFAULT_LIMITS]
_LIMITS_KEPT: Manifest = {
    "expression": f"{_administrator_or(labels.GATEWAY)} || (oldObject == null "
    f"? !({' || '.join(f'object.{field}.hasValue()' for field in _LIMIT_FIELDS)}) "
    f": {' && '.join(f'object.{field} == oldObject.{field}' for field in _LIMIT_FIELDS)})",
    "messageExpression": """'spec.limits: only an administrator changes it, and ' + request.userInfo.username
        + ' is not one: leave it as it is, or ask one to run pin admin limits'""",
    "reason": "Forbidden",
}


_PLATFORMS_FINALIZER = (  # a policy adds it to whatever anybody writes
    f"(request.resource.resource == '{PROJECTS.plural}' ? '{labels.NAMESPACES_FINALIZER}' "
    f": request.resource.resource == '{member_clusters.MEMBERCLUSTERS.plural}' ? '{labels.DRAIN_FINALIZER}' "
    f": '{labels.SHARDS_FINALIZER}')"
)
_TRUE_KEYS = (  # policies write the true values of the first two into workloads and projects, whoever writes these
    f"({_IS_GATEWAY} ? {[labels.CHANGED_BY, labels.OPERATIONS, labels.IDEMPOTENCY, labels.CREATED_BY]} "
    f": request.resource.resource != '{member_clusters.MEMBERCLUSTERS.plural}' ? {[labels.CHANGED_BY, labels.OPERATIONS]} : [])"
)


def _kept_keys(part: str) -> str:
    """CEL: no key of the platform is added, removed or has another value. A file that replaces an object lacks the note of its
    last request, which nothing follows from.
    """
    after, before = f"object.metadata.?{part}.orValue({{}})", f"variables.{part}"
    return (
        f"{after}.all(k, !k.startsWith('{GROUP}/') || {before}[?k] == object.metadata.{part}[?k] || k in {_TRUE_KEYS})"
        f" && {before}.all(k, !k.startsWith('{GROUP}/') || k in {after} || k == '{labels.IDEMPOTENCY}' || k in {_TRUE_KEYS})"
    )


def _before_it(part: str, empty: str) -> Manifest:
    return {"name": part, "expression": f"oldObject == null ? {empty} : oldObject.metadata.?{part}.orValue({empty})"}


def _changed(parts: tuple[str, ...]) -> str:
    """CEL: the object is new, or one of these parts of its metadata changes."""
    changes = (f"object.metadata.?{part} != oldObject.metadata.?{part}" for part in parts)
    return f"(request.operation == 'CREATE' || {' || '.join(changes)})"


_LENGTH = {rule_compiler.RULES: [validation_rules.NOTES_LENGTH.manifest()]}
_LIMITED: Manifest = _nested({"metadata": _nested({"labels": _LENGTH, "annotations": _LENGTH})})
_NOTES_STAY = f"!{_changed(('labels', 'annotations'))}"  # an object of an earlier version can be changed in other ways
_MAY_MARK = f"({_administrator_or(labels.FEDERATION)} || {_IS_CONTROLLER})"
_KEPT: Manifest = {
    "variables": [
        _before_it("ownerReferences", "[]"),
        _before_it("finalizers", "[]"),
        _before_it("labels", "{}"),
        _before_it("annotations", "{}"),
    ],
    "validations": [
        {
            "expression": f"{_MAY_MARK} || object.metadata.?ownerReferences.orValue([])"
            ".all(o, variables.ownerReferences.exists(b, b == o))",
            "message": "metadata.ownerReferences: only the platform adds one, because an object whose owner is gone is "
            "deleted: remove it",
            "reason": "Forbidden",
        },
        {
            "expression": f"{_MAY_MARK} || object.metadata.?finalizers.orValue([]).all(f, f in variables.finalizers || "
            f"f == {_PLATFORMS_FINALIZER})",
            "message": "metadata.finalizers: only the platform adds one, because it holds the deletion: remove it",
            "reason": "Forbidden",
        },
        *(
            {
                "expression": f"{_MAY_MARK} || {_kept_keys(part)}",
                "message": f"metadata.{part}: only the platform and administrators change keys that begin with {GROUP}/: "
                "leave them as they are",
                "reason": "Forbidden",
            }
            for part in ("labels", "annotations")
        ),
    ],
}
"""Whoever may update an object does not thereby delete it, by an owner that is absent, hold its deletion, or forge a key."""
_METADATA: Manifest = {  # one policy, since each costs every write something
    "matchConditions": [{"name": "metadata-changes", "expression": _changed(_METADATA_PARTS)}],
    "variables": [*_KEPT["variables"], *rule_compiler.variables(_LIMITED)],
    "validations": [
        *_KEPT["validations"],
        rule_compiler.VALIDATION | {"expression": f"{_NOTES_STAY} || variables.problems == ''"},
    ],
}
_PLAINLY_GOOD_METADATA = " && ".join(
    (
        *(f"({validation['expression']})" for validation in _KEPT["validations"]),
        f"({_NOTES_STAY} || {rule_compiler.plainly_holds(_LIMITED)})",
    )
)


def _only_by(kinds: Kinds, *processes: str) -> Manifest:
    """Refuses everybody else, but for administrators in an emergency."""
    workloads = " or ".join(kind.workload.kind for kind in kinds)
    writers = [*labels.user_names(*processes), *_CONTROLLERS]
    return {
        "validations": [
            {
                "expression": f"request.userInfo.username in {writers} || {_MASTERS}",
                "messageExpression": "'only the platform writes ' + request.resource.resource + ', and ' "
                f"+ request.userInfo.username + ' is not part of it: change the {workloads} instead, in the host cluster'",
                "reason": "Forbidden",
            }
        ]
    }


def _statuses_written(workloads: tuple[str, ...]) -> Match:
    plurals = (*workloads, PROJECTS.plural, member_clusters.MEMBERCLUSTERS.plural)
    return Match(GROUP, VERSION, tuple(f"{plural}/status" for plural in plurals), ("UPDATE",))


_STATUS_WRITERS = [*labels.user_names(labels.FEDERATION), *_CONTROLLERS]
_STATUS_BY_FEDERATION: Manifest = {  # the history, limits and decisions of the platform follow from what a status says
    "validations": [
        {
            "expression": f"request.userInfo.username in {_STATUS_WRITERS} || {_MASTERS}",
            "messageExpression": "'only the platform writes the status of ' + request.resource.resource + ', and ' "
            "+ request.userInfo.username + ' is not part of it: change the spec, and the status follows'",
            "reason": "Forbidden",
        }
    ]
}


def _label(of: str, name: str) -> str:
    return f"{of}.metadata.?labels[?'{name}'].orValue('')"


def _before(name: str) -> str:
    return f"(request.operation == 'CREATE' ? '' : {_label('oldObject', name)})"


_NAMESPACES = Match("", "v1", ("namespaces", "namespaces/status", "namespaces/finalize"), ("CREATE", "UPDATE"))
_LEVEL_LABELS: list[str] = [labels.POD_SECURITY, labels.POD_SECURITY_VERSION]
_PROJECT_LABELS: Manifest = {  # whoever may label a namespace could otherwise make it a project's, or lower its level
    "matchConditions": [
        {"name": "not-by-federation-or-administrators", "expression": f"!{_administrator_or(labels.FEDERATION)}"}
    ],
    "validations": [
        {
            "expression": " && ".join(
                f"{_label('object', name)} == {_before(name)}" for name in (labels.PROJECT, labels.PROJECT_UID)
            )
            + f" && ({_label('object', labels.MANAGED_BY)} == '{labels.PINCOMPUTE}') "
            f"== ({_before(labels.MANAGED_BY)} == '{labels.PINCOMPUTE}')",
            "messageExpression": f"""'only the platform changes the labels {labels.PROJECT}, '
                + '{labels.PROJECT_UID} and {labels.MANAGED_BY}: {labels.PINCOMPUTE} of a namespace, and '
                + request.userInfo.username + ' is not part of it: leave them as they are'""",
            "reason": "Forbidden",
        },
        {
            "expression": f"{_before(labels.PROJECT)} == '' || "
            f"{_LEVEL_LABELS}.all(k, object.metadata.?labels[?k] == oldObject.metadata.?labels[?k])",
            "message": f"metadata.labels: only the platform changes {' and '.join(_LEVEL_LABELS)} of a project's namespace: "
            "leave them as they are; an administrator changes the level with pin admin pod-security",
            "reason": "Forbidden",
        },
    ],
}


def _made_in_projects(workloads: tuple[str, ...]) -> list[Manifest]:
    """Refuses workloads and settings outside of projects' namespaces. A selector decides, so that one inside costs nothing."""
    plurals = (*workloads, *(kind.resource.plural for kind in settings.SETTINGS))
    rule: Manifest = {
        "expression": "false",
        "messageExpression": f"""'namespace ' + request.namespace + ' is not a project: create the Project first, with: '
            + 'echo \\'{_PROJECT_JSON}' + request.namespace + '"}}}}\\' | kubectl apply -f -'""",
        "reason": "Forbidden",
    }
    match = Match(GROUP, VERSION, plurals, ("CREATE",))
    policy, binding = _validating("made-in-projects", match, {"validations": [rule]})
    return [policy, _narrowed(binding, "named", _NAMED)]


_PROJECT_JSON = f'{{"apiVersion":"{GROUP}/{VERSION}","kind":"Project","metadata":{{"name":"'
_NAMED: Manifest = {"key": labels.PROJECT, "operator": "DoesNotExist"}


def _shards_in_projects(kinds: Kinds) -> list[Manifest]:
    """Refuses shards outside of projects' namespaces. Selectors decide, so that a shard in one of these costs nothing more."""
    workloads = " or ".join(kind.workload.kind for kind in kinds)
    message = (
        """'namespace ' + request.namespace + " is not a project's: create the Project and the """
        f"""{workloads} in the host cluster; the federation makes the shard\""""
    )
    probe = f"request.namespace == '{labels.SYSTEM_NAMESPACE}' && has(request.dryRun) && request.dryRun"  # by the installer
    body: Manifest = {"validations": [{"expression": probe, "messageExpression": message, "reason": "Forbidden"}]}
    policy, binding = _validating("shards-in-projects", _shards_created(kinds), body)
    outside = {
        "managed": {"key": labels.MANAGED_BY, "operator": "NotIn", "values": [labels.PINCOMPUTE]},
        "named": _NAMED,
        "owned": {"key": labels.PROJECT_UID, "operator": "DoesNotExist"},
    }
    return [policy, *(_narrowed(binding, name, expression) for name, expression in outside.items())]


def _narrowed(binding: Manifest, name: str, expression: Manifest) -> Manifest:
    """Returns the binding for namespaces that match the expression; its name is that of the policy with this one before it."""
    metadata = {**binding["metadata"], "name": f"{name}-{binding['metadata']['name']}"}
    match = {"namespaceSelector": {"matchExpressions": [expression]}}
    return {**binding, "metadata": metadata, "spec": {**binding["spec"], "matchResources": match}}


def _validating(name: str, match: Match, body: Manifest, plainly_holds: str = "") -> list[Manifest]:
    judged = violation_condition.add(body, plainly_holds)
    spec = {"failurePolicy": "Fail", "matchConstraints": match.manifest(), **judged}
    binding: Manifest = {"validationActions": ["Deny"]}
    return _with_binding("ValidatingAdmissionPolicy", name, spec, binding)


def _finalizer(name: str, plurals: tuple[str, ...], finalizer: str) -> list[Manifest]:
    """Also on update: `kubectl replace` with the user's file would otherwise take the finalizer away."""
    match = Match(GROUP, VERSION, plurals, ("CREATE", "UPDATE"))
    lacking = f"!has(object.metadata.finalizers) || !('{finalizer}' in object.metadata.finalizers)"
    conditions = [
        {"name": "lives", "expression": "!has(object.metadata.deletionTimestamp)"},
        {"name": "lacks-it", "expression": lacking},
    ]
    add = f"""has(object.metadata.finalizers)
        ? [JSONPatch{{op: "add", path: "/metadata/finalizers/-", value: "{finalizer}"}}]
        : [JSONPatch{{op: "add", path: "/metadata/finalizers", value: ["{finalizer}"]}}]"""
    return _mutating(name, match, add, "Fail", conditions)


def _workload_metadata(plurals: tuple[str, ...]) -> list[Manifest]:
    """One policy for all that the platform changes in a workload's metadata, since each policy costs every write something.

    The finalizer is there from the start, and `kubectl replace` with the user's file does not take it away. The record of
    field managers, half of an object's bytes, is removed unless somebody applies the object on the server's side. What takes
    the record's place is the author of the spec, where the author is not the platform: `<generation> <user name>`. What the
    gateway notes about operations is changed by the gateway only. The API server evaluates the policy again after another one
    has changed the object, since a spec that differs only in its notation makes no generation and has no new author.
    """
    match = Match(GROUP, VERSION, plurals, ("CREATE", "UPDATE"))
    patches = " + ".join((_FINALIZER, _UNTRACKED, _AUTHOR, _TRUE_NOTES))
    return _mutating("workload-metadata", match, patches, "Fail", variables=_AUTHORSHIP, reinvocation="IfNeeded")


def _project_metadata() -> list[Manifest]:
    """Nobody but the platform says who wrote a project: the rules are those of workloads."""
    match = Match(GROUP, VERSION, (PROJECTS.plural,), ("CREATE", "UPDATE"))
    patches = f"{_AUTHOR} + {_TRUE_NOTES}"
    return _mutating("project-metadata", match, patches, "Fail", variables=_AUTHORSHIP, reinvocation="IfNeeded")


_FINALIZER = f"""(has(object.metadata.deletionTimestamp) ? []
    : !has(object.metadata.finalizers)
        ? [JSONPatch{{op: "add", path: "/metadata/finalizers", value: ["{labels.SHARDS_FINALIZER}"]}}]
    : !("{labels.SHARDS_FINALIZER}" in object.metadata.finalizers)
        ? [JSONPatch{{op: "add", path: "/metadata/finalizers/-", value: "{labels.SHARDS_FINALIZER}"}}]
    : [])"""
_UNTRACKED = """(has(object.metadata.managedFields) && !object.metadata.managedFields.exists(m, m.operation == "Apply")
    ? [JSONPatch{op: "remove", path: "/metadata/managedFields"}]
    : [])"""
_CHANGED_BY = f"metadata.?annotations[?'{labels.CHANGED_BY}'].orValue('')"
_OPERATIONS = f"metadata.?annotations[?'{labels.OPERATIONS}'].orValue('')"
_AUTHORSHIP: list[Manifest] = [
    {"name": "given", "expression": f"object.{_CHANGED_BY}"},
    {"name": "before", "expression": f"request.operation == 'CREATE' ? '' : oldObject.{_CHANGED_BY}"},
    {
        "name": "author",
        "expression": f"""request.operation != 'CREATE' && object.?spec == oldObject.?spec ? variables.before
            : {_IS_PLATFORM} ? ''
            : request.operation == 'CREATE' ? '1 ' + request.userInfo.username
            : string(oldObject.metadata.generation + 1) + ' ' + request.userInfo.username""",
    },
    {"name": "notes", "expression": f"object.{_OPERATIONS}"},
    {
        "name": "true_notes",
        "expression": f"""{_IS_GATEWAY} ? variables.notes
            : request.operation == 'CREATE' ? '' : oldObject.{_OPERATIONS}""",
    },
]
_PATH = "/metadata/annotations/" + labels.CHANGED_BY.replace("/", "~1")
_AUTHOR = f"""(variables.given == variables.author ? []
    : variables.author == "" ? [JSONPatch{{op: "remove", path: "{_PATH}"}}]
    : has(object.metadata.annotations) ? [JSONPatch{{op: "add", path: "{_PATH}", value: variables.author}}]
    : [JSONPatch{{op: "add", path: "/metadata/annotations", value: {{"{labels.CHANGED_BY}": variables.author}}}}])"""


_NOTES = "/metadata/annotations/" + labels.OPERATIONS.replace("/", "~1")
_TRUE_NOTES = f"""(variables.notes == variables.true_notes ? []
    : variables.true_notes == "" ? [JSONPatch{{op: "remove", path: "{_NOTES}"}}]
    : has(object.metadata.annotations) || variables.author != ""
        ? [JSONPatch{{op: "add", path: "{_NOTES}", value: variables.true_notes}}]
    : [JSONPatch{{op: "add", path: "/metadata/annotations", value: {{"{labels.OPERATIONS}": variables.true_notes}}}}])"""


def _mutating(
    name: str,
    match: Match,
    patches: str,
    failure: Literal["Fail", "Ignore"],
    conditions: list[Manifest] | None = None,
    variables: list[Manifest] | None = None,
    reinvocation: Literal["Never", "IfNeeded"] = "Never",
) -> list[Manifest]:
    spec = {
        "failurePolicy": failure,
        "reinvocationPolicy": reinvocation,
        "matchConstraints": match.manifest(),
        **({"matchConditions": conditions} if conditions else {}),
        **({"variables": variables} if variables else {}),
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patches}}],
    }
    return _with_binding("MutatingAdmissionPolicy", name, spec, {})


def _with_binding(kind: str, name: str, spec: Manifest, binding: Manifest) -> list[Manifest]:
    full = f"{name}.{GROUP}"
    common = {"apiVersion": f"{_ADMISSION}/v1"}
    metadata = {"name": full, "labels": {labels.MANAGED_BY: labels.PINCOMPUTE}}
    return [
        {**common, "kind": kind, "metadata": metadata, "spec": spec},
        {**common, "kind": f"{kind}Binding", "metadata": metadata, "spec": {"policyName": full, **binding}},
    ]
