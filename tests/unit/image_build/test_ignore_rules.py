"""`.dockerignore`: which files stay out of an image."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from pincompute_sdk.images.build import ignore_rules

RULES = {
    "a name at the top": ("secret.txt", {"secret.txt": True, "sub/secret.txt": False}),
    "a name everywhere": ("**/secret.txt", {"secret.txt": True, "a/b/secret.txt": True, "a/other": False}),
    "a folder takes what is in it": ("data", {"data": True, "data/a/b": True, "database": False}),
    "a leading and a trailing slash mean nothing": ("/data/", {"data/x": True, "a/data": False}),
    "a star stays in its folder": ("*.pyc", {"a.pyc": True, "a/b.pyc": False}),
    "two stars cross folders": ("a/**/z", {"a/z": True, "a/b/c/z": True, "z": False}),
    "everything below": ("a/**", {"a/b": True, "b": False}),
    "two stars before a name": ("**.pyc", {"a.pyc": True, "a/b/c.pyc": True, "a.py": False}),
    "two stars behind a name": ("a**", {"a": True, "ax/y": True, "b": False}),
    "two stars between names": ("a**/z", {"a/z": True, "ax/y/z": True, "z": False}),
    "stars beside each other": ("**/***/z", {"z": True, "a/b/z": True, "a": False}),
    "several stars in a name": ("a*b*c.*", {"abc.x": True, "a1bb2c.": True, "acb.x": False, "a/bc.x": False}),
    "the first place is no dead end": ("**/a/*b/**/c", {"a/x/a/yb/c": True, "a/b/a/c": True, "a/x/c": False}),
    "one character": ("?.txt", {"a.txt": True, "ab.txt": False}),
    "a class of characters": ("[a-c].txt", {"b.txt": True, "d.txt": False}),
    "not of a class": ("[^a-c].txt", {"b.txt": False, "d.txt": True}),
    "a character that is escaped": (r"a\*b", {"a*b": True, "axb": False}),
    "a dot is a dot": (".env", {".env": True, "xenv": False}),
    "comments and empty lines": ("# data\n\n", {"data": False, "# data": False}),
    "the last line that fits decides": ("*.md\n!README.md", {"README.md": False, "x.md": True}),
    "a line may take back a kept one": ("*.md\n!R*.md\nREADME.md", {"README.md": True, "R.md": False}),
    "a file in a left-out folder is kept": ("data\n!data/keep", {"data/keep": False, "data/x": True}),
    "a mark of byte order": ("\ufeffdata", {"data": True}),
    "windows line ends": ("data\r\nother\r\n", {"data": True, "other": True}),
    "the folder itself is no rule": (".\n/", {"a": False}),
}


@pytest.mark.parametrize("case", RULES)
def test_rules_decide_as_docker_does(case: str) -> None:
    text, expected = RULES[case]
    rules = ignore_rules.parse(text)
    assert {path: rules.ignores(PurePosixPath(path)) for path in expected} == expected


def test_own_lines_come_first_so_that_the_file_overrules_them() -> None:
    rules = ignore_rules.parse("!.env.example", before=[".env*"])
    assert rules.ignores(PurePosixPath(".env"))
    assert not rules.ignores(PurePosixPath(".env.example"))


def test_a_folder_is_only_skipped_when_nothing_in_it_can_be_kept() -> None:
    assert ignore_rules.parse("data").prunes(PurePosixPath("data"))
    assert not ignore_rules.parse("data\n!data/keep").prunes(PurePosixPath("data"))
