"""The log shipper loses nothing and repeats nothing, over rotations and kills, and bounds what it writes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

import log_files
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_files import RuntimeLog, shipped
from prometheus_client import CollectorRegistry

from pincompute.api.builtin import Namespace
from pincompute.api.meta import ObjectMeta
from pincompute.daemons.log_shipper import __main__ as process
from pincompute.daemons.log_shipper import (
    container_position,
    container_shipping,
    cri_lines,
    log_file_names,
    output_store,
    shipping_loop,
)
from pincompute.daemons.log_shipper.container_position import ContainerPosition, LogFileOffsets
from pincompute.daemons.log_shipper.cri_lines import Piece
from pincompute.daemons.log_shipper.output_store import FreeSpace, OutputFull, OutputLimits, OutputStore
from pincompute.daemons.log_shipper.shipper_metrics import ShipperMetrics
from pincompute.daemons.log_shipper.shipping_loop import ShippingLoop
from pincompute.daemons.log_shipper.source_folder import SourceFolder
from pincompute.domain import project_namespace

T = b"2026-11-30T21:00:00.000000001Z"
EXAMPLES = int(os.environ.get("SHIPPER_EXAMPLES", "60"))
KILLS = int(os.environ.get("KILL_ROUNDS", "4"))
FOLDERS = output_store.CONTAINER
FULL = FreeSpace(0, 0, 0)
SMALL = OutputLimits(file=1000, min_free=1)


def loop(tmp: Path, limits: OutputLimits = SMALL) -> ShippingLoop:
    """A shipper as a process makes it at its start."""
    (tmp / "pods").mkdir(exist_ok=True)
    (tmp / "projects").mkdir(exist_ok=True)
    metrics = ShipperMetrics(CollectorRegistry())
    return ShippingLoop(tmp / "pods", OutputStore(tmp / "projects", limits, metrics.drop), metrics)


def settle(shipper: ShippingLoop) -> None:
    for _ in range(3):  # a file that is gone is missed twice
        while shipper.round():
            pass


def value(shipper: ShippingLoop, name: str, **labels: str) -> float:
    return shipper.metrics.registry.get_sample_value(f"pincompute_log_shipper_{name}", labels) or 0.0


def piece(*lines: bytes, start: int = 0, shipped: tuple[int, int] = (0, 0), closed: bool = False) -> Piece:
    return Piece(b"".join(lines), start, shipped, closed)


OUT, ERR = T + b" stdout ", T + b" stderr "
L = len(OUT + b"F a\n")
TABLE = {
    "whole lines are copied": ([piece(OUT + b"F a\n", ERR + b"F b\n")], OUT + b"F a\n" + ERR + b"F b\n", [(2 * L, 2 * L)]),
    "a line without its end waits": ([piece(OUT + b"F a\n", OUT + b"F b")], OUT + b"F a\n", [(L, L)]),
    "parts are joined": ([piece(OUT + b"P a\n", OUT + b"P b\n", OUT + b"F c\n")], OUT + b"F abc\n", [(3 * L, 3 * L)]),
    "streams do not mix": (
        [piece(OUT + b"P a\n", ERR + b"P x\n", OUT + b"F b\n", ERR + b"F y\n")],
        OUT + b"F ab\n" + ERR + b"F xy\n",
        [(4 * L, 4 * L)],
    ),
    "one stream waits and the other goes on": ([piece(OUT + b"P a\n", ERR + b"F x\n")], ERR + b"F x\n", [(0, 2 * L)]),
    "what was shipped is not shipped again": (
        [piece(OUT + b"P a\n", ERR + b"F x\n", OUT + b"F b\n", shipped=(0, 2 * L))],
        OUT + b"F ab\n",
        [(3 * L, 3 * L)],
    ),
    "a line goes on in the next file": (
        [piece(OUT + b"P a\n", start=100, shipped=(100, 100)), piece(OUT + b"F b\n")],
        OUT + b"F ab\n",
        [(100 + L, 100 + L), (L, L)],
    ),
    "a line waits over files": (
        [piece(OUT + b"F a\n", OUT + b"P a\n"), piece(ERR + b"F b\n")],
        OUT + b"F a\n" + ERR + b"F b\n",
        [(L, 2 * L), (0, L)],
    ),
    "other text is copied": ([piece(b"hello\n", OUT + b"F a\n")], b"hello\n" + OUT + b"F a\n", [(6 + L, 6 + L)]),
    "a closed file needs no end": ([piece(OUT + b"F a", closed=True)], OUT + b"F a\n", [(L - 1, L - 1)]),
    "text is data": ([piece(OUT + b"F \r x\x00\xff P y\n")], OUT + b"F \r x\x00\xff P y\n", [(8 + L, 8 + L)]),
    "an empty line is a line": ([piece(OUT + b"F \n")], OUT + b"F \n", [(L - 1, L - 1)]),
}


@pytest.mark.parametrize(("pieces", "output", "offsets"), TABLE.values(), ids=TABLE)
def test_lines_are_joined(pieces: list[Piece], output: bytes, offsets: list[tuple[int, int]]):
    found = cri_lines.join(pieces, ended=False)
    assert (bytes(found.output), found.shipped) == (output, offsets)


def test_nothing_waits_for_a_container_that_ended():
    found = cri_lines.join([piece(OUT + b"P a\n", ERR + b"P b\n")], ended=True)
    assert (bytes(found.output), found.cut, found.shipped) == (OUT + b"F a\n" + ERR + b"F b\n", 2, [(2 * L, 2 * L)])


def test_lines_that_are_too_long_and_those_that_wait_too_long_are_cut(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cri_lines, "LONGEST", 100)
    found = cri_lines.join([piece(*[OUT + b"P " + b"a" * 40 + b"\n"] * 2, OUT + b"F b\n")], ended=False)
    assert (bytes(found.output), found.cut) == (OUT + b"F " + b"a" * 80 + b"\n" + OUT + b"F b\n", 1)
    monkeypatch.setattr(cri_lines, "REACH", 100)
    found = cri_lines.join([piece(OUT + b"P a\n", *[ERR + b"F x\n"] * 4)], ended=False)
    assert (found.cut, found.shipped) == (1, [(5 * L, 5 * L)])
    assert OUT + b"F a\n" in bytes(found.output)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"shop_web-0_{log_files.UID}", ("shop", "web-0", log_files.UID)),
        ("kube-system_api.v2_d41d8cd98f00b204e9800998ecf8427e", ("kube-system", "api.v2", "d41d8cd98f00b204e9800998ecf8427e")),
        ("shop_web", None),
        ("..", None),
        ("shop_.._1", None),
        ("../x_web_1", None),
        ("Shop_web_1", None),
        (f"{'s' * 64}_web_1", None),
        ("shop_web_1_2", None),
    ],
)
def test_only_names_that_kubelet_gives_are_read(name: str, expected: tuple[str, str, str] | None):
    found = log_file_names.pod_folder(name)
    assert (None if found is None else (found.project, found.pod, found.uid)) == expected


def test_a_namespace_is_that_of_the_project_of_its_name():
    """The output's folders rely on it."""
    labels = project_namespace.labels_of("shop", "1")
    assert [
        project_namespace.is_project(Namespace(metadata=ObjectMeta(name=name, labels=labels))) for name in ("shop", "other")
    ] == [True, False]


