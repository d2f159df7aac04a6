"""Reading a mail: who wrote what, whether it belongs to a request, and whether a person wrote it at all.

`read_mail` takes the bytes as they came (RFC 5322) and never fails: what cannot be read is told in `Mail.problems`, and
the mail is a request all the same, since only a person can say that it is none. Nothing here knows a database.

The standard library parses with its older policy: the newer one's header parser raises on a number of real headers and
takes quadratic time for long ones (seen with Python 3.11).
"""

import binascii
import email
import email.header
import email.utils
import enum
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.message import Message
from email.policy import Compat32
from typing import Any

from tickets.mail_text import decode, html_to_text, language_of, readable, reply_of, unflow
from tickets.texts import clean_line, is_email
from tickets.ticket_numbers import read_ticket_number

LONGEST_HEADER = 60_000
LONGEST_PARAMETERS = 4_000
"""Of a header with parameters: the library reads these in quadratic time."""
MOST_PARTS = 300
DEEPEST = 30
LONGEST_TEXT = 90_000
"""Signs of text that are taken (a request holds 100,000); the whole mail is kept beside."""
MOST_REFERENCES = 100


class MailKind(enum.StrEnum):
    """What a mail is to the desk."""

    REQUEST = "request"
    REPLY = "reply"
    """Refers to a ticket, or to a mail that may be ours."""
    BOUNCE = "bounce"
    """Says that a mail was not delivered, for good."""
    AUTOMATIC = "automatic"
    """Written by a program: never answered, and nothing is opened for it."""
    RECEIPT = "receipt"
    """A receipt of certified mail (PEC)."""


@dataclass(frozen=True, slots=True)
class Ours:
    """What tells our own mails: the desk's addresses (lower case), and lists (their List-Id) that lead to the desk.

    `reply_to` is the address that notices ask replies to, with `{ticket}` for the ticket number.
    """

    addresses: frozenset[str]
    lists: frozenset[str] = frozenset()
    reply_to: str = ""

    @property
    def domains(self) -> frozenset[str]:
        """The domains of our Message-IDs."""
        return frozenset(address.rpartition("@")[2] for address in self.addresses)


@dataclass(frozen=True, slots=True)
class MailAttachment:
    """A file in a mail; `inline` ones are shown in the text, such as the picture in a signature."""

    name: str
    media_type: str
    content: bytes = field(repr=False)
    inline: bool = False


