"""Fields as people and files give them, read into what is stored; what cannot be taken raises `InvalidInput`."""

from collections.abc import Iterable
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from tickets.database import Base
from tickets.errors import InvalidInput, NotFound
from tickets.models import Phone
from tickets.phone_numbers import PhoneNumber, parse_phone_number
from tickets.texts import clean_line, clean_text, is_email

LONGEST_TEXT = 100_000
LANGUAGES = ("it", "en")
"""Of calls, notices and pages."""
EXTENSION = range(2, 9)
"""How many digits the number of an extension inside a company may have."""

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
        raise _too_long(field, line, longest)
    return line


def read_text(field: str, value: Any) -> str:
    """A clean text of any number of lines, at most `LONGEST_TEXT` characters."""
    text = clean_text(str(value))
    if len(text) > LONGEST_TEXT:
        raise _too_long(field, text, LONGEST_TEXT)
    return text


def read_name(value: Any, field: str = "name", longest: int = 200) -> str:
    """A line that is not empty."""
    name = read_line(field, "" if value is None else value, longest)
    if not name:
        raise InvalidInput(field, "write a name", "missing")
    return name


def not_one_of(field: str, choices: Iterable[str]) -> InvalidInput:
    """The error of a value that is none of those there are."""
    listed = ", ".join(choices)
    return InvalidInput(field, f"is one of {listed}", "not_one_of", choices=listed)


def _too_long(field: str, text: str, longest: int) -> InvalidInput:
    words = f"at most {longest} characters, these are {len(text)}"
    return InvalidInput(field, words, "too_long", longest=longest, length=len(text))


def read_language(value: Any) -> str:
    """One of `LANGUAGES`."""
    if str(value) not in LANGUAGES:
        raise not_one_of("language", LANGUAGES)
    return str(value)


def read_email(value: Any, field: str = "email") -> str | None:
    """One mail address; None where there is none."""
    text = str(value or "").strip()
    if text and not is_email(text):
        raise InvalidInput(field, "is not a mail address such as anna.rossi@example.org", "no_email")
    return text or None


def read_callback(value: Any) -> str | None:
    """The number to call back; what cannot be read as one is kept as it was written."""
    number = parse_phone_number(str(value or ""))
    return number.best() or number.raw or None


def read_number(raw: str) -> PhoneNumber:
    """A telephone number as people write it: one that can be dialled from outside, or an extension."""
    number = parse_phone_number(raw)
    digits = number.digits or ""
    international = "+" in number.raw or digits.startswith("00")
    if number.e164 is None and (international or len(digits) not in EXTENSION):
        words = "is not a telephone number; write it such as 080 5551234 or +39 080 5551234"
        raise InvalidInput("phone", words, "no_number")
    return number


def new_phone(number: PhoneNumber) -> Phone:
    """A telephone with this number, of nobody yet."""
    best = number.best() or ""
    return Phone(e164=best, tail=number.tail or best[-8:], raw=number.raw)