def test_files_are_read_in_their_order():
    names = [
        "1.log",
        "0.log",
        "0.log.20261130-000002",
        "0.log.20261130-000001.gz",
        "0.log.2",
        "0.log.1",
        "0.log.x",
        "x.log",
        ".log",
    ]
    assert [each.name for each in log_file_names.log_files(names)] == [
        "0.log.2",
        "0.log.1",
        "0.log.20261130-000001.gz",
        "0.log.20261130-000002",
        "0.log",
        "1.log",
    ]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"format": 2}', b'{"format": 1, "files": {"a": 1}}'])
def test_a_damaged_position_is_none(text: bytes):
    assert container_position.decode(text) is None


def test_a_position_survives_encoding():
    position = ContainerPosition({"a": LogFileOffsets((1, 2), 3, 1)}, 4, 5)
    assert container_position.decode(container_position.encode(position)) == position


def test_a_file_is_gone_when_two_listings_miss_it():
    position = ContainerPosition({"a": LogFileOffsets((4, 7), 10)})
    once, lost = position.listed({})
    assert (once.missing, lost) == (True, 0)
    assert once.listed({"a": 12})[0].files == {"a": LogFileOffsets((4, 7), 12)}
    twice, lost = once.listed({})
    assert (dict(twice.files), lost) == ({}, 6)


