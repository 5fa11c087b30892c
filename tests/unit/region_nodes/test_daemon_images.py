"""The images of daemons hold all that the daemons import, and no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pincompute_sdk.images.build import image_recipe

from pincompute.region.images import daemon_images
from pincompute.region.images.daemon_images import IMAGES, LOG_SHIPPER, METRICS_AGENT, DaemonImage

every_image = pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)


@every_image
def test_an_image_holds_its_own_daemon_alone(image: DaemonImage, tmp_path: Path):
    daemon_images.fill(tmp_path, image)
    app = tmp_path / "app"
    assert {path.name for path in app.iterdir()} == {"pincompute", "prometheus_client"}
    assert {path.name for path in (app / "pincompute" / "daemons").iterdir() if path.is_dir()} == {image.package}
    assert not [path for path in tmp_path.rglob("*") if "__pycache__" in path.parts]
    assert {path.stat().st_mode & 0o777 for path in app.rglob("*.py")} == {0o644}
    assert sum(path.stat().st_size for path in app.rglob("*.py")) < 1 << 20


@every_image
@pytest.mark.programs
def test_a_daemon_starts_without_any_other_package(image: DaemonImage, tmp_path: Path):
    daemon_images.fill(tmp_path, image)
    program = image_recipe.read(tmp_path).entrypoint[1:]
    found = subprocess.run(
        [sys.executable, "-S", "-E", *program, "--help"], cwd=tmp_path / "app", capture_output=True, text=True, timeout=30
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith(f"usage: {image.package}")


@pytest.mark.parametrize(
    ("image", "name", "user"), [(METRICS_AGENT, "metrics-agent", "65531"), (LOG_SHIPPER, "log-shipper", "0")]
)
def test_only_who_must_runs_as_root(image: DaemonImage, name: str, user: str, tmp_path: Path):
    """Logs of containers are readable for root alone; figures of the node are readable for everybody."""
    daemon_images.fill(tmp_path, image)
    assert (image.tag.partition(":")[0], image_recipe.read(tmp_path).user) == (f"pincompute/{name}", user)
