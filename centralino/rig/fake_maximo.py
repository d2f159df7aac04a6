"""A Maximo that is none: as much of its REST interface as service requests need, with its habits and its moods.

For tests, for the demo, and for a site that wants to see what would be written before it lets us near its own
(`centralino fake-maximo`). It is faithful in what a client can stumble over: `lean=1` or nothing works; keys are not
ticket numbers; statuses have names of the site's own over Maximo's internal ones; it never goes back to NEW, and a
closed record is read-only; texts that are too long are refused, not cut; a record that was changed meanwhile is refused
with 412; the same create twice makes two. Codes of refusals are those that Maximo's users quote, where known.

State is in memory; with a file it outlives the process.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import re
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo

import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.responses import JSONResponse

from centralino.rig.ports import free_port
from schedules.clock import utc_now

ROME = ZoneInfo("Europe/Rome")
SYNONYMS = {name: name for name in ("NEW", "QUEUED", "PENDING", "INPROG", "RESOLVED", "CLOSED")} | {
    "CANCELLED": "CLOSED",
    "REJECTED": "CLOSED",
}
"""External status to internal one, as Maximo comes."""
MOVES = {
    "NEW": {"QUEUED", "PENDING", "INPROG", "RESOLVED", "CLOSED"},
    "QUEUED": {"PENDING", "INPROG", "RESOLVED", "CLOSED"},
    "PENDING": {"QUEUED", "INPROG", "RESOLVED", "CLOSED"},
    "INPROG": {"QUEUED", "PENDING", "RESOLVED", "CLOSED"},
    "RESOLVED": {"QUEUED", "PENDING", "INPROG", "CLOSED"},
    "CLOSED": set(),
}
"""Internal status to those it may be changed to; it never goes back to NEW."""
LENGTHS = {"description": 100, "externalrecid": 50, "reportedphone": 20, "reportedemail": 100, "reportedby": 30}
FIELDS = frozenset(
    {
        *LENGTHS,
        *("description_longdescription", "reportedpriority", "reportedbyname", "affectedperson", "affectedphone"),
        *("affectedemail", "siteid", "orgid", "assetsiteid", "location", "assetnum", "classstructureid", "ownergroup"),
        *("source", "impact", "urgency", "internalpriority"),
    }
)
NUMBERS = frozenset({"reportedpriority", "impact", "urgency", "internalpriority"})
LARGEST_PAGE = 1000


class Refusal(Exception):
    """What Maximo answers instead of doing it."""

    def __init__(self, status: int, code: str, words: str) -> None:
        super().__init__(words)
        self.status, self.code, self.words = status, code, words

    def answer(self) -> Response:
        """As Maximo writes it."""
        error = {
            "extendedError": {"moreInfo": {"href": f"https://maximo.invalid/maximo/api/error/messages/{self.code}"}},
            "reasonCode": self.code,
            "message": f"{self.code} - {self.words}",
            "statusCode": str(self.status),
        }
        return JSONResponse({"Error": error}, status_code=self.status)


@dataclass
class Record:
    """One service request."""

    uid: int
    ticketid: str
    values: dict[str, Any]
    status: str
    changed: str
    changed_by: str
    rowstamp: int
    worklog: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)

    @property
    def key(self) -> str:
        """What it is addressed by: never its number."""
        coded = base64.urlsafe_b64encode(f"SR/{self.ticketid}".encode()).decode()
        return "_" + coded.replace("=", "-")


@dataclass(frozen=True)
class Done:
    """One change that was stored, in the order in which it was: `what` is create, update, status, worklog or file."""

    what: str
    ticketid: str
    reference: str
    detail: str
    by: str


@dataclass
class Moods:
    """What it may be like today."""

    slow_seconds: float = 0.0
    """It takes so long before it does anything."""
    slow_answer_seconds: float = 0.0
    """It takes so long between having done something and saying so."""
    answers_lost: int = 0
    """So many changes are stored, but their answer is a gateway's 504."""
    unavailable: bool = False
    """Every answer is 503, with a page of HTML."""
    refuse_saves: str = ""
    """Every save is refused with this code, such as BMXAA4160E."""
    key_expired: bool = False


