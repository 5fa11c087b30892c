"""A kind is one file in each of three places: package batches, which nothing else knows, appears everywhere.

Each test starts programs beside the package, which is how a kind that others bring gets into a region.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.programs

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
LONGEST = 80  # lines of the whole kind
ENTRY_POINTS = """\
[pincompute.kinds]
batch = batches.kind:PINBATCH
[pincompute.behaviours]
batch = batches.behaviour:PINBATCH
[pincompute.simple_forms]
batch = batches.simple:BATCH
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which package batches is installed, with the SDK that `make generate` makes beside it."""
    folder = tmp_path_factory.mktemp("installed")
    shutil.copytree(HERE / "batches", folder / "batches", ignore=shutil.ignore_patterns("__pycache__"))
    record = folder / "batches-1.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: batches\nVersion: 1\n")
    (record / "entry_points.txt").write_text(ENTRY_POINTS)
    shutil.copytree(ROOT / "sdk/src/pincompute_sdk", folder / "pincompute_sdk", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "openapi.json").write_text(run(folder, "-m", "pincompute", "gateway", "openapi"))
    target = repr(str(folder / "pincompute_sdk/generated"))
    code = f"import json, pathlib, generate_sdk; generate_sdk.write(json.load(open('openapi.json')), pathlib.Path({target}))"
    run(folder, "-c", code)
    return folder


def run(folder: Path, *arguments: str) -> str:
    paths = (folder, ROOT / "src", ROOT / "tools", ROOT / "tests/unit", ROOT / "tests/laws")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def manifests(folder: Path, role: str) -> Any:
    code = f"import json; from pincompute import installation; print(json.dumps(installation.of({role!r})))"
    return json.loads(run(folder, "-c", code))


def named(found: Any, kind: str, name: str) -> Any:
    return next(manifest for manifest in found if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name))


@pytest.fixture(scope="module")
def seen(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a gateway beside it answered."""
    return json.loads(run(installed, str(HERE / "batch_gateway.py"), str(tmp_path_factory.mktemp("gateway"))))


def test_it_is_small_and_nothing_else_knows_it() -> None:
    assert sum(len(file.read_text().splitlines()) for file in (HERE / "batches").glob("*.py")) <= LONGEST
    sources = [*ROOT.glob("src/**/*.py"), *ROOT.glob("sdk/src/**/*.py"), *ROOT.glob("tools/*.py")]
    assert not [file for file in sources if "batch" in file.stem or "PinBatch" in file.read_text()]


def test_clusters_get_its_definitions_its_policies_and_the_rights_to_it(installed: Path) -> None:
    host, member = (manifests(installed, role) for role in ("host", "member"))
    definition = named(host, "CustomResourceDefinition", "pinbatches.pincompute.io")["spec"]
    assert definition["names"]["shortNames"] == ["pb"]
    (version,) = definition["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert spec["properties"]["team"]["description"] == "Whose it is."
    assert "containers" in spec["properties"]["template"]["properties"]["spec"]["properties"]
    assert version["subresources"]["scale"]["specReplicasPath"] == ".spec.replicas"
    assert named(member, "CustomResourceDefinition", "pinbatchshards.pincompute.io")
    for found, name, plural in (
        (host, "pinbatch-rules.pincompute.io", "pinbatches"),
        (member, "platform-writes.pincompute.io", "pinbatchshards"),
    ):
        policy = named(found, "ValidatingAdmissionPolicy", name)
        assert plural in policy["spec"]["matchConstraints"]["resourceRules"][0]["resources"]
    for found, role, plural in (
        (host, "pincompute-gateway", "pinbatches"),
        (host, "pincompute-federation", "pinbatches"),
        (member, "pincompute-gateway-reads", "pinbatchshards"),
        (member, "pincompute-federation", "pinbatchshards"),
        (member, "pincompute-operator", "pinbatchshards"),
    ):
        rules = named(found, "ClusterRole", role)["rules"]
        assert any(plural in rule["resources"] for rule in rules), (role, plural)


def test_the_document_has_its_routes(installed: Path) -> None:
    document = json.loads((installed / "openapi.json").read_text())
    apps, batches = (
        {
            (path.replace(f"/{plural}", "/X"), method, operation["operationId"].replace(word, "X"))
            for path, item in document["paths"].items()
            if f"/{plural}" in path
            for method, operation in item.items()
            if method in ("get", "put", "post", "delete", "patch")
        }
        for plural, word in (("apps", "App"), ("batches", "Batch"))
    )
    assert apps == batches
    assert document["components"]["schemas"]["Batch"]["properties"]["team"]


def test_it_is_created_listed_and_explained(seen: Any) -> None:
    assert (seen["created"]["kind"], seen["created"]["team"], seen["created"]["replicas"]) == ("Batch", "red", 2)
    assert [item["name"] for item in seen["listed"]["items"]] == ["nightly"]
    assert (seen["in full"]["kind"], seen["in full"]["spec"]["team"]) == ("PinBatch", "red")
    assert seen["explained"]["sentences"][0].startswith("nightly should run 3 replicas")
    assert "batch shop/none" in seen["missing"]["detail"]


def test_it_has_a_history(seen: Any) -> None:
    revisions = [record for record in seen["history"] if record["type"] == "revision"]
    assert [(record["workload"], record["author"]) for record in revisions] == [("PinBatch", "olga"), ("PinBatch", "dan")]
    assert {record["verb"] for record in seen["history"] if record["type"] == "operation"} >= {"create", "scale"}


def test_roles_have_rights_to_it(seen: Any) -> None:
    rights = {role["name"]: role["operations"] for role in seen["roles"]["items"]}
    assert "batches:get" in rights["viewer"]
    assert "batches:restart" in rights["operator"]
    assert "batches:restart" not in rights["developer"]


def test_pin_lists_it_and_acts_on_it(seen: Any) -> None:
    listed, scaled = seen["pin"]
    assert listed.splitlines()[1].split()[:3] == ["nightly", "Pending", "0/3"]
    assert scaled == "5 replicas of nightly will run instead of 3\n"


def test_the_laws_hold_for_it(installed: Path) -> None:
    assert "settles: 3 regions of pinbatches.pincompute.io" in run(installed, str(HERE / "batch_laws.py"))
