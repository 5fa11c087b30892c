"""Gives stories a real embedded region: what users do to it, and what they can see of it.

Nothing here sleeps and hopes: `eventually` polls until something holds, and on failure reports what explains that it does not.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from cluster_client import ApiRefusal, ClusterClient
from pod_history import PodHistory, StatePeriod
from story_manifests import PORT

from pincompute.api import conditions
from pincompute.api.builtin import PODS, Pod
from pincompute.api.labels import APP, HOST, MANAGED_BY, PINCOMPUTE
from pincompute.api.meta import Manifest
from pincompute.api.projects import PROJECTS
from pincompute.api.shards import PINAPPSHARDS, PINPODSHARDS
from pincompute.api.workloads import PINAPPS, PINPODS, PinApp, PinPod
from pincompute.region import home
from pincompute.region.build import binary_cache
from pincompute.region.layout import Layout
from pincompute.region.process import region_processes, supervisor_socket

T = TypeVar("T")

COMMAND = Path(sys.executable).with_name("pincompute")
POLL = 0.1  # seconds between polls
WITHIN = 120.0  # seconds until something that takes a few is given up: the machine may be busy
COMMAND_WITHIN = 300.0
ANSWER = 5.0
KINDS = {resource.kind: resource for resource in (PINAPPS, PINPODS, PROJECTS)}
SHARDS = {PINAPPS.kind: PINAPPSHARDS, PINPODS.kind: PINPODSHARDS}


class Placed(NamedTuple):
    """A pod and where it is."""

    cluster: str
    pod: Pod

    @property
    def uid(self) -> str:
        return self.pod.metadata.uid

    @property
    def ready(self) -> bool:
        return conditions.is_true(self.pod.status.conditions, "Ready")


class Region:
    """A region that is up."""

    def __init__(self, place: Path) -> None:
        self.home = place
        self.census = PodHistory()
        self._clusters: dict[str, ClusterClient] = {}
        self.meet()

    # -- what there is ----------------------------------------------------------------------------------------------------

    @property
    def layout(self) -> Layout:
        found = home.load(self.home)
        assert found is not None, f"{self.home} holds no region"
        return found

    @cached_property
    def host(self) -> ClusterClient:
        return ClusterClient(self.layout.kubeconfig, HOST)

    @property
    def members(self) -> dict[str, ClusterClient]:
        return dict(self._clusters)

    @property
    def zones(self) -> dict[str, str]:
        """Zone by member."""
        return {member.name: member.zone for member in self.layout.spec.members}

    def meet(self) -> None:
        """Get to know members that came, and forget those that went."""
        names = {member.name for member in self.layout.spec.members}
        for gone in self._clusters.keys() - names:
            self.census.forget(gone)
            del self._clusters[gone]
        for name in sorted(names - self._clusters.keys()):
            self._clusters[name] = ClusterClient(self.layout.kubeconfig, name)
            self.census.follow(self._clusters[name])

    # -- what a user does -------------------------------------------------------------------------------------------------

    def apply(self, manifest: Manifest) -> None:
        self.host.apply(KINDS[manifest["kind"]], manifest)

    def scale(self, project: str, name: str, replicas: int) -> None:
        """As `kubectl scale` does."""
        self.host.change(PINAPPS, project, name, {"spec": {"replicas": replicas}}, "scale")

    def delete(self, kind: str, project: str, name: str) -> None:
        self.host.delete(KINDS[kind], project, name)

    def run(self, *arguments: str, succeed: bool = True) -> subprocess.CompletedProcess[str]:
        """`pincompute …` in this region."""
        return run(self.home, *arguments, succeed=succeed)

    def kubectl(self, *arguments: str) -> str:
        """`kubectl …` on the host."""
        command = (str(_programs() / "kubectl"), f"--kubeconfig={self.layout.kubeconfig}", "--context=host", *arguments)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"`kubectl {' '.join(arguments)}` failed: {done.stderr}"
        return done.stdout

    def program(self, name: str) -> Path:
        """One of the programs that the region is made of."""
        return _programs() / name

    def watching(self, project: str, app: str) -> AbstractContextManager[StatePeriod]:
        """Records every change of an app's pods inside the block."""
        return self.census.watching(project, app)

    # -- what can be seen ---------------------------------------------------------------------------------------------------

    def app(self, project: str, name: str) -> PinApp:
        found = self.host.get(PINAPPS, project, name)
        assert found is not None, f"there is no PinApp {project}/{name}"
        return found

    def single(self, project: str, name: str) -> PinPod:
        found = self.host.get(PINPODS, project, name)
        assert found is not None, f"there is no PinPod {project}/{name}"
        return found

    def pods(self, project: str, app: str, clusters: Iterable[str] | None = None) -> list[Placed]:
        """Pods of an app that are not on their way out, in all members or in these."""
        members = self.members
        chosen = members if clusters is None else members.keys() & set(clusters)
        found = [Placed(name, pod) for name in sorted(chosen) for pod in members[name].list(PODS, project, f"{APP}={app}")]
        return [placed for placed in found if not placed.pod.deleting]

    def uids(self, project: str, app: str) -> set[str]:
        return {placed.uid for placed in self.pods(project, app)}

    def spread(self, project: str, app: str) -> dict[str, int]:
        """Ready pods by zone, of every zone there is."""
        zones = self.zones
        return dict.fromkeys(sorted(set(zones.values())), 0) | Counter(
            zones[p.cluster] for p in self.pods(project, app) if p.ready
        )

    def http(self, zone: str, project: str, app: str) -> Manifest:
        """What a ready pod of the app in that zone answers."""
        there = [name for name, at in self.zones.items() if at == zone]
        ready = [p for p in self.pods(project, app, there) if p.ready]
        assert ready, f"no pod of {project}/{app} is ready in zone {zone}"
        return ask(ready[0].pod)

    def leftovers(self, project: str, name: str) -> list[str]:
        """Everything of a workload's name that is still anywhere."""
        found = [f"{kind} on the host" for kind in (PINAPPS, PINPODS) if self.host.get(kind, project, name)]
        for cluster, member in self.members.items():
            found += [f"{kind.kind} in {cluster}" for kind in SHARDS.values() if member.get(kind, project, name)]
            found += [f"pod {pod.metadata.name} in {cluster}" for pod in member.list(PODS, project, f"{APP}={name}")]
        return found

    def programs(self) -> dict[str, str]:
        """Phase of every program, by name."""
        return {program.name: program.phase for program in supervisor_socket.ask(self.home, "status", ANSWER).programs}

    # -- what happens to it -------------------------------------------------------------------------------------------------

    def kill(self, program: str) -> int:
        """`kill -9` of a program; returns the process id it had. A kubelet is killed inside its node."""
        pid = self.pid(program)
        os.kill(pid, signal.SIGKILL)
        return pid

    def pid(self, program: str) -> int:
        """A program as `status` names it, the supervisor, or a daemon of a node ("a1-kubelet")."""
        member, _, daemon = program.rpartition("-")
        inside = daemon in ("kubelet", "containerd")
        marked = [p for p in region_processes.of_home(self.home) if p.program == (f"{member}-node" if inside else program)]
        found = [
            p.pid
            for p in marked
            if (_command(p.pid) == daemon if inside else p.leader or program == region_processes.SUPERVISOR)
        ]
        assert found, f"{program} does not run"
        return found[0]

    @contextmanager
    def frozen(self, program: str) -> Generator[None, None, None]:
        """The program stands still inside the block: it neither answers nor acts, and its connections stay open."""
        pid = self.pid(program)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    # -- waiting ------------------------------------------------------------------------------------------------------------

    def eventually(self, what: str, holds: Callable[[], T], within: float = WITHIN) -> T:
        """Polls until it holds and returns what it gave; a failed assertion or a silent cluster is `not yet`."""
        deadline, problem = time.monotonic() + within, ""
        while time.monotonic() < deadline:
            try:
                if found := holds():
                    return found
            except (AssertionError, OSError, ApiRefusal) as trouble:
                problem = f" ({trouble})"
            time.sleep(POLL)
        raise AssertionError(f"not within {within:g} s: {what}{problem}\n{self.explain()}")

    def throughout(self, seconds: float, what: str, holds: Callable[[], Any]) -> None:
        """It holds at every poll for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert holds(), f"no longer: {what}\n{self.explain()}"
            time.sleep(5 * POLL)

    def settled(self, project: str, name: str, replicas: int | None = None, within: float = WITHIN) -> PinApp:
        """The app runs exactly as its present spec says, by its own word and by its pods."""

        def holds() -> PinApp | None:
            app = self.app(project, name)
            return app if is_settled(app, replicas) and self._has_its_pods(app) else None

        return self.eventually(f"{project}/{name} has settled", holds, within)

    def _has_its_pods(self, app: PinApp) -> bool:
        pods = self.pods(*app.key)
        return len(pods) == app.spec.replicas and all(placed.ready for placed in pods)

    def all_ready(self) -> None:
        """Every program of the region runs, and every member takes work."""
        self.eventually("every program is ready", lambda: set(self.programs().values()) == {"ready"})

    def explain(self) -> str:
        """Everything that may tell why something is not as it should be."""
        return "\n".join(_tried(part) for part in (self._programs_in_trouble, self._workloads, self._warnings, self._logs))

    def _programs_in_trouble(self) -> str:
        states = supervisor_socket.ask(self.home, "status", ANSWER).programs
        return "\n".join(
            f"{s.name}: {s.phase}, {s.restarts} restarts, {s.reason or s.last_end}" for s in states if s.restarts or s.reason
        )

    def _workloads(self) -> str:
        found = [*self.host.list(PINAPPS), *self.host.list(PINPODS)]
        return "\n".join(
            f"{w.key}: generation {w.metadata.generation}, {msgspec.json.encode(w.status).decode()}" for w in found
        )

    def _warnings(self) -> str:
        lines: list[str] = []
        for name, member in self.members.items():
            events = json.loads(member.request("GET", "/api/v1/events", fieldSelector="type=Warning"))["items"]
            lines += [f"{name}: {e['involvedObject']['name']}: {e['message']}" for e in events[-5:]]
            for pod in member.list(PODS, labels=f"{MANAGED_BY}={PINCOMPUTE}"):
                lines.append(f"{name}: pod {pod.key}: {pod.status.phase}{' ready' if Placed(name, pod).ready else ''}")
        return "\n".join(lines)

    def _logs(self) -> str:
        ours = sorted(path for path in self.layout.logs.glob("*.log") if path.stem.endswith(("federation", "operator")))
        return "\n".join(f"{path.stem}: {line}" for path in ours for line in path.read_text(errors="replace").splitlines()[-8:])


def is_settled(app: PinApp, replicas: int | None = None) -> bool:
    """By its own word: it acted on this very generation (S-020), and runs so many replicas of it."""
    wanted, status = app.spec.replicas if replicas is None else replicas, app.status
    observed = status.observed_generation == app.metadata.generation
    counts = {status.replicas, status.ready_replicas, status.updated_replicas, status.available_replicas}
    return observed and counts == {wanted} and status.phase == ("Running" if wanted else "Stopped")


def ask(pod: Pod) -> Manifest:
    """What a pod of examples/hello answers."""
    request = urllib.request.Request(f"http://{pod.status.pod_ip}:{PORT}/", headers={"Accept": "application/json"})
    with urllib.request.urlopen(request, timeout=ANSWER) as answer:
        return json.load(answer)


def run(place: Path, *arguments: str, succeed: bool = True) -> subprocess.CompletedProcess[str]:
    """`pincompute …` with the region in that home."""
    environment = os.environ | {"PINCOMPUTE_HOME": str(place), "NO_COLOR": "1", "COLUMNS": "200"}
    done = subprocess.run(
        (str(COMMAND), *arguments), env=environment, capture_output=True, text=True, timeout=COMMAND_WITHIN, check=False
    )
    assert not succeed or done.returncode == 0, f"`pincompute {' '.join(arguments)}` failed:\n{done.stdout}\n{done.stderr}"
    return done


def _programs() -> Path:
    found = binary_cache.given(os.environ) or binary_cache.BinaryCache(binary_cache.cache_root(os.environ)).complete(None)
    assert found is not None, "the binaries of the control plane are missing: run `pincompute region build`"
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().rpartition("/")[2]
    except OSError:
        return ""


def _tried(part: Callable[[], str]) -> str:
    try:
        return part()
    except (OSError, ApiRefusal, supervisor_socket.NotRunning) as trouble:
        return f"{part.__name__}: {trouble}"