class FakeMaximo:
    """The server, as an async context manager, on a free port of the loopback address.

    `statuses` are external names with their internal ones; `suite` makes it a Maximo Application Suite, which knows API
    keys and `/maximo/api` only. `stop` and `start` make it go away and come back on the same port.
    """

    def __init__(
        self,
        *,
        api_key: str = "chiave-di-prova",
        users: Mapping[str, str] | None = None,
        statuses: Mapping[str, str] | None = None,
        suite: bool = True,
        structures: tuple[str, ...] = ("mxapisr", "mxsr"),
        file: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.api_key, self.users, self.suite, self.structures = api_key, dict(users or {}), suite, structures
        self.statuses = dict(statuses or SYNONYMS)
        self.host, self.port, self.now, self.file = host, port or free_port(), now, file
        self.moods = Moods()
        self.records: dict[str, Record] = {}
        self.journal: list[Done] = []
        self.requests = 0
        """Requests that came, whatever was answered."""
        self.came = asyncio.Event()
        """Set by each of them."""
        self._numbers, self._stamps, self._lines = itertools.count(1001), itertools.count(700_001), itertools.count(1)
        self._sessions: set[str] = set()
        self._server: uvicorn.Server | None = None
        self._app = self._make_app()
        if file is not None and file.exists():
            self._load(file)

    @property
    def url(self) -> str:
        """Its address, for `maximo.url`."""
        return f"http://{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen."""
        listener = socket.create_server((self.host, self.port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started:
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Be away: connections are refused."""
        if self._server is not None:
            self._server.should_exit = True
            await self._serving
            self._server = None

    # --- what people do there -------------------------------------------------------------------------------------

    def by_reference(self, reference: str) -> list[Record]:
        """The records with this external reference: one, unless something went wrong."""
        return [record for record in self.records.values() if record.values.get("externalrecid") == reference]

    def move(self, ticketid: str, status: str, by: str = "WILSON") -> None:
        """Somebody changes the status, by its external name. Raises Refusal."""
        record = self._by_number(ticketid)
        self._set_status(record, status, by)
        self._touch(record, by)

    def write(
        self, ticketid: str, text: str, by: str = "WILSON", *, touch: bool = False, for_user: bool = False
    ) -> None:
        """Somebody writes into the worklog, which does not change the record itself unless it is to be touched."""
        record = self._by_number(ticketid)
        line = {"description": text[:100], "description_longdescription": text, "clientviewable": for_user}
        self._add_worklog(record, {"logtype": "WORK", **line}, by)
        if touch:
            self._touch(record, by)

    @contextlib.contextmanager
    def writing(self, ticketid: str, text: str, by: str = "WILSON") -> Iterator[None]:
        """Somebody writes into the worklog: the entry has its number and time at once, and is stored at the end."""
        record = self._by_number(ticketid)
        line = self._worklog_line({"logtype": "WORK", "description": text[:100]}, by)
        yield
        record.worklog.append(line)
        self._note("worklog", record, text, by)

    def double(self, ticketid: str) -> Record:
        """Somebody copies the record, reference and all."""
        record = self._by_number(ticketid)
        return self._create(dict(record.values), "WILSON")

    # --- its interface --------------------------------------------------------------------------------------------

    def _make_app(self) -> FastAPI:
        app = FastAPI(title="A Maximo that is none", docs_url=None, redoc_url=None, openapi_url=None)

        @app.middleware("http")
        async def moods(request: Request, call_next: Callable[[Request], Any]) -> Response:
            self.requests += 1
            self.came.set()
            if self.moods.unavailable:
                return Response("<html><body>Service Unavailable</body></html>", 503, media_type="text/html")
            await asyncio.sleep(self.moods.slow_seconds)
            before = len(self.journal)
            try:
                answer: Response = await call_next(request)
            except Refusal as refusal:
                answer = refusal.answer()
            if len(self.journal) > before:
                self._save()
                await asyncio.sleep(self.moods.slow_answer_seconds)
                if self.moods.answers_lost > 0:
                    self.moods.answers_lost -= 1
                    return Response("<html><body>Gateway Timeout</body></html>", 504, media_type="text/html")
            return answer

        @app.exception_handler(Refusal)
        async def refused(_request: Request, refusal: Refusal) -> Response:
            return refusal.answer()

        for base in ("/maximo/api",) if self.suite else ("/maximo/api", "/maximo/oslc"):
            self._routes(app, base)
        return app

    def _routes(self, app: FastAPI, base: str) -> None:
        @app.post(f"{base}/login")
        async def login(request: Request) -> Response:
            user = self._user(request)
            session = secrets.token_hex(8)
            self._sessions.add(session)
            answer = JSONResponse({"userName": user})
            answer.set_cookie("JSESSIONID", session, httponly=True)
            return answer

        @app.post(f"{base}/logout")
        async def logout(request: Request) -> Response:
            self._sessions.discard(request.cookies.get("JSESSIONID", ""))
            return Response(status_code=200)

        @app.get(f"{base}/whoami")
        async def whoami(request: Request) -> Response:
            return JSONResponse({"userName": self._user(request), "defaultSite": "BEDFORD"})

        @app.get(f"{base}/os/{{structure}}")
        async def query(structure: str, request: Request) -> Response:
            self._enter(structure, request)
            return self._query(request, base, structure)

        @app.post(f"{base}/os/{{structure}}")
        async def create(structure: str, request: Request) -> Response:
            user = self._enter(structure, request)
            self._may_save()
            record = self._create(await _body(request), user)
            location = f"https://maximo.inside.invalid{base}/os/{structure}/{record.key}"
            return self._written(request, record, base, structure, 201, {"Location": location})

        @app.get(f"{base}/os/{{structure}}/{{key}}")
        async def read(structure: str, key: str, request: Request) -> Response:
            self._enter(structure, request)
            select = request.query_params.get("oslc.select") or request.query_params.get("oslc.properties") or "*"
            return JSONResponse(self._shown(self._record(key), select, base, structure, request))

        @app.post(f"{base}/os/{{structure}}/{{key}}")
        async def change(structure: str, key: str, request: Request) -> Response:
            user = self._enter(structure, request)
            if request.headers.get("x-method-override", "").upper() != "PATCH":
                raise Refusal(400, "BMXAA8728E", "Only PATCH may be tunnelled to a resource")
            self._may_save()
            record = self._record(key)
            body = await _body(request)
            match = request.headers.get("if-match") or body.pop("_rowstamp", None)
            if match is not None and str(match).strip('"') != str(record.rowstamp):
                raise Refusal(
                    412,
                    "BMXAA8229W",
                    f"Record SR : {record.ticketid} has been updated by another user. Your changes have not been "
                    "saved. Refresh the record and try again.",
                )
            body.pop("_rowstamp", None)
            merge = request.headers.get("patchtype", "").upper() == "MERGE"
            self._change(record, body, user, merge=merge)
            return self._written(request, record, base, structure, 204, {})

        @app.get(f"{base}/os/{{structure}}/{{key}}/doclinks")
        async def files(structure: str, key: str, request: Request) -> Response:
            self._enter(structure, request)
            member = [
                {"href": f"{_href(base, structure, key)}/doclinks/{one['id']}", "describedBy": _described(one)}
                for one in self._record(key).files
            ]
            return JSONResponse({"href": f"{_href(base, structure, key)}/doclinks", "member": member})

        @app.post(f"{base}/os/{{structure}}/{{key}}/doclinks")
        async def attach(structure: str, key: str, request: Request) -> Response:
            user = self._enter(structure, request)
            self._may_save()
            record = self._record(key)
            content, name = await request.body(), request.headers.get("slug", "")
            if not name or not request.headers.get("x-document-meta"):
                raise Refusal(400, "BMXAA9302E", "The attachment has no name or no document type.")
            self._refuse_history(record)
            one = {
                "id": next(self._lines),
                "name": name,
                "type": request.headers.get("content-type", ""),
                "content": base64.b64encode(content).decode(),
            }
            record.files.append(one)
            self._note("file", record, name, user)
            return Response(
                status_code=201, headers={"Location": f"{_href(base, structure, key)}/doclinks/{one['id']}"}
            )

        @app.get(f"{base}/os/{{structure}}/{{key}}/doclinks/{{number}}")
        async def file(structure: str, key: str, number: int, request: Request) -> Response:
            self._enter(structure, request)
            for one in self._record(key).files:
                if one["id"] == number:
                    return Response(base64.b64decode(one["content"]), media_type=one["type"])
            raise Refusal(404, "BMXAA8727E", "The attachment does not exist.")

    def _enter(self, structure: str, request: Request) -> str:
        user = self._user(request)
        if structure.lower() not in self.structures:
            raise Refusal(404, "BMXAA8727E", f"The OSLC resource {structure.upper()} was not found.")
        if request.query_params.get("lean") not in ("1", "true"):
            raise Refusal(400, "BMXAA8726E", "Without lean=1 every name needs its namespace.")
        return user

    def _user(self, request: Request) -> str:
        key = request.headers.get("apikey") or request.query_params.get("apikey")
        if key is not None and key == self.api_key and not self.moods.key_expired:
            return "CENTRALINO"
        if not self.suite:
            if request.cookies.get("JSESSIONID") in self._sessions:
                return "CENTRALINO"
            given = request.headers.get("maxauth")
            if given is None and request.headers.get("authorization", "").startswith("Basic "):
                given = request.headers["authorization"].removeprefix("Basic ")
            if given is not None:
                with contextlib.suppress(ValueError):
                    name, _, password = base64.b64decode(given).decode().partition(":")
                    if self.users.get(name) == password:
                        return name.upper()
        raise Refusal(401, "BMXAA7901E", "You cannot log in at this time. Contact the system administrator.")

    def expire_sessions(self) -> None:
        """All who are logged in have to do so again."""
        self._sessions.clear()

    def _may_save(self) -> None:
        if self.moods.refuse_saves:
            raise Refusal(500, self.moods.refuse_saves, "A major exception has occurred.")

    # --- records --------------------------------------------------------------------------------------------------

    def _create(self, body: dict[str, Any], by: str) -> Record:
        lines = body.pop("worklog", [])
        status = body.pop("status", None)
        self._check_values(body)
        number = next(self._numbers)
        new = next(name for name, internal in self.statuses.items() if internal == "NEW")
        record = Record(number, str(number), body, new, self._time(), by, next(self._stamps))
        self.records[record.key] = record
        self._note("create", record, str(body.get("description", "")), by)
        for line in lines:
            self._add_worklog(record, line, by)
        if status is not None and status != new:
            self._set_status(record, status, by)
        return record

    def _change(self, record: Record, body: dict[str, Any], by: str, *, merge: bool) -> None:
        lines, status = body.pop("worklog", None), body.pop("status", None)
        self._check_values(body)
        self._refuse_history(record)
        if status is not None:
            self._set_status(record, status, by)
        if body:
            record.values.update(body)
            self._note("update", record, json.dumps(body, sort_keys=True), by)
        if lines is not None:
            if not merge:
                record.worklog.clear()
            for line in lines:
                self._add_worklog(record, line, by)
        if body or status is not None:
            self._touch(record, by)

    def _check_values(self, body: dict[str, Any]) -> None:
        for name, value in body.items():
            if name not in FIELDS:
                continue  # what it does not know it leaves out without a word
            if name in NUMBERS and not isinstance(value, int):
                raise Refusal(400, "BMXAA4174E", f"{name} is not a valid number.")
            if len(str(value)) > LENGTHS.get(name, 100_000):
                raise Refusal(400, "BMXAA4049E", f"The value specified {value} exceeds the maximum field length.")
        for name in [name for name in body if name not in FIELDS]:
            del body[name]

    def _set_status(self, record: Record, status: str, by: str) -> None:
        internal = self.statuses.get(status)
        if internal is None:
            raise Refusal(400, "BMXAA4191E", f"{status} is not a valid value for STATUS.")
        if status == record.status:
            return
        now = self.statuses[record.status]
        if internal not in MOVES[now] and internal != now:
            raise Refusal(400, "BMXAA4590E", f"The status cannot be changed from {record.status} to {status}.")
        record.status = status
        self._note("status", record, status, by)

    def _refuse_history(self, record: Record) -> None:
        if self.statuses[record.status] == "CLOSED":
            raise Refusal(400, "BMXAA2256E", f"SR {record.ticketid} is history: its fields are read-only.")

    def _add_worklog(self, record: Record, line: Mapping[str, Any], by: str) -> None:
        record.worklog.append(self._worklog_line(line, by))
        self._note("worklog", record, str(line.get("description", "")), by)

    def _worklog_line(self, line: Mapping[str, Any], by: str) -> dict[str, Any]:
        if len(str(line.get("description", ""))) > 100:
            raise Refusal(400, "BMXAA4049E", "The value specified exceeds the maximum field length.")
        kept = {name: line.get(name) for name in ("logtype", "description", "description_longdescription")}
        kept["clientviewable"] = bool(line.get("clientviewable"))
        return {"worklogid": next(self._lines), "createdate": self._time(), "createby": by, **kept}

    def _touch(self, record: Record, by: str) -> None:
        record.changed, record.changed_by, record.rowstamp = self._time(), by, next(self._stamps)

    def _note(self, what: str, record: Record, detail: str, by: str) -> None:
        reference = str(record.values.get("externalrecid", ""))
        self.journal.append(Done(what, record.ticketid, reference, detail, by))

    def _time(self) -> str:
        return self.now().astimezone(ROME).isoformat(timespec="seconds")

    def _record(self, key: str) -> Record:
        record = self.records.get(key)
        if record is None:
            raise Refusal(404, "BMXAA8727E", f"The OSLC resource MXAPISR with the ID {key} was not found.")
        return record

    def _by_number(self, ticketid: str) -> Record:
        return next(record for record in self.records.values() if record.ticketid == ticketid)

    def _written(
        self, request: Request, record: Record, base: str, structure: str, code: int, headers: dict[str, str]
    ) -> Response:
        wanted = request.headers.get("properties")
        if wanted is None:
            return Response(status_code=code, headers=headers)
        shown = self._shown(record, wanted, base, structure, request)
        return JSONResponse(shown, 201 if code == 201 else 200, headers=headers)

    def _all_values(self, record: Record) -> dict[str, Any]:
        return record.values | {
            "ticketid": record.ticketid,
            "ticketuid": record.uid,
            "class": "SR",
            "status": record.status,
            "status_maxvalue": self.statuses[record.status],
            "changedate": record.changed,
            "changeby": record.changed_by,
            "worklog": record.worklog,
            "_rowstamp": str(record.rowstamp),
        }

    def _shown(self, record: Record, select: str, base: str, structure: str, request: Request) -> dict[str, Any]:
        values = self._all_values(record)
        if request.query_params.get("internalvalues") not in ("1", "true"):
            del values["status_maxvalue"]
        wanted = dict(_selected(select))
        shown: dict[str, Any] = {"href": _href(base, structure, record.key), "_rowstamp": str(record.rowstamp)}
        for name in [name for name in values if name != "worklog"] if "*" in wanted else list(wanted):
            if name == "worklog":
                inner = wanted[name] or ""
                names = [each for each, _ in _selected(inner)] if inner not in ("", "*") else None
                shown[name] = [
                    {each: line.get(each) for each in names or line if line.get(each) is not None}
                    for line in record.worklog
                ]
            elif name == "status" and "status" in values:
                # the internal value comes along, where internal values are asked for
                shown |= {each: values[each] for each in ("status", "status_maxvalue") if each in values}
            elif values.get(name) is not None:
                shown[name] = values[name]
        return shown

    def _query(self, request: Request, base: str, structure: str) -> Response:
        parameters = request.query_params
        conditions = list(_conditions(parameters.get("oslc.where", "")))
        found = [one for one in self.records.values() if all(_holds(self._all_values(one), c) for c in conditions)]
        if order := parameters.get("oslc.orderBy"):
            for name in reversed(order.split(",")):
                if name[:1] not in "+-":
                    raise Refusal(400, "BMXAA8728E", "Every attribute to sort by needs + or - before it.")
                found.sort(key=lambda one: str(self._all_values(one).get(name[1:], "")), reverse=name[0] == "-")
        size = min(int(parameters.get("oslc.pageSize", LARGEST_PAGE)), LARGEST_PAGE)
        page = int(parameters.get("pageno", 1))
        select = parameters.get("oslc.select", "")
        member = [
            self._shown(one, select, base, structure, request) if select else {"href": _href(base, structure, one.key)}
            for one in found[(page - 1) * size : page * size]
        ]
        told: dict[str, Any] = {"href": f"{base}/os/{structure}", "pagenum": page, "totalCount": len(found)}
        if page * size < len(found):
            told["nextPage"] = {"href": str(request.url.include_query_params(pageno=page + 1))}
        return JSONResponse({"member": member, "responseInfo": told, "href": f"{base}/os/{structure}"})

    # --- its file -------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        if self.file is None:
            return
        kept = {"records": [vars(record) for record in self.records.values()]}
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(kept, ensure_ascii=False, indent=1), encoding="utf-8")
        new.replace(self.file)

    def _load(self, file: Path) -> None:
        for one in json.loads(file.read_text(encoding="utf-8"))["records"]:
            record = Record(**one)
            self.records[record.key] = record
        lines = [line["worklogid"] for record in self.records.values() for line in record.worklog]
        lines += [one["id"] for record in self.records.values() for one in record.files]
        self._numbers = itertools.count(max((r.uid for r in self.records.values()), default=1000) + 1)
        self._stamps = itertools.count(max((r.rowstamp for r in self.records.values()), default=700_000) + 1)
        self._lines = itertools.count(max(lines, default=0) + 1)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refusal(400, "BMXAA8728E", "The body is not a JSON object.")
    return body


def _href(base: str, structure: str, key: str) -> str:
    return f"{base.removeprefix('/maximo/')}/os/{structure}/{key}"


def _described(one: Mapping[str, Any]) -> dict[str, Any]:
    size = len(base64.b64decode(one["content"]))
    return {"identifier": str(one["id"]), "fileName": one["name"], "attachmentSize": size, "docType": "Attachments"}


def _selected(select: str) -> Iterator[tuple[str, str | None]]:
    """The names of a select clause, with what stands in braces after them."""
    for match in re.finditer(r"([A-Za-z_*.][\w.*]*)(?:\{([^}]*)\})?", select):
        yield match[1], match[2]


_CONDITION = re.compile(
    r"\s*([a-z_][a-z0-9_.]*)\s*(>=|<=|!=|=|>|<|\s+in\s+)\s*(\[[^\]]*\]|\"(?:[^\"\\]|\\.)*\"|[0-9.]+|true|false)\s*(and\b|$)",
    re.IGNORECASE,
)


def _conditions(where: str) -> Iterator[tuple[str, str, Any]]:
    at = 0
    while at < len(where):
        match = _CONDITION.match(where, at)
        if match is None:
            raise Refusal(400, "BMXAA8742E", f"The where clause cannot be read from here on: {where[at:]}")
        yield match[1], match[2].strip().lower(), json.loads(match[3])
        at = match.end()


def _holds(values: Mapping[str, Any], condition: tuple[str, str, Any]) -> bool:
    name, operator, wanted = condition
    if "." in name:
        relation, _, inner = name.partition(".")
        return any(_holds(line, (inner, operator, wanted)) for line in values.get(relation) or ())
    value = values.get(name)
    if wanted == "*" and operator in ("=", "!="):
        return (value is not None) == (operator == "=")
    if value is None:
        return False
    if operator == "in":
        return value in wanted
    if operator in ("=", "!="):
        if isinstance(wanted, str) and "%" in wanted:
            same = re.fullmatch(".*".join(map(re.escape, wanted.split("%"))), str(value), re.DOTALL) is not None
        else:
            same = value == wanted
        return same == (operator == "=")
    if name.endswith("date"):
        value, wanted = datetime.fromisoformat(value), datetime.fromisoformat(wanted)
    return bool({">": value > wanted, "<": value < wanted, ">=": value >= wanted, "<=": value <= wanted}[operator])
