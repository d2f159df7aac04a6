"""Fields as people and files give them, read into what is stored; what cannot be taken raises `InvalidInput`."""

import re
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from tickets.database import Base
from tickets.errors import InvalidInput, NotFound
from tickets.models import Phone
from tickets.phone_numbers import PhoneNumber, parse_phone_number
from tickets.texts import clean_line, clean_text, is_email

LONGEST_TEXT = 100_000
_LANGUAGE = re.compile(r"[a-z]{2}(-[A-Z]{2})?")

Row = TypeVar("Row", bound=Base)


def find(session: Session, kind: type[Row], id: Any) -> Row | None:  # noqa: A002 - the column's name
    """The row with this primary key; None for None. Raises `NotFound`."""
    if id is None:
        return None
    row = session.get(kind, id)
    if row is None:
        raise NotFound(f"there is no {kind.__tablename__.replace('_', ' ')} with the id {id}")
    return row


def read_line(field: str, value: Any, longest: int) -> str:
    """One clean line of at most so many characters."""
    line = clean_line(str(value))
    if len(line) > longest:
        raise InvalidInput(field, f"at most {longest} characters, these are {len(line)}")
    return line


def read_text(field: str, value: Any) -> str:
    """A clean text of any number of lines, at most `LONGEST_TEXT` characters."""
    text = clean_text(str(value))
    if len(text) > LONGEST_TEXT:
        raise InvalidInput(field, f"at most {LONGEST_TEXT} characters, these are {len(text)}")
    return text


def read_name(value: Any, field: str = "name", longest: int = 200) -> str:
    """A line that is not empty."""
    name = read_line(field, "" if value is None else value, longest)
    if not name:
        raise InvalidInput(field, "write a name")
    return name


def read_language(value: Any) -> str:
    """A code of a language, such as it or en-GB."""
    if _LANGUAGE.fullmatch(str(value)) is None:
        raise InvalidInput("language", "is a code such as it or en")
    return str(value)


def read_email(value: Any, field: str = "email") -> str | None:
    """One mail address; None where there is none."""
    text = str(value or "").strip()
    if text and not is_email(text):
        raise InvalidInput(field, "is not a mail address such as anna.rossi@example.org")
    return text or None


def read_callback(value: Any) -> str | None:
    """The number to call back; what cannot be read as one is kept as it was written."""
    number = parse_phone_number(str(value or ""))
    return number.best() or number.raw or None


def read_number(raw: str) -> PhoneNumber:
    """A telephone number, which has a `best()`."""
    number = parse_phone_number(raw)
    if number.best() is None:
        raise InvalidInput("phone", "is not a telephone number; write it such as 080 5551234 or +39 080 5551234")
    return number


def new_phone(number: PhoneNumber) -> Phone:
    """A telephone with this number, of nobody yet."""
    best = number.best() or ""
    return Phone(e164=best, tail=number.tail or best[-8:], raw=number.raw)
