"""What a site may set of Asterisk and of the workers that serve its calls (part of the settings file)."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

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


LONGEST_APP = 80
"""As many characters as a row has room for (`Call.app`)."""
AsteriskName = Annotated[str, AfterValidator(_check_name)]
Url = Annotated[str, AfterValidator(_check_url)]
Password = Annotated[SecretStr, AfterValidator(_check_password)]


class NodeSettings(BaseModel):
    """One of several Asterisks; what is not given is as in `[asterisk]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: AsteriskName
    url: Url
    username: AsteriskName | None = None
    password: Password | None = None
    recordings: Folder | None = None
    fallback: Folder | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One Asterisk as its calls are served; `name` is empty where there is only one, without a name."""

    name: str
    url: str
    username: str
    password: SecretStr
    recordings: Path
    fallback: Path

    def app(self, stasis_app: str) -> str:
        """What a Stasis application at this node is called where nodes are told apart: in rows and leases."""
        return f"{self.name}/{stasis_app}" if self.name else stasis_app


class AsteriskSettings(BaseModel):
    """Where Asterisk is. The folders are as this service sees them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Url = "http://127.0.0.1:8088"
    username: AsteriskName = "centralino"
    password: Password
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
    lost_seconds: float = Field(default=30, ge=5, le=3600)
    """An Asterisk that no worker reaches for so long is lost with its calls. A restart takes a few seconds, one with
    large files or after an upgrade ten or twenty."""
    nodes: list[NodeSettings] = []
    """Several Asterisks beside each other; none: there is one, as above."""

    @model_validator(mode="after")
    def _names_differ(self) -> "AsteriskSettings":
        names = [node.name for node in self.nodes]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"every node needs a name of its own; used twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _names_fit(self) -> "AsteriskSettings":
        if any(len(node.app(self.own_app)) > LONGEST_APP for node in self.served.values()):
            raise ValueError(f"the names of app, worker and node have more than {LONGEST_APP - 2} characters together")
        return self

    @property
    def served(self) -> dict[str, Node]:
        """Every Asterisk by its name; the only one, where no nodes are named, by an empty name."""
        nodes = [
            Node(
                node.name,
                node.url,
                node.username or self.username,
                node.password or self.password,
                node.recordings or self.recordings,
                node.fallback or self.fallback,
            )
            for node in self.nodes
        ]
        only = Node("", self.url, self.username, self.password, self.recordings, self.fallback)
        return {node.name: node for node in nodes or [only]}

    @property
    def records(self) -> Path | None:
        """The records of calls that are read: with several Asterisks none, since they would be of one only."""
        return None if self.nodes else self.call_records

    @property
    def own_app(self) -> str:
        """The Stasis application of this worker, the same at every node."""
        return f"{self.app}-{self.worker}" if self.worker else self.app


class AsteriskOfPages(AsteriskSettings):
    """The same for a process that serves pages only, and never speaks to Asterisk."""

    password: Password = SecretStr("")


def node_of(app: str) -> str:
    """The node of an application as rows and leases name it; empty where there is only one, without a name."""
    return app.rpartition("/")[0]


def stasis_app_of(app: str) -> str:
    """What Asterisk calls an application that rows and leases name."""
    return app.rpartition("/")[2]