ACTION = st.sampled_from(["line", "line", "parts", "mixed", "rotate", "restart", "ship", "stop", "kill"])


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(ACTION, max_size=40), st.sampled_from(["rename", "copy"]), st.randoms(use_true_random=False))
def test_nothing_is_lost_or_repeated_over_rotations_and_kills(actions: list[str], rotation: str, chance: random.Random):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(container_shipping, "ROUND", 1500)
        patch.setattr(cri_lines, "REACH", 1000)
        tmp = Path(folder)
        log, shipper = RuntimeLog(tmp / "pods"), loop(tmp)
        rotate = log.rename if rotation == "rename" else log.copy_and_truncate
        for action in actions:
            shipper = _act(action, log, rotate, shipper, tmp, chance)
        settle(shipper)
        assert shipped(tmp / "projects") == log.expected
        assert value(shipper, "lost_bytes_total", project="shop") == 0


def _act(
    action: str, log: RuntimeLog, rotate: Callable[[], None], shipper: ShippingLoop, tmp: Path, chance: random.Random
) -> ShippingLoop:
    match action:
        case "line":
            log.write(chance.choice(["stdout", "stderr"]), b"x" * chance.randrange(60))
        case "parts":
            for number in range(3):
                log.write("stdout", b"part", part=number < 2)
        case "mixed":
            log.write("stdout", b"begin ", part=True)
            log.write("stderr", b"begin ", part=True)
            shipper = _act(chance.choice(["rotate", "ship", "kill", "stop", "line"]), log, rotate, shipper, tmp, chance)
            log.write("stderr", b"end")
            shipper = _act(chance.choice(["rotate", "ship", "kill", "restart"]), log, rotate, shipper, tmp, chance)
            log.write("stdout", b"end")
        case "rotate":
            rotate()
        case "restart":
            log.start_again()
        case "ship":
            shipper.round()
        case "stop":
            return loop(tmp)
        case "kill":
            _kill(shipper, *chance.choice(POINTS))
            return loop(tmp)
        case _:
            raise AssertionError(action)
    return shipper


class Killed(BaseException):
    """The process is killed."""


POINTS = [(step, when) for step in ("append", "keep") for when in ("before", "after")]


def _kill(shipper: ShippingLoop, step: str = "keep", when: str = "before") -> None:
    """Ends a round before or after a step of it, as a kill of the process does."""
    done = getattr(OutputStore, step)

    def killed(*arguments: object) -> None:
        if when == "after":
            done(*arguments)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OutputStore, step, killed)
        with suppress(Killed):
            shipper.round()


def test_what_a_killed_shipper_wrote_stays_when_its_source_goes(tmp_path: Path):
    log, shipper = RuntimeLog(tmp_path / "pods"), loop(tmp_path)
    for _ in range(30):
        log.write("stdout", b"line" * 20)
    _kill(shipper)
    log.file.unlink()
    settle(loop(tmp_path))
    assert shipped(tmp_path / "projects") == log.expected


