"""Unpacks an archive of images into an OCI image layout: what `docker save` writes, and OCI archives."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pincompute_sdk.core.tar_headers import ArchiveError
from pincompute_sdk.images import archive_unpacking, file_kind, image_manifest, oci_layout
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.image_manifest import CONFIG, LAYER, MANIFEST, PLAIN_LAYERS, Descriptor, ManifestBytes
from pincompute_sdk.images.oci_layout import LayoutImage, OciLayout

_EXPECTED = "name a file of `docker save` or `podman save`, an OCI archive, or the folder of an OCI image layout"
_BLOCK = 1024 * 1024


class _Saved(msgspec.Struct, frozen=True, rename="pascal"):
    """One entry of `manifest.json`, which `docker save` writes."""

    config: str
    layers: tuple[str, ...]
    repo_tags: tuple[str, ...] | None = None


def unpack(file: Path, scratch: Path) -> OciLayout:
    """The archive's images in a layout below `scratch`; the folder of a layout is used as it is. Raises ImageError."""
    if file.is_dir():
        return _layout_of(file, scratch, str(file), f"`pin image build {file}` builds the image of a folder; or {_EXPECTED}")
    _check(file)
    target = Path(tempfile.mkdtemp(dir=scratch))
    try:
        archive_unpacking.unpack(file, target)
    except (ArchiveError, EOFError, OSError, zlib.error) as error:
        raise _unreadable(file, error) from error
    return _layout_of(target, scratch, str(file), _expected_of(target))


