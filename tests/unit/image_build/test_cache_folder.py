"""The cache of builds: nobody sees half of an entry, and what no build uses for a month goes."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pincompute_sdk.images.build import cache_folder


def entry(folder: Path, name: str, unused: float = 0.0) -> Path:
    made = folder / name
    made.mkdir(parents=True)
    (made / "layer.tar.gz").write_text(name)
    then = time.time() - unused
    os.utime(made, (then, then))
    return made


def test_an_entry_replaces_the_one_before_as_a_whole(tmp_path: Path) -> None:
    place = entry(tmp_path / "cache", "python-a")
    (place / "old").write_text("")
    cache_folder.replace(entry(tmp_path, "made"), place)
    assert [file.name for file in place.iterdir()] == ["layer.tar.gz"]
    assert (place / "layer.tar.gz").read_text() == "made"
    assert [each.name for each in place.parent.iterdir()] == ["python-a"]


def test_what_no_build_has_used_for_a_month_goes_when_something_new_comes(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for name in ("python-old", "base-python-old", "pip", "python-used"):
        entry(cache, name, unused=cache_folder.KEPT + 60)
    entry(cache, "python-recent", unused=cache_folder.KEPT - 60)
    cache_folder.used(cache / "python-used")
    cache_folder.replace(entry(tmp_path, "made"), cache / "python-new")
    assert sorted(each.name for each in cache.iterdir()) == ["pip", "python-new", "python-recent", "python-used"]


def test_what_is_gone_is_no_trouble(tmp_path: Path) -> None:
    cache_folder.used(tmp_path / "python-gone")