@dataclass(frozen=True, slots=True)
class Bounce:
    """Which of our mails came back: its Message-IDs as far as told, the addresses it did not reach, and why."""

    message_ids: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail as it was read.

    `why` says in a word why it is of this kind. `sender` is where an answer goes (Reply-To before From), `author` who
    wrote. `tickets` are numbers written as ours are (in brackets, or in the address); `mentions` those in other words.
    `may_answer` is False where the mail asks not to be answered by a program. `certified` is what the mail says of
    itself: its signature is not checked.
    """

    kind: MailKind = MailKind.REQUEST
    why: str = "written"
    sender: str | None = None
    author: str | None = None
    name: str = ""
    recipients: tuple[str, ...] = ()
    subject: str = ""
    text: str = ""
    reply: str = ""
    language: str = "it"
    message_id: str | None = None
    references: tuple[str, ...] = ()
    tickets: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    written_at: datetime | None = None
    attachments: tuple[MailAttachment, ...] = ()
    bounce: Bounce | None = None
    may_answer: bool = True
    certified: bool = False
    problems: tuple[str, ...] = ()

    def digest(self) -> str:
        """The same for one mail that came twice by different ways (SHA-256 of what its author wrote)."""
        parts = [self.message_id or "", self.author or "", self.subject, self.text]
        parts += [hashlib.sha256(attachment.content).hexdigest() for attachment in self.attachments]
        return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


def read_mail(raw: bytes, ours: Ours) -> Mail:
    """Read the bytes of one mail; never raises."""
    try:
        return _read(raw, ours)
    except (RecursionError, ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        head = re.split(rb"\r?\n\r?\n", raw[:200_000], maxsplit=1)[0]
        try:
            mail = replace(_read(head + b"\r\n\r\n", ours), text="", reply="")
        except (RecursionError, ValueError, LookupError, TypeError, AttributeError, AssertionError):
            mail = Mail()
        whole = MailAttachment("mail.eml", "message/rfc822", raw)
        problem = f"cannot be read: {type(error).__name__}"
        return replace(mail, attachments=(whole,), problems=(*mail.problems, problem))


def _read(raw: bytes, ours: Ours) -> Mail:
    message = email.message_from_bytes(raw, policy=_PATIENT)
    parts = _Parts(message)
    receipt = _first_word(message, "X-Ricevuta")
    if receipt:
        return _certified_receipt(message, parts, receipt, ours)
    if _first_word(message, "X-Trasporto") and (inner := parts.message_named("postacert.eml")) is not None:
        certified = _first_word(message, "X-Trasporto") == "posta-certificata"
        mail = _of_message(inner, _Parts(inner), ours)
        sent = ids_in(_header(message, "X-Riferimento-Message-ID"))
        # the provider's own Message-ID is new each time; its author's is what answers refer to
        message_id = mail.message_id or (sent[0] if sent else None)
        return replace(mail, certified=certified, message_id=message_id)
    return _of_message(message, parts, ours)


def _of_message(message: Message, parts: "_Parts", ours: Ours) -> Mail:
    authors = _addresses(message, "From") or _addresses(message, "Sender")
    answers = _addresses(message, "Reply-To")
    name, author = authors[0] if authors else ("", None)
    answer = next(((name, address) for name, address in answers if address not in ours.addresses), None)
    sender = answer[1] if answer else author
    if answer and author in ours.addresses:  # a form of the site, or a list, that writes in our name for somebody
        name, author = answer
    recipients = [address for header in _TO for _, address in _addresses(message, header)]
    subject = readable(_header(message, "Subject").replace("\n", " "))
    subject = clean_line(subject)
    text, attachments = parts.text, tuple(parts.attachments)
    message_ids = ids_in(_header(message, "Message-ID"))
    references = ids_in(f"{_header(message, 'References')} {_header(message, 'In-Reply-To')}")[-MOST_REFERENCES:]
    tickets, mentions = _tickets_in(subject)
    tickets = tuple(dict.fromkeys([*_tickets_of_addresses(recipients, ours), *tickets]))
    mail = Mail(
        sender=sender,
        author=author,
        name=clean_line(name)[:200],
        recipients=tuple(dict.fromkeys(recipients)),
        subject=subject,
        text=text,
        reply=text,
        language=language_of(f"{subject}\n{text}"),
        message_id=message_ids[0] if message_ids else None,
        references=references,
        tickets=tickets,
        mentions=mentions,
        written_at=_date(message),
        attachments=attachments,
        may_answer=_may_answer(message, sender),
        problems=tuple(parts.problems),
    )
    if bounce := _bounce(message, parts, mail):
        return replace(mail, kind=MailKind.BOUNCE, why="not delivered", bounce=bounce)
    reply = bool(tickets) or any(is_ours(one, ours) for one in references)
    if reply or references:
        mail = replace(mail, reply=reply_of(text))
    if why := _automatic(message, parts, mail, ours):
        return replace(mail, kind=MailKind.AUTOMATIC, why=why, may_answer=False)
    if reply:
        return replace(mail, kind=MailKind.REPLY, why="ticket" if tickets else "reference")
    return mail


_TO = ("To", "Cc", "Delivered-To", "X-Original-To", "Envelope-To")
_OUR_ID = re.compile(r"<(?:rds-[0-9]{1,12}\.)?[0-9a-f]{32}@([^<>@]+)>")


def is_ours(message_id: str, ours: Ours) -> bool:
    """Whether a Message-ID looks like those of our notices (`tickets.notices`)."""
    found = _OUR_ID.fullmatch(message_id)
    return found is not None and found[1].lower() in ours.domains


def ids_in(text: str) -> tuple[str, ...]:
    """The Message-IDs in a header, in order, each once; what is longer than any database takes is left out."""
    found = re.findall(r"<[^<>\s]{1,198}>", text)
    if not found and (bare := text.strip()) and re.fullmatch(r"[^<>\s@]+@[^<>\s@]+", bare[:198]):
        found = [f"<{bare[:198]}>"]
    return tuple(dict.fromkeys(clean_line(one) for one in found))


# --- tickets ---------------------------------------------------------------------------------------------------------

_PREFIX = re.compile(r"^(?:\s*(?:re|r|i|fw|fwd|rif|aw|wg|tr|sv|antw)\s*(?:\[\d+\])?\s*[:：]\s*)+", re.I)
_BRACKETS = re.compile(r"\[\s*(?:rds|ticket)?\s*([0-9]{7,12})\s*\]", re.I)
_SPOKEN = re.compile(
    r"\b(?:ticket|rds|richiesta|request)\b[\s:]{0,3}(?:(?:n|nr|num|no|numero|number)\b)?[\s.:°#]{0,4}"
    r"([0-9][0-9 .-]{5,16}[0-9])",
    re.I,
)


def _tickets_in(subject: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ticket numbers written as ours are, and those in other words; a number by itself may be anything."""
    subject = subject[:1000]
    bare = read_ticket_number(_PREFIX.sub("", subject))
    strong = [number for found in _BRACKETS.findall(subject) if (number := read_ticket_number(found))]
    weak = [number for found in _SPOKEN.findall(subject) if (number := read_ticket_number(found))]
    if bare is not None:
        weak.append(bare)
    tickets = tuple(dict.fromkeys(strong))
    return tickets, tuple(number for number in dict.fromkeys(weak) if number not in tickets)


