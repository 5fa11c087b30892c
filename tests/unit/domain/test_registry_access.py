"""Scopes of registry tokens: how they are read, and what of them is granted."""

from __future__ import annotations

import pytest

from pincompute.domain import registry_access
from pincompute.domain.registry_access import Access, InvalidScope

READ = {
    "one action": (["repository:shop/web:pull"], [("shop/web", "pull")]),
    "two actions": (["repository:shop/web:pull,push"], [("shop/web", "pull"), ("shop/web", "push")]),
    "all actions": (["repository:shop/web:*"], [("shop/web", "pull"), ("shop/web", "push"), ("shop/web", "delete")]),
    "two scopes": (["repository:a/x:pull", "repository:b/y:pull"], [("a/x", "pull"), ("b/y", "pull")]),
    "two scopes in one": (["repository:a/x:pull repository:b/y:pull"], [("a/x", "pull"), ("b/y", "pull")]),
    "the same twice": (["repository:a/x:pull", "repository:a/x:pull,push"], [("a/x", "pull"), ("a/x", "push")]),
    "the platform's": (["repository:hello:pull"], [("hello", "pull")]),
    "nothing": ([""], []),
}


@pytest.mark.parametrize("case", READ)
def test_scopes_are_read(case: str) -> None:
    texts, expected = READ[case]
    assert [tuple(access) for access in registry_access.parse(texts)] == expected


REFUSED = [
    "repository:shop/../other/web:pull",
    "repository:shop/./web:pull",
    "repository:shop//web:pull",
    "repository:/shop/web:pull",
    "repository:shop/web/:pull",
    "repository:shop%2Fweb:pull",
    "repository:Shop/web:pull",
    "repository:shop/web\n:pull",
    "repository:shop/web\x00:pull",
    "repository:\u017fhop/web:pull",
    "repository:host:5000/shop/web:pull",
    "repository:shop/web:tag:pull",
    "repository:shop/web:",
    "repository:shop/web:pull,",
    "repository:shop/web:pull,*",
    "repository:shop/web:PULL",
    "repository:shop/web:admin",
    "repository::pull",
    "repository:shop/web",
    "repository(plugin):shop/web:pull",
    "registry:catalog:*",
    "*",
    f"repository:{'a' * 256}:pull",
]


@pytest.mark.parametrize("scope", REFUSED)
def test_a_scope_in_another_form_is_refused(scope: str) -> None:
    with pytest.raises(InvalidScope):
        registry_access.parse([scope])


def test_there_is_a_bound_on_scopes() -> None:
    scopes = [f"repository:shop/web{number}:pull" for number in range(registry_access.MOST_SCOPES + 1)]
    assert len(registry_access.parse(scopes[1:])) == registry_access.MOST_SCOPES
    with pytest.raises(InvalidScope, match="more than 16"):
        registry_access.parse(scopes)


def _developer_of_shop(project: str, action: str) -> str:
    if project != "shop":
        return "hidden"
    return "" if action in ("pull", "push") else "your role is developer"


GRANTS = {
    "all of it": ("shop/web:pull,push", "shop/web:pull,push", "", False),
    "one action too many": ("shop/web:pull,delete", "shop/web:pull", "shop/web:delete", True),
    "another's as source of a copy": ("shop/web:pull,push b/y:pull", "shop/web:pull,push", "b/y:pull", False),
    "nothing but another's": ("b/y:pull", "", "b/y:pull", True),
    "a push to another's": ("shop/web:pull b/y:push", "shop/web:pull", "b/y:push", True),
    "the platform's": ("hello:pull pincompute/pause:pull", "hello:pull pincompute/pause:pull", "", False),
    "a push to the platform's": ("hello:pull,push", "hello:pull", "hello:push", True),
    "nothing": ("", "", "", False),
}


@pytest.mark.parametrize("case", GRANTS)
def test_the_intersection_is_granted_and_a_denied_change_refuses_the_token(case: str) -> None:
    asked, granted, denied, refused = GRANTS[case]
    got, lacking = registry_access.decide(_accesses(asked), _developer_of_shop)
    assert got == _accesses(granted)
    assert tuple(denial.access for denial in lacking) == _accesses(denied)
    assert bool(registry_access.refused(got, lacking)) is refused


def _accesses(text: str) -> tuple[Access, ...]:
    return registry_access.parse(f"repository:{scope}" for scope in text.split())


def test_a_token_names_every_repository_once_and_ends_in_five_minutes() -> None:
    made = registry_access.claims("dev", _accesses("shop/web:pull,push hello:pull"), 1000, "x")
    assert made["access"] == [
        {"type": "repository", "name": "shop/web", "actions": ["pull", "push"]},
        {"type": "repository", "name": "hello", "actions": ["pull"]},
    ]
    assert (made["sub"], made["exp"], made["aud"]) == ("dev", 1300, "pincompute-registry")
