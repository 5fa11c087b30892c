"""Timeouts of connection tracking are written by name, and a kernel without them is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from pincompute.region.nodes import connection_tracking


def test_each_timeout_is_written(tmp_path: Path) -> None:
    connection_tracking.shorten_timeouts(tmp_path)
    written = {file.name: int(file.read_text()) for file in tmp_path.iterdir()}
    assert written == connection_tracking.TIMEOUTS


def test_a_kernel_that_tracks_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nf_conntrack"):
        connection_tracking.shorten_timeouts(tmp_path / "missing")
