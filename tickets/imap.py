"""One folder of a mailbox over IMAP (RFC 3501): what lies there, its bytes, and putting away what was taken.

All of it blocks: `tickets.mailbox` calls it in a thread of its own. IMAPClient speaks the protocol. Only UIDs are used,
and nothing depends on whether a mail was read by a person meanwhile.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientError, LoginError
from pydantic import Field, SecretStr, model_validator

from tickets.intake import IntakeSettings

CONNECT_SECONDS = 15.0
LONGEST_IDLE_SECONDS = 25 * 60
"""A server may end a connection after half an hour of IDLE (RFC 2177)."""

IMAP_FAILURES = (IMAPClientError, OSError, ssl.SSLError)
"""What a connection may end with."""


class MailboxSettings(IntakeSettings):
    """The mailbox that requests come to. `tls`: `tls` from the first byte (port 993), `starttls` (143) or `none`."""

    host: str = Field(min_length=1)
    port: int = Field(default=993, ge=1, le=65535)
    tls: Literal["none", "starttls", "tls"] = "tls"
    ca_file: Path | None = None
    """Certificates to trust instead of the system's, for a server with one of its own."""
    username: str = Field(min_length=1)
    password: SecretStr
    folder: str = Field(default="INBOX", min_length=1)
    done_folder: str | None = None
    """Where mails go once they are taken; without it they stay, marked as read."""
    since: date | None = None
    """Mails that the server got before this day are left alone."""
    poll_seconds: float = Field(default=60.0, ge=1, le=LONGEST_IDLE_SECONDS)
    timeout: float = Field(default=60.0, gt=0, le=600)
    largest_mb: int = Field(default=50, ge=1, le=500)

    @model_validator(mode="after")
    def _not_into_itself(self) -> "MailboxSettings":
        if self.done_folder == self.folder:
            raise ValueError("done_folder must be another folder than folder")
        return self


@dataclass(frozen=True, slots=True)
class Found:
    """A mail in the folder: its bytes, and when the server got it. `cut` where it was too large to be read whole."""

    uid: int
    raw: bytes = field(repr=False)
    received_at: datetime
    cut: bool = False


class Folder:
    """A folder, opened when this is made. Raises `IMAP_FAILURES`, LoginError (one of them) for a refused log-in.

    Not for several threads at once, but for `interrupt`.
    """

    def __init__(self, settings: MailboxSettings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        context = None
        if settings.tls != "none":
            context = ssl.create_default_context(cafile=settings.ca_file)
        self._client: Any = IMAPClient(
            settings.host,
            settings.port,
            ssl=settings.tls == "tls",
            ssl_context=context,
            timeout=SocketTimeout(CONNECT_SECONDS, settings.timeout),
        )
        self._client.normalise_times = False  # aware times
        try:
            if settings.tls == "starttls":
                self._client.starttls(context)
            self._client.login(settings.username, settings.password.get_secret_value())
            if settings.done_folder is not None and not self._client.folder_exists(settings.done_folder):
                self._client.create_folder(settings.done_folder)
                with contextlib.suppress(IMAPClientError):  # so that mail programs show it
                    self._client.subscribe_folder(settings.done_folder)
            selected = self._client.select_folder(settings.folder)
        except BaseException:
            self.close()
            raise
        self.uid_validity = int(selected.get(b"UIDVALIDITY", 0))
        """Changes when the server has given all mails new UIDs."""

    def uids(self) -> list[int]:
        """The mails in the folder, the oldest first."""
        criteria: list[Any] = ["UNDELETED"]
        if self._settings.since is not None:
            criteria += ["SINCE", self._settings.since]
        return sorted(int(uid) for uid in self._client.search(criteria))

    def fetch(self, uid: int) -> Found | None:
        """One mail, without marking it as read; None where it is gone."""
        about = self._client.fetch([uid], [b"RFC822.SIZE", b"INTERNALDATE"]).get(uid)
        if about is None:
            return None
        most = self._settings.largest_mb * 1_000_000
        cut = about.get(b"RFC822.SIZE", 0) > most
        answer = self._client.fetch([uid], [f"BODY.PEEK[]<0.{most}>" if cut else "BODY.PEEK[]"]).get(uid, {})
        raw = answer.get(b"BODY[]<0>" if cut else b"BODY[]")
        if raw is None:
            return None
        received_at = about.get(b"INTERNALDATE")
        if not isinstance(received_at, datetime):
            received_at = datetime.now(UTC)  # a server that has forgotten it
        if received_at.tzinfo is None:
            received_at = received_at.replace(tzinfo=UTC)
        return Found(uid, raw, received_at.astimezone(UTC), cut)

    def put_away(self, uids: Collection[int]) -> None:
        """Move mails that were taken, or mark them as read; one that is gone already does no harm."""
        if not uids:
            return
        folder = self._settings.done_folder
        if folder is None:
            self._client.add_flags(uids, [b"\\Seen"], silent=True)
        elif self._client.has_capability("MOVE"):
            self._client.move(uids, folder)
        else:
            self._client.copy(uids, folder)
            self._client.add_flags(uids, [b"\\Deleted"], silent=True)
            if self._client.has_capability("UIDPLUS"):  # else somebody else's deleted mails would go with them
                self._client.uid_expunge(uids)

    def wait(self, seconds: float) -> None:
        """Wait until something happens in the folder, or that long; `interrupt` ends it."""
        _, told = self._client.noop()
        if any(b"EXISTS" in one for one in told if isinstance(one, tuple)):
            return  # it came after we had looked
        if self._client.has_capability("IDLE"):
            # What comes together with the server's answer to IDLE is in a buffer that nobody waits for, and is seen
            # when IDLE ends: so there is a short one first.
            for length in (min(1.0, seconds), seconds):
                self._client.idle()
                told = self._client.idle_check(timeout=length)
                told += self._client.idle_done()[1]
                if self._stop.is_set() or any(b"EXISTS" in one for one in told if isinstance(one, tuple)):
                    return
        else:
            self._stop.wait(seconds)

    def interrupt(self) -> None:
        """End whatever another thread waits for here; the connection is of no use afterwards."""
        self._stop.set()
        with contextlib.suppress(OSError, AttributeError):
            self._client.socket().shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Log out, and close the connection."""
        with contextlib.suppress(*IMAP_FAILURES, AttributeError, ValueError):
            if not self._stop.is_set():
                self._client.logout()
                return
        with contextlib.suppress(*IMAP_FAILURES, AttributeError, ValueError):
            self._client.shutdown()


__all__ = ["IMAP_FAILURES", "Folder", "Found", "LoginError", "MailboxSettings"]
