"""What other users of the machine can read of the programs that make a base: their arguments."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from pincompute_sdk.images.build import apt_sources, base_image, build_context, tool_run
from pincompute_sdk.images.image_errors import ImageError

SOURCE = "deb http://user:hunter2@mirror.example/debian bookworm main"
PROXY = 'Acquire::http::Proxy "http://user:hunter2@proxy.example:3128"'


def arrange(monkeypatch: pytest.MonkeyPatch, folder: Path, program: str) -> None:
    """A machine with these sources and this proxy, where mmdebstrap is this program."""
    monkeypatch.delenv("PINCOMPUTE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setattr(apt_sources, "lines", lambda: [SOURCE])
    monkeypatch.setattr(apt_sources, "transport", lambda: [PROXY])
    monkeypatch.setattr(apt_sources, "versions", lambda _packages: [])
    for tool, text in {"mmdebstrap": program, "apt-get": "exit 0"}.items():
        (folder / tool).write_text(f"#!/bin/sh\n{text}\n")
        (folder / tool).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_no_password_is_among_the_arguments_and_what_apt_needs_arrives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = tmp_path / "told"
    arrange(
        monkeypatch,
        tmp_path,
        f'printf "%s\\n" "$@" >{told}.arguments; cat >{told}.input; printf "%s" "${base_image.TRANSPORT}" >{told}.apt; exit 1',
    )
    with pytest.raises(ImageError):
        base_image.get("python")
    assert "hunter2" not in Path(f"{told}.arguments").read_text()
    assert Path(f"{told}.arguments").read_text().splitlines()[-1] == "-"
    assert Path(f"{told}.input").read_text() == f"{SOURCE}\n"
    assert Path(f"{told}.apt").read_text() == f"{PROXY};\n"


def test_the_hook_writes_the_options_for_root_alone_and_every_base_removes_them(tmp_path: Path) -> None:
    (tmp_path / "etc/apt/apt.conf.d").mkdir(parents=True)
    options = apt_sources.as_configuration([PROXY])
    subprocess.run(("sh", "-c", base_image.SETUP, "exec", tmp_path), env={base_image.TRANSPORT: options}, check=True)
    written = tmp_path / "etc/apt/apt.conf.d/98pincompute"
    assert written.read_text() == f"{PROXY};\n"
    assert written.stat().st_mode & 0o077 == 0
    for kind in base_image.KINDS.values():
        hook = base_image.command(kind, "bookworm", tmp_path, from_input=True)
        assert any("rm -f" in line and "98pincompute" in line for part in hook for line in part.splitlines())


def test_an_error_shows_no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arrange(monkeypatch, tmp_path, "echo E: Failed to fetch http://user:hunter2@mirror.example/debian; exit 1")
    with pytest.raises(ImageError) as caught:
        base_image.get("python")
    assert "Failed to fetch http://mirror.example/debian" in caught.value.reason
    assert "hunter2" not in str(caught.value)


def test_a_program_that_does_not_read_what_it_is_given_ends_as_it_does() -> None:
    assert tool_run.run(("sh", "-c", "exec 0<&-; echo done"), given="x" * 1_000_000) == "done"


def test_an_error_names_the_program_that_failed_and_not_the_one_that_started_it() -> None:
    """`unshare failed` says nothing to somebody whose requirements pip does not find."""
    with pytest.raises(ImageError, match=r"^pip failed with exit status 3"):
        tool_run.run(("sh", "-c", "echo no matching distribution; exit 3"), called="pip")
    with pytest.raises(ImageError, match=r"^sh failed with exit status 3"):
        tool_run.run(("sh", "-c", "exit 3"))


def test_a_failed_program_repeats_only_the_last_of_the_lines_that_a_user_has_seen() -> None:
    with pytest.raises(ImageError) as failed:
        tool_run.run(("sh", "-c", "echo one; echo hidden; echo two; exit 3"), line=lambda text: text != "hidden")
    assert failed.value.reason.splitlines() == ["hidden", "two"]


@pytest.mark.parametrize(("size", "said"), [(0, ""), (49_999, ""), (50_000, ", 0.1 MB"), (24_000_000, ", 24.0 MB")])
def test_what_rounds_to_nothing_is_left_out(size: int, said: str) -> None:
    assert build_context.megabytes(size) == said
