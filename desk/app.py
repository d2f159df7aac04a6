"""The web application of the desk: the JSON API, the live websocket, and the pages."""

from collections.abc import Mapping
from pathlib import Path

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from sqlalchemy.exc import DataError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Scope

from desk.api.app import PATH as API_PATH
from desk.api.app import ForPrograms, create_api
from desk.board import Board
from desk.context import CallControl, Desk
from desk.errors import DeskError, TooManyAttempts
from desk.guard import Guard, content_policy
from desk.live import Live, Now
from desk.pages import Pages
from desk.refusals import REFUSED, refusal
from desk.routes import (
    administration,
    call_log,
    calls,
    directory,
    files,
    health,
    mails,
    messages,
    moves,
    phone,
    presence,
    requests,
    session,
    several,
    supervision,
)
from desk.routes import live as live_route
from desk.routes import notices as notice_route
from desk.routes import report as report_route
from desk.settings import DeskSettings
from desk.views import Problem
from desk.words import language_of, say
from ivr.config import CallsConfig
from ivr.report import ReportSettings
from ivr.site import Site
from schedules.pulse import Pulse
from tickets.attachments import AttachmentSettings, AttachmentStore
from tickets.database import Database
from tickets.intake import Intake
from tickets.lifecycle import RequestSettings
from tickets.notices import Notices
from tickets.promise_rules import PromiseSettings

__all__ = ["CallControl", "create_app"]

log = structlog.get_logger()


ROUTES = (
    session,
    presence,
    phone,
    calls,
    call_log,
    several,
    requests,
    moves,
    files,
    messages,
    mails,
    notice_route,
    directory,
    health,
    live_route,
    supervision,
    administration,
)
"""What is served at `/api`."""

MOST_BYTES = 1_000_000
"""Of one request's content: far more than any form has. It is read before anybody asks who sends it."""

TAGS = [
    {"name": "session", "description": "Logging in and out."},
    {"name": "presence", "description": "Being free for calls, pausing, going off duty."},
    {"name": "phone", "description": "The phone in the browser."},
    {
        "name": "calls",
        "description": "Calls offered to the agent: the form, the outcome, steering; and the list of all calls, with "
        "the work of those that nobody served.",
    },
    {"name": "requests", "description": "Service requests (RdS)."},
    {"name": "messages", "description": "Voicemail messages."},
    {"name": "mails", "description": "Mails that came in and became no request; for supervisors."},
    {"name": "notices", "description": "Mails to users: how they look, and what became of them."},
    {"name": "directory", "description": "Contacts and companies."},
    {"name": "report", "description": "Service levels of a month; for supervisors."},
    {"name": "supervision", "description": "Wallboard, history, steering, closures, audit log; for supervisors."},
    {"name": "administration", "description": "Agents, directory, areas, groups, hours and queues; for supervisors."},
    {"name": "health", "description": "For monitoring."},
]


