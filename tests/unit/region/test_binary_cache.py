"""The cache of built programs, with a `go` that is a shell script: whole or absent, whatever ends a build."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from pincompute.region.build import binary_cache, component_build, go_toolchain
from pincompute.region.build.binary_cache import BinaryCache
from pincompute.region.build.component_build import Component
from pincompute.region.build.go_toolchain import Toolchain
from pincompute.region.progress import Progress
from pincompute.region.region_error import RegionError

COMPONENTS = (
    Component("store", ("etcd",), ("./etcd",), seconds=2, module="store"),
    Component(
        "tools",
        ("crane", "runc"),
        ("example.com/crane", "example.com/runc"),
        seconds=1,
        module="tools",
        tags="seccomp",
        cgo=True,
        asked={"crane": ("version",)},
    ),
)
EXTRA = Component("play", ("kwok",), ("example.com/kwok",), seconds=1, module="play")

GO = """\
#!/bin/sh
[ "$1" = version ] && { echo go version go1.26.8 linux/amd64; exit 0; }
component=$(basename "$PWD")
echo "$component $CGO_ENABLED $*" >>"$LOG"
program() { printf '#!/bin/sh\\n[ "$1" = %s ] || exit 1\\n' "$2" >"$GOBIN/$1"; chmod 755 "$GOBIN/$1"; }
case $component in
  store) program etcd --version ;;
  play) program kwok --version ;;
  tools) program crane version; BEHAVIOUR; program runc --version ;;
