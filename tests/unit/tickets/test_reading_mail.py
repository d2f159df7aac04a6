"""Mails that were made to break what reads them, and the largest ones."""

import base64
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickets.mail import MailKind, Ours, decode_words, read_mail
from tickets.mail_text import decode, html_to_text, language_of, reply_of, unflow

pytestmark = pytest.mark.unit

CORPUS = Path(__file__).parents[2] / "mail_corpus"
OURS = Ours(frozenset({"helpdesk@desk.example"}))
FROM = b"From: anna.rossi@asl.example\r\nSubject: Prova\r\n"


@given(st.binary(max_size=3000))
def test_no_bytes_make_it_fail(raw: bytes) -> None:
    read_mail(raw, OURS)


@settings(max_examples=150)
@given(st.sampled_from(sorted(CORPUS.glob("*.eml"))), st.data())
def test_no_damage_to_a_mail_makes_it_fail(file: Path, data: st.DataObject) -> None:
    raw = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        if raw:
            place = data.draw(st.integers(0, len(raw) - 1))
            raw[place : place + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=8))
    mail = read_mail(bytes(raw), OURS)
    for text in (mail.subject, mail.text, mail.reply, mail.name, *(one.name for one in mail.attachments)):
        text.encode("utf-8")
        assert "\x00" not in text
    assert "\n" not in mail.subject


@given(st.text(max_size=300))
def test_no_text_makes_its_readers_fail(text: str) -> None:
    for reader in (html_to_text, reply_of, unflow, language_of, decode_words):
        reader(text)
    decode(text.encode("utf-8", "surrogatepass"), text[:20])


def test_an_attachment_of_20_mb_is_taken_whole() -> None:
    content = os.urandom(20_000_000)
    raw = (
        FROM
        + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nEcco.\r\n--b\r\nContent-Type: application/zip;"
    )
    raw += b" name=grande.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    raw += base64.encodebytes(content).replace(b"\n", b"\r\n") + b"--b--\r\n"
    mail = read_mail(raw, OURS)
    assert mail.text == "Ecco."
    assert [(one.name, one.content == content) for one in mail.attachments] == [("grande.zip", True)]


def test_a_mail_nested_too_deep_to_be_read_is_a_request_with_the_whole_of_it() -> None:
    raw = FROM + b"\r\n".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d" % (depth, depth) for depth in range(3000)
    )
    mail = read_mail(raw, OURS)
    assert (mail.kind, mail.sender, mail.subject) == (MailKind.REQUEST, "anna.rossi@asl.example", "Prova")
    assert mail.problems == ("cannot be read: RecursionError",)
    assert [(one.name, one.content) for one in mail.attachments] == [("mail.eml", raw)]


MEGABYTE = 1_000_000
HEAVY = {
    "parameters": FROM + b"Content-Type: text/plain; " + b'a=";' * (MEGABYTE // 4) + b"\r\n\r\nx",
    "one long header": FROM + b"X-Long: " + b"=?utf-8?q?" * (MEGABYTE // 10) + b"\r\n\r\nx",
    "encoded words": FROM + b"Subject: " + b"=?utf-8?q?a?= " * (MEGABYTE // 15) + b"\r\n\r\nx",
    "recipients": FROM + b"To: " + b"<a@b.example>, " * (MEGABYTE // 15) + b"\r\n\r\nx",
    "comments": FROM + b"To: " + b"(" * MEGABYTE + b"\r\n\r\nx",
    "many headers": FROM + b"a: b\r\n" * (MEGABYTE // 6) + b"\r\nx",
    "many parts": FROM + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * (MEGABYTE // 10),
    "quotes": FROM + b"\r\n" + b">" * MEGABYTE,
    "lines": FROM + b"\r\n" + b"Da: x\r\n" * (MEGABYTE // 7),
    "wrote": FROM + b"In-Reply-To: <x@y>\r\n\r\n" + b"Il x <a@b.example>\r\n" * (MEGABYTE // 20),
    "failed": FROM + b"X-Failed-Recipients: x\r\n\r\n" + b"a" * MEGABYTE,
    "html table": FROM
    + b"Content-Type: text/html\r\n\r\n<table><tr><td>"
    + b"x" * (MEGABYTE // 2)
    + b"<tr><td>" * (MEGABYTE // 16),
    "html margins": FROM + b"Content-Type: text/html\r\n\r\n<p style='margin:999999999em'>x" * 1000,
    "html nested": FROM + b"Content-Type: text/html\r\n\r\n" + b"<div>" * (MEGABYTE // 5) + b"x",
    "html entities": FROM + b"Content-Type: text/html\r\n\r\n" + b"&lt;" * (MEGABYTE // 4),
    "punycode": FROM + b"Content-Type: text/plain; charset=punycode\r\n\r\n" + b"a-" * (MEGABYTE // 2),
}


@pytest.mark.parametrize("what", HEAVY)
def test_no_megabyte_takes_long_to_read(what: str) -> None:
    begun = time.process_time()
    mail = read_mail(HEAVY[what], OURS)
    assert time.process_time() - begun < 6
    assert mail.sender == "anna.rossi@asl.example"
    assert len(mail.text) <= 100_000


@pytest.mark.parametrize(
    ("reply_to", "address"),
    [
        ("", "helpdesk+1000077@desk.example"),
        ("risposte+{ticket}@desk.example", "risposte+1000077@desk.example"),
        ("rds-{ticket}@altro.example", "RDS-1000077@altro.example"),
    ],
)
def test_a_ticket_is_read_from_the_address_that_notices_ask_replies_to(reply_to: str, address: str) -> None:
    ours = Ours(frozenset({"helpdesk@desk.example"}), reply_to=reply_to)
    for to, tickets in ((address, ("1000077",)), (address.replace("77@", "78@"), ()), ("x+1000077@desk.example", ())):
        assert read_mail(FROM + f"To: {to}\r\n\r\nx".encode(), ours).tickets == tickets
