"""Passwords (Argon2id) and the tokens of log-in cookies."""

import asyncio
import hashlib
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_LENGTH = 10

_hasher = PasswordHasher()
_NOBODY = _hasher.hash(secrets.token_urlsafe(16))
"""Checked when the user name does not exist, so that the answer takes the same time."""
_two_at_a_time = asyncio.Semaphore(2)
"""Each check takes 64 MiB and some 50 ms of a core on purpose; a flood must not take the machine."""


def hash_password(password: str) -> str:
    """An Argon2id hash with its own salt and parameters."""
    return _hasher.hash(password)


async def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether a password fits; `None` (no such account) takes just as long and is False."""
    async with _two_at_a_time:
        fits = await asyncio.to_thread(_verify, password_hash or _NOBODY, password)
    return fits and password_hash is not None


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def new_token() -> str:
    """A random cookie value of 256 bits."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What the database keeps of a cookie: its SHA-256, so that a stolen table opens nothing."""
    return hashlib.sha256(token.encode()).hexdigest()
