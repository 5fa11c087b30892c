"""Who may change which field of an object, judged by the object that results."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from access_fixtures import START, World, user

import pincompute.gateway
from pincompute.gateway.access import object_permissions
from pincompute.gateway.call_context import Call, Caller, Operation
from pincompute.gateway.problems import Problem

OWNER, ADMIN, CREATOR, OPERATOR = user("olga"), user("anna", "admins"), user("carl", "staff"), user("op")


def spec(**members: str) -> dict[str, Any]:
    return {"members": [{"name": name, "role": role} for name, role in members.items()]}


OLGA = spec(olga="owner")
LEVEL = {"podSecurity": {"level": "privileged"}}
CHANGES: dict[str, tuple[Caller, dict[str, Any] | None, dict[str, Any], str]] = {
    "a member by an owner": (OWNER, OLGA, spec(olga="owner", eve="owner"), ""),
    "a member by an operator": (OPERATOR, OLGA, spec(olga="owner", eve="viewer"), "forbidden"),
    "a member with the default role": (OWNER, OLGA, {"members": [*OLGA["members"], {"name": "eve"}]}, ""),
    "a role that is not defined": (OWNER, OLGA, spec(olga="owner", eve="king"), "forbidden"),
    "a member who had such a role": (OWNER, spec(olga="owner", nick="nonsense"), OLGA, ""),
    "such a role by an administrator": (ADMIN, OLGA, spec(olga="owner", eve="king"), "forbidden"),
    "the last owner by an owner": (OWNER, OLGA, spec(olga="viewer"), "conflict"),
    "the last owner by an administrator": (ADMIN, OLGA, {}, ""),
    "the description by an operator, whose route asks for it": (OPERATOR, OLGA, {**OLGA, "description": "new"}, ""),
    "Pod Security by an owner": (OWNER, OLGA, {**OLGA, **LEVEL}, "forbidden"),
    "Pod Security by an administrator, who has a route of its own": (ADMIN, OLGA, {**OLGA, **LEVEL}, "forbidden"),
    "Pod Security back by an owner": (OWNER, {**OLGA, **LEVEL}, OLGA, "forbidden"),
    "Pod Security as it was": (OWNER, {**OLGA, **LEVEL}, {**OLGA, **LEVEL, "description": "new"}, ""),
    "limits by an owner": (OWNER, OLGA, {**OLGA, "limits": {"pods": 9}}, "forbidden"),
    "limits by an administrator, who has a route of its own": (ADMIN, OLGA, {**OLGA, "limits": {"pods": 9}}, "forbidden"),
    "a field that is not in the table, by an owner": (OWNER, OLGA, {**OLGA, "later": 1}, "forbidden"),
    "a new project of one's own": (CREATOR, None, spec(carl="owner", eve="developer"), ""),
    "a new project of somebody else": (CREATOR, None, spec(eve="owner"), ""),
    "a present project without members, made one's own": (CREATOR, {}, spec(carl="owner"), "forbidden"),
    "a new project with Pod Security": (CREATOR, None, {**spec(carl="owner"), **LEVEL}, "forbidden"),
}


@pytest.mark.parametrize(("caller", "before", "after", "code"), CHANGES.values(), ids=CHANGES.keys())
def test_changes(caller: Caller, before: dict[str, Any] | None, after: dict[str, Any], code: str):
    project = "new" if before is None else "demo"
    call = Call("1", caller, Operation("projects", "update"), project, "", "", START)
    try:
        object_permissions.check(World().authorizer, call, "projects", project, before, after)
        found = ""
    except Problem as problem:
        found = problem.code
    assert found == code


def test_whatever_writes_to_the_host_judges_the_result():
    writers = [
        path
        for path in Path(pincompute.gateway.__file__).parent.rglob("*.py")
        if re.search(r"write_requests\.(create|patch|update|apply)", path.read_text())
    ]
    assert writers
    unjudged = [path.name for path in writers if "object_permissions.check(" not in path.read_text()]
    # Of settings, a request holds nothing but the value. Administrators alone write daemons and sidecars: see matrix.yaml.
    assert sorted(unjudged) == ["platform_programs.py", "setting_service.py"]
