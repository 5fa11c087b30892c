"""Finds the programs a region runs: in $PINCOMPUTE_BINARIES, or built from the pinned modules in control-plane/ and cached.

A component lies in `<cache>/binaries/<component>-<hash>/`, where the hash covers everything that decides what comes out;
`region-<hash>/` holds them all, by hard links. Folders are renamed into place when they are complete and every program has
answered, so what is there is whole, and a new set has new paths, by which the supervisor knows what to start anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pincompute.region import bundled_folders, file_locks
from pincompute.region.build import component_build
from pincompute.region.build.component_build import Component
from pincompute.region.build.go_toolchain import Toolchain
from pincompute.region.progress import Progress
from pincompute.region.region_error import RegionError

VARIABLE = "PINCOMPUTE_BINARIES"
CACHE = "PINCOMPUTE_CACHE"
KUBERNETES = "1.36.3"

_VERSION = "-X k8s.io/component-base/version."
_STAMP = zip(("gitMajor", "gitMinor"), KUBERNETES.split(".")[:2], strict=True)
_KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet")
_CNI = ("ipam/host-local", "main/bridge", "main/loopback", "meta/portmap")

COMPONENTS = (
    Component(
        "kubernetes",
        _KUBERNETES,
        tuple(f"k8s.io/kubernetes/cmd/{program}" for program in _KUBERNETES),
        seconds=250,
        stamp=(f"{_VERSION}gitVersion=v{KUBERNETES}", *(f"{_VERSION}{part}={value}" for part, value in _STAMP)),
        asked={"kubectl": ("version", "--client")},
    ),
    Component("etcd", ("etcd",), ("./etcd",), seconds=10),
    Component(
        "containerd",
        ("containerd", "containerd-shim-runc-v2"),
        (".", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"),
        seconds=35,
        module="containerd",
        asked={"containerd-shim-runc-v2": ("-v",)},
    ),
    Component("runc", ("runc",), ("github.com/opencontainers/runc",), seconds=15, module="runc", tags="seccomp", cgo=True),
    Component(
        "cni",
        tuple(plugin.rpartition("/")[2] for plugin in _CNI),
        tuple(f"github.com/containernetworking/plugins/plugins/{plugin}" for plugin in _CNI),
        seconds=3,
    ),
    Component("registry", ("registry",), (".",), seconds=12, module="registry"),
    Component("coredns", ("coredns",), ("./coredns",), seconds=10),
)
"""What every region runs, in the order of the build: later components find the packages that they share compiled already."""

KWOK = Component("kwok", ("kwok",), ("sigs.k8s.io/kwok/cmd/kwok",), seconds=10)
"""Only simulated nodes need it, so it is built when the first of them is asked for."""


@dataclass(frozen=True, slots=True)
class BinaryCache:
    """Where built components are kept. Two builds at the same time wait for each other.

    Programs of `extra` components come into the folder of a set that runs already: its path, by which the supervisor knows
    what to start anew, stays the same.
    """

    root: Path
    sources: Path = field(default_factory=lambda: bundled_folders.folder("control-plane"))
    components: tuple[Component, ...] = COMPONENTS
    extra: tuple[Component, ...] = ()

    def complete(self, toolchain: Toolchain | None) -> Path | None:
        """The folder with every program, if it is there. Without Go, one that any version of Go made will do."""
        version = "*" if toolchain is None else _short(toolchain.version)
        found = [folder for folder in self._binaries.glob(f"region-{self._hash_all()}-{version}") if self._has_extra(folder)]
        return max(found, default=None, key=lambda path: path.stat().st_mtime)

    def missing(self, toolchain: Toolchain) -> tuple[Component, ...]:
        return tuple(c for c in (*self.components, *self.extra) if not self._folder(c, toolchain).is_dir())

    def build(self, toolchain: Toolchain, progress: Progress) -> Path:
        """Build what is missing and join everything in one folder."""
        self._binaries.mkdir(parents=True, exist_ok=True)
        with file_locks.wait_lock(self.root / "build.lock", lambda: progress.say("another command builds; waiting for it")):
            self._clear_unfinished()
            missing = self.missing(toolchain)
            if missing:
                component_build.check_space(self.root, missing)
            for component in component_build.shown(missing, progress):
                place = component_build.BuildFolders(
                    self.sources / component.module, self._folder(component, toolchain), self.root / "go"
                )
                component_build.build(component, toolchain, place)
            return self._join(toolchain)

    def drop_build_cache(self) -> None:
        """The Go caches: 10 GB that only another build would use."""
        shutil.rmtree(self.root / "go", ignore_errors=True)

    @property
    def _binaries(self) -> Path:
        return self.root / "binaries"

    def _folder(self, component: Component, toolchain: Toolchain) -> Path:
        return self._binaries / f"{component.name}-{_short(self._hash(component) + toolchain.version)}"

    def _join(self, toolchain: Toolchain) -> Path:
        joint = self._binaries / f"region-{self._hash_all()}-{_short(toolchain.version)}"
        if not joint.is_dir():
            work = joint.with_name(f"{component_build.UNFINISHED}{joint.name}")
            work.mkdir()
            self._link(self.components, toolchain, work)
            work.rename(joint)
        if not self._has_extra(joint):
            self._link(self.extra, toolchain, joint)
        return joint

    def _link(self, components: tuple[Component, ...], toolchain: Toolchain, folder: Path) -> None:
        for component in components:
            for program in component.programs:
                (folder / program).unlink(missing_ok=True)
                (folder / program).hardlink_to(self._folder(component, toolchain) / program)

    def _has_extra(self, folder: Path) -> bool:
        return all((folder / program).exists() for component in self.extra for program in component.programs)

    def _hash(self, component: Component) -> str:
        """Changes with the pinned modules, their checksums, mains of our own and the build settings."""
        content = hashlib.sha256(repr(component.settings).encode())
        for path in component.sources(self.sources):
            content.update(path.read_bytes())
        return content.hexdigest()

    def _hash_all(self) -> str:
        return _short("".join(self._hash(component) for component in self.components))

    def _clear_unfinished(self) -> None:
        for left in self._binaries.glob(f"{component_build.UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)


def given(environment: Mapping[str, str], extra: tuple[Component, ...] = ()) -> Path | None:
    """The folder the user named in $PINCOMPUTE_BINARIES, if it is complete; None when none was named."""
    chosen = environment.get(VARIABLE)
    if not chosen:
        return None
    folder = Path(chosen).expanduser().resolve()
    names = (name for component in (*COMPONENTS, *extra) for name in component.programs)
    missing = [name for name in names if not os.access(folder / name, os.X_OK)]
    if missing:
        raise RegionError(
            f"{VARIABLE}={chosen} lacks {', '.join(missing)}: put these programs there, executable, "
            f"or unset {VARIABLE} to have everything built"
        )
    return folder


def cache_root(environment: Mapping[str, str]) -> Path:
    chosen = environment.get(CACHE)
    return Path(chosen).expanduser().resolve() if chosen else Path.home() / ".cache" / "pincompute"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