def test_what_a_killed_shipper_wrote_is_not_repeated_in_files_of_another_size(tmp_path: Path):
    log, shipper = RuntimeLog(tmp_path / "pods"), loop(tmp_path)
    for _ in range(30):
        log.write("stdout", b"line" * 20)
    _kill(shipper)
    assert len(list((tmp_path / "projects").rglob("*.log"))) > 1
    settle(loop(tmp_path, OutputLimits(file=100_000, min_free=1)))
    assert shipped(tmp_path / "projects") == log.expected


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that the test starts; none outlives it, whatever fails."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for each in started:
        if each.poll() is None:
            each.kill()
            each.communicate()


@pytest.mark.programs
def test_a_shipper_that_is_killed_at_random_moments_loses_and_repeats_nothing(
    tmp_path: Path, processes: list[subprocess.Popen[bytes]]
):
    log, output = RuntimeLog(tmp_path / "pods"), tmp_path / "projects"
    chance = random.Random(7)
    sizes = set[int]()
    for _ in range(KILLS):
        shipper = _start(tmp_path, processes)
        until = time.monotonic() + chance.uniform(0.02, 0.3)
        while time.monotonic() < until:
            for number in range(chance.randrange(200)):
                log.write(chance.choice(["stdout", "stderr"]), b"y" * chance.randrange(2000), part=number % 7 == 3)
            if chance.random() < 0.2 and len(list(log.file.parent.glob("*.gz"))) < 40:
                log.rename()
        shipper.send_signal(signal.SIGKILL)
        shipper.communicate()
        sizes.add(sum(file.stat().st_size for file in output.glob("*/*/*/*.log")))
    for stream in ("stdout", "stderr"):
        log.write(stream, b"the end")
    assert len(sizes) > KILLS / 2, "it was killed while it wrote"
    shipper = _start(tmp_path, processes)
    until = time.monotonic() + 20
    while not _has_shipped(output, log.expected[-2:]) and time.monotonic() < until:
        time.sleep(0.1)
    shipper.send_signal(signal.SIGTERM)
    shipper.communicate(timeout=10)
    assert shipper.returncode == 0
    assert shipped(output) == log.expected


def _has_shipped(output: Path, last: list[bytes]) -> bool:
    """Files that the shipper rotates meanwhile are looked at again."""
    with suppress(FileNotFoundError):
        return shipped(output)[-len(last) :] == last
    return False


