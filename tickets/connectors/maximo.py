"""IBM Maximo: service requests over its REST/JSON interface (object structures, `lean=1`).

What is relied on stands in https://ibm-maximo-dev.github.io/maximo-restapi-documentation (queries, create and update,
attachments, API keys). Statuses are written as the site's own values and read by their internal ones
(`status_maxvalue`), since sites rename them. Maximo knows no key that makes a repeated create harmless: our ticket
number stands in one of its fields, and is searched before.
"""

import asyncio
import base64
import contextlib
import html
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from string import Formatter
from types import TracebackType
from typing import Annotated, Any, Literal, Self

import httpx
import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from tickets.connectors import Entry, File, Heard, Outgoing, Refused, Remote, RemoteEntry, Unreachable, trusted
from tickets.models import Status
from tickets.texts import clean_line, clean_text

log = structlog.get_logger()

PAGE = 100
"""Service requests asked for at a time."""
ASKED_AT_ONCE = 40
"""Ticket numbers in one question: an address may have about 2,000 characters on its way through proxies."""
OVERLAP = timedelta(minutes=2)
"""A change that took long to be stored has an older time than one that was stored before it: so much is read twice."""
ENTRY_OVERLAP = timedelta(hours=1)
"""The same for entries of the worklog: one bears the time at which somebody began to write it. What took even longer is
found by the comparison."""
LONGEST_ANSWER = 20_000_000
"""Bytes."""

FIELDS = {
    "description": "{subject}",
    "description_longdescription": "{subject}\n\n{description}",
    "reportedpriority": "{priority}",
    "reportedphone": "{phone}",
    "reportedemail": "{email}",
}
"""What is written into which field of Maximo's, where the settings say nothing else."""
LENGTHS = {"description": 100, "reportedphone": 20, "reportedemail": 100, "reportedbyname": 62, "affectedphone": 20}
"""How long Maximo's own fields are; a longer text is refused (BMXAA4049E), so it is cut."""
NUMBERS = frozenset({"priority", "level", "id"})
STATUSES = {
    "new": "",
    "queued": "QUEUED",
    "in_progress": "INPROG",
    "pending_user": "PENDING",
    "pending_third_party": "PENDING",
    "resolved": "RESOLVED",
    "closed": "CLOSED",
    "cancelled": "CLOSED",
}
"""Our status to Maximo's; empty: is not told. It never goes back to NEW, and is read-only once it is CLOSED."""
MEANINGS = {
    "NEW": ("queued", "new"),
    "QUEUED": ("queued", "new"),
    "APPR": ("queued", "new"),
    "INPROG": ("in_progress",),
    "PENDING": ("pending_third_party", "pending_user"),
    "RESOLVED": ("resolved", "closed"),
    "CANCELLED": ("cancelled", "closed"),
    "REJECTED": ("cancelled", "closed"),
    "CLOSED": ("closed", "cancelled", "resolved"),
}
"""Maximo's status to ours, the most likely first: what is none of them is a difference. The site's own value is looked
for before the internal one, so that a synonym may mean something of its own."""

SELECT = "ticketid,ticketuid,status,description,changedate,changeby"
WORKLOG = "worklog{worklogid,createdate,createby,logtype,description,description_longdescription,clientviewable}"
_OURS = re.compile(r"\[C-([a-z0-9.]+)\]")
_AWAY = frozenset({"BMXAA6395E", "BMXAA6713E", "BMXAA6712E"})
"""What Maximo says when its own database is away."""
_CHANGED_MEANWHILE = "BMXAA8229W"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")


def _template(text: str) -> str:
    known = Outgoing.__dataclass_fields__
    try:
        names = [
            name for _, name, form, conversion in Formatter().parse(text) if name is not None or form or conversion
        ]
    except ValueError as error:
        raise ValueError(f"has a brace that is not closed; {{{{ stands for a brace itself ({error})") from None
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"there is no {unknown[0]!r} of a request; there is {', '.join(known)}")
    return text


