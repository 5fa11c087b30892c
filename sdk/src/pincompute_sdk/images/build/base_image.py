"""Makes base images from Debian packages with mmdebstrap, and keeps them by the versions of their packages.

`python` has Python, its certificates, a shell and busybox, and no package manager: packages are unpacked and not configured,
which halves size and time. `debian` has apt, for Dockerfiles that install more. Both need root or user namespaces, and the
package sources of this machine, whose credentials and proxies stay out of the image.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from pincompute_sdk.images.build import apt_sources, cache_folder, image_recipe, layers, layout_writer, tool_run
from pincompute_sdk.images.build.layers import Layer
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.image_manifest import LAYER, Descriptor
from pincompute_sdk.images.oci_layout import OciLayout

FORMAT = "1"  # part of every key; to be raised when the same packages must give another base
PREFIX = "pincompute/"  # of the names by which a Dockerfile takes a base
KEY = 16  # characters of a hash
USER = 65532  # who runs in an image on a base
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TRANSPORT = "PINCOMPUTE_APT_TRANSPORT"  # variable with options of apt, which the hook of SETUP writes where apt reads them
SETUP = f'umask 077; printf "%s" "${TRANSPORT}" >"$1/etc/apt/apt.conf.d/98pincompute"'
_PATIENCE = ('Acquire::Retries "1"', 'Acquire::http::Timeout "20"', 'Acquire::https::Timeout "20"')  # by default minutes
REMEDY = (
    "`apt-get update` shows whether the package sources of this machine can be reached; without root, install uidmap as well"
)


class Package(msgspec.Struct, frozen=True):
    """A package in a base."""

    name: str
    version: str


class _Stored(msgspec.Struct, frozen=True):
    """What lies beside a base's layer in the cache. `recipe` is that of the version which made it."""

    digest: str
    size: int
    content: str
    packages: tuple[Package, ...]
    recipe: str = ""


@dataclass(frozen=True, slots=True)
class BaseKind:
    """A kind of base. `variant` is mmdebstrap's word for which packages come and whether they are configured."""

    name: str
    summary: str
    variant: str
    packages: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BaseImage:
    """A base in the cache."""

    kind: BaseKind
    layer: Layer
    packages: tuple[Package, ...]
    cached: bool = True

    def version(self, package: str) -> str:
        return next((found.version for found in self.packages if found.name == package), "")

    def write(self, root: Path) -> OciLayout:
        """The base as an image of its own, for the tools that build Dockerfiles."""
        run = {"Env": environment(self.kind), "Cmd": ["/bin/sh"]}
        return layout_writer.write(root, image_recipe.here(), run, (self.layer,), f"{PREFIX}{self.kind.name}:latest")


KINDS: Mapping[str, BaseKind] = {
    kind.name: kind
    for kind in (
        BaseKind(
            "python",
            "Python with certificates, a shell and busybox; no package manager",
            "extract",
            ("base-files", "base-passwd", "netbase", "tzdata", "ca-certificates", "busybox", "dash", "libc6", "libstdc++6",
             "python3", "python3-pip-whl"),
            {"PYTHONUNBUFFERED": "1"},
        ),
        BaseKind("debian", "Debian with apt", "apt", ("ca-certificates",), {}),
    )
}  # fmt: skip


def environment(kind: BaseKind, more: Mapping[str, str] | None = None) -> list[str]:
    return [f"{name}={value}" for name, value in {"PATH": PATH, "LANG": "C.UTF-8", **kind.environment, **(more or {})}.items()]


def get(name: str, *, refresh: bool = False, say: Callable[[str], None] = lambda _: None) -> BaseImage:
    """The base from the cache, or a new one. Raises ImageError where the machine cannot make one."""
    kind = _kind(name)
    place = cache_folder.path() / f"base-{name}-{_key(kind)}"
    if not refresh and (found := _stored(kind, place)) is not None:
        return found
    _require_tools()
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"base-{name}-", dir=place.parent) as folder:
        scratch = Path(folder)
        archive = scratch / "base.tar"
        sources = apt_sources.lines()
        asked = command(kind, apt_sources.suite(), archive, from_input=bool(sources))
        say(f"makes the base {name} of Debian packages with mmdebstrap; it is kept in {place.parent}")
        hook = frozenset(_hook(kind).splitlines())  # mmdebstrap repeats it when it fails
        secrets = {"SOURCE_DATE_EPOCH": "0", TRANSPORT: apt_sources.as_configuration(apt_sources.transport())}
        given = "".join(f"{line}\n" for line in sources)
        tool_run.run(
            asked, environment=os.environ | secrets, given=given, remedy=REMEDY, silent=hook, edit=apt_sources.without_logins
        )
        layer = layers.compress(archive, scratch / "layer.tar.gz")
        packages = _packages(archive)
        archive.unlink()
        stored = _Stored(layer.descriptor.digest, layer.descriptor.size, layer.content, packages, recipe(name))
        (scratch / "base.json").write_bytes(msgspec.json.encode(stored))
        cache_folder.replace(scratch, place)
    made = _stored(kind, place)
    if made is None:
        raise ImageError(f"the base {name} in {place} was removed while it was made", remedy="repeat the command")
    return replace(made, cached=False)