def _check(file: Path) -> None:
    """Raises ImageError for what is no regular file, or cannot be read."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise ImageError(f"{file} is a pipe, a device or a socket, and no file", remedy=file_kind.SAVE)
        with file.open("rb"):
            return
    except FileNotFoundError as error:
        raise ImageError(f"{file} does not exist", remedy=_EXPECTED) from error
    except OSError as error:
        raise ImageError(f"{file} cannot be read", reason=error.strerror or str(error), remedy=_EXPECTED) from error


def _unreadable(file: Path, error: Exception) -> ImageError:
    """Says what the file is, where it is no tar archive, or else what is wrong with it."""
    begin, compressed = archive_unpacking.first_bytes(file)
    what, remedy = file_kind.of(begin)
    if compressed:
        what = f"it is compressed with {compressed}, and of what is in it: {what}"
    if isinstance(error, ArchiveError) and file_kind.is_archive(begin) and str(error) != archive_unpacking.CUT_OFF:
        what, remedy = str(error), file_kind.SAVE
    return ImageError(f"{file} is no archive of an image", reason=what, remedy=remedy)


def _expected_of(root: Path) -> str:
    """What to do about an archive that has neither of the documents of an image."""
    if {"bin", "etc", "usr"} <= {path.name for path in root.iterdir()}:
        return "it has the files of a container, as `docker export` writes them: save the image instead, with `docker save`"
    return _EXPECTED


def compressed(image: LayoutImage, scratch: Path) -> LayoutImage:
    """The image with layers that were plain compressed, in a layout below `scratch`; the image itself where none was."""
    manifest = image.manifest.decoded
    if not any(layer.media_type in PLAIN_LAYERS for layer in manifest.layers):
        return image
    layout = OciLayout(Path(tempfile.mkdtemp(dir=scratch)))
    config = _copied(image, manifest.config, layout) if manifest.config else None
    packed = {
        layer.digest: _gzipped(image.layout.file(layer.digest), layout, layer.digest)
        if layer.media_type in PLAIN_LAYERS
        else _copied(image, layer, layout)
        for layer in {each.digest: each for each in manifest.layers}.values()
    }
    layers = tuple(packed[layer.digest] for layer in manifest.layers)
    written = msgspec.json.encode({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers})
    return LayoutImage(layout, ManifestBytes(written, MANIFEST), image.name)


def _layout_of(root: Path, scratch: Path, shown: str, remedy: str) -> OciLayout:
    if (root / "index.json").is_file():
        return OciLayout(root, shown)
    if not (root / "manifest.json").is_file():
        raise ImageError(f"{shown} holds no image: it has neither index.json nor manifest.json", remedy=remedy)
    return _converted(root, OciLayout(Path(tempfile.mkdtemp(dir=scratch)), shown))


def _converted(root: Path, layout: OciLayout) -> OciLayout:
    """A layout of what older programs save: each layer a tar file in a folder of its own."""
    content = oci_layout.document(_within(root, "manifest.json"))
    saved = image_manifest.decode(content, tuple[_Saved, ...], "manifest.json of the archive")
    packed = dict[Path, Descriptor]()
    described = [each for image in saved for each in _image(root, image, layout, packed)]
    index = msgspec.json.encode({"schemaVersion": 2, "manifests": described})
    (layout.root / "index.json").write_bytes(index)
    return layout


def _image(root: Path, saved: _Saved, layout: OciLayout, packed: dict[Path, Descriptor]) -> Iterator[Descriptor]:
    """`packed` are the layers so far: a file that is named again is not compressed again."""
    config = _stored(oci_layout.document(_within(root, saved.config)), layout)
    files = [_within(root, layer) for layer in saved.layers]
    for file in files:
        packed[file] = packed.get(file) or _gzipped(file, layout)
    layers = tuple(packed[file] for file in files)
    described = Descriptor(media_type=CONFIG, digest=config.digest, size=config.size)
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": layers}
    stored = _stored(msgspec.json.encode(manifest), layout)
    for name in saved.repo_tags or ("",):
        annotations = {image_manifest.NAME_ANNOTATIONS[0]: name} if name else None
        yield Descriptor(media_type=MANIFEST, digest=stored.digest, size=stored.size, annotations=annotations)


def _within(root: Path, name: str) -> Path:
    """A file of the archive. An archive may come from somebody else, and must not name a file of this machine."""
    found = (root / name).resolve()
    if not found.is_relative_to(root.resolve()) or not found.is_file():
        raise ImageError(f"the archive has no file {name[:80]!r}", remedy="save the image again")
    return found


def _stored(content: bytes, layout: OciLayout) -> Descriptor:
    digest = image_manifest.digest_of(content)
    _place(layout, digest).write_bytes(content)
    return Descriptor(digest=digest, size=len(content))


def _copied(image: LayoutImage, part: Descriptor, layout: OciLayout) -> Descriptor:
    shutil.copyfile(image.layout.file(part.digest), _place(layout, part.digest))
    return part


def _gzipped(file: Path, layout: OciLayout, expected: str = "") -> Descriptor:
    """The same bytes for the same layer, so that a second import uploads nothing. A layer may be compressed already.

    Raises ImageError where the file has another digest than `expected`, as the registry would.
    """
    with file.open("rb") as start:
        if expected and f"sha256:{hashlib.file_digest(start, 'sha256').hexdigest()}" != expected:
            raise oci_layout.other_content(expected)
        start.seek(0)
        plain = start.read(2) != b"\x1f\x8b"
    scratch = _place(layout, "sha256:new")
    with file.open("rb") as source, scratch.open("wb") as target:
        if plain:
            with gzip.GzipFile(filename="", mode="wb", fileobj=target, mtime=0, compresslevel=6) as packed:
                shutil.copyfileobj(source, packed, _BLOCK)
        else:
            shutil.copyfileobj(source, target, _BLOCK)
    with scratch.open("rb") as content:
        digest = f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"
    size = scratch.stat().st_size
    scratch.rename(_place(layout, digest))
    return Descriptor(media_type=LAYER, digest=digest, size=size)


def _place(layout: OciLayout, digest: str) -> Path:
    folder = layout.root / "blobs" / "sha256"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / digest.removeprefix("sha256:")
