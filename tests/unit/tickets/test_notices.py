"""The mails to users: what they say, and that nothing can be smuggled into them."""

import email
import email.policy
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from aiosmtplib.email import flatten_message
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tickets.mail import Ours, is_ours
from tickets.models import Channel, Contact, Kind, OutboxMail, Request, Status
from tickets.notices import KINDS, LANGUAGES, Language, NoticeKind, Notices, NoticeSettings
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


def text_of(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def html_of(message: EmailMessage) -> str:
    body = message.get_body(("html",))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(f"{tag} {name}" for name, _ in attrs)}


def tags_of(html: str) -> set[str]:
    parser = Tags()
    parser.feed(html)
    parser.close()
    return parser.found


OUR_TAGS = set[str]().union(*(tags_of(NOTICES.preview(kind, "it").html) for kind in KINDS))


def test_the_opened_notice_tells_the_ticket_and_the_promise_in_local_time() -> None:
    mail = opened(request())
    assert mail.subject == "[RdS 0000017] Richiesta registrata: Non riesco a stampare l'impegnativa"
    assert "Buongiorno Anna Rossi," in mail.body
    assert "numero di ticket 0000017" in mail.body
    assert "Oggetto: Non riesco a stampare l'impegnativa" in mail.body
    assert "Ricevuta: venerdì 20 novembre 2026, ore 22:14" in mail.body
    assert "presa in carico entro: lunedì 23 novembre 2026, ore 09:00" in mail.body
    assert (mail.recipient, mail.kind) == ("anna.rossi@asl.example", "opened")
    assert mail.message_id.endswith("@edotto.example>")


def test_the_opened_notice_is_written_in_the_requests_language() -> None:
    mail = opened(request(language="en"))
    assert mail.subject.startswith("[RdS 0000017] Request registered: ")
    assert "It will be taken in charge by: Monday 23 November 2026, 09:00" in mail.body
    assert opened(request(language="de")).body == mail.body


def test_a_request_in_charge_already_promises_no_time() -> None:
    body = opened(request(picked_up_at=NOW, contact=None)).body
    assert "già stata presa in carico" in body
    assert "entro" not in body
    assert body.startswith("Buongiorno,\n")


def test_the_closed_notice_tells_the_solution() -> None:
    for language, words in (("it", "è stata chiusa"), ("en", "has been closed")):
        solved = request(language=language, solution="Riavviato\nil servizio.", closed_at=NOW + timedelta(hours=1))
        mail = NOTICES.moved(solved, "closed", "Riavviato\nil servizio.", now=NOW)
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
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert "presa in carico entro" in text_of(message)


HEADERS = [
    *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress"),
    *("Content-Type", "MIME-Version"),
]


@settings(deadline=None)
@given(st.text(min_size=1, max_size=150), st.text(max_size=60), st.text(max_size=300))
@example(
    "x\r\nBcc: evil@example.org\r\n\r\nhello", "Anna\r\nBcc: evil@example.org", "\r\n.\r\nMAIL FROM:<evil@example.org>"
)
@example(
    "<img src=x onerror=alert(1)>", '"><script>alert(1)</script>', "</p><a href=javascript:x>clicca</a>\n&lt;b&gt;"
)
@example("x\x85Bcc: evil@example.org\u2028y\x0bz\x0c\x1c", "\x00", "\ud800")
@example("=?utf-8?q?=0ABcc:_evil@example.org?=", "=?utf-8?q?=0A?=", "{{ 7 * 7 }}{% raw %}")
def test_hostile_text_adds_no_header_and_breaks_no_mail(subject: str, name: str, solution: str) -> None:
    hostile = request(subject=subject, contact=Contact(name=name), solution=solution, closed_at=NOW)
    for mail in (opened(hostile), NOTICES.moved(hostile, "closed", "Fatto.", now=NOW)):
        assert mail is not None
        message = received(mail)
        assert sorted(message.keys()) == sorted(HEADERS)
        assert message["To"].addresses[0].addr_spec == "anna.rossi@asl.example"
        assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
        assert "\n" not in message["Subject"]
        assert "numero di ticket 0000017" in text_of(message)
        assert tags_of(html_of(message)) <= OUR_TAGS


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


