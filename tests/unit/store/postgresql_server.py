"""Runs a PostgreSQL server: a cluster in a folder, reached by a socket in it, run as a user who is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

DEBIAN = Path("/usr/lib/postgresql")
MISSING = "PostgreSQL's programs are not installed; the store is tested against the real database: apt-get install postgresql"
UNPRIVILEGED = ("postgres", "nobody")  # whom root becomes, as PostgreSQL refuses to run as root


class PostgresServer:
    """`start` and `stop` as often as wanted; the data stay until `remove`."""

    def __init__(self) -> None:
        self._programs = _programs()
        self._user = _user() if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="pincompute-postgresql-"))
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._run("initdb", "--pgdata", self._data, "--username", "pincompute", "--auth", "trust", "--no-sync")

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c fsync=off"
        self._run("pg_ctl", "start", "--pgdata", self._data, "--log", str(self.folder / "log"), "--options", options, "--wait")

    def stop(self) -> None:
        """As if its machine lost power."""
        self._run("pg_ctl", "stop", "--pgdata", self._data, "--mode", "immediate", "--wait")

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        return f"postgresql+asyncpg://pincompute@/{database}?host={self.folder}"

    def create(self, database: str) -> str:
        """An empty database; gives its address."""
        self._run("createdb", "--host", str(self.folder), "--username", "pincompute", "--no-password", database)
        return self.url(database)

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _run(self, program: str, *arguments: str) -> None:
        identity = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []} if self._user else {}
        with (self.folder / "output").open("ab") as output:  # a file: the server keeps what pg_ctl was given open
            done = subprocess.run(
                [str(self._programs / program), *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=60,
                check=False,
                **identity,
            )
        if done.returncode:
            raise RuntimeError(f"{program} ended with {done.returncode}: {(self.folder / 'output').read_text()[-2000:]}")


def _programs() -> Path:
    """Debian keeps them apart from PATH, by version."""
    for folder in (*sorted(DEBIAN.glob("*/bin"), reverse=True), *map(Path, os.get_exec_path())):
        if all((folder / name).exists() for name in ("initdb", "pg_ctl", "createdb")):
            return folder
    raise RuntimeError(MISSING)


def _user() -> pwd.struct_passwd:
    for name in UNPRIVILEGED:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError(f"PostgreSQL refuses to run as root, and there is no user {' or '.join(UNPRIVILEGED)}")