def _tickets_of_addresses(recipients: Sequence[str], ours: Ours) -> Iterator[str]:
    """From an address such as helpdesk+1000017@example.org."""
    for address in recipients:
        local, _, domain = address.rpartition("@")
        before, marked, after = ours.reply_to.partition("{ticket}")
        if marked and address.startswith(before) and address.endswith(after):
            if ticket := read_ticket_number(address[len(before) : len(address) - len(after)]):
                yield ticket
            continue
        base, plus, number = local.partition("+")
        if plus and f"{base}@{domain}" in ours.addresses and (ticket := read_ticket_number(number)):
            yield ticket


# --- who wrote it: a person or a program -----------------------------------------------------------------------------

_AWAY_SUBJECT = re.compile(
    r"^\s*(?:risposta automatica|autorisposta|risponditore automatico|messaggio automatico|notifica automatica"
    r"|fuori (?:ufficio|sede)|assenza dall'ufficio|assente\b|sono in ferie|in ferie\b|avviso di assenza"
    r"|automatic reply|auto(?:matic)?[- ]?(?:reply|response|respond\w*)|autoreply|out of (?:the )?office|ooo\b"
    r"|vacation (?:reply|message)|away from (?:the |my )?(?:office|desk)|i am out of (?:the )?office)",
    re.I,
)
_AWAY_WORDS = re.compile(
    r"\b(?:sono|sarò|saro'?) (?:assente|fuori (?:ufficio|sede)|in ferie|in congedo)[^.?!]{0,40}"
    r"\b(?:dal|fino|sino|rientr)"
    r"|\bl'ufficio (?:è|resterà|rimarrà) chiuso (?:dal|fino)"
    r"|\b(?:i am|i'm|i will be|i'll be) (?:currently )?(?:out of (?:the )?office|on (?:annual )?leave|away|on vacation)"
    r"[^.?!]{0,40}\b(?:until|from|till|return)"
    r"|\b(?:questa è una risposta automatica|this is an automat(?:ic|ed) (?:reply|response|message))",
    re.I,
)
_PRECEDENCE = frozenset({"bulk", "junk", "list", "auto_reply", "auto-reply"})
_ROBOT_HEADERS = (
    "X-Autoreply",
    "X-Auto-Reply",
    "X-Autorespond",
    "X-Autoresponder",
    "X-AutoReply-From",
    "X-Mail-Autoreply",
    "X-Autogenerated",
    "X-Vacation",
    "X-Mailer-Daemon",
)
_ROBOT_SENDERS = re.compile(
    r"^(?:mailer-daemon|postmaster|no-?reply|do-?not-?reply|non-?rispondere)(?:[+._-].*)?@", re.I
)


