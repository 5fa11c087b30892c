"""Confines the platform's own processes by admission policies, where RBAC cannot: to the platform's objects in projects.

RBAC grants a verb in all namespaces of a cluster. In a cluster that others use as well, a stolen credential would reach them.
The API server decides by selectors of namespaces and objects whether a policy applies, so a write inside a project costs no
evaluation. Everybody but the named users is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from pincompute.api import violation_condition
from pincompute.api.builtin import NAMESPACES, PODS, ROLEBINDINGS, SECRETS
from pincompute.api.labels import (
    AUDIT_HEADS,
    DAEMONS_NAMESPACE,
    FEDERATION,
    GATEWAY,
    IN_PLACE_READY,
    MANAGED_BY,
    OPERATOR,
    PINCOMPUTE,
    PROJECT,
    RESTART_REQUEST,
    SYSTEM_NAMESPACE,
    service_account,
    user_names,
)
from pincompute.api.meta import GROUP, Manifest, Resource
from pincompute.domain import project_roles
from pincompute.domain.project_roles import ProjectRole
from pincompute.engine.controller import Card, Verb, Where
from pincompute.engine.rbac import SUBRESOURCES

_WRITES = ("CREATE", "UPDATE", "DELETE")
_STREAMS = ("exec", "attach", "portforward", "proxy")
_NOT_OURS: Manifest = {"matchExpressions": [{"key": MANAGED_BY, "operator": "NotIn", "values": [PINCOMPUTE]}]}
_ONLY_MANAGED = f"""'pincompute writes and opens only what it manages: ' + request.resource.resource + ' ' + request.name
    + ' in namespace ' + request.namespace + ' must carry the label {MANAGED_BY}: {PINCOMPUTE}, and the namespace also '
    + 'the label {PROJECT}'"""
_NO_PROJECT: Manifest = {"matchExpressions": [{"key": PROJECT, "operator": "DoesNotExist"}]}


def written(cards: Iterable[Card[Any]], where: Where) -> list[tuple[Resource[Any], set[str]]]:
    """Returns the kinds with a namespace that the cards write there, each with its plural and the subresources written."""
    found: dict[Resource[Any], set[str]] = {}
    for card in cards:
        for writes in card.writes:
            if writes.where == where and writes.resource.namespaced and not writes.namespace:  # which a Role confines
                found.setdefault(writes.resource, set()).update(_part(writes.resource, verb) for verb in writes.verbs)
    return sorted(found.items(), key=lambda item: (item[0].group, item[0].plural))


def in_members(cards: Sequence[Card[Any]], listed: Mapping[Resource[Any], Sequence[str]]) -> list[Manifest]:
    """Returns the policies of a member: `cards` are those of the federation and the operator. `listed` are the objects that
    every project's namespace holds, by kind and name.
    """
    kinds = [*written(cards, "members"), *written(cards, "local")]
    streams = _rule(PODS, {f"{PODS.plural}/{stream}" for stream in _STREAMS}, "CONNECT")
    return [
        *_in_projects(
            [streams, *(_rule(kind, parts) for kind, parts in _united(kinds))],
            [(kind, parts) for kind, parts in _united(kinds) if kind not in listed],
        ),
        *_listed_objects(listed),
        *_role_bindings(project_roles.IN_MEMBERS),
        *_secret_types(),
        *_namespaces_of_projects(),
        *_only_restart_requests(),
        *_shard_specs(_changed_kinds(cards)),
        *_only_own_condition(),
    ]


def on_host(
    cards: Sequence[Card[Any]], users_objects: Sequence[Resource[Any]], listed: Mapping[Resource[Any], Sequence[str]]
) -> list[Manifest]:
    """Returns the policies of the host: `cards` are the federation's, `users_objects` the kinds that users write, `listed` the
    objects that every project's namespace holds, by kind and name.

    The platform's kinds need no namespace of a project here, because nothing but the platform gives them a meaning. The gateway
    writes values of settings, which the federation's cards name as well.
    """
    foreign = [(kind, parts) for kind, parts in written(cards, "host") if kind.group != GROUP]
    return [
        *_in_projects([_rule(*each) for each in foreign], [(kind, parts) for kind, parts in foreign if kind not in listed]),
        *_listed_objects(listed),
        *_role_bindings(project_roles.ON_HOST),
        *_secret_types(),
        *_namespaces_of_projects(),
        *_intentions(users_objects),
    ]


def _in_projects(rules: list[Manifest], kinds: list[tuple[Resource[Any], set[str]]]) -> list[Manifest]:
    """Refuses every write of a process outside of projects' namespaces, and of objects without the platform's label.

    A binding for each reason, because the terms of one selector must all be met. An eviction and a stream have no labels; a
    resize and a condition are sent as the pod itself.
    """
    marked = [_rule(kind, {kind.plural} | (parts & _SENT_AS_PODS)) for kind, parts in kinds]
    policy = _policy(
        "processes-in-projects",
        rules,
        (FEDERATION, GATEWAY, OPERATOR),
        [{"expression": "false", "messageExpression": _ONLY_MANAGED, "reason": "Forbidden"}],
    )
    policy["spec"]["matchConditions"] += [_NOT_AUDIT_HEADS, _NOT_COPIES_OF_DAEMONS]
    return [
        policy,
        _binding(policy, "processes-in-managed-namespaces", {"namespaceSelector": _NOT_OURS}),
        _binding(policy, "processes-in-projects", {"namespaceSelector": _NO_PROJECT}),
        _binding(policy, "processes-own-objects", {"objectSelector": _NOT_OURS, "resourceRules": marked}),
    ]


_SENT_AS_PODS = {f"{PODS.plural}/resize", f"{PODS.plural}/status"}


def _listed_objects(listed: Mapping[Resource[Any], Sequence[str]]) -> list[Manifest]:
    """Of the kinds that every project holds, a process writes what is marked as ours, and takes back a listed name that lost
    its mark: otherwise whoever removes the label could open a project for good.
    """
    places = list(chain.from_iterable([f"{kind.plural}/{name}" for name in names] for kind, names in listed.items()))
    after = f"object.metadata.?labels[?'{MANAGED_BY}'].orValue('') == '{PINCOMPUTE}'"
    before = f"oldObject.metadata.?labels[?'{MANAGED_BY}'].orValue('') == '{PINCOMPUTE}'"
    taken_back = f"(request.operation == 'UPDATE' && (request.resource.resource + '/' + request.name) in {places})"
    policy = _policy(
        "processes-listed-objects",
        [_rule(kind, {kind.plural}) for kind in listed],
        (FEDERATION, GATEWAY, OPERATOR),
        [
            {
                "expression": f"(request.operation == 'DELETE' || {after})"
                f" && (request.operation == 'CREATE' || {before} || {taken_back})",
                "messageExpression": _ONLY_MANAGED,
                "reason": "Forbidden",
            }
        ],
    )
    return [policy, _binding(policy, "processes-listed-objects", {})]


_NOT_AUDIT_HEADS: Manifest = {  # which the gateway writes in the platform's own namespace, by a policy of its own
    "name": "not-the-audit-heads",
    "expression": f"!(request.resource.resource == 'configmaps' && request.namespace == '{SYSTEM_NAMESPACE}' "
    f"&& request.name == '{AUDIT_HEADS}')",
}


_NOT_COPIES_OF_DAEMONS: Manifest = {  # which the operator replaces where they do not serve
    "name": "not-a-copy-of-a-daemon",
    "expression": f"!(request.resource.resource == 'pods' && request.namespace == '{DAEMONS_NAMESPACE}' "
    f"&& request.operation == 'DELETE' && request.userInfo.username in {list(user_names(OPERATOR))})",
}


def _role_bindings(roles: tuple[ProjectRole, ...]) -> list[Manifest]:
    """The federation binds each of these roles to its process by a binding of the role's name, and nobody to anything else."""
    allowed = " || ".join(
        f"(object.metadata.name == '{role.name}' && object.roleRef.kind == 'ClusterRole' "
        f"&& object.roleRef.name == '{role.name}' && object.?subjects.orValue([]).all(s, "
        f"(s.kind == 'User' && s.name == 'pincompute:{role.process}') || (s.kind == 'ServiceAccount' "
        f"&& s.?namespace.orValue('') == '{SYSTEM_NAMESPACE}' && s.name == '{service_account(role.process)}')))"
        for role in roles
    )
    policy = _policy(
        "federation-role-bindings",
        [_rule(ROLEBINDINGS, {ROLEBINDINGS.plural}, "CREATE", "UPDATE")],
        (FEDERATION,),
        [
            {
                "expression": allowed,
                "message": "the federation binds only the platform's processes to their own roles in projects",
                "reason": "Forbidden",
            }
        ],
    )
    return [policy, _binding(policy, "federation-role-bindings", {})]


