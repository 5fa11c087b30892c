"""One embedded region for all tests that want one. Asking for it marks a test as `region`, for a gateway as `served`."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from live_region import Region, run
from story_projects import make_project
from terminal_user import IMAGES, TerminalUser

from pincompute.api.workloads import PINAPPS, PINPODS
from pincompute.region import bundled_folders, home
from pincompute.region.machine import leftovers

settings.register_profile("untimed", deadline=None)  # a busy machine takes longer
settings.load_profile("untimed")

KEPT = (
    "PINCOMPUTE_STORIES_HOME"  # a home whose region is used, and left running: for several runs, and those who work on stories
)


def pytest_configure() -> None:
    """A shell starts a program in the background with SIGINT ignored, and programs that we start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        asked = getattr(item, "fixturenames", ())
        if "region" in asked:
            item.add_marker(pytest.mark.region)
        if "gateway" in asked:
            item.add_marker(pytest.mark.served)


@pytest.fixture(scope="session")
def region_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the region lives; nothing of it may be left on the machine in the end."""
    if kept := os.environ.get(KEPT):
        yield Path(kept)
        return
    place = tmp_path_factory.mktemp("region")
    try:
        yield place
    finally:
        layout = home.load(place)
        run(place, "region", "down")
        assert layout is None or leftovers.leftovers(layout) == []
        run(place, "region", "down", "--purge")
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def greeting(region_home: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `up` said to the first of the processes of this run that share the region. One region at a time is started."""
    run_id = os.environ.get("PYTEST_XDIST_TESTRUNUID", "alone")
    said = region_home.with_name(f"{region_home.name}.{run_id}.up")
    with said.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if run_id == "alone" or not (found := file.read()):
            with (tmp_path_factory.getbasetemp().parent / "up.lock").open("w") as turn:
                fcntl.flock(turn, fcntl.LOCK_EX)
                found = _up(region_home)
            file.write(found)
            file.flush()
    return found


def _up(home: Path) -> str:
    done = run(home, "region", "up", "--no-daemons")  # the machine is busy enough
    folder = str(bundled_folders.folder("examples") / "hello" / "image")
    for version in ("1", "2"):
        run(home, "region", "image", "build", folder, "--tag", f"hello:{version}")
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def region(region_home: Path, greeting: str) -> Iterator[Region]:
    """The region, with examples/hello in project demo."""
    region = Region(region_home)
    yield region
    region.census.close()


@pytest.fixture(scope="session")
def users(region: Region, tmp_path_factory: pytest.TempPathFactory) -> dict[str, TerminalUser]:
    """Everybody the region's issuer knows, logged in, each with a home; the image that their apps talk with is there."""
    for version in ("1", "2"):
        region.run("region", "image", "build", str(IMAGES / "talker"), "--tag", f"talker:{version}")
    found = {name: TerminalUser(region, name, tmp_path_factory.mktemp(name)) for name in ("dev", "admin")}
    for user in found.values():
        assert user.login().status == 0
    return found


@pytest.fixture(scope="session")
def dev(users: dict[str, TerminalUser]) -> TerminalUser:
    """A developer, who has rights in the projects of which they are a member, and nowhere else."""
    return users["dev"]


@pytest.fixture(scope="session")
def admin(users: dict[str, TerminalUser]) -> TerminalUser:
    """May do everything everywhere."""
    return users["admin"]


@pytest.fixture(scope="module")
def shop(region: Region, admin: TerminalUser, dev: TerminalUser, request: pytest.FixtureRequest) -> Iterator[str]:
    """A project that admin created for dev, one for all stories of a module; emptied afterwards, and dev leaves it."""
    name = f"g{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:8]}"
    admin.pin("project", "create", name, status=None)
    admin.pin("project", "grant", "dev", "owner", "--yes", "--project", name)
    dev.pin("project", "use", name)
    yield name
    _empty(region, name)
    admin.pin("project", "revoke", "dev", "--project", name, status=None)


@pytest.fixture
def project(region: Region, request: pytest.FixtureRequest) -> Iterator[str]:
    """A project of this test's own, emptied afterwards."""
    name = f"p{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:8]}"
    make_project(region, name)
    yield name
    _empty(region, name)


def _empty(region: Region, name: str) -> None:
    for kind in (PINAPPS, PINPODS):
        for obj in region.host.list(kind, name):
            region.delete(kind.kind, name, obj.metadata.name)
    region.eventually(f"project {name} is empty", lambda: not any(region.host.list(kind, name) for kind in (PINAPPS, PINPODS)))