esac
"""


@pytest.fixture
def cache(tmp_path: Path) -> BinaryCache:
    for component in (*COMPONENTS, EXTRA):
        folder = tmp_path / "sources" / component.module
        (folder / "etcd").mkdir(parents=True)
        (folder / "go.mod").write_text(f"module {component.name}\n")
        (folder / "go.sum").write_text("")
    return BinaryCache(tmp_path / "cache", tmp_path / "sources", COMPONENTS)


@pytest.fixture(autouse=True)
def _log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG", str(tmp_path / "log"))


def go(tmp_path: Path, behaviour: str = ":") -> Toolchain:
    path = tmp_path / "go"
    path.write_text(GO.replace("BEHAVIOUR", behaviour))
    path.chmod(0o755)
    found = go_toolchain.ask(path)
    assert found is not None
    return found


def built(tmp_path: Path) -> list[str]:
    log = tmp_path / "log"
    return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []


def quiet() -> Progress:
    return Progress(Console(file=io.StringIO()))


def entries(cache: BinaryCache) -> set[str]:
    return {path.name.rpartition("-")[0] or path.name for path in (cache.root / "binaries").iterdir()}


def test_everything_is_built_once_and_found_in_one_folder(cache: BinaryCache, tmp_path: Path) -> None:
    toolchain = go(tmp_path)
    assert cache.complete(toolchain) is None
    folder = cache.build(toolchain, quiet())
    assert {path.name for path in folder.iterdir()} == {"etcd", "crane", "runc"}
    assert cache.complete(toolchain) == folder
    assert cache.build(toolchain, quiet()) == folder
    assert built(tmp_path) == ["store", "tools"]


def test_components_are_built_with_their_own_settings(cache: BinaryCache, tmp_path: Path) -> None:
    cache.build(go(tmp_path), quiet())
    store, tools = (tmp_path / "log").read_text().splitlines()
    assert store.startswith("store 0 install -trimpath")
    assert "-s -w" in store
    assert "-tags=seccomp" not in store
    assert tools.startswith("tools 1 install -trimpath")
    assert "-tags=seccomp" in tools
    assert tools.endswith("example.com/crane example.com/runc")


def test_a_changed_pin_builds_only_its_component_again(cache: BinaryCache, tmp_path: Path) -> None:
    toolchain = go(tmp_path)
    before = cache.build(toolchain, quiet())
    (cache.sources / "tools" / "go.sum").write_text("example.com/module v2 h1:abc=\n")
    assert cache.complete(toolchain) is None
    assert cache.build(toolchain, quiet()) != before
    assert built(tmp_path) == ["store", "tools", "tools"]


def test_a_changed_main_of_our_own_builds_its_component_again(cache: BinaryCache, tmp_path: Path) -> None:
    toolchain = go(tmp_path)
    cache.build(toolchain, quiet())
    (cache.sources / "store" / "etcd" / "main.go").write_text("package main\n")
    cache.build(toolchain, quiet())
    assert built(tmp_path) == ["store", "tools", "store"]


def test_an_extra_program_comes_into_the_folder_that_runs_already(cache: BinaryCache, tmp_path: Path) -> None:
    toolchain = go(tmp_path)
    folder = cache.build(toolchain, quiet())
    wider = replace(cache, extra=(EXTRA,))
    assert wider.complete(toolchain) is None
    assert wider.complete(None) is None
    assert wider.build(toolchain, quiet()) == folder
    assert {path.name for path in folder.iterdir()} == {"etcd", "crane", "runc", "kwok"}
    assert wider.complete(toolchain) == cache.complete(toolchain) == folder
    assert built(tmp_path) == ["store", "tools", "play"]


def test_another_go_builds_again_and_no_go_uses_what_is_there(cache: BinaryCache, tmp_path: Path) -> None:
    toolchain = go(tmp_path)
    folder = cache.build(toolchain, quiet())
    assert cache.complete(Toolchain(toolchain.go, "go1.27.0 linux/amd64")) is None
    assert cache.complete(None) == folder


def test_a_failed_build_leaves_nothing_half_made_and_keeps_what_is_done(cache: BinaryCache, tmp_path: Path) -> None:
    with pytest.raises(RegionError, match="building tools failed") as failure:
        cache.build(go(tmp_path, "echo undefined: seccomp >&2; exit 1"), quiet())
    assert "undefined: seccomp" in str(failure.value)
    assert entries(cache) == {"store"}
    cache.build(go(tmp_path), quiet())
    assert built(tmp_path) == ["store", "tools", "tools"]


def test_a_full_disk_is_named_with_place_and_need(cache: BinaryCache, tmp_path: Path) -> None:
    with pytest.raises(RegionError, match=r"disk full while building tools in .*/cache/go: the build takes about .* GB"):
        cache.build(go(tmp_path, 'echo "write x: no space left on device" >&2; exit 1'), quiet())
    assert entries(cache) == {"store"}


def test_too_little_room_is_refused_before_anything_is_built(cache: BinaryCache, tmp_path: Path) -> None:
    huge = Component("store", ("etcd",), ("./etcd",), seconds=1)
    cache.root.mkdir()
    with pytest.raises(RegionError, match=r"building needs about .* are free: make room"):
        component_build.check_space(cache.root, (huge,) * 1_000_000)
    assert built(tmp_path) == []


def test_a_program_that_does_not_run_is_not_kept(cache: BinaryCache, tmp_path: Path) -> None:
    with pytest.raises(RegionError, match="crane was built but does not run: broken"):
        cache.build(go(tmp_path, 'printf "#!/bin/sh\\necho broken >&2; exit 1\\n" >"$GOBIN/crane"'), quiet())
    assert entries(cache) == {"store"}


def test_ctrl_c_during_a_build_leaves_nothing_half_made(cache: BinaryCache, tmp_path: Path) -> None:
    toolchain = go(tmp_path, f"touch {tmp_path}/compiling; sleep 600 & echo $! >{tmp_path}/child; wait")
    process = subprocess.Popen(
        (sys.executable, __file__, str(cache.root), str(cache.sources), str(toolchain.go)), start_new_session=True
    )
    end = time.monotonic() + 20
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text():
        assert time.monotonic() < end
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert entries(cache) == {"store"}
    cache.build(go(tmp_path), quiet())
    assert built(tmp_path) == ["store", "tools", "tools"]


def test_what_a_killed_build_left_is_cleared_away(cache: BinaryCache, tmp_path: Path) -> None:
    left = cache.root / "binaries" / f"{component_build.UNFINISHED}store-0123"
    left.mkdir(parents=True)
    (left / "etcd").touch()
    cache.build(go(tmp_path), quiet())
    assert not left.exists()


def test_the_go_caches_can_be_dropped(cache: BinaryCache, tmp_path: Path) -> None:
    folder = cache.build(go(tmp_path), quiet())
    assert (cache.root / "go").exists()
    cache.drop_build_cache()
    assert not (cache.root / "go").exists()
    assert (folder / "etcd").exists()


def test_given_binaries_are_used_when_complete_and_all_missing_ones_are_named(tmp_path: Path) -> None:
    for component in binary_cache.COMPONENTS:
        for name in component.programs:
            (tmp_path / name).touch(mode=0o755)
    assert binary_cache.given({binary_cache.VARIABLE: str(tmp_path)}) == tmp_path
    with pytest.raises(RegionError, match="lacks kwok: put"):
        binary_cache.given({binary_cache.VARIABLE: str(tmp_path)}, (binary_cache.KWOK,))
    (tmp_path / "kubelet").unlink()
    (tmp_path / "runc").chmod(0o644)
    with pytest.raises(RegionError, match="lacks kubelet, runc: put these programs there"):
        binary_cache.given({binary_cache.VARIABLE: str(tmp_path)})
    assert binary_cache.given({}) is None


def test_the_cache_follows_its_variable(tmp_path: Path) -> None:
    assert binary_cache.cache_root({binary_cache.CACHE: str(tmp_path)}) == tmp_path
    assert binary_cache.cache_root({}) == Path.home() / ".cache" / "pincompute"


def test_every_component_has_its_pinned_modules() -> None:
    sources = BinaryCache(Path("/nowhere")).sources
    mains = {path.parent for path in sources.glob("*/main.go")}
    for component in (*binary_cache.COMPONENTS, binary_cache.KWOK):
        module = sources / component.module
        assert all(path.exists() for path in component.sources(sources))
        mains -= {(module / package).resolve() for package in component.packages if package.startswith(".")}
        pinned = (module / "go.mod").read_text().replace("tool ", "\t").splitlines()
        assert all(package.startswith(".") or f"\t{package}" in pinned for package in component.packages)
    assert not mains, "no component builds these"


def test_the_stamped_version_is_the_pinned_one() -> None:
    pinned = (BinaryCache(Path("/nowhere")).sources / "go.mod").read_text()
    assert re.search(rf"k8s\.io/kubernetes v{re.escape(binary_cache.KUBERNETES)}\b", pinned)


@pytest.mark.parametrize(
    ("version", "release"),
    [("go1.26.8 linux/amd64", (1, 26)), ("go1.27rc1 linux/arm64", (1, 27)), ("devel +abc", (0, 0))],
)
def test_releases_of_go_are_read(version: str, release: tuple[int, int]) -> None:
    assert go_toolchain.release(version) == release


def main(root: str, sources: str, program: str) -> int:
    """A build of its own process, for the test that interrupts it."""
    found = go_toolchain.ask(Path(program))
    assert found is not None
    try:
        BinaryCache(Path(root), Path(sources), COMPONENTS).build(found, quiet())
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it, and so do its children
    sys.exit(main(*sys.argv[1:]))
