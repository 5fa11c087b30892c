"""Makes the manifests that stories apply: small variations of examples/hello."""

from __future__ import annotations

from typing import Any

import yaml

from pincompute.api.meta import Manifest
from pincompute.region import bundled_folders

EXAMPLE = bundled_folders.folder("examples") / "hello" / "app.yaml"
API = "pincompute.io/v1alpha1"
PORT = 8080


def example(project: str, **spec: Any) -> Manifest:
    """examples/hello itself, sidecar included, in another project."""
    manifest = yaml.safe_load(EXAMPLE.read_bytes())
    manifest["metadata"]["namespace"] = project
    manifest["spec"] |= spec
    return manifest


def web(project: str, name: str = "web", *, image: str = "hello:1", cpu: str = "10m", color: str = "", **spec: Any) -> Manifest:
    """examples/hello without its sidecar. `color` is an environment variable, which no update in place can change."""
    pod = example(project)["spec"]["template"]["spec"]
    del pod["initContainers"]
    container = pod["containers"][0]
    container["image"] = f"registry.internal/{image}"
    container["resources"]["requests"]["cpu"] = cpu
    container["readinessProbe"] |= {"failureThreshold": 30}  # a busy machine is no reason to take a pod out
    if color:
        container["env"].append({"name": "COLOR", "value": color})
    pod["terminationGracePeriodSeconds"] = 2
    metadata = {"name": name, "namespace": project}
    return {"apiVersion": API, "kind": "PinApp", "metadata": metadata, "spec": {"template": {"spec": pod}, **spec}}


def single(project: str, name: str = "single", *, image: str = "hello:1") -> Manifest:
    """A standalone PinPod."""
    manifest = web(project, name, image=image)
    return manifest | {"kind": "PinPod"}


def project(name: str) -> Manifest:
    return {"apiVersion": API, "kind": "Project", "metadata": {"name": name}, "spec": {"description": "of a story"}}