def _start(tmp: Path, processes: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    (tmp / "pods").mkdir(exist_ok=True)
    options = {"listen": "127.0.0.1:0", "source": tmp / "pods", "output": tmp / "projects", "period": 0.01, "min-free": 1}
    command = [f"--{name}={value}" for name, value in options.items()]
    sizes = ["--max-file-size=64Ki", "--max-container-size=1Gi", "--max-project-size=1Gi", "--max-total-size=1Gi"]
    started = subprocess.Popen(
        [sys.executable, "-m", "pincompute.daemons.log_shipper", *command, *sizes], stdout=subprocess.PIPE
    )
    processes.append(started)
    assert started.stdout is not None
    assert started.stdout.readline().startswith(b"log shipper serves")
    return started


def test_links_pipes_and_folders_are_not_read(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_bytes(OUT + b"F secret\n")
    shipper = loop(tmp_path)
    log = RuntimeLog(tmp_path / "pods")
    log.write("stdout", b"own")
    folder = log.file.parent
    (folder / "1.log").symlink_to(secret)
    os.mkfifo(folder / "2.log")
    (folder / "3.log").mkdir()
    (folder.parent / "linked").symlink_to(folder)
    (tmp_path / "pods" / f"shop_linked_{log_files.UID}").symlink_to(folder.parent)
    settle(shipper)
    assert [path.parent.name for path in (tmp_path / "projects").rglob("*.log")] == ["main"]
    assert shipped(tmp_path / "projects") == log.expected
    assert value(shipper, "refused_files") == 3


@pytest.mark.parametrize("rotation", [RuntimeLog.rename, RuntimeLog.copy_and_truncate])
def test_a_file_that_is_rotated_after_it_was_listed_is_not_read(tmp_path: Path, rotation: Callable[[RuntimeLog], None]):
    log = RuntimeLog(tmp_path / "pods")
    log.write("stdout", b"one")
    source = SourceFolder(tmp_path / "pods", log_files.POD, "main")
    listed = source.listing()
    assert listed is not None
    assert source.read(listed[0], 0, 1000) == log.file.read_bytes()
    rotation(log)
    log.write("stdout", b"two")
    assert source.read(listed[0], 0, 1000) is None


def test_a_folder_that_becomes_a_link_is_not_followed(tmp_path: Path):
    shipper = loop(tmp_path)
    log = RuntimeLog(tmp_path / "pods")
    log.write("stdout", b"own")
    settle(shipper)
    elsewhere = RuntimeLog(tmp_path / "elsewhere")
    elsewhere.write("stdout", b"secret")
    log.file.parent.rename(tmp_path / "away")
    log.file.parent.symlink_to(elsewhere.file.parent)
    settle(shipper)
    assert shipped(tmp_path / "projects") == log.expected


def _three_pods(tmp: Path, lines: int) -> Iterator[RuntimeLog]:
    for project, pod in (("shop", "a"), ("shop", "b"), ("bank", "c")):
        log = RuntimeLog(tmp / "pods", f"{project}_{pod}_{log_files.UID}/main")
        for _ in range(lines):
            log.write("stdout", b"z" * 200)
        yield log


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (OutputLimits(file=5000, container=20000, min_free=1), "container"),
        (OutputLimits(file=5000, container=40000, project=50000 + 2 * FOLDERS, min_free=1), "project"),
        (
            OutputLimits(file=5000, container=40000, project=100_000 + 2 * FOLDERS, total=80000 + 3 * FOLDERS, min_free=1),
            "total",
        ),
    ],
)
def test_limits_drop_the_oldest_and_count_it(tmp_path: Path, limits: OutputLimits, limit: str):
    logs = list(_three_pods(tmp_path, 150))
    shipper = loop(tmp_path, limits)
    settle(shipper)
    output = tmp_path / "projects"
    sizes = {path: path.stat().st_size for path in output.rglob("*.log")}
    written = sum(len(line) + 1 for log in logs for line in log.expected)
    projects = ("shop", "bank")
    dropped = {
        kind: sum(value(shipper, "dropped_bytes_total", project=each, limit=kind) for each in projects)
        for kind in ("container", "project", "total")
    }
    assert dropped[limit] > 0
    assert sum(sizes.values()) + sum(dropped.values()) == written
    assert sum(sizes.values()) <= limits.total
    assert all(size <= limits.file for size in sizes.values())
    for folder in output.glob("*/*/main"):
        kept = shipped(output, str(folder.relative_to(output)))
        log = next(log for log in logs if log.folder.split("_")[1] == folder.parent.name.split("_")[0])
        assert kept == log.expected[len(log.expected) - len(kept) :]
        assert sum(path.stat().st_size for path in folder.glob("*.log")) <= limits.container
    shipper = loop(tmp_path, limits)
    settle(shipper)
    assert {path: path.stat().st_size for path in output.rglob("*.log")} == sizes


def test_a_container_that_is_gone_leaves_nothing_behind_when_its_last_file_goes(tmp_path: Path):
    first, *_ = list(_three_pods(tmp_path, 20))
    shipper = loop(tmp_path, OutputLimits(file=5000, container=9000, project=9000 + 2 * FOLDERS, min_free=1))
    settle(shipper)
    first.file.unlink()
    first.file.parent.rmdir()
    first.file.parent.parent.rmdir()
    for log in _three_pods(tmp_path, 40):
        if log.folder == first.folder:
            log.file.unlink()
            log.file.parent.rmdir()
            log.file.parent.parent.rmdir()
    settle(shipper)
    assert not (tmp_path / "projects" / "shop" / f"a_{log_files.UID}").exists()


