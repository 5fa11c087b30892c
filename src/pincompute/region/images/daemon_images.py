"""Makes the images of the daemons of nodes from this installation: their own code and the one library that they import.

The library is the one that is installed here, from the lock file. The folder of an image holds nothing else, so an image
changes when its code, its library or its base does.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.registry_client import RegistryClient

import pincompute
from pincompute.api import image_ownership
from pincompute.region.images import platform_images
from pincompute.region.images.platform_images import BuiltImage

CODE = Path(pincompute.__file__).parent
LIBRARY = "prometheus_client"
NOT_CODE = shutil.ignore_patterns("__pycache__", "*.pyc")


@dataclass(frozen=True, slots=True)
class DaemonImage:
    """An image of a daemon: its name, and its package below `pincompute.daemons`."""

    name: str
    package: str

    @property
    def tag(self) -> str:
        return f"{image_ownership.PLATFORM}/{self.name}:{pincompute.__version__}"


METRICS_AGENT = DaemonImage("metrics-agent", "metrics_agent")
LOG_SHIPPER = DaemonImage("log-shipper", "log_shipper")
IMAGES = (METRICS_AGENT, LOG_SHIPPER)
RECORD = "daemon-images.json"  # in the home of a region: digests by source


def ensure(image: DaemonImage, registry: RegistryClient, record: Path, say: Callable[[str], None]) -> BuiltImage:
    """Makes the image and pushes it, unless this machine did so for this code. Raises ImageError."""
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), image)
        return platform_images.ensure(Path(folder), image.tag, registry, record, say)


def renew(image: DaemonImage, registry: RegistryClient, record: Path) -> BuiltImage:
    """Makes the image on the newest packages and pushes it. Raises ImageError."""
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), image)
        return platform_images.renew(Path(folder), image.tag, registry, record)


def fill(folder: Path, image: DaemonImage) -> None:
    """Puts what the image is made of into a folder: the recipe, and below `app` what Python imports."""
    shutil.copy(Path(__file__).parent / image.name / "image.yaml", folder)
    daemons = folder / "app" / "pincompute" / "daemons"
    shutil.copytree(CODE / "daemons" / image.package, daemons / image.package, ignore=NOT_CODE)
    for file in _shared():
        shutil.copy(file, daemons)
    shutil.copy(CODE / "__init__.py", daemons.parent)
    shutil.copytree(_library(), folder / "app" / LIBRARY, ignore=NOT_CODE)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)  # whatever the mask of the one who installed it


def _shared() -> Iterator[Path]:
    yield from (CODE / "daemons").glob("*.py")


def _library() -> Path:
    found = importlib.util.find_spec(LIBRARY)
    if found is None or not found.submodule_search_locations:
        raise ImageError(f"{LIBRARY} is not installed", remedy="install pincompute with its dependencies")
    return Path(found.submodule_search_locations[0])