def _automatic(message: Message, parts: "_Parts", mail: Mail, ours: Ours) -> str:
    """Why a mail was written by a program, or nothing (RFC 3834 and what programs send instead)."""
    if mail.author in ours.addresses or (mail.message_id is not None and is_ours(mail.message_id, ours)):
        return "from ourselves"
    for value in message.get_all("X-Loop", []):
        if any(address in str(value).lower() for address in ours.addresses):
            return "loop"
    submitted = _first_word(message, "Auto-Submitted")
    if submitted and submitted != "no":
        return "Auto-Submitted"
    list_id = _header(message, "List-Id").lower()
    own_list = any(known in list_id for known in ours.lists)
    if _first_word(message, "Precedence") in _PRECEDENCE and not own_list:
        return "Precedence"
    for header in _ROBOT_HEADERS:
        if _first_word(message, header) not in ("", "no"):
            return header
    if "autoresponder" in _header(message, "X-POST-MessageClass").lower():
        return "X-POST-MessageClass"
    if _null_return_path(message):
        return "Return-Path"
    if not own_list:
        for header in ("List-Id", "List-Post", "List-Unsubscribe", "List-Help", "Mailing-List"):
            if header in message:
                return header
    if parts.report == "disposition-notification":
        return "read receipt"
    if parts.report:
        return f"report: {parts.report}"
    if parts.calendar_method == "REPLY":
        return "calendar reply"
    if _AWAY_SUBJECT.match(_PREFIX.sub("", mail.subject)):
        return "subject"
    reply = mail.reply[:600]
    if (mail.references or mail.tickets) and "?" not in reply and _AWAY_WORDS.search(reply):
        return "wording"
    return ""


def _may_answer(message: Message, sender: str | None) -> bool:
    suppressed = {word.strip().lower() for word in _header(message, "X-Auto-Response-Suppress").split(",")}
    return sender is not None and not suppressed & {"all", "autoreply", "oof"} and _ROBOT_SENDERS.match(sender) is None


def _null_return_path(message: Message) -> bool:
    return any(str(value).strip() == "<>" for value in message.get_all("Return-Path", []))


# --- bounces ---------------------------------------------------------------------------------------------------------

_BOUNCE_SUBJECT = re.compile(
    r"undeliver|non recapitat|mancato recapito|mancata consegna|delivery status notification|delivery (?:has )?fail"
    r"|mail delivery failed|failure notice|returned mail|returned to sender|non è stato possibile recapitare"
    r"|impossibile recapitare|mail system error|delivery failure|unzustellbar",
    re.I,
)
_BOUNCE_SENDER = re.compile(r"^(?:mailer-daemon|postmaster|mail-daemon|microsoftexchange\w*)(?:[+._-].*)?@", re.I)
_QMAIL = re.compile(r"^Hi\. This is the \S+ (?:send )?program at |^Hi\. This is the qmail-send program", re.M)
_DELAYED = re.compile(r"delayed|still being retried|will be retried|warning: message .{0,40}delay|ritard", re.I)
_COPY = re.compile(r"^-{2,}.*(?:copy|copia|below|original)", re.I | re.M)
_ADDRESS = re.compile(r"<?\b([A-Za-z0-9._%+=-]{1,64}@[A-Za-z0-9.-]{1,190}\.[A-Za-z]{2,24})\b>?")


def _bounce(message: Message, parts: "_Parts", mail: Mail) -> Bounce | None:
    """What a mail says of one that was not delivered (RFC 3464, and the words of systems that know no RFC 3464)."""
    failed = _header(message, "X-Failed-Recipients")
    if parts.delivery is not None:
        failures = [one for one in parts.delivery if one.get("action", "failed").lower() == "failed"]
        if not failures:
            return None  # delayed, delivered, relayed
        recipients = [_recipient(one) for one in failures]
        reasons = [one.get("diagnostic-code") or one.get("status", "") for one in failures]
        reason = next((reason for reason in reasons if reason), mail.text[:300])
    else:
        from_system = bool(failed) or _null_return_path(message) or bool(_BOUNCE_SENDER.match(mail.author or ""))
        said = _BOUNCE_SUBJECT.search(mail.subject) or _QMAIL.search(mail.text) or failed
        if not from_system or not said or (_DELAYED.search(mail.subject) and not failed):
            return None
        told = _COPY.split(mail.text, maxsplit=1)[0]
        recipients = _ADDRESS.findall(failed) or _ADDRESS.findall(told[:3000])[:3]
        reason = _reason_in(told)
    returned = parts.returned_ids or list(ids_in(_header(message, "X-MS-Exchange-Message-Id")))
    if not returned:
        returned = [f"<{one}>" for one in re.findall(r"^Message-ID:\s*<([^<>\s]{1,198})>", mail.text, re.I | re.M)]
    message_ids = tuple(dict.fromkeys([*returned, *reversed(mail.references)]))
    lowered = tuple(dict.fromkeys(one.lower() for one in recipients if one))
    return Bounce(message_ids[:20], lowered[:20], clean_line(reason)[:500])


