"""The mails to users: what they say, and that nothing can be smuggled into them."""

import email
import email.policy
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tickets.models import Channel, Contact, Kind, OutboxMail, Request, Status
from tickets.notices import Notices, NoticeSettings
from tickets.outbox import MAX_ATTEMPTS, build_message, pause_after
from tickets.texts import clean_line, clean_text, is_email

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 20, 21, 14, tzinfo=UTC)
NOTICES = Notices(NoticeSettings(desk_name="Help Desk Edotto", sender="helpdesk@edotto.example"))


def request(**fields: Any) -> Request:
    given: dict[str, Any] = {
        "id": 1,
        "ticket": "0000017",
        "kind": Kind.PROBLEM,
        "area": "application",
        "channel": Channel.VOICEMAIL,
        "status": Status.QUEUED,
        "subject": "Non riesco a stampare l'impegnativa",
        "language": "it",
        "email": "anna.rossi@asl.example",
        "contact": Contact(name="Anna Rossi"),
        "received_at": NOW,
        "opened_at": NOW,
        "pickup_due_at": datetime(2026, 11, 23, 8, tzinfo=UTC),
    }
    return Request(**given | fields)


def opened(request: Request) -> OutboxMail:
    mail = NOTICES.opened(request, now=NOW)
    assert mail is not None
    return mail


def received(mail: OutboxMail) -> EmailMessage:
    """The mail after its way over the wire."""
    raw = build_message(mail, now=NOW).as_bytes(policy=email.policy.SMTP)
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_the_opened_notice_tells_the_ticket_and_the_promise_in_local_time() -> None:
    mail = opened(request())
    assert mail.subject == "[0000017] Richiesta registrata: Non riesco a stampare l'impegnativa"
    assert "Buongiorno Anna Rossi," in mail.body
    assert "numero di ticket 0000017" in mail.body
    assert "Oggetto: Non riesco a stampare l'impegnativa" in mail.body
    assert "Ricevuta: venerdì 20 novembre 2026, ore 22:14" in mail.body
    assert "presa in carico entro: lunedì 23 novembre 2026, ore 09:00" in mail.body
    assert (mail.recipient, mail.kind) == ("anna.rossi@asl.example", "opened")
    assert mail.message_id.endswith("@edotto.example>")


def test_the_opened_notice_is_written_in_the_requests_language() -> None:
    mail = opened(request(language="en"))
    assert mail.subject.startswith("[0000017] Request registered: ")
    assert "It will be taken in charge by: Monday 23 November 2026, 09:00" in mail.body
    assert opened(request(language="de")).body == mail.body


def test_a_request_in_charge_already_promises_no_time() -> None:
    body = opened(request(picked_up_at=NOW, contact=None)).body
    assert "già stata presa in carico" in body
    assert "entro" not in body
    assert body.startswith("Buongiorno,\n")


def test_the_closed_notice_tells_the_solution() -> None:
    for language, words in (("it", "è stata chiusa"), ("en", "has been closed")):
        mail = NOTICES.closed(
            request(language=language, solution="Riavviato\nil servizio.", closed_at=NOW + timedelta(hours=1)), now=NOW
        )
        assert mail is not None
        assert words in mail.body
        assert "Riavviato\nil servizio." in mail.body
        assert "23:14" in mail.body
        assert mail.kind == "closed"


def test_without_a_mail_address_there_is_no_notice() -> None:
    assert NOTICES.opened(request(email=None), now=NOW) is None


def test_the_mail_says_that_a_machine_wrote_it() -> None:
    message = received(opened(request()))
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["From"] == "Help Desk Edotto <helpdesk@edotto.example>"
    assert message["To"] == "anna.rossi@asl.example"
    assert message.get_content_type() == "text/plain"
    assert "presa in carico entro" in message.get_content()


HEADERS = [
    *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress"),
    *("Content-Type", "Content-Transfer-Encoding", "MIME-Version"),
]


@settings(deadline=None)
@given(st.text(min_size=1, max_size=150), st.text(max_size=60), st.text(max_size=300))
@example(
    "x\r\nBcc: evil@example.org\r\n\r\nhello", "Anna\r\nBcc: evil@example.org", "\r\n.\r\nMAIL FROM:<evil@example.org>"
)
@example("x\x85Bcc: evil@example.org\u2028y\x0bz\x0c\x1c", "\x00", "\ud800")
@example("=?utf-8?q?=0ABcc:_evil@example.org?=", "=?utf-8?q?=0A?=", "{{ 7 * 7 }}{% raw %}")
def test_hostile_text_adds_no_header_and_breaks_no_mail(subject: str, name: str, solution: str) -> None:
    hostile = request(subject=subject, contact=Contact(name=name), solution=solution, closed_at=NOW)
    for mail in (opened(hostile), NOTICES.closed(hostile, now=NOW)):
        assert mail is not None
        message = received(mail)
        assert sorted(message.keys()) == sorted(HEADERS)
        assert message["To"].addresses[0].addr_spec == "anna.rossi@asl.example"
        assert not message.is_multipart()
        assert "\n" not in message["Subject"]
        assert "numero di ticket 0000017" in message.get_content()


def test_the_senders_name_may_hold_any_sign() -> None:
    notices = Notices(
        NoticeSettings(desk_name='Assistenza "Edotto", perché\r\nBcc: x =?utf-8?q?=0ABcc:_y?=', sender="a@b.example")
    )
    mail = notices.opened(request(), now=NOW)
    assert mail is not None
    message = received(mail)
    (address,) = message["From"].addresses
    assert address.display_name.startswith('Assistenza "Edotto", perché Bcc: x = ?')
    assert address.addr_spec == "a@b.example"
    assert sorted(message.keys()) == sorted(HEADERS)


@pytest.mark.parametrize(
    "sender",
    ["", "desk", "a@b@c", "a b@c.example", "=?utf-8?q?=0A?=@c.example", "a@b.example\r\nBcc: x", "Desk <a@b.example>"],
)
def test_a_wrong_sender_is_refused_when_settings_are_read(sender: str) -> None:
    with pytest.raises(ValidationError, match="not a mail address"):
        NoticeSettings(sender=sender)


@given(st.text())
def test_cleaned_text_can_be_stored_and_sent(text: str) -> None:
    line, block = clean_line(text), clean_text(text)
    for cleaned in (line, block):
        cleaned.encode()
        assert "\x00" not in cleaned
    assert len(line.splitlines()) <= 1
    assert "\r" not in block
    assert clean_line(line) == line
    assert clean_text(block) == block


def test_ordinary_text_passes_unchanged() -> None:
    text = "Perché l'àncora?\n\tRiga 2 – «così» 😀"
    assert clean_text(text) == text
    assert clean_line("  Perché   no? 😀 ") == "Perché no? 😀"


@given(st.emails())
def test_an_accepted_address_is_one_word_in_ascii(address: str) -> None:
    if is_email(address):
        assert address.isascii()
        assert not set(address) & set(' <>",;\r\n')
    assert not is_email(address + "\n")
    assert not is_email(f"{address}, {address}")


def test_attempts_go_on_for_a_day() -> None:
    pauses = [pause_after(attempts) for attempts in range(1, MAX_ATTEMPTS)]
    assert pauses[:3] == [timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=4)]
    assert max(pauses) == timedelta(hours=1)
    assert timedelta(hours=22) < sum(pauses, timedelta(0)) < timedelta(hours=26)
