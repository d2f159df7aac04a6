"""Every odd mail of tests/mail_corpus is what the table beside it says."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tickets.mail import Mail, Ours, read_mail

pytestmark = pytest.mark.unit

CORPUS = Path(__file__).parents[2] / "mail_corpus"
EXPECTED: dict[str, dict[str, Any]] = tomllib.loads((CORPUS / "expected.toml").read_text(encoding="utf-8"))
OURS = Ours(frozenset({"helpdesk@desk.example"}), frozenset({"assistenza.asl.example"}))


def shown(mail: Mail, key: str) -> Any:
    """A field as the table has it."""
    match key:
        case "text_has" | "reply_has" | "references_has":
            return getattr(mail, key.removesuffix("_has"))
        case "attachments":
            return [[one.name, one.media_type, len(one.content)] for one in mail.attachments]
        case "bounce_ids":
            return list(mail.bounce.message_ids) if mail.bounce else None
        case "bounce_to":
            return list(mail.bounce.recipients) if mail.bounce else None
        case "bounce_reason":
            return mail.bounce.reason if mail.bounce else None
    value = getattr(mail, key)
    return list(value) if isinstance(value, tuple) else value


def test_every_mail_has_its_row_and_there_are_enough() -> None:
    assert {file.stem for file in CORPUS.glob("*.eml")} == EXPECTED.keys()
    assert len(EXPECTED) >= 60


@pytest.mark.parametrize("name", EXPECTED)
def test_a_mail_is_what_the_table_says(name: str) -> None:
    mail = read_mail((CORPUS / f"{name}.eml").read_bytes(), OURS)
    for key, expected in EXPECTED[name].items():
        found = shown(mail, key)
        if key.endswith("_has"):
            assert expected in found
        elif key == "attachments":
            assert [[a, b, c if size >= 0 else -1] for (a, b, c), (*_, size) in zip(found, expected, strict=True)] == (
                expected
            )
        elif key == "bounce_reason":
            assert expected in found
        else:
            assert found == (None if expected == "" and key in ("sender", "author", "message_id") else expected), key