def _recipient(fields: dict[str, str]) -> str:
    for field_name in ("original-recipient", "final-recipient"):
        if found := _ADDRESS.search(fields.get(field_name, "")):
            return found[1]
    return ""


def _reason_in(text: str) -> str:
    """The line of a mail server's answer, such as `550 5.1.1 no such user`."""
    for line in text.split("\n")[:200]:
        if re.search(r"\b[45][0-9][0-9][ -]|\b[45]\.[0-9]\.[0-9]\b", line[:1000]):
            return line.strip()
    return text[:300]


def _certified_receipt(message: Message, parts: "_Parts", receipt: str, ours: Ours) -> Mail:
    """A receipt of certified mail (D.P.R. 68/2005; technical rules of the decree of 2 November 2005)."""
    mail = _of_message(message, parts, ours)
    about = ids_in(_header(message, "X-Riferimento-Message-ID"))
    mail = replace(mail, kind=MailKind.RECEIPT, why=f"PEC: {receipt}", may_answer=False, certified=True, bounce=None)
    mail = replace(mail, references=tuple(dict.fromkeys([*about, *mail.references])))
    if receipt in ("errore-consegna", "non-accettazione", "rilevazione-virus"):
        certificate = parts.certificate[:20_000]
        reasons = re.findall(r"<errore-esteso>([^<]*)<", certificate) + re.findall(r'errore="([^"]*)"', certificate)
        told = next((reason for reason in reasons if reason.strip()), "")
        found = re.findall(r"<(?:consegna|destinatari[^<>]*)>([^<]*)<", certificate)
        recipients = tuple(dict.fromkeys(one.strip().lower() for one in found if is_email(one.strip())))
        bounce = Bounce(about, recipients, clean_line(f"PEC: {receipt} {told}"))
        return replace(mail, kind=MailKind.BOUNCE, bounce=bounce)
    return mail


# --- headers ---------------------------------------------------------------------------------------------------------


