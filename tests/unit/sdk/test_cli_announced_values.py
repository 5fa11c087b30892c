"""Which values `pin secret set` takes, and what it and `pin config set` say about the workloads that use a value."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from pincompute_sdk.cli import secret
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.secret_and_config import announced
from pincompute_sdk.generated.models import Secret

USERS = ("app a", "app b", "app c")
STAYS = "app c at version 2 stays as it is since a rollback, until the next `pin deploy`"
SAID: dict[str, tuple[Secret, str]] = {
    "at the next start": (Secret(name="db", version=2, used_by=USERS[:1]), "app a gets it at the next start"),
    "at once": (Secret(name="db", version=2, used_by=USERS[:2], rolls=USERS[:2]), "app a, app b roll it out"),
    "never, since a rollback": (
        Secret(name="db", version=3, used_by=USERS[:1], fixed=("app a at version 2",)),
        STAYS.replace("app c", "app a"),
    ),
    "each in its own way": (
        Secret(name="db", version=3, used_by=USERS, rolls=USERS[:1], fixed=("app c at version 2",)),
        f"app a rolls it out; app b gets it at the next start; {STAYS}",
    ),
}


@pytest.mark.parametrize("case", SAID)
def test_a_new_value_says_who_gets_it_and_when(case: str):
    made, says = SAID[case]
    assert announced("secret", made) == f"secret db is at version {made.version}; {says}"


@pytest.mark.parametrize(("written", "value"), [(b"x\r\n", b"x"), (b"x\n\n", b"x\n"), (b"\n", None), (b"", None)])
def test_a_command_that_writes_nothing_sets_no_secret(
    written: bytes, value: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = SimpleNamespace(isatty=lambda: False, buffer=io.BytesIO(written))
    monkeypatch.setattr("sys.stdin", stdin)
    if value is not None:
        assert secret.read_value("db", None) == value
        return
    with pytest.raises(CommandError, match="the value of db is empty"):
        secret.read_value("db", None)
