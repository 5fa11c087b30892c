"""What a change costs, and what the table says about pods that come, go and change their addresses."""

from __future__ import annotations

import msgspec
import pytest

from pincompute.api.builtin import Namespace
from pincompute.api.meta import Key, ObjectMeta
from pincompute.api.network_policies import NetworkPod, NetworkPolicy
from pincompute.domain import network_isolation
from pincompute.region.network_policy.policy_state import PolicyState, RuleChange


def pod(namespace: str, name: str, address: str, **more: object) -> NetworkPod:
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name.split("-", maxsplit=1)[0]}}
    return msgspec.convert({"metadata": metadata, "spec": more, "status": {"podIP": address, "phase": "Running"}}, NetworkPod)


def project(name: str) -> Namespace:
    labels = {"kubernetes.io/metadata.name": name, "pincompute.io/project": name}
    return Namespace(metadata=ObjectMeta(name=name, labels=labels))


def isolation(name: str) -> NetworkPolicy:
    made = network_isolation.policy(network_isolation.Project(metadata=ObjectMeta(name=name)))
    return msgspec.convert({**made, "metadata": {"name": made["metadata"]["name"], "namespace": name}}, NetworkPolicy)


@pytest.fixture
def state() -> PolicyState:
    """Fifty projects with four pods each."""
    made = PolicyState()
    for number in range(50):
        name = f"p{number}"
        made.namespace(name, project(name))
        made.policy(Key(name, "pincompute"), isolation(name))
        for replica in range(4):
            made.pod(Key(name, f"web-{replica}"), pod(name, f"web-{replica}", f"10.0.{number}.{replica + 1}"))
    made.take()
    return made


def test_a_pod_costs_its_own_elements(state: PolicyState):
    state.pod(Key("p7", "new"), pod("p7", "new", "10.0.7.9"))
    change = state.take()
    assert not change.sets
    assert not change.chains
    assert {key for _, key in change.elements} == {"10.0.7.9"}
    assert len(change.elements) == 4  # both maps, the pods of its project, the pods of all projects
    state.pod(Key("p7", "new"), None)
    assert state.take().elements == dict.fromkeys(change.elements)
    assert not state.take()


def test_nothing_changes_when_a_pod_says_the_same_again(state: PolicyState):
    state.pod(Key("p7", "web-0"), pod("p7", "web-0", "10.0.7.1"))
    assert not state.take()


def test_a_pod_that_ends_or_shares_its_nodes_network_has_no_elements(state: PolicyState):
    state.pod(Key("p7", "job"), msgspec.structs.replace(pod("p7", "job", "10.0.7.9"), status=ended("10.0.7.9")))
    state.pod(Key("p7", "host"), pod("p7", "host", "10.64.0.10", hostNetwork=True))
    state.pod(Key("p7", "starting"), pod("p7", "starting", ""))
    assert not state.take()


def test_an_address_is_given_up_when_its_last_pod_ends_and_no_other_has_it(state: PolicyState):
    state.pod(Key("p7", "web-0"), pod("p7", "web-0", "10.0.7.1"))
    state.pod(Key("p8", "next"), pod("p8", "next", "10.0.7.2"))
    state.pod(Key("p7", "web-1"), None)
    state.pod(Key("p7", "web-2"), None)
    state.pod(Key("p9", "next"), pod("p9", "next", "10.0.7.3"))
    state.pod(Key("p7", "web-3"), msgspec.structs.replace(pod("p7", "web-3", "10.0.7.4"), status=ended("10.0.7.4")))
    assert state.take_given_up() == {"10.0.7.4"}, "the others are unchanged, shared, or taken again"
    assert not state.take_given_up()
    state.pod(Key("p8", "next"), None)
    assert state.take_given_up() == {"10.0.7.2"}


def ended(address: str) -> object:
    return msgspec.convert({"podIP": address, "phase": "Succeeded"}, type(pod("a", "b", "").status))