def test_a_full_disk_stops_nothing_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shipper = loop(tmp_path)
    log = RuntimeLog(tmp_path / "pods")
    log.write("stdout", b"one")
    settle(shipper)
    write = os.write

    def refuse(file: int, data: bytes) -> int:
        if len(data) > 20:
            return write(file, data[:20])
        raise OSError(28, "No space left on device")

    for _ in range(30):
        log.write("stdout", b"two")
    with monkeypatch.context() as patch:
        patch.setattr(output_store.os, "write", refuse)
        assert not shipper.round()
        assert (value(shipper, "output_full"), value(shipper, "failures_total", side="output")) == (1, 1)
        assert "No space left" in shipper.trouble
        assert value(shipper, "backlog_bytes") > 0
    settle(shipper)
    assert (shipped(tmp_path / "projects"), value(shipper, "output_full"), shipper.trouble) == (log.expected, 0, "")


def test_a_disk_that_others_fill_erases_no_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    logs = list(_three_pods(tmp_path, 50))
    shipper = loop(tmp_path, OutputLimits(file=5000, min_free=1000))
    settle(shipper)
    before = set((tmp_path / "projects").rglob("*.log"))
    with monkeypatch.context() as patch:
        patch.setattr(output_store, "_free", lambda _: FreeSpace(999, 1, 0))
        logs[0].write("stdout", b"while the disk is full")
        settle(shipper)
        assert set((tmp_path / "projects").rglob("*.log")) == before
        assert (value(shipper, "output_full"), value(shipper, "output_bytes") > 0) == (1, True)
        assert "room in the output" in shipper.trouble
    settle(shipper)
    assert shipped(tmp_path / "projects", logs[0].folder.replace("_", "/", 1)) == logs[0].expected
    assert (value(shipper, "output_full"), shipper.trouble) == (0, "")


@pytest.mark.parametrize(
    ("free", "missing"),
    [
        (FreeSpace(1000, 100, 100), ""),
        (FreeSpace(1000, 0, 0), ""),
        (FreeSpace(999, 100, 100), "--min-free"),
        (FreeSpace(1000, 99, 100), "inodes"),
    ],
)
def test_the_output_needs_bytes_and_inodes(free: FreeSpace, missing: str):
    found = free.missing(1000)
    assert missing in found
    assert bool(found) == bool(missing)


def test_a_noisy_project_displaces_no_quiet_one(tmp_path: Path):
    quiet = RuntimeLog(tmp_path / "pods", f"bank_web_{log_files.UID}/main")
    quiet.write("stdout", b"written before all others")
    shipper = loop(tmp_path, OutputLimits(file=5000, total=60_000 + 2 * FOLDERS, min_free=1))
    settle(shipper)
    noisy = RuntimeLog(tmp_path / "pods")
    for _ in range(400):
        noisy.write("stdout", b"z" * 200)
    settle(shipper)
    assert value(shipper, "dropped_bytes_total", project="shop", limit="total") > 0
    assert shipped(tmp_path / "projects", quiet.folder.replace("_", "/", 1)) == quiet.expected


def _run_short(shipper: ShippingLoop, pods: Path, project: str, number: int) -> RuntimeLog:
    """A container that writes a line, is shipped and goes with its pod."""
    log = RuntimeLog(pods, f"{project}_job-{number}_{log_files.UID}/main")
    log.write("stdout", b"%d" % number)
    settle(shipper)
    shutil.rmtree(log.file.parent.parent)
    return log


def _kept(output: Path) -> list[str]:
    return sorted(f"{path.parent.name}/{path.name.partition('_')[0]}" for path in output.glob("*/*/"))