def _secret_types() -> list[Manifest]:
    """A process makes no Secret to which Kubernetes itself gives a meaning, such as one that it fills with a token."""
    policy = _policy(
        "processes-secret-types",
        [_rule(SECRETS, {SECRETS.plural}, "CREATE", "UPDATE")],
        (FEDERATION, GATEWAY, OPERATOR),
        [
            {
                "expression": "object.?type.orValue('Opaque') in ['Opaque', 'kubernetes.io/dockerconfigjson']",
                "message": "type: the platform writes only Opaque and kubernetes.io/dockerconfigjson",
                "reason": "Forbidden",
            }
        ],
    )
    return [policy, _binding(policy, "processes-secret-types", {})]


def _namespaces_of_projects() -> list[Manifest]:
    """The federation makes, changes and ends namespaces of projects, and never takes over another one."""
    ours = f"""(request.operation == 'CREATE' ? [object] : request.operation == 'DELETE' ? [oldObject] : [object, oldObject])
        .all(n, n.metadata.?labels[?'{MANAGED_BY}'].orValue('') == '{PINCOMPUTE}'
            && n.metadata.?labels[?'{PROJECT}'].orValue('') == n.metadata.name)"""
    message = f"""'namespace ' + request.name + ' is not the platform\\'s: it needs the labels {MANAGED_BY}: {PINCOMPUTE} and '
        + '{PROJECT}: ' + request.name"""
    policy = _policy(
        "federation-namespaces",
        [_rule(NAMESPACES, {NAMESPACES.plural})],
        (FEDERATION,),
        [{"expression": ours, "messageExpression": message, "reason": "Forbidden"}],
    )
    return [policy, _binding(policy, "federation-namespaces", {})]


