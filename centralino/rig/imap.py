"""A Dovecot of one's own: a mailbox with real IMAP, on free ports of the loopback address."""

import contextlib
import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from imapclient import IMAPClient

from centralino.rig.errors import DovecotFailed, DovecotMissing
from centralino.rig.ports import free_port

USERNAME, PASSWORD = "helpdesk@desk.example", "una-password-di-prova"
_START_SECONDS = 20.0

# Without separation of rights, since all of it runs as one user who is not root.
_CONFIGURATION = """
protocols = imap
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{folder}/mail/%u
mail_fsync = never
disable_plaintext_auth = no
ssl = yes
ssl_cert = <{folder}/certificate.pem
ssl_key = <{folder}/key.pem
{extra}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={gid} home={folder}/mail/%u
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


class ImapServer:
    """The server, as a context manager. It takes every user with one password; `USERNAME` is the one to use.

    `without` names capabilities that it is not to have, such as MOVE or IDLE.
    """

    def __init__(self, *, without: tuple[str, ...] = ()) -> None:
        program = shutil.which("dovecot") or "/usr/sbin/dovecot"
        if not Path(program).exists() or shutil.which("openssl") is None:
            raise DovecotMissing
        self._program = program
        self._without = without
        self.port, self.tls_port = free_port(), free_port()
        # run by root, Dovecot's own user must be able to get there, and TMPDIR may be root's alone
        anywhere = "/tmp" if os.geteuid() == 0 else None  # noqa: S108 - mkdtemp makes it safely
        self._folder = Path(tempfile.mkdtemp(prefix="centralino-dovecot-", dir=anywhere))
        self.ca_file = self._folder / "certificate.pem"
        user = pwd.getpwnam("dovecot") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self._user, self._uid, self._gid = user.pw_name, user.pw_uid, user.pw_gid
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._make_certificate()
            self._write_configuration()
            for name in ("run", "state", "mail"):
                (self._folder / name).mkdir()
            for path in (self._folder, *self._folder.rglob("*")):
                if os.geteuid() == 0:
                    os.chown(path, self._uid, self._gid)
            self._folder.chmod(0o755)
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start the server, again after a `stop`. Raises DovecotFailed."""
        options: dict[str, Any] = {}
        if os.geteuid() == 0:
            options = {"user": self._uid, "group": self._gid, "extra_groups": []}
        with (self._folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [self._program, "-F", "-c", str(self._folder / "dovecot.conf")],
                stdout=output,
                stderr=output,
                cwd=self._folder,
                **options,
            )
        until = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            if self._process.poll() is not None or time.monotonic() > until:
                raise DovecotFailed(f"Dovecot did not start: {self._told()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it, cutting all connections."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    @contextlib.contextmanager
    def mailbox(self, folder: str = "INBOX") -> Iterator[IMAPClient]:
        """A connection of a person's mail program, with a folder selected."""
        with IMAPClient("127.0.0.1", self.port, ssl=False, timeout=20) as client:
            client.login(USERNAME, PASSWORD)
            if not client.folder_exists(folder):
                client.create_folder(folder)
            client.select_folder(folder)
            yield client

    def deliver(self, *mails: bytes, at: datetime | None = None, folder: str = "INBOX") -> None:
        """Put mails into the mailbox, as received at a time (now where not given)."""
        with self.mailbox(folder) as client:
            for raw in mails:
                client.append(folder, raw, msg_time=at)

    def subjects(self, folder: str = "INBOX") -> list[str]:
        """The subjects of the mails in a folder, in order of arrival."""
        with self.mailbox(folder) as client:
            found = client.fetch(client.search(), ["ENVELOPE"])
            return [(found[uid][b"ENVELOPE"].subject or b"").decode() for uid in sorted(found)]

    def _make_certificate(self) -> None:
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
                *("-keyout", str(self._folder / "key.pem"), "-out", str(self.ca_file)),
            ],
            check=True,
            capture_output=True,
        )

    def _write_configuration(self) -> None:
        extra = ""
        if self._without:
            known = "IMAP4rev1 LITERAL+ UIDPLUS IDLE MOVE STARTTLS AUTH=PLAIN".split()  # noqa: SIM905 - as servers say it
            left = " ".join(one for one in known if one not in self._without)
            extra = f"protocol imap {{\n  imap_capability = {left}\n}}"
        text = _CONFIGURATION.format(
            folder=self._folder,
            user=self._user,
            group=grp.getgrgid(self._gid).gr_name,
            gid=self._gid,
            password=PASSWORD,
            port=self.port,
            tls_port=self.tls_port,
            extra=extra,
        )
        (self._folder / "dovecot.conf").write_text(text)

    def _told(self) -> str:
        told = [self._folder / name for name in ("output", "log")]
        return "\n".join(file.read_text(errors="replace")[-1500:] for file in told if file.exists())