def test_containers_that_ended_are_kept_up_to_a_number(tmp_path: Path):
    limits = OutputLimits(file=1000, min_free=1, project_containers=3, containers=4)
    shipper, output = loop(tmp_path, limits), tmp_path / "projects"
    _run_short(shipper, tmp_path / "pods", "bank", 0)
    for number in range(6):
        log = _run_short(shipper, tmp_path / "pods", "shop", number)
    settle(shipper)
    assert _kept(output) == ["bank/job-0", "shop/job-3", "shop/job-4", "shop/job-5"]
    assert value(shipper, "dropped_bytes_total", project="shop", limit="containers") == 3 * (len(log.expected[0]) + 1)
    assert value(shipper, "output_bytes") == 4 * (FOLDERS + output_store.BLOCK)
    _run_short(shipper, tmp_path / "pods", "bank", 1)
    settle(shipper)
    assert _kept(output) == ["bank/job-0", "bank/job-1", "shop/job-4", "shop/job-5"]
    for fewer, kept in (
        (replace(limits, project_containers=1), ["bank/job-1", "shop/job-5"]),
        (replace(limits, containers=1), ["shop/job-5"]),
    ):
        shipper = loop(tmp_path, fewer)
        settle(shipper)
        assert _kept(output) == kept


def test_containers_on_the_node_are_kept_whatever_their_number(tmp_path: Path):
    shipper = loop(tmp_path, OutputLimits(file=1000, min_free=1, project_containers=1, containers=1))
    logs = list(_three_pods(tmp_path, 1))
    settle(shipper)
    for log in logs:
        assert shipped(tmp_path / "projects", log.folder.replace("_", "/", 1)) == log.expected


def test_files_of_a_project_that_is_gone_stay_for_a_time_and_go(tmp_path: Path):
    shipper, output = loop(tmp_path), tmp_path / "projects"
    log = _run_short(shipper, tmp_path / "pods", "shop", 0)
    settle(shipper)
    assert (value(shipper, "absent_projects"), _kept(output)) == (1, ["shop/job-0"])
    os.utime(output / "shop" / output_store.ABSENT, (1000, 1000))
    shipper = loop(tmp_path)
    shipper.retention = time.time() - 900
    settle(shipper)
    assert (shipper.output.absent, _kept(output)) == ({"shop": 1000}, ["shop/job-0"]), "the time survives a restart"
    log.write("stdout", b"again")
    settle(shipper)
    assert (value(shipper, "absent_projects"), (output / "shop" / output_store.ABSENT).exists()) == (0, False)
    shutil.rmtree(log.file.parent.parent)
    settle(shipper)
    assert _kept(output) == ["shop/job-0"]
    shipper.retention = -1
    settle(shipper)
    assert not (output / "shop").exists()
    assert value(shipper, "absent_projects") == 0
    assert value(shipper, "dropped_bytes_total", project="shop", limit="absent") > 0


def test_a_damaged_position_keeps_what_is_written(tmp_path: Path):
    shipper = loop(tmp_path)
    log = RuntimeLog(tmp_path / "pods")
    for _ in range(20):
        log.write("stdout", b"line" * 20)
    settle(shipper)
    (tmp_path / "projects" / "shop" / f"web-0_{log_files.UID}" / "main" / output_store.POSITION).write_bytes(b"{")
    settle(loop(tmp_path))
    assert shipped(tmp_path / "projects") == log.expected * 2


def test_logs_that_go_before_they_are_shipped_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shipper = loop(tmp_path)
    log = RuntimeLog(tmp_path / "pods")
    log.write("stdout", b"one")
    log.write("stdout", b"two", part=True)
    settle(shipper)
    size = log.file.stat().st_size
    log.file.unlink()
    settle(shipper)
    assert value(shipper, "lost_bytes_total", project="shop") == size - len(log.expected[0]) - 1


