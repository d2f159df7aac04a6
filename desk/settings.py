"""What a site may set for the desk (part of the settings file)."""

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _check_origin(origin: str) -> str:
    if re.fullmatch(r"https?://[^/\s]+/?", origin) is None:
        raise ValueError(f"{origin!r} is no origin: write it as https://desk.example.org")
    return origin


def _check_phone_url(url: str | None) -> str | None:
    if url is not None and re.fullmatch(r"(wss?://[^/\s;,']+)?/[^\s;,']*", url) is None:
        raise ValueError(f"{url!r} is no websocket: write it as /ws, or as wss://pbx.example.org:8089/ws")
    return url


class DeskSettings(BaseModel):
    """Settings of the web application."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    secure_cookie: bool = True
    """Send the log-in cookie over HTTPS only; switch off only for plain HTTP on one's own machine."""
    session_hours: float = Field(default=12.0, gt=0, le=168)
    """A log-in ends after this many hours, whatever its use: about one shift."""
    idle_minutes: float = Field(default=30.0, ge=5, le=10_080)
    """A log-in ends earlier when all its pages have been closed for so long."""
    origins: tuple[Annotated[str, AfterValidator(_check_origin)], ...] = ()
    """Further addresses the desk is opened under, such as `https://desk.example.org`, when a proxy changes `Host`."""
    phone_url: Annotated[str | None, AfterValidator(_check_phone_url)] = None
    """Asterisk's websocket for phones in the browser: a path of this server such as `/ws`, which a web server passes
    on, or an address such as `wss://pbx.example.org:8089/ws`. None: no agent has a phone in the browser."""
    failures_before_block: int = Field(default=5, ge=1, le=100)
    """Failed log-ins of one user name from one address before it has to wait."""
    block_minutes: float = Field(default=15.0, gt=0, le=1440)
    api_per_minute: int = Field(default=300, ge=1, le=100_000)
    """Requests of one token in a minute (`/api/v1`)."""
    grace_seconds: float = Field(default=8.0, ge=0, le=120)
    """An agent whose last page is gone stays reachable this long: reloading the page must not cost a call."""
    keep_audit_days: int = Field(default=1095, ge=1)
    """Lines of the audit log are deleted after so many days."""
    listen_to_calls: Literal["off", "audible", "silent"] = "off"
    """Whether supervisors may listen to talks and join them, and whether a tone says so to all who talk."""

    @property
    def block(self) -> timedelta:
        """`block_minutes`."""
        return timedelta(minutes=self.block_minutes)

    @property
    def idle(self) -> timedelta:
        """`idle_minutes`."""
        return timedelta(minutes=self.idle_minutes)