def _only_restart_requests() -> list[Manifest]:
    """Of a pod the gateway changes nothing but the annotation with requests for a restart."""
    same = " && ".join(f"object.{part} == oldObject.{part}" for part in ("spec", *_METADATA))
    notes = f"""variables.after.all(k, k == '{RESTART_REQUEST}' || variables.before[?k] == optional.of(variables.after[k]))
        && variables.before.all(k, k == '{RESTART_REQUEST}' || k in variables.after)"""
    only = f"of a pod the gateway changes only the annotation {RESTART_REQUEST}"
    policy = _policy(
        "gateway-restarts",
        [_rule(PODS, {PODS.plural}, "UPDATE")],
        (GATEWAY,),
        [
            {"expression": same, "message": only, "reason": "Forbidden"},
            {"expression": notes, "message": only, "reason": "Forbidden"},
        ],
        [
            {"name": name, "expression": f"{obj}.metadata.?annotations.orValue({{}})"}
            for name, obj in (("after", "object"), ("before", "oldObject"))
        ],
    )
    return [policy, _binding(policy, "gateway-restarts", {})]


def _changed_kinds(cards: Iterable[Card[Any]]) -> list[Resource[Any]]:
    """Returns the platform's kinds in members of which an operator changes more than the status."""
    writes = (access for card in cards for access in card.writes if access.where == "local" and "patch" in access.verbs)
    found = {access.resource for access in writes if access.resource.group == GROUP}
    return sorted(found, key=lambda kind: kind.plural)


def _shard_specs(kinds: Sequence[Resource[Any]]) -> list[Manifest]:
    """The spec of a shard is the federation's: the operator reports in the status, and takes its finalizer away."""
    same = " && ".join(f"object.{part} == oldObject.{part}" for part in ("?spec", *_USERS_METADATA))
    policy = _policy(
        "operator-shard-specs",
        [_rule(kind, {kind.plural}, "UPDATE") for kind in kinds],
        (OPERATOR,),
        [
            {
                "expression": same,
                "messageExpression": "'the operator changes nothing of ' + request.resource.resource + ' but its finalizer "
                "and the status'",
                "reason": "Forbidden",
            }
        ],
    )
    return [policy, _binding(policy, "operator-shard-specs", {})]


