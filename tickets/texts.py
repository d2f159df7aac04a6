"""Cleaning of texts that come from outside, so that no database, mail header or screen stumbles over them."""

import re
import unicodedata

# Control, format (zero-width signs, changes of direction) and surrogate characters, line and paragraph separators.
# PostgreSQL refuses NUL, UTF-8 refuses surrogates, mail headers are split at any sign that Python calls a line end.
_NOT_IN_A_LINE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_NOT_IN_A_TEXT = frozenset({"Cc", "Cs"})

# The form that HTML gives for an e-mail field: one address, no quoting, no comments.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = re.compile(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})*")


def clean_line(text: str) -> str:
    """`text` as one line without control characters, runs of white space made one space."""
    return " ".join("".join(" " if unicodedata.category(c) in _NOT_IN_A_LINE else c for c in text).split())


def header_text(text: str) -> str:
    """`text` for a mail header.

    Python's library refuses line ends there, but decodes what looks like an encoded word (`=?utf-8?q?=0ABcc:?=`) and
    writes the line end in it into the mail (seen with Python 3.11): such words are broken up.
    """
    return clean_line(text).replace("=?", "= ?")


def clean_text(text: str) -> str:
    """`text` with plain line ends and tabs but no other control characters, without white space at its ends."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in _NOT_IN_A_TEXT).strip()


def is_email(text: str) -> bool:
    """Whether `text` is exactly one plain ASCII mail address of at most 254 characters (the limit of RFC 5321).

    One that holds an encoded word is none: see `header_text`.
    """
    return len(text) <= 254 and "=?" not in text and _EMAIL.fullmatch(text) is not None