ALL = Notices(NoticeSettings(sender="helpdesk@edotto.example", send=KINDS))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_notice_has_words_in_both_languages(kind: NoticeKind, language: Language) -> None:
    written = ALL.preview(kind, language)
    assert written.subject.startswith("[RdS 1000174] ")
    for words in (written.text, written.html):
        assert "1000174" in words
        assert "{{" not in words
    assert written.html.startswith(f'<!DOCTYPE html>\n<html lang="{language}">')
    assert not written.problems
    assert all(len(line) <= 100 for line in written.text.splitlines())


def test_a_question_to_the_user_comes_with_a_way_to_answer() -> None:
    notices = Notices(NoticeSettings(sender="helpdesk@edotto.example", reply_to="helpdesk+{ticket}@edotto.example"))
    mail = notices.moved(request(), "asked", "Da quale PC?\r\nC'è un errore <b>?", now=NOW)
    assert mail is not None
    message = received(mail)
    assert message["Reply-To"] == "helpdesk+0000017@edotto.example"
    assert "[RdS 0000017]" in message["Subject"]
    assert "Da quale PC?\nC'è un errore <b>?" in text_of(message)
    assert "Da quale PC?<br>\nC&#39;è un errore &lt;b&gt;?" in html_of(message)
    assert mail.message_id.startswith("<rds-0000017.")
    assert is_ours(mail.message_id, Ours(frozenset({"helpdesk@edotto.example"})))


def test_long_message_ids_stand_in_a_mail_as_they_are() -> None:
    """Those of Exchange are longer than a line, and so are ours where the domain is long; encoded, they say nothing."""
    mail = opened(request())
    theirs = f"<DB9PR04MB8123{'A' * 30}@DB9PR04MB8123.eurprd04.prod.outlook.example>"
    ours = [f"<rds-0000017.{digit * 32}@helpdesk.sanita.regione.example>" for digit in "abc"]
    mail.thread = " ".join([theirs, *ours])
    mail.message_id = ours[0]
    message = build_message(mail, now=NOW)
    for raw in (message.as_bytes(policy=email.policy.SMTP), flatten_message(message)):
        assert b"=?" not in raw
        plain = email.message_from_bytes(raw, policy=email.policy.compat32)
        assert (plain["References"].split(), plain["In-Reply-To"]) == ([theirs, *ours], ours[-1])
        assert plain["Message-ID"] == ours[0]


@pytest.mark.parametrize("reply_to", ["x", "{ticket}", "a@b.example\r\nBcc: c"])
def test_a_wrong_reply_address_is_refused_when_settings_are_read(reply_to: str) -> None:
    with pytest.raises(ValidationError, match="not a mail address"):
        NoticeSettings(reply_to=reply_to)


def test_only_the_notices_that_the_site_wants_are_written() -> None:
    for event in ("picked_up", "escalated", "note", "reply"):
        assert NOTICES.moved(request(), event, "", now=NOW) is None
    mail = ALL.moved(request(), "picked_up", "", now=NOW)
    assert mail is not None
    assert mail.kind == "picked_up"
    none = Notices(NoticeSettings(send=()))
    assert none.opened(request(), now=NOW) is None
    with pytest.raises(ValidationError):
        NoticeSettings(send=("nonsense",))


@pytest.mark.parametrize("email", ["helpdesk@edotto.example", "HelpDesk@Edotto.example", "helpdesk+1@edotto.example"])
def test_the_desk_does_not_write_to_itself(email: str) -> None:
    notices = Notices(NoticeSettings(sender="helpdesk@edotto.example", reply_to="helpdesk+{ticket}@edotto.example"))
    assert notices.opened(request(email=email), now=NOW) is None
    assert notices.opened(request(email=email, id=-5), now=NOW) is not None  # of a synthetic call