def _only_own_condition() -> list[Manifest]:
    """Of a pod's status the operator changes nothing but the condition that takes the pod out of traffic and puts it back."""
    same = " && ".join(f"object.{part} == oldObject.{part}" for part in ("metadata.?annotations", *_METADATA))
    rest = "variables.after.all(k, k == 'conditions' || variables.before[?k] == optional.of(variables.after[k]))"
    kept = "variables.before.all(k, k == 'conditions' || k in variables.after)"
    others = [
        f"{obj}.?status.?conditions.orValue([]).filter(c, c.type != '{IN_PLACE_READY}')" for obj in ("object", "oldObject")
    ]
    only = f"of a pod's status the operator changes only the condition {IN_PLACE_READY}"
    policy = _policy(
        "operator-pod-status",
        [_rule(PODS, {f"{PODS.plural}/status"}, "UPDATE")],
        (OPERATOR,),
        [
            {"expression": expression, "message": only, "reason": "Forbidden"}
            for expression in (same, f"{rest} && {kept}", " == ".join(others))
        ],
        [
            {"name": name, "expression": f"{obj}.?status.orValue({{}})"}
            for name, obj in (("after", "object"), ("before", "oldObject"))
        ],
    )
    return [policy, _binding(policy, "operator-pod-status", {})]


_METADATA = ("metadata.?labels", "metadata.?finalizers", "metadata.?ownerReferences")
_USERS_METADATA = ("metadata.?labels", "metadata.?annotations", "metadata.?ownerReferences")


def _intentions(kinds: Sequence[Resource[Any]]) -> list[Manifest]:
    """What users ask for is theirs: the federation ends an object by its finalizer, and the gateway takes no finalizer away."""
    federation = f"!(request.userInfo.username in {list(user_names(FEDERATION))})"
    same = " && ".join(f"object.{part} == oldObject.{part}" for part in ("?spec", *_USERS_METADATA))
    kept = "oldObject.metadata.?finalizers.orValue([]).all(f, f in object.metadata.?finalizers.orValue([]))"
    gateway = f"!(request.userInfo.username in {list(user_names(GATEWAY))})"
    policy = _policy(
        "intentions-of-users",
        [_rule(kind, {kind.plural}, "UPDATE") for kind in kinds],
        (FEDERATION, GATEWAY),
        [
            {
                "expression": f"{federation} || ({same})",
                "message": "the federation does not change what users ask for",
                "reason": "Forbidden",
            },
            {
                "expression": f"{gateway} || {kept}",
                "message": "the gateway removes no finalizer",
                "reason": "Forbidden",
            },
        ],
    )
    return [policy, _binding(policy, "intentions-of-users", {})]


def _united(kinds: list[tuple[Resource[Any], set[str]]]) -> list[tuple[Resource[Any], set[str]]]:
    found: dict[Resource[Any], set[str]] = {}
    for kind, parts in kinds:
        found.setdefault(kind, set()).update(parts)
    return list(found.items())


def _part(resource: Resource[Any], verb: Verb) -> str:
    return resource.plural + SUBRESOURCES.get(verb, "")


def _rule(resource: Resource[Any], parts: Iterable[str], *operations: str) -> Manifest:
    return {
        "apiGroups": [resource.group],
        "apiVersions": [resource.version],
        "resources": sorted(parts),
        "operations": list(operations or _WRITES),
    }


def _policy(
    name: str,
    rules: list[Manifest],
    processes: tuple[str, ...],
    validations: list[Manifest],
    variables: Sequence[Manifest] = (),
) -> Manifest:
    """A policy about the requests of these processes, by their exact user names."""
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": rules},
        "matchConditions": [
            {"name": "by-our-process", "expression": f"request.userInfo.username in {list(user_names(*processes))}"}
        ],
        **({"variables": list(variables)} if variables else {}),
        "validations": validations,
    }
    return _manifest("ValidatingAdmissionPolicy", name, violation_condition.add(spec))


def _binding(policy: Manifest, name: str, match: Manifest) -> Manifest:
    spec = {
        "policyName": policy["metadata"]["name"],
        "validationActions": ["Deny"],
        **({"matchResources": match} if match else {}),
    }
    return _manifest("ValidatingAdmissionPolicyBinding", name, spec)


def _manifest(kind: str, name: str, spec: Manifest) -> Manifest:
    metadata = {"name": f"{name}.{GROUP}", "labels": {MANAGED_BY: PINCOMPUTE}}
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