def kept(name: str) -> BaseImage | None:
    """The base that was made or used last, whatever versions its packages have by now; None where the cache has none.

    It asks neither apt nor the network. Raises ImageError for a name that no base has.
    """
    kind, wanted = _kind(name), recipe(name)
    places = cache_folder.path().glob(f"base-{name}-{'[0-9a-f]' * KEY}")
    newest = sorted(places, key=cache_folder.last_use, reverse=True)
    return next((found for place in newest if (found := _stored(kind, place, wanted)) is not None), None)


def recipe(name: str) -> str:
    """Hash of all that makes a base but the versions of its packages. Raises ImageError for a name that no base has."""
    return _hash(_facts(_kind(name)))


def _kind(name: str) -> BaseKind:
    if name not in KINDS:
        raise ImageError(f"there is no base {name!r}", remedy=f"choose one of {', '.join(KINDS)}")
    return KINDS[name]


def command(kind: BaseKind, suite: str, archive: Path, *, from_input: bool) -> list[str]:
    """mmdebstrap's, whose arguments every user of the machine can read: sources and proxies, which may hold passwords, come by
    its input and its environment. The hooks are passed as text, because in a user namespace it may not read a file of the
    user's home.
    """
    stage = "extract" if kind.variant == "extract" else "customize"
    options = ('Acquire::Languages "none"', 'APT::Install-Recommends "false"', *_PATIENCE)
    return [
        "mmdebstrap",
        f"--variant={kind.variant}",
        f"--include={','.join(kind.packages)}",
        "--skip=output/mknod",
        *(f"--aptopt={option}" for option in options),
        f"--setup-hook={SETUP}",
        f"--{stage}-hook={_hook(kind)}",
        suite,
        str(archive),
        *(("-",) if from_input else ()),
    ]


def _hook(kind: BaseKind) -> str:
    return (resources.files("pincompute_sdk.images.build") / f"base_{kind.name}.sh").read_text("utf-8")


def _key(kind: BaseKind) -> str:
    """Changes with the kind, its hook, and the version of any package in it that this machine's package lists know."""
    return _hash((*_facts(kind), apt_sources.versions(kind.packages)))


def _facts(kind: BaseKind) -> tuple[Any, ...]:
    return command(kind, apt_sources.suite(), Path(), from_input=False), image_recipe.here(), FORMAT


def _hash(facts: tuple[Any, ...]) -> str:
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:KEY]


def _require_tools() -> None:
    missing = [tool for tool in ("mmdebstrap", "apt-get") if shutil.which(tool) is None]
    if missing:
        raise ImageError(
            f"{' and '.join(missing)} is not installed; a base is made of Debian packages with it",
            remedy="apt install mmdebstrap; on a machine that is not Debian or Ubuntu, build from a Dockerfile",
        )


def _stored(kind: BaseKind, place: Path, recipe: str = "") -> BaseImage | None:
    """The base in this folder; with a recipe, only one that was made by it."""
    try:
        found = msgspec.json.decode((place / "base.json").read_bytes(), type=_Stored)
    except (OSError, msgspec.MsgspecError):
        return None
    if recipe and found.recipe != recipe:
        return None
    layer = Layer(place / "layer.tar.gz", Descriptor(media_type=LAYER, digest=found.digest, size=found.size), found.content)
    if not layer.file.is_file():
        return None
    cache_folder.used(place)
    return BaseImage(kind, layer, found.packages)


def _packages(archive: Path) -> tuple[Package, ...]:
    """Those that the base says it has; scanners of images read the same file."""
    with tarfile.open(archive) as opened:
        for member in opened:
            if member.name.removeprefix("./") == "var/lib/dpkg/status" and (file := opened.extractfile(member)):
                return tuple(_parsed(file.read().decode("utf-8", "replace")))
    return ()


def _parsed(status: str) -> Iterator[Package]:
    for paragraph in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and not line.startswith(" "))
        if "Package" in fields:
            yield Package(fields["Package"], fields.get("Version", ""))