def verdict(change: RuleChange, direction: str, address: str) -> str | None:
    return change.elements.get((direction, address))


def test_an_address_that_two_pods_claim_is_nobodys(state: PolicyState):
    """One of them has lost it, and its status does not say so yet."""
    state.pod(Key("p8", "next"), pod("p8", "next", "10.0.7.1"))
    change = state.take()
    assert verdict(change, "ingress", "10.0.7.1") is None
    assert {key for _, key in change.elements} == {"10.0.7.1"}
    state.pod(Key("p7", "web-0"), pod("p7", "web-0", "10.0.7.8"))
    change = state.take()
    assert verdict(change, "ingress", "10.0.7.1") == "goto ingress-namespace-p8"
    assert verdict(change, "ingress", "10.0.7.8") == "goto ingress-namespace-p7"
    state.pod(Key("p8", "next"), None)
    assert verdict(state.take(), "ingress", "10.0.7.1") is None


def test_a_pod_of_a_project_is_closed_before_its_policy_is_known():
    made = PolicyState()
    made.pod(Key("shop", "web"), pod("shop", "web", "10.0.0.1"))
    assert not made.take()
    made.namespace("shop", project("shop"))
    change = made.take()
    assert change.elements[("egress", "10.0.0.1")] == "goto egress-namespace-shop"
    assert change.chains["egress-namespace-shop"] == ("drop",)


def test_a_namespace_that_goes_takes_everything_along(state: PolicyState):
    for replica in range(4):
        state.pod(Key("p7", f"web-{replica}"), None)
    state.policy(Key("p7", "pincompute"), None)
    state.namespace("p7", None)
    change = state.take()
    assert set(change.chains.values()) == {None}
    assert set(change.elements.values()) == {None}
    assert "p7" not in str(state.whole())


def opened(name: str, cidr: str, selected: str = "web") -> NetworkPolicy:
    """Lets the pods of an app out to a range, and nothing in."""
    spec = {
        "podSelector": {"matchLabels": {"app": selected}},
        "policyTypes": ["Ingress", "Egress"],
        "egress": [{"to": [{"ipBlock": {"cidr": cidr}}]}],
    }
    return msgspec.convert({"metadata": {"name": name, "namespace": "p7"}, "spec": spec}, NetworkPolicy)


def test_a_policy_that_does_not_compile_is_closed_alone(state: PolicyState, caplog: pytest.LogCaptureFixture):
    """An API server accepts a leading zero in an address, and Python does not."""
    key = Key("p7", "opened")
    state.policy(key, opened("opened", "11.0.0.0/8"))
    chain = next(name for name, rules in state.take().chains.items() if rules == ("ip daddr 11.0.0.0/8 accept",))
    state.policy(key, opened("opened", "010.0.0.0/8"))
    change = state.take()
    assert change.chains == {chain: ()}
    assert "p7/opened" in str([record.__dict__ for record in caplog.records])
    state.pod(Key("p7", "new"), pod("p7", "new", "10.0.7.9"))
    assert verdict(state.take(), "egress", "10.0.7.9") == "goto egress-namespace-p7", "other changes still arrive"
    state.policy(key, opened("opened", "11.0.0.0/8"))
    assert state.take().chains == {chain: ("ip daddr 11.0.0.0/8 accept",)}


def test_a_policy_that_never_compiled_isolates_its_pods_outside_projects():
    made = PolicyState()
    made.namespace("p7", Namespace(metadata=ObjectMeta(name="p7", labels={"kubernetes.io/metadata.name": "p7"})))
    made.pod(Key("p7", "web"), pod("p7", "web", "10.0.7.1"))
    made.pod(Key("p7", "other"), pod("p7", "other", "10.0.7.2"))
    made.policy(Key("p7", "bad"), opened("bad", "010.0.0.0/8"))
    change = made.take()
    assert verdict(change, "egress", "10.0.7.1") == "goto egress-namespace-p7"
    assert verdict(change, "egress", "10.0.7.2") == "accept"
