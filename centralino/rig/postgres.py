"""A PostgreSQL server of one's own, for tests of what must work on it."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import psycopg
from psycopg import sql

from centralino.rig.errors import PostgresMissing


class PostgresServer:
    """A cluster in a temporary folder, on a free port of 127.0.0.1, without passwords.

    It takes no care for crashes, unless it is `replicated`: then no commit is answered before its standby has it, once
    there is one. A server that `follows` such a one is the standby.
    """

    def __init__(self, *, replicated: bool = False, follows: "PostgresServer | None" = None) -> None:
        self._replicated, self._follows = replicated, follows
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
        on_path = shutil.which("initdb")
        if not found and on_path is None:
            raise PostgresMissing("no initdb found: install PostgreSQL, such as with apt install postgresql")
        self._programs = found[-1].parent if found else Path(str(on_path)).parent
        self._folder = Path(tempfile.mkdtemp(prefix="centralino-postgres-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        # The server refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self._folder, self._user, self._user)

    def __enter__(self) -> Self:
        try:
            if self._follows is None:
                # Another locale than the tests' would only slow it down.
                self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
            else:
                source = ("-h", "127.0.0.1", "-p", str(self._follows.port), "-U", "postgres")
                self._run("pg_basebackup", *source, "--write-recovery-conf", "--checkpoint=fast", "--no-sync")
            self.start()
            if self._follows is not None:
                self._follows.wait_for_standby()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if (self._folder / "data" / "postmaster.pid").exists():
            self._run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start the server, again after a `kill`."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self._folder} -c fsync=off"
        if not self._replicated:
            options += " -c synchronous_commit=off -c full_page_writes=off"
        self._run("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def kill(self) -> None:
        """Stop it as a crash would."""
        self._run("pg_ctl", "-m", "immediate", "stop")

    def promote(self) -> None:
        """Make a standby the server that is written to."""
        self._run("pg_ctl", "-w", "promote")

    def wait_for_standby(self) -> None:
        """From now on answer no commit that the standby does not have."""
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")

    def restart(self) -> None:
        """Stop the server, cutting all connections, and start it again."""
        self._run("pg_ctl", "-w", "-m", "fast", "restart")

    def create_database(self, name: str, template: str = "template1") -> str:
        """Make a database, a copy of `template`; returns its SQLAlchemy URL."""
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
            )
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{name}"

    def has_database(self, name: str) -> bool:
        """Whether a database of this name was made."""
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
        return found is not None

    def _address(self, name: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=postgres dbname={name}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self._folder / "data"), *arguments]
        if self._user is not None:
            command = ["runuser", "-u", self._user, "--", *command]
        # The server inherits what it writes to: a pipe would stay open as long as it runs.
        with (self._folder / "output").open("ab") as output:
            done = subprocess.run(command, stdout=output, stderr=output, cwd=self._folder, check=False)
        if done.returncode:
            raise RuntimeError(f"{program} failed: {(self._folder / 'output').read_text(errors='replace')[-2000:]}")
