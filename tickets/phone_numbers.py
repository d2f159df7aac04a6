"""Telephone numbers as callers and people give them, read into one form."""

import functools
import re
import unicodedata
from dataclasses import dataclass

import phonenumbers

from tickets.texts import clean_line

# What Asterisk and trunks put in place of a number that is not shown.
_WITHHELD = frozenset(
    {"", "anonymous", "unavailable", "restricted", "private", "unknown", "withheld", "anonimo", "privato", "nascosto"}
)
_SCHEME = re.compile(r"(?:tel|sips?):", re.IGNORECASE)
_EXTENSION = re.compile(r"\s*(?:;ext=|,?\s*\b(?:ext|int|interno|x)\b\.?:?)\s*[0-9]{1,6}$", re.IGNORECASE)
_DIALLABLE = re.compile(r"[(\s]*\+?[0-9\s()./\\_–—-]+")
_LONGEST = 20
"""Digits: E.164 allows 15; a little more is left for prefixes and oddities of trunks."""


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """One number: `raw` as given (cleaned, at most 64 characters), `e164` where it could be read.

    `tail` holds the last eight digits of the national number, for probable matches; None for shorter ones. `digits` are
    those given, for numbers that are none in E.164, such as an internal extension. `withheld`: the caller hides it.
    """

    raw: str
    e164: str | None
    tail: str | None
    digits: str | None = None
    withheld: bool = False

    def best(self) -> str | None:
        """E.164, else the bare digits, else None: what is stored and searched."""
        return self.e164 or self.digits


@functools.lru_cache(maxsize=1024)  # a call asks several times
def parse_phone_number(raw: str | None, region: str = "IT") -> PhoneNumber:
    """Read a number in any usual form (`00` or `+` prefix, slashes, blanks, `tel:`, an extension); never raises.

    Italy keeps the leading zero of fixed lines after +39, and so does San Marino; none is removed. National numbers
    must be valid in `region`; international ones only possible, since numbering plans change faster than their tables.
    A text without a number in it (withheld, garbage, letters) has no `best()`.
    """
    line = clean_line(raw or "")
    shown = line[:64]
    text = unicodedata.normalize("NFKC", line[:200]).strip("\"'<> ")
    text = _SCHEME.sub("", text, count=1).partition("@")[0].strip()
    if text.casefold() in _WITHHELD:
        return PhoneNumber(shown, None, None, withheld=True)
    text = _EXTENSION.sub("", text)
    digits = re.sub(r"[^0-9]", "", text)
    if not digits or len(line) > 64 or len(digits) > _LONGEST or _DIALLABLE.fullmatch(text) is None:
        return PhoneNumber(shown, None, None)
    if not digits.strip("0"):
        return PhoneNumber(shown, None, None, withheld=True)
    try:
        number = phonenumbers.parse(f"+{digits}" if "+" in text else digits, region)
    except phonenumbers.NumberParseException:
        return PhoneNumber(shown, None, digits[-8:] if len(digits) >= 8 else None, digits)
    international = "+" in text or digits.startswith("00")
    if phonenumbers.is_valid_number(number) or (international and phonenumbers.is_possible_number(number)):
        e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        digits_of_line = phonenumbers.national_significant_number(number)
    else:
        e164, digits_of_line = None, digits
    return PhoneNumber(shown, e164, digits_of_line[-8:] if len(digits_of_line) >= 8 else None, digits)


@functools.lru_cache(maxsize=4096)
def shown_number(number: str) -> str:
    """A number as people read it: +390805551234 as "+39 080 555 1234"; what is not E.164 stays as it is."""
    if not number.startswith("+"):
        return number
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
