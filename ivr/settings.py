"""What a site may set of Asterisk and of the workers that serve its calls (part of the settings file)."""

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from voicemail.fallback import SETTLED_SECONDS
from voicemail.transcription import Folder


def _check_url(url: str) -> str:
    # The address is not repeated in the error: somebody may have written a password into it.
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 80) > 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("is no address of a web server: write it as http://127.0.0.1:8088")
    return url


def _check_name(name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", name) is None:
        raise ValueError(f"{name!r} is no name for Asterisk: letters, digits, _ and -, 40 at most")
    return name


def _check_worker(name: str) -> str:
    return name and _check_name(name)


def _check_password(password: SecretStr) -> SecretStr:
    if password.get_secret_value() in ("", "changeme", "secret", "password"):
        raise ValueError("choose a password of your own (the same as in Asterisk's ari.conf)")
    return password


AsteriskName = Annotated[str, AfterValidator(_check_name)]


class AsteriskSettings(BaseModel):
    """Where Asterisk is. The folders are as this service sees them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[str, AfterValidator(_check_url)] = "http://127.0.0.1:8088"
    username: AsteriskName = "centralino"
    password: Annotated[SecretStr, AfterValidator(_check_password)]
    app: AsteriskName = "centralino"
    """Name of the Stasis application."""
    worker: Annotated[str, AfterValidator(_check_worker)] = ""
    """Name of this worker, where several share the calls: another one for each, and the same at each start."""
    drain_seconds: float = Field(default=20.0, ge=0, le=600)
    """Told to stop, a worker of several waits at most so long for callers who are in the middle of words or ringing."""
    max_calls: int = Field(default=400, ge=1, le=100_000)
    """Calls in hand at once; beyond them a call is left to another worker, or to the dialplan's message."""
    recordings: Folder = Path("/var/spool/asterisk/recording")
    fallback: Folder = Path("/var/spool/asterisk/centralino-fallback")
    """Where the dialplan leaves messages it recorded while the service was down."""
    fallback_settled_seconds: float = Field(default=SETTLED_SECONDS, ge=0, le=3600)
    """Such a message is filed when its file has not grown for so long."""
    call_records: Folder | None = None
    """The file of Asterisk's own records of calls (CEL); without it the ledger is not compared with them."""

    @property
    def own_app(self) -> str:
        """The Stasis application of this worker."""
        return f"{self.app}-{self.worker}" if self.worker else self.app