def site(folder: Path, **files: str) -> Notices:
    """Notices of a site with templates of its own, named as `it__closed__body__txt`."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/", 1).replace("__", ".") + ".j2")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Notices(NoticeSettings(templates=folder, send=KINDS))


def test_a_site_writes_its_own_words_and_keeps_the_others(tmp_path: Path) -> None:
    notices = site(tmp_path, it__opened__body__txt="Ticket {{ ticket }} <ok>, caro {{ name }}")
    mail = notices.opened(request(), now=NOW)
    assert mail is not None
    assert mail.body == "Ticket 0000017 <ok>, caro Anna Rossi\n"
    assert mail.html is not None
    assert "Ticket 0000017 &lt;ok&gt;, caro Anna Rossi" in mail.html  # not the package's words
    assert mail.subject.startswith("[RdS 0000017] Richiesta registrata")
    assert notices.opened(request(language="en"), now=NOW).body.startswith("Hello Anna Rossi")  # type: ignore[union-attr]
    assert notices.check() == {}


def test_a_site_builds_on_the_packages_page(tmp_path: Path) -> None:
    page = '{% extends "package/layout.html.j2" %}{% block content %}<h1>ASL: {{ subject }}</h1>{% endblock %}'
    mail = site(tmp_path, it__opened__body__html=page).opened(request(subject="a <b>"), now=NOW)
    assert mail is not None
    assert mail.html is not None
    assert "<h1>ASL: a &lt;b&gt;</h1>" in mail.html
    assert "Help Desk" in mail.html


@pytest.mark.parametrize(
    "broken",
    [
        *("{{ no_such_word }}", "{% if %}", "{{ 1 / 0 }}", "   ", "{% include 'nothing' %}"),
        *("{{ ''.__class__.__mro__ }}", "{{ ticket.foo.bar }}", "{% for i in range(10**9) %}{% endfor %}"),
    ],
)
def test_a_broken_template_loses_no_notice_and_is_told(tmp_path: Path, broken: str) -> None:
    notices = site(
        tmp_path, it__closed__body__txt=broken, it__closed__subject__txt=broken, it__closed__body__html=broken
    )
    mail = notices.moved(request(solution="Fatto.", closed_at=NOW), "closed", "Fatto.", now=NOW)
    assert mail is not None
    meant = NOTICES.moved(request(solution="Fatto.", closed_at=NOW), "closed", "Fatto.", now=NOW)
    assert meant is not None
    assert mail.subject == meant.subject
    assert "è stata chiusa" in mail.body
    assert mail.html is not None
    assert "è stata chiusa" in mail.html
    assert set(notices.check()) == {f"it/closed.{part}.j2" for part in ("body.txt", "subject.txt", "body.html")}


def test_a_template_in_another_encoding_loses_no_notice(tmp_path: Path) -> None:
    notices = site(tmp_path, it__closed__body__txt="x")
    (tmp_path / "it" / "closed.body.txt.j2").write_bytes("perch\xe9 {{ ticket }}".encode("latin-1"))
    assert "è stata chiusa" in notices.moved(request(closed_at=NOW), "closed", "Fatto.", now=NOW).body  # type: ignore[union-attr]
    assert "it/closed.body.txt.j2" in notices.check()


def test_what_fails_with_a_real_request_only_is_told_as_well(tmp_path: Path) -> None:
    notices = site(tmp_path, it__opened__body__txt="{{ ticket }} {{ name | upper if name else 1 / 0 }}")
    assert notices.check() == {}
    assert notices.opened(request(contact=None), now=NOW) is not None
    assert list(notices.check()) == ["it/opened.body.txt.j2"]


def test_a_question_without_its_text_is_told(tmp_path: Path) -> None:
    notices = site(
        tmp_path, it__information__body__txt="Risponda, {{ ticket }}", it__information__body__html="{{ text }}"
    )
    assert notices.check() == {"it/information.body.txt.j2": "leaves out {{ text }}"}


def test_a_mended_template_is_used_again(tmp_path: Path) -> None:
    notices = site(tmp_path, it__closed__body__txt="{{ nothing }}")
    assert notices.check()
    site(tmp_path, it__closed__body__txt="Chiusa {{ ticket }}: {{ solution }}")
    mail = notices.moved(request(solution="Fatto.", closed_at=NOW), "closed", "Fatto.", now=NOW)
    assert mail is not None
    assert mail.body == "Chiusa 0000017: Fatto.\n"
    assert notices.check() == {}