@pytest.mark.parametrize("refuse", ["_free", "_write"])
def test_logs_that_go_while_the_output_is_full_are_counted_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuse: str):
    shipper = loop(tmp_path)
    log = RuntimeLog(tmp_path / "pods")
    log.write("stdout", b"one")
    settle(shipper)
    shipped_before = log.file.stat().st_size
    if refuse == "_free":
        monkeypatch.setattr(output_store, "_free", lambda _: FULL)
    else:
        monkeypatch.setattr(output_store, "_write", _no_space)
    log.write("stdout", b"two")
    log.write("stdout", b"three")
    shipper.round()
    lost = log.file.stat().st_size - shipped_before
    log.file.unlink()
    log.write("stdout", b"four")
    settle(shipper)
    assert value(shipper, "lost_bytes_total", project="shop") == lost


def _no_space(*_: object) -> None:
    raise OutputFull("No space left on device")


def test_projects_share_the_places_of_containers_and_one_without_a_place_gets_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shipping_loop, "MOST_CONTAINERS", 3)
    shipper = loop(tmp_path)
    noisy = [RuntimeLog(tmp_path / "pods", f"aaa_web_{log_files.UID}/c{number}") for number in range(4)]
    for log in noisy:
        log.write("stdout", b"noise")
    settle(shipper)
    assert (value(shipper, "containers"), value(shipper, "containers_left_out")) == (3, 1)
    quiet = RuntimeLog(tmp_path / "pods", f"shop_web_{log_files.UID}/main")
    quiet.write("stdout", b"one")
    settle(shipper)
    assert len(shipped(tmp_path / "projects", quiet.folder.replace("_", "/", 1))) == 1
    assert (value(shipper, "containers"), value(shipper, "containers_left_out")) == (3, 2)
    for log in (quiet, noisy[0]):
        log.file.unlink()
        log.file.parent.rmdir()
    settle(shipper)
    for log in noisy[1:]:
        assert shipped(tmp_path / "projects", log.folder.replace("_", "/", 1)) == log.expected
    assert (value(shipper, "containers"), value(shipper, "containers_left_out")) == (3, 0)


def test_a_container_that_fails_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    logs = list(_three_pods(tmp_path, 3))
    shipper = loop(tmp_path)
    append = OutputStore.append

    def fail_for_a(self: OutputStore, folder: PurePosixPath, *rest: object) -> tuple[int, int]:
        if folder.parts[1].startswith("a_"):
            raise OutputFull("no")
        return append(self, folder, *rest)

    monkeypatch.setattr(OutputStore, "append", fail_for_a)
    shipper.round()
    assert [len(shipped(tmp_path / "projects", log.folder.replace("_", "/", 1))) for log in logs] == [0, 3, 3]


@pytest.mark.parametrize(
    ("data", "most", "size", "parts"),
    [
        (b"aa\nbb\ncc\n", 9, 0, [b"aa\nbb\ncc\n"]),
        (b"aa\nbb\ncc\n", 7, 0, [b"aa\nbb\n", b"cc\n"]),
        (b"aa\nbb\ncc\n", 7, 4, [b"aa\n", b"bb\ncc\n"]),
        (b"aa\nbb\n", 7, 7, [b"aa\nbb\n"]),
        (b"aaaaaa\nb\n", 3, 1, [b"aaaaaa\n", b"b\n"]),
        (b"", 3, 0, []),
    ],
)
def test_files_end_with_a_line(data: bytes, most: int, size: int, parts: list[bytes]):
    assert list(output_store.split(data, most, size)) == parts


@pytest.mark.parametrize(
    "arguments", [["--max-file-size", "0"], ["--max-file-size", "10x"], ["--max-file-size", "2Gi"], ["--listen", "x"]]
)
def test_a_wrong_argument_ends_the_process(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        process.arguments(arguments)
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err