def _field_name(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no name of a field: small letters, digits and _, such as description")
    return name


def _web_address(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo or parsed.query:
        raise ValueError("is no address of a web server: write it as https://maximo.example.org")
    return url.rstrip("/")


def _base_path(path: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+/?", path):
        raise ValueError("is no path such as /maximo/api")
    return path.rstrip("/")


FieldName = Annotated[str, AfterValidator(_field_name)]
WebAddress = Annotated[str, AfterValidator(_web_address)]


class MaximoSettings(BaseModel):
    """Where Maximo is, how we log in there, and which of its words stand for which of ours."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: WebAddress
    base_path: Annotated[str, AfterValidator(_base_path)] = "/maximo/api"
    """`/maximo/api` (Maximo Application Suite) or `/maximo/oslc` (7.6)."""
    object_structure: FieldName = "mxapisr"
    auth: Literal["apikey", "maxauth", "basic"] = "apikey"
    """`apikey`; `maxauth`, Maximo's own log-in of 7.6; `basic`, where a directory (LDAP) knows the user."""
    api_key: SecretStr | None = None
    username: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""
    timeout: Annotated[float, Field(gt=0, le=120)] = 30.0
    ticket_field: FieldName = "externalrecid"
    ticket_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,20}$")] = "CENTRALINO-"
    """What stands before our ticket number there: nobody else's numbers begin so."""
    fields: dict[FieldName, Annotated[str, AfterValidator(_template)]] = {}
    """Fields of Maximo's beside, or instead of, those of `FIELDS`; an empty text leaves one out."""
    values: dict[str, dict[str, str]] = {}
    """Words of Maximo's for ours, such as `values.area.application = "1205"`, for use in `fields`."""
    lengths: dict[FieldName, Annotated[int, Field(ge=1)]] = {}
    statuses: dict[Status, Annotated[str, Field(max_length=16)]] = {}
    meanings: dict[str, tuple[Status, ...]] = {}
    worklog_type: str = "WORK"
    """Maximo's type of the entries that we write: WORK, or CLIENTNOTE where users may see them."""
    worklogs: bool = True
    """Whether notes and reasons are told; else only fields and statuses."""
    attachments: bool = True
    poll_seconds: Annotated[int, Field(ge=10, le=86400)] = 60
    alarm_minutes: Annotated[int, Field(ge=1, le=1440)] = 30
    connections: Annotated[int, Field(ge=1, le=16)] = 4
    """How many requests are told at once; the changes of one always go one after the other."""

    @model_validator(mode="after")
    def _can_log_in(self) -> Self:
        if self.auth == "apikey" and self.api_key is None:
            raise ValueError("api_key is missing: it may come from CENTRALINO_MAXIMO__API_KEY")
        if self.auth != "apikey" and (self.username is None or self.password is None):
            raise ValueError(
                f"{self.auth} wants username and password; CENTRALINO_MAXIMO__PASSWORD may give the latter"
            )
        if unknown := [name for name in self.values if name not in Outgoing.__dataclass_fields__]:
            raise ValueError(f"values: there is no {unknown[0]!r} of a request")
        return self

    @property
    def all_fields(self) -> dict[str, str]:
        """Every field that is written, with what."""
        return {name: text for name, text in {**FIELDS, **self.fields}.items() if text}

    def field_values(self, request: Outgoing) -> dict[str, Any]:
        """The fields as Maximo gets them; what a request does not have is left out: nothing is emptied there."""
        known = {name: getattr(request, name) for name in Outgoing.__dataclass_fields__}
        for name, words in self.values.items():
            known[name] = words.get(str(known[name]), known[name])
        given = {}
        for name, text in self.all_fields.items():
            alone = text[1:-1] if text.startswith("{") and text.endswith("}") else ""
            if alone in NUMBERS and isinstance(known[alone], int):
                given[name] = known[alone]
            elif filled := clean_text(text.format_map({n: v if v is not None else "" for n, v in known.items()})):
                longest = self.longest(name)
                given[name] = filled if longest is None else clean_line(filled)[:longest]
        return given

    def longest(self, field: str) -> int | None:
        """How many characters of it Maximo takes; None where that is more than anybody writes."""
        return self.lengths.get(field, LENGTHS.get(field))

    def status_word(self, status: Status) -> str:
        """What is written there for one of our statuses; empty: it is not told."""
        return self.statuses.get(status, STATUSES.get(status.value, ""))

    def meaning(self, *words: str) -> tuple[Status, ...]:
        """Which of our statuses a value of Maximo's may stand for; of several words the first that is known counts."""
        known = {status.value: status for status in Status}
        for word in words:
            if word in self.meanings:
                return self.meanings[word]
        for word in words:
            if word in MEANINGS:
                return tuple(known[name] for name in MEANINGS[word])
        # a server that does not tell internal values: what we write there is what it means
        return tuple(status for status in Status if self.status_word(status) and self.status_word(status) in words)


class _ChangedMeanwhile(Refused):
    """Somebody saved the record between our reading and our writing."""


@dataclass(frozen=True, slots=True)
class _Found:
    remotes: list[Remote]
    latest: str | None
    """The latest time in it, as Maximo writes it."""


class Maximo:
    """The connector, as an async context manager."""

    answers = True

    def __init__(self, settings: MaximoSettings, name: str = "maximo") -> None:
        self.name, self.settings = name, settings
        self._prefix = settings.ticket_prefix
        self._collection = f"/os/{settings.object_structure}"
        self._logged_in = False
        self._unusable: Unreachable | None = None

    async def __aenter__(self) -> Self:
        settings = self.settings
        trust: ssl.SSLContext | bool = True
        try:
            trust = trusted(settings.ca_file)
        except Unreachable as error:  # calls and requests go on without it
            self._unusable = error
        auth = None
        if settings.auth == "basic" and settings.username and settings.password:
            auth = httpx.BasicAuth(settings.username, settings.password.get_secret_value())
        self._http = httpx.AsyncClient(
            base_url=settings.url + settings.base_path,
            auth=auth,
            timeout=settings.timeout,
            verify=trust,
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=settings.connections + 2),
            headers={"Accept": "application/json", "User-Agent": "centralino"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._logged_in:  # a session left open holds a licence until it expires
            with contextlib.suppress(httpx.HTTPError):
                await self._http.post("/logout", timeout=3)
        await self._http.aclose()

    # --- what a connector does ------------------------------------------------------------------------------------

    async def find(self, tickets: Sequence[str]) -> Mapping[str, Sequence[Remote]]:
        """See `Connector`."""
        found: dict[str, list[Remote]] = {}
        for first in range(0, len(tickets), ASKED_AT_ONCE):
            wanted = tickets[first : first + ASKED_AT_ONCE]
            words = ",".join(f'"{self._prefix}{ticket}"' for ticket in wanted)
            where = f"{self.settings.ticket_field} in [{words}]"
            for remote in (await self._query(where)).remotes:
                found.setdefault(remote.ticket, []).append(remote)
        return found

    async def create(self, request: Outgoing, entry: Entry) -> Remote:
        """See `Connector`."""
        body = self.settings.field_values(request)
        body[self.settings.ticket_field] = self._prefix + request.ticket
        answer = await self._send("POST", self._collection, json=body, headers={"properties": SELECT})
        key = _last_part(answer.headers.get("location", ""))
        record = _json(answer) if answer.content else {}
        if not key and not (key := _last_part(str(record.get("href", "")))):
            raise Unreachable("Maximo created a service request without telling its address")
        if "ticketid" not in record:
            record = await self._get(key, SELECT)
        return self._remote(record | {self.settings.ticket_field: body[self.settings.ticket_field]}, key)

    async def update(self, remote: Remote, request: Outgoing, entry: Entry) -> Remote:
        """See `Connector`."""
        return await self._write(remote, self.settings.field_values(request))

    async def worklog(self, remote: Remote, request: Outgoing, entry: Entry, *, repeated: bool) -> Remote:
        """See `Connector`. An entry of ours begins with its key in brackets: by that it is known again."""
        if not self.settings.worklogs:
            return remote
        mark = f"[C-{entry.key}]"
        if repeated and mark in await self._keys_there(remote):
            return remote
        by = f" ({entry.actor})" if entry.actor else ""
        head = clean_line(f"{mark} {entry.kind}{by}: {entry.text}")
        line = {
            "logtype": self.settings.worklog_type,
            "description": head[:100],
            "description_longdescription": f"{entry.at.isoformat(timespec='seconds')} {entry.actor}\n\n{entry.text}",
            "clientviewable": False,
        }
        return await self._write(remote, {"worklog": [line]})

    async def attachment(
        self, remote: Remote, request: Outgoing, entry: Entry, file: File, *, repeated: bool
    ) -> Remote:
        """See `Connector`. The file's name there begins with its key."""
        if not self.settings.attachments:
            return remote
        path = f"{self._collection}/{remote.key}/doclinks"
        name = f"C-{file.key} {clean_line(file.name)}"
        # a header carries Latin letters only, and a file's name no path
        name = re.sub(r"[^A-Za-z0-9 ._-]", "_", name)[:100]
        if repeated:
            there = _json(await self._send("GET", path))
            names = [str((one.get("describedBy") or {}).get("fileName", "")) for one in there.get("member", [])]
            if any(known.startswith(f"C-{file.key} ") for known in names):
                return remote
        try:
            content = await asyncio.to_thread(file.path.read_bytes)  # calls must not wait for the disk
        except OSError as error:
            raise Refused(f"the attachment {file.name!r} cannot be read: {error.strerror}") from None
        headers = {"slug": name, "x-document-meta": "FILE/Attachments", "Content-Type": file.media_type}
        await self._send("POST", path, content=content, headers=headers)
        return remote

    async def status(self, remote: Remote, request: Outgoing, status: Status, entry: Entry) -> Remote:
        """See `Connector`."""
        word = self.settings.status_word(status)
        if not word:
            return remote
        for _ in range(3):
            now = await self._get(remote.key, SELECT)
            if now.get("status") == word:
                return self._remote(now, remote.key)
            try:
                stamp = {"_rowstamp": now["_rowstamp"]} if now.get("_rowstamp") else {}
                return await self._write(remote, {"status": word, **stamp})
            except _ChangedMeanwhile:
                continue
        raise Refused("Maximo's users keep saving this record: it is tried again later", _CHANGED_MEANWHILE)

    async def changes_since(self, mark: str | None) -> Heard:
        """See `Connector`. The mark is a time of Maximo's own, so that no two clocks have to agree."""
        ours = f'{self.settings.ticket_field}="{self._prefix}%"'
        if mark is None:
            page = await self._query(ours, order="-changedate", limit=PAGE)
            return Heard(page.remotes, page.latest)
        at = datetime.fromisoformat(mark)

        def since(overlap: timedelta) -> str:
            return f'"{(at - overlap).isoformat(timespec="seconds")}"'

        pages = [await self._query(f"{ours} and changedate>={since(OVERLAP)}")]
        if self.settings.worklogs:
            # an entry need not change the record that it belongs to
            pages.append(await self._query(f"{ours} and worklog.createdate>={since(ENTRY_OVERLAP)}"))
        heard = {remote.key: remote for page in pages for remote in page.remotes}
        return Heard(tuple(heard.values()), max([mark, *(page.latest or mark for page in pages)], key=_time))

    async def check(self) -> str:
        """Try the log-in and the object structure, without changing anything; says who we are there."""
        await self._query(f'{self.settings.ticket_field}="{self._prefix}%"', limit=1)
        try:
            me = _json(await self._send("GET", "/whoami"))
        except Refused:
            return ""
        return str(me.get("userName") or me.get("loginID") or "")

    # --- its language ---------------------------------------------------------------------------------------------

    async def _query(self, where: str, *, order: str = "+ticketuid", limit: int | None = None) -> "_Found":
        select = f"{SELECT},{self.settings.ticket_field}"
        if self.settings.worklogs:
            select += f",{WORKLOG}"
        remotes: list[Remote] = []
        times: list[str] = []
        page = 1
        while True:
            parameters = {
                "oslc.where": where,
                "oslc.select": select,
                "oslc.orderBy": order,
                "oslc.pageSize": str(limit or PAGE),
                "pageno": str(page),
            }
            answer = _json(await self._send("GET", self._collection, params=parameters))
            for record in answer.get("member", []):
                lines = record.get("worklog") or ()
                times += [text for one in (record, *lines) if (text := one.get("changedate") or one.get("createdate"))]
                key = _last_part(str(record.get("href", "")))
                reference = str(record.get(self.settings.ticket_field, ""))
                if key and reference.startswith(self._prefix):
                    remotes.append(self._remote(record, key))
            if limit or not (answer.get("responseInfo") or {}).get("nextPage"):
                return _Found(remotes, max(times, key=_time, default=None))
            page += 1

    async def _get(self, key: str, select: str) -> dict[str, Any]:
        return _json(await self._send("GET", f"{self._collection}/{key}", params={"oslc.select": select}))

    async def _keys_there(self, remote: Remote) -> set[str]:
        record = await self._get(remote.key, f"ticketid,{WORKLOG}")
        return {
            match.group()
            for line in record.get("worklog") or ()
            for match in _OURS.finditer(line.get("description") or "")
        }

    async def _write(self, remote: Remote, body: Mapping[str, Any]) -> Remote:
        headers = {"x-method-override": "PATCH", "patchtype": "MERGE", "properties": SELECT}
        answer = await self._send("POST", f"{self._collection}/{remote.key}", json=dict(body), headers=headers)
        record = _json(answer) if answer.content else await self._get(remote.key, SELECT)
        return self._remote(record | {self.settings.ticket_field: self._prefix + remote.ticket}, remote.key)

    def _remote(self, record: Mapping[str, Any], key: str) -> Remote:
        external, internal = str(record.get("status") or ""), str(record.get("status_maxvalue") or "")
        lines = [entry for line in record.get("worklog") or () if (entry := _entry(line)) is not None]
        return Remote(
            id=clean_line(str(record.get("ticketid", "")))[:100],
            key=key,
            ticket=str(record.get(self.settings.ticket_field, "")).removeprefix(self._prefix),
            status=clean_line(external)[:40] or None,
            means=self.settings.meaning(external, internal),
            subject=record.get("description"),
            changed_by=clean_line(str(record.get("changeby") or ""))[:100],
            entries=tuple(sorted(lines, key=lambda line: line.id)),
        )

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        if self._unusable is not None:
            raise Unreachable(str(self._unusable))
        if self.settings.auth == "maxauth" and not self._logged_in:
            await self._log_in()
        for again in (True, False):
            try:
                answer = await self._http.request(
                    method,
                    path,
                    # without internalvalues a status comes by the site's name for it only
                    params={"lean": "1", "internalvalues": "1", **(params or {})},
                    json=json,
                    content=content,
                    headers={**self._key(), **(headers or {})},
                )
            except (httpx.HTTPError, OSError) as error:
                # its text may hold the address, but no key: that goes in a header
                raise Unreachable(f"Maximo does not answer: {error or type(error).__name__}") from error
            if answer.status_code == 401 and again and self.settings.auth == "maxauth":
                await self._log_in()  # the session has expired
                continue
            break
        _judge(answer, collection=not path.startswith(f"{self._collection}/"))
        return answer

    def _key(self) -> dict[str, str]:
        key = self.settings.api_key
        return {"apikey": key.get_secret_value()} if self.settings.auth == "apikey" and key else {}

    async def _log_in(self) -> None:
        secret = (
            f"{self.settings.username}:{self.settings.password.get_secret_value() if self.settings.password else ''}"
        )
        self._http.cookies.clear()
        try:
            header = {"maxauth": base64.b64encode(secret.encode()).decode()}
            answer = await self._http.post("/login", headers=header)
        except (httpx.HTTPError, OSError) as error:
            raise Unreachable(f"Maximo does not answer: {error or type(error).__name__}") from error
        _judge(answer, collection=True)
        self._logged_in = True


def _entry(line: Mapping[str, Any]) -> RemoteEntry | None:
    """A line of a worklog that people wrote; None for one of ours, and for one without number or time."""
    head, long = str(line.get("description") or ""), _plain(str(line.get("description_longdescription") or ""))
    if _OURS.match(head) is not None:
        return None
    try:
        number, at = int(line["worklogid"]), _time(line["createdate"])
    except (KeyError, TypeError, ValueError):
        return None
    text = clean_text(f"{head}\n\n{long}" if long and long != head else head)
    by = clean_line(str(line.get("createby") or ""))[:100]
    return RemoteEntry(number, at, by, text, for_user=line.get("clientviewable") in (True, 1, "1", "true"))


def _judge(answer: httpx.Response, *, collection: bool) -> None:
    """Raise what an answer means, unless it is a good one."""
    code = answer.status_code
    if code < 300:
        return
    reason, words = _error(answer)
    told = f"Maximo: {code} {words or answer.reason_phrase}"
    if code < 400:
        raise Unreachable(f"Maximo sends us elsewhere ({code}): url or base_path is wrong, or it wants another log-in")
    if code in (401, 403):
        raise Unreachable(f"Maximo does not let us in ({told}): look at the key or password, and at the user's rights")
    if code == 412 or reason == _CHANGED_MEANWHILE:
        raise _ChangedMeanwhile(told, reason)
    if code in (408, 429, 502, 503, 504) or reason in _AWAY:
        wait = answer.headers.get("retry-after", "")
        raise Unreachable(told, float(wait) if wait.isdecimal() else None)
    if code == 404 and collection:
        raise Unreachable(f"{told}: look at base_path and object_structure")
    raise Refused(told, reason)


def _error(answer: httpx.Response) -> tuple[str, str]:
    """Maximo's code and words: {"Error": {"reasonCode", "message", "statusCode"}}, with prefixes where not lean."""
    try:
        body = answer.json()
    except ValueError:
        return "", ""
    error = (body.get("Error") or body.get("oslc:Error")) if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return "", ""
    code = str(error.get("reasonCode") or error.get("spi:reasonCode") or "")
    words = clean_line(str(error.get("message") or error.get("oslc:message") or ""))[:500]
    return code, words if words.startswith(code) else f"{code} {words}"


def _json(answer: httpx.Response) -> dict[str, Any]:
    if len(answer.content) > LONGEST_ANSWER:
        raise Unreachable("Maximo's answer is longer than any should be")
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Unreachable("what answers is not Maximo's REST interface, perhaps a page to log in: look at base_path")
    return body


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _last_part(href: str) -> str:
    """The key at the end of an address; Maximo's own idea of its host may be one that we cannot reach."""
    key = httpx.URL(href).path.rstrip("/").rpartition("/")[2] if href else ""
    return key if re.fullmatch(r"[A-Za-z0-9_=.~-]{1,400}", key) else ""


def _plain(text: str) -> str:
    """A long description as text: people's browsers write HTML there."""
    if "<" not in text:
        return text
    text = re.sub(r"(?is)<(style|script|!--).*?(</\1>|-->|$)", "", text)
    text = re.sub(r"(?i)<(br|/p|/div|/li)[^>]*>", "\n", text)
    return html.unescape(re.sub(r"<[^>]*>", "", text))


def mapping(settings: MaximoSettings) -> Iterator[tuple[str, str]]:
    """What is written where, for people: Maximo's field and our words."""
    yield settings.ticket_field, settings.ticket_prefix + "{ticket}"
    yield from settings.all_fields.items()