def create_app(
    database: Database,
    live: Live,
    control: CallControl,
    notices: Notices,
    calls_config: CallsConfig,
    audio_folder: Path,
    settings: DeskSettings,
    *,
    vital: Mapping[str, Pulse],
    now: Now,
    promises: PromiseSettings | None = None,
    report: ReportSettings | None = None,
    attachments: AttachmentStore,
    attachment_limits: AttachmentSettings | None = None,
    request_rules: RequestSettings | None = None,
    intake: Intake | None = None,
    site: Site,
) -> FastAPI:
    """The application, ready to be served. `live` and `site` must be entered by the caller for as long as it is served.

    `vital` are the tasks of the service that must never stand still.
    """
    site.queues_changed.append(live.resync)
    app = FastAPI(
        title="Centralino desk",
        summary="What the pages of the help desk use; open to a site's own programs with the same log-in.",
        docs_url=None,  # the stock pages load scripts from elsewhere
        redoc_url=None,
        openapi_url="/api/openapi.json",
        openapi_tags=TAGS,
        max_body_size=MOST_BYTES,
        responses={
            status: {"model": Problem, "description": "Not done; `message` is for the person"}
            for status in ("4XX", 422)
        },
    )
    app.state.desk = Desk(
        database=database,
        live=live,
        control=control,
        notices=notices,
        calls=calls_config,
        audio_folder=audio_folder,
        settings=settings,
        now=now,
        vital=vital,
        promises=promises or PromiseSettings(),
        report=report or ReportSettings(),
        attachments=attachments,
        attachment_limits=attachment_limits or AttachmentSettings(),
        request_rules=request_rules or RequestSettings(),
        intake=intake,
        board=Board(database, report or ReportSettings(), notices.settings.timezone, now),
        site=site,
    )
    for part in ROUTES:
        app.include_router(part.router, prefix="/api")
    app.include_router(report_route.router)
    app.include_router(report_route.page)
    pages = Pages()
    app.mount("/static", pages, name="static")

    @app.get("/", include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(pages.index)

    _answer_errors(app)
    app.add_middleware(ForPrograms, api=create_api(app.state.desk))
    app.add_middleware(
        Guard,
        policy=content_policy(pages.index, settings.phone_url),
        origins=settings.origins,
        strict_transport=settings.secure_cookie,
        refuse=_refuse,
        open_to_programs=API_PATH,
    )
    return app


def _answer_errors(app: FastAPI) -> None:
    async def desk_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, DeskError)  # noqa: S101 - narrows the type
        status, problem = refusal(error, _language(request))
        return _answer(status, problem, _headers(error))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - narrows the type
        language = _language(request)
        fields = {
            ".".join(str(part) for part in one["loc"][1:]) or "body": _field_words(one["type"], language)
            for one in error.errors()
        }
        return _problem(422, "invalid_input", language, fields=fields)

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - narrows the type
        code = {404: "not_there", 413: "too_large"}.get(error.status_code, "bad_request")
        return _problem(error.status_code, code, _language(request), headers=dict(error.headers or {}))

    async def refused(request: Request, error: Exception) -> Response:
        status, problem = refusal(error, _language(request))
        log.info("refused", code=problem.error)
        return _answer(status, problem)

    async def not_for_a_database(request: Request, error: Exception) -> Response:
        log.warning("a value that the database cannot hold", error=type(error).__name__)
        return _problem(422, "invalid_input", _language(request))

    async def internal(request: Request, _error: Exception) -> Response:
        return _problem(500, "internal", _language(request))

    app.add_exception_handler(DeskError, desk_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http_error)
    for kind in REFUSED:
        app.add_exception_handler(kind, refused)
    # a number of 20 digits, a text with a sign that PostgreSQL has no place for
    app.add_exception_handler(OverflowError, not_for_a_database)
    app.add_exception_handler(DataError, not_for_a_database)
    app.add_exception_handler(Exception, internal)


def _refuse(scope: Scope, error: DeskError) -> ASGIApp:
    return _problem(error.status, error.code, language_of(Headers(scope=scope).get("accept-language")))


def _problem(
    status: int,
    code: str,
    language: str,
    *,
    fields: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    problem = Problem(error=code, message=say(code, language), fields=fields or {})
    return _answer(status, problem, headers)


def _answer(status: int, problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(problem.model_dump(mode="json"), status_code=status, headers=headers)


def _headers(error: DeskError) -> dict[str, str] | None:
    return {"retry-after": str(round(error.retry_after) + 1)} if isinstance(error, TooManyAttempts) else None


def _field_words(kind: str, language: str) -> str:
    known = {"missing": "field_missing", "string_too_short": "field_missing", "string_too_long": "field_too_long"}
    return say(known.get(kind, "field_invalid"), language)


def _language(request: Request) -> str:
    return language_of(getattr(request.state, "language", None), request.headers.get("accept-language"))
