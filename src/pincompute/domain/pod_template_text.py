"""Says in words what a pod template asks for: the health check of a container, and where its volumes come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pincompute.api.meta import Manifest

_SOURCES = (("secret", "secret", "secretName"), ("config", "configMap", "name"))


def check(template: Manifest, container: str) -> str:
    """Returns what the readiness or startup check of a container asks, in brackets; empty where there is none."""
    none: Manifest = {}
    found = next((c for c in _containers(template) if c.get("name") == container), none)
    asked: Manifest = found.get("readinessProbe") or found.get("startupProbe") or {}
    return f" ({text}{_undeclared(asked, found)})" if (text := _check(asked)) else ""


def _undeclared(asked: Manifest, container: Manifest) -> str:
    """Returns the ports that a container declares when its check asks another one."""
    port = next((part["port"] for kind in ("httpGet", "tcpSocket", "grpc") if (part := _part(asked, kind)).get("port")), None)
    ports: list[Manifest] = container.get("ports") or []
    if not ports or any(port in (each.get("containerPort"), each.get("name")) for each in ports):
        return ""
    declared = ", ".join(f"{each.get('name', '')} {each.get('containerPort')}".strip() for each in ports)
    return f", which is none of its ports: {declared}" if port is not None else ""


def killing_checks(template: Manifest, container: str, ran: float) -> str:
    """Returns the checks that may have ended a container after `ran` seconds, because they failed; empty for none."""
    none: Manifest = {}
    found = next((c for c in _containers(template) if c.get("name") == container), none)
    named = (("liveness", found.get("livenessProbe")), ("startup", found.get("startupProbe")))
    return ", ".join(
        f"{word} {_check(asked)}, {_patience(asked)}" for word, asked in named if asked and _earliest(asked) <= ran
    )


def _earliest(asked: Manifest) -> float:
    """Returns the seconds after which the last failure that a check allows can come; the kubelet's times are whole seconds."""
    times, period = int(asked.get("failureThreshold", 3)), int(asked.get("periodSeconds", 10))
    return int(asked.get("initialDelaySeconds", 0)) + (times - 1) * period - 1


def _patience(asked: Manifest) -> str:
    times, period = int(asked.get("failureThreshold", 3)), int(asked.get("periodSeconds", 10))
    return f"{times} times within {times * period} s (failureThreshold {times})"


def _check(asked: Manifest) -> str:
    http, tcp, grpc = _part(asked, "httpGet"), _part(asked, "tcpSocket"), _part(asked, "grpc")
    if http:
        return f"{http.get('scheme', 'HTTP')} GET {http.get('path', '/')} on port {http.get('port')}"
    if tcp:
        return f"TCP, port {tcp.get('port')}"
    if grpc:
        return f"gRPC, port {grpc.get('port')}"
    command = _part(asked, "exec").get("command")
    return f"command {' '.join(map(str, command))}"[:100] if command else ""


def node_rules(template: Manifest) -> str:
    """Returns what the template asks of the labels of nodes."""
    wanted: dict[str, Any] = _part(_part(template, "spec"), "nodeSelector")
    pairs = ", ".join(f"{name}={value}" for name, value in sorted(wanted.items()))
    return f"nodeSelector {pairs}" if pairs else "nodeSelector and affinity"


def volume_sources(template: Manifest) -> Iterator[str]:
    """Yields the secrets and configs that must exist before the volumes can be mounted."""
    spec = _part(template, "spec")
    volumes: list[Manifest] = spec.get("volumes") or []
    for volume in volumes:
        for word, field, key in _SOURCES:
            source = _part(volume, field)
            if source and not source.get("optional"):
                yield f"{word} {source.get(key, '')} (volume {volume.get('name', '')})"


def claims(template: Manifest) -> Iterator[str]:
    """Yields the names of the volume claims that must exist before a node takes the pod."""
    volumes: list[Manifest] = _part(template, "spec").get("volumes") or []
    for volume in volumes:
        if name := _part(volume, "persistentVolumeClaim").get("claimName"):
            yield name


def _containers(template: Manifest) -> list[Manifest]:
    spec = _part(template, "spec")
    return [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]


def _part(whole: Manifest, name: str) -> dict[str, Any]:
    return whole.get(name) or {}
