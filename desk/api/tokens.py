"""The tokens of other programs."""

import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from desk.errors import NotThere, TokenNameTaken
from desk.models import ApiToken, Scope
from desk.passwords import token_hash

PREFIX = "centralino_"
"""Tells scanners for leaked secrets, and people, what it is."""
NOTED_EVERY = timedelta(hours=1)
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")


@dataclass(frozen=True, slots=True)
class Caller:
    """The program behind a token."""

    token_id: int
    name: str
    scopes: frozenset[Scope]
    to_be_noted: bool
    """Whether its use is to be written down."""

    @property
    def actor(self) -> str:
        """As the history names it."""
        return f"api:{self.name}"


def add_token(session: Session, name: str, scopes: Collection[Scope], *, now: datetime) -> str:
    """Make a token for a program; it is told once and kept as a hash only.

    Raises `TokenNameTaken`, and `ValueError` for a name that is not of small letters, digits, `_`, `.` and `-`.
    """
    if NAME.fullmatch(name) is None:
        raise ValueError("a token's name has small letters, digits, _ . and -, at most 40")
    if session.scalar(select(ApiToken.id).where(ApiToken.name == name)) is not None:
        raise TokenNameTaken(f"there is a token {name!r} already: remove it first, or take another name")
    token = PREFIX + secrets.token_urlsafe(32)
    session.add(
        ApiToken(
            name=name, token_sha256=token_hash(token), scopes=sorted(scope.value for scope in scopes), created_at=now
        )
    )
    session.flush()
    return token


def remove_token(session: Session, name: str) -> None:
    """Take a program's token away; what it did stays in the history. Raises `NotThere`."""
    token = session.scalar(select(ApiToken).where(ApiToken.name == name))
    if token is None:
        raise NotThere(f"there is no token {name!r}")
    session.delete(token)


def tokens(session: Session) -> Sequence[ApiToken]:
    """All tokens by name."""
    return session.scalars(select(ApiToken).order_by(ApiToken.name)).all()


def caller_with(session: Session, token: str, *, now: datetime) -> Caller | None:
    """The program that has this token."""
    found = session.scalar(select(ApiToken).where(ApiToken.token_sha256 == token_hash(token)))
    if found is None:
        return None
    scopes = frozenset(scope for scope in Scope if scope.value in found.scopes)
    return Caller(found.id, found.name, scopes, found.used_at is None or found.used_at < now - NOTED_EVERY)


def note_use(session: Session, token_id: int, *, now: datetime) -> None:
    """Write down that a token is in use."""
    token = session.get(ApiToken, token_id)
    if token is not None:
        token.used_at = now
