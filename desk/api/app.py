"""The application of the API for other programs, at `/api/v1` beside the desk's own."""

from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import StaleDataError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from desk.api import errors
from desk.api.errors import ApiError
from desk.api.parts import Api
from desk.api.routes import router
from desk.api.views import Problem
from desk.context import Desk
from tickets.errors import (
    DuplicateEntry,
    InvalidInput,
    MoveRefused,
    NotFound,
    RequestChanged,
    RequestClosed,
    RequestTaken,
    TicketsError,
)

log = structlog.get_logger()

PATH = "/api/v1"
MOST_BYTES = 256 * 1024
PROBLEM_JSON = "application/problem+json"
_PROBLEM = {"schema": {"$ref": "#/components/schemas/Problem"}}

_REFUSALS: dict[type[Exception], tuple[int, str]] = {
    NotFound: (404, "not_there"),
    DuplicateEntry: (409, "duplicate"),
    RequestClosed: (409, "request_closed"),
    RequestTaken: (409, "request_taken"),
    MoveRefused: (409, "move_refused"),
    RequestChanged: (409, "conflict"),
    StaleDataError: (409, "conflict"),
    IntegrityError: (409, "conflict"),
}
_TITLES = {
    400: "Bad request",
    401: "Not authorised",
    403: "Not allowed",
    404: "Not found",
    405: "No such method",
    409: "Not possible now",
    413: "Too large",
    415: "Not JSON",
    422: "Not valid",
    429: "Too often",
    500: "Internal error",
}


def create_api(desk: Desk) -> FastAPI:
    """The application, to be served at `PATH` (`ForPrograms`)."""
    app = FastAPI(
        title="Centralino for other programs",
        version="1",
        description=(
            "Service requests (RdS) of a help desk. Every call needs a token (`centralino token add`). Every POST "
            "needs an `Idempotency-Key`: sent again with the same content, it is answered the same and nothing is done "
            "twice; a key is remembered for seven days. Errors are `application/problem+json` (RFC 9457)."
        ),
        docs_url=None,  # the stock pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        responses={"4XX": {"description": "Not done", "content": {PROBLEM_JSON: _PROBLEM}}},
    )
    app.state.api = Api(desk)
    app.include_router(router)
    _describe_problems(app)
    _answer_errors(app)
    app.add_middleware(ContentGuard)
    return app


def _describe_problems(app: FastAPI) -> None:
    """Have the description of the API hold the shape of its errors, which no route answers by itself."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        described = plain()
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        described["components"]["schemas"].setdefault("Problem", schema)
        return described

    app.openapi = openapi  # type: ignore[method-assign]


def _answer_errors(app: FastAPI) -> None:
    async def api_error(_request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)  # noqa: S101 - narrows the type
        return problem(error)

    async def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - narrows the type
        fields = {".".join(str(part) for part in one["loc"][1:]) or "body": one["msg"] for one in error.errors()}
        return problem(errors.BadField(fields))

    async def bad_input(_request: Request, error: Exception) -> Response:
        assert isinstance(error, InvalidInput)  # noqa: S101 - narrows the type
        return problem(errors.BadField({error.field: str(error).removeprefix(f"{error.field}: ")}))

    async def http_error(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - narrows the type
        code = {404: "no_such_path", 405: "no_such_method"}.get(error.status_code, "bad_request")
        return _answer(error.status_code, code, str(error.detail), headers=dict(error.headers or {}))

    async def refused(_request: Request, error: Exception) -> Response:
        status, code = next((found for kind, found in _REFUSALS.items() if isinstance(error, kind)), (409, "refused"))
        log.info("refused", code=code)
        detail = str(error) if isinstance(error, TicketsError) else "Somebody else was faster: ask again."
        return _answer(status, code, detail)

    async def internal(_request: Request, _error: Exception) -> Response:
        return _answer(500, "internal", "Something is wrong here: try again later with the same Idempotency-Key.")

    app.add_exception_handler(ApiError, api_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(InvalidInput, bad_input)
    app.add_exception_handler(HTTPException, http_error)
    for kind in (TicketsError, StaleDataError, IntegrityError):
        app.add_exception_handler(kind, refused)
    app.add_exception_handler(Exception, internal)


def problem(error: ApiError) -> JSONResponse:
    """An error as an answer."""
    return _answer(error.status, error.code, error.detail, fields=dict(error.fields), headers=error.headers)


def _answer(
    status: int,
    code: str,
    detail: str,
    *,
    fields: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    content = Problem(
        type=f"urn:centralino:{code}",
        title=_TITLES.get(status, "Not done"),
        status=status,
        code=code,
        detail=detail,
        fields=fields or {},
    )
    return JSONResponse(content.model_dump(), status_code=status, headers=headers, media_type=PROBLEM_JSON)


class ForPrograms:
    """Hands what is below `PATH` to the API.

    A mount of Starlette would not: its pattern stops at a line end, which a path may hold (`%0A`).
    """

    def __init__(self, app: ASGIApp, *, api: ASGIApp) -> None:
        self.app, self.api = app, api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and scope["path"].startswith(PATH + "/"):
            await self.api({**scope, "root_path": scope.get("root_path", "") + PATH}, receive, send)
        else:
            await self.app(scope, receive, send)


class ContentGuard:
    """Refuses content that is no JSON, or more than `MOST_BYTES` of it, before anybody looks into it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > MOST_BYTES:
            await problem(errors.TooLarge(MOST_BYTES))(scope, receive, send)
            return
        if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            await problem(errors.NotJson())(scope, receive, send)
            return
        content = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":  # the client is gone
                return
            content += message.get("body", b"")
            more = message.get("more_body", False)
            if len(content) > MOST_BYTES:
                await problem(errors.TooLarge(MOST_BYTES))(scope, receive, send)
                return
        whole: Message | None = {"type": "http.request", "body": bytes(content), "more_body": False}

        async def receive_whole() -> Message:
            nonlocal whole
            message, whole = whole, None
            return message if message is not None else await receive()

        await self.app(scope, receive_whole, send)
