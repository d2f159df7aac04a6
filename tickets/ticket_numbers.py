"""Ticket numbers: digits that can be said and keyed on a phone, with a check digit."""

import re
import unicodedata

from stdnum import damm

_SHORTEST = 7
_BEFORE_FIRST = 100_000  # so that no number begins with a zero, which people leave out
_LONGEST = 12
# "RdS n. 000 017-4", "ticket #0000174": a known word in front, blanks, dots and hyphens between the digits.
_WRITTEN = re.compile(
    r"\s*(?:(?:rds|ticket|richiesta|request|numero|number|nr?|no)\b[\s.:°]*)*#?\s*([0-9][0-9\s.-]*)", re.I
)


def ticket_number(request_id: int) -> str:
    """The ticket of a request: its id, counted from 100,000, and a check digit (Damm): seven digits or more.

    Damm's scheme finds every single wrong digit and every swap of neighbours, the usual slips in keying and dictating.
    """
    number = str(_BEFORE_FIRST + request_id)
    return number + str(damm.calc_check_digit(number))


def read_ticket_number(text: str) -> str | None:
    """The ticket number in `text` in its stored form, or None where there is none or its check digit is wrong."""
    match = _WRITTEN.fullmatch(unicodedata.normalize("NFKC", text.strip()))
    if match is None:
        return None
    number = re.sub(r"[^0-9]", "", match[1])
    if not _SHORTEST <= len(number) <= _LONGEST or number.startswith("0") or not damm.is_valid(number):
        return None
    return number