class _Patient(Compat32):
    """The library's policy for mails as they are, with headers of a length that can be read in time."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        if not value.isascii():  # bytes as they came; most are UTF-8, though none may be
            value = decode(value.encode("utf-8", "surrogateescape"))
        longest = LONGEST_PARAMETERS if name.lower().startswith("content-") else LONGEST_HEADER
        return name, value[:longest].replace("\x00", "")


_PATIENT = _Patient()


def _header(message: Message, name: str) -> str:
    """A header in plain text, with all encoded words decoded; empty where there is none."""
    return decode_words(_one_line(message.get(name, "")))


def _one_line(value: object) -> str:
    return re.sub(r"\r?\n(?=[ \t])", "", str(value))


_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bq])\?([^?]*)\?=", re.I)


def decode_words(text: str) -> str:
    """Decode encoded words (RFC 2047), also those that stand where none may, or are cut within a letter."""
    out: list[str] = []
    pending: list[bytes] = []
    charset = ""
    position = 0

    def flush() -> None:
        if pending:
            out.append(decode(b"".join(pending), charset))
            pending.clear()

    for match in _WORD.finditer(text):
        between = text[position : match.start()]
        said = match[1].partition("*")[0].lower()
        content = _word_bytes(match[2], match[3])
        if content is None:
            continue
        if between.strip() or not pending:
            flush()
            out.append(between)
        elif said != charset:
            flush()
        charset = said
        pending.append(content)
        position = match.end()
    flush()
    out.append(text[position:])
    return "".join(out)


def _word_bytes(encoding: str, content: str) -> bytes | None:
    if encoding in "qQ":
        return binascii.a2b_qp(content.encode("utf-8", "replace"), header=True)
    try:
        return binascii.a2b_base64(content.encode("ascii", "replace") + b"===")
    except binascii.Error:
        return None


def _first_word(message: Message, name: str) -> str:
    words = re.split(r"[\s;(,]", _header(message, name).strip().lower(), maxsplit=1)
    return words[0]


def _addresses(message: Message, name: str) -> list[tuple[str, str]]:
    """Names and addresses (lower case) of a header; what is no address is left out."""
    found: list[tuple[str, str]] = []
    for value in message.get_all(name, [])[:20]:
        text = _one_line(value)[:20_000]
        # before decoding: an encoded name may hold commas and angle brackets
        try:
            pairs = email.utils.getaddresses([text])
        except (RecursionError, IndexError):  # comments within comments
            pairs = []
        if not any(address for _, address in pairs):  # as the strict reading refuses much that mail programs write
            pairs = [("", address) for address in _ADDRESS.findall(text)[:50]]
        for name_there, address in pairs[:200]:
            plain = address.strip().strip("'\"<>").lower()
            if is_email(plain):
                found.append((decode_words(name_there), plain))
    return found


def _date(message: Message) -> datetime | None:
    try:
        at = email.utils.parsedate_to_datetime(_header(message, "Date")[:200])
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


# --- parts -----------------------------------------------------------------------------------------------------------

_TYPES = {"text/plain": "txt", "text/html": "html", "text/calendar": "ics", "message/rfc822": "eml"}


class _Parts:
    """What is in a mail: its text, its files, and what it reports."""

    def __init__(self, message: Message, depth: int = 0) -> None:
        self.attachments: list[MailAttachment] = []
        self.problems: list[str] = []
        self.report = ""
        self.delivery: list[dict[str, str]] | None = None
        self.returned_ids: list[str] = []
        self.calendar_method = ""
        self.certificate = ""
        self._messages: list[tuple[str, Message]] = []
        self._count = 0
        self.text = ""
        if message.get_content_type() == "multipart/report":
            self.report = _parameter(message, "report-type").lower() or "report"
        texts = self._texts(message, 0)
        if not any(text.strip() for text in texts) and not self.report and len(self._messages) == 1 and depth < 3:
            # a mail forwarded as a file, with nothing written above
            texts = [_Parts(self._messages[0][1], depth + 1).text]
        if not any(text.strip() for text in texts):
            texts = self._invitation()
        text = readable("\n\n".join(text for text in texts if text.strip()))
        if len(text) > LONGEST_TEXT:
            self.problems.append("text cut")
            text = text[:LONGEST_TEXT]
        self.text = text

    def message_named(self, name: str) -> Message | None:
        """A mail in the mail, by its file name; in certified mail the only one may have none."""
        named = [inner for known, inner in self._messages if known.lower() == name]
        return named[0] if named else (self._messages[0][1] if len(self._messages) == 1 else None)

    def _texts(self, part: Message, depth: int) -> list[str]:
        """The text of a part and of all below, in order; files are kept on the way."""
        self._count += 1
        if self._count > MOST_PARTS or depth > DEEPEST:
            if "too many parts" not in self.problems:
                self.problems.append("too many parts")
            return []
        kind = part.get_content_type()
        payload: Any = part.get_payload()
        if kind == "message/delivery-status":
            self._read_delivery(part)
            return []
        if kind in ("message/rfc822", "message/global") and isinstance(payload, list) and payload:
            self._keep_message(part, payload[0])
            return []
        if isinstance(payload, list):
            return self._texts_of_many(kind, payload, depth)
        content = _content(part)
        if kind in ("text/rfc822-headers", "message/global-headers"):
            self._read_returned(email.message_from_bytes(content, policy=_PATIENT))
            return []
        if kind == "text/calendar":
            self._read_calendar(part, content)
        if _file_name(part).lower() == "daticert.xml":
            self.certificate = decode(content, part.get_content_charset())
        # what says that it has parts and has none is text that has lost its boundary
        shown = kind in ("text/plain", "text/html") or kind.startswith("multipart/")
        shown = shown and not _is_file(part)
        if not shown:
            self._keep(part, content, kind)
            return []
        return [_text_of(part, content, kind)]

    def _texts_of_many(self, kind: str, parts: list[Message], depth: int) -> list[str]:
        texts = [(part, self._texts(part, depth + 1)) for part in parts if isinstance(part, Message)]
        if kind != "multipart/alternative":
            return [text for _, found in texts for text in found]
        # the plain one, where it says anything; else the richest
        written = [(part, found) for part, found in texts if any(text.strip() for text in found)]
        plain = [found for part, found in written if part.get_content_type() == "text/plain"]
        return plain[0] if plain else (written[-1][1] if written else [])

    def _keep(self, part: Message, content: bytes, kind: str) -> None:
        if not content and not _file_name(part):
            return
        name = _file_name(part) or f"part-{self._count}.{_TYPES.get(kind, kind.rpartition('/')[2][:20] or 'bin')}"
        disposition = str(part.get("Content-Disposition", "")).strip().lower()
        inline = not disposition.startswith("attachment") and "Content-ID" in part and kind.startswith("image/")
        if kind == "application/ms-tnef":
            self.problems.append("winmail.dat")
        self.attachments.append(MailAttachment(name, kind, content, inline))

    def _keep_message(self, part: Message, inner: Message) -> None:
        self._read_returned(inner)
        name = _file_name(part)
        self._messages.append((name, inner))
        if not name:
            subject = re.sub(r"[^\w .-]+", "_", clean_line(_header(inner, "Subject")))[:80].strip()
            name = f"{subject or 'mail'}.eml"
        try:
            content = inner.as_bytes(policy=_PATIENT)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            content = str(inner.get_payload()).encode("utf-8", "replace")
            self.problems.append("an enclosed mail cannot be written out")
        self.attachments.append(MailAttachment(name, "message/rfc822", content))

    def _read_returned(self, message: Message) -> None:
        self.returned_ids.extend(ids_in(_header(message, "Message-ID")))

    def _read_delivery(self, part: Message) -> None:
        blocks: list[dict[str, str]] = []
        payload = part.get_payload()
        # the library makes a message of each block, unless the mail is broken
        groups = payload if isinstance(payload, list) else [email.message_from_bytes(_content(part), policy=_PATIENT)]
        for group in groups:
            if isinstance(group, Message):
                blocks.append({name.lower(): _header(group, name) for name in group.keys()[:50]})
        for block in blocks:
            self.returned_ids.extend(ids_in(block.get("x-original-message-id", "")))
        about = [block for block in blocks if "final-recipient" in block or "action" in block]
        self.delivery = [*(self.delivery or []), *about]

    def _read_calendar(self, part: Message, content: bytes) -> None:
        method = _parameter(part, "method")
        if not method and (found := re.search(rb"^METHOD:(\w+)", content[:5000], re.M | re.I)):
            method = found[1].decode("ascii", "replace")
        self.calendar_method = method.upper()

    def _invitation(self) -> list[str]:
        """What an invitation without any text says."""
        for attachment in self.attachments:
            if attachment.media_type == "text/calendar":
                told = re.sub(r"\r?\n[ \t]", "", decode(attachment.content))
                lines = re.findall(r"^(SUMMARY|DTSTART|DTEND|LOCATION)(?:;[^:\n]*)?:(.*)$", told[:20_000], re.M)
                return ["\n".join(f"{name}: {value.strip()}" for name, value in lines)]
        return []


def _content(part: Message) -> bytes:
    """The bytes of a part, its transfer encoding undone as far as that goes."""
    try:
        content = part.get_payload(decode=True)
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError):
        content = None
    if isinstance(content, bytes):
        return content
    return str(part.get_payload()).encode("utf-8", "surrogateescape")


def _text_of(part: Message, content: bytes, kind: str) -> str:
    try:
        charset = part.get_content_charset()
    except (ValueError, LookupError, TypeError):
        charset = None
    text = decode(content, charset)
    if kind == "text/html":
        return html_to_text(text)
    if _parameter(part, "format").lower() == "flowed":
        return unflow(text, delete_space=_parameter(part, "delsp").lower() == "yes")
    return text


def _parameter(part: Message, name: str) -> str:
    try:
        value = part.get_param(name)
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
    if isinstance(value, tuple):
        value = email.utils.collapse_rfc2231_value(value)
    return clean_line(str(value or ""))


def _file_name(part: Message) -> str:
    """The file name a part gives itself, as one safe name without folders; empty where there is none."""
    try:
        name = part.get_filename("")
    except (ValueError, LookupError, TypeError, AttributeError):
        name = ""
    name = clean_line(decode_words(_one_line(name)))
    name = re.split(r"[/\\]", name)[-1].strip(". ")
    if len(name) > 150:
        stem, dot, ending = name.rpartition(".")
        name = f"{stem[: 149 - len(ending)]}{dot}{ending}" if dot and len(ending) <= 10 else name[:150]
    return name


def _is_file(part: Message) -> bool:
    disposition = str(part.get("Content-Disposition", "")).strip().lower()
    return disposition.startswith("attachment") or bool(_file_name(part))
