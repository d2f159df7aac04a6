"""The monthly report of service levels, for supervisors: as JSON, CSV and PDF, and as a page of its own."""

from typing import Annotated
from zoneinfo import ZoneInfo

import jinja2
from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.requests import HTTPConnection

from desk.context import Desk, DeskParts, Supervisor, signed_in, supervisor
from desk.errors import NotLoggedIn
from desk.report import Month, NoMonth, Report, as_csv, as_dict, formulas, service_report, sheets, word
from desk.report_pdf import as_pdf
from desk.words import language_of
from schedules.words import date_and_time
from tickets.errors import InvalidInput

router = APIRouter(prefix="/api", tags=["report"])
page = APIRouter(include_in_schema=False)

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("desk"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

MonthText = Annotated[str, Query(max_length=20, description="Such as 2026-11; the last that is over when left out")]


@router.get("/report")
async def report(who: Supervisor, desk: DeskParts, month: MonthText = "") -> dict[str, object]:
    """The figures of a month, one row for each line, company, channel and level, with the formulas."""
    return as_dict(await _made(desk, month), language_of(who.me.language))


@router.get("/report.csv", response_class=Response)
async def report_csv(_who: Supervisor, desk: DeskParts, month: MonthText = "") -> Response:
    """The same as a file for spreadsheets (UTF-8, commas, shares from 0 to 1)."""
    made = await _made(desk, month)
    return _file(as_csv(made).encode("utf-8-sig"), "text/csv; charset=utf-8", f"service-levels-{made.month}.csv")


@router.get("/report.pdf", response_class=Response)
async def report_pdf(who: Supervisor, desk: DeskParts, month: MonthText = "") -> Response:
    """The same to be printed and filed."""
    made = await _made(desk, month)
    content = as_pdf(made, desk.notices.settings.desk_name, language_of(who.me.language))
    return _file(content, "application/pdf", f"service-levels-{made.month}.pdf")


@page.get("/report")
async def report_page(connection: HTTPConnection, desk: DeskParts, month: MonthText = "") -> Response:
    """The same as a page; who is not logged in is sent to the log-in."""
    try:
        who = supervisor(await signed_in(connection, desk))
    except NotLoggedIn:
        return RedirectResponse("/", status_code=303)
    made, language = await _made(desk, month), language_of(who.me.language)
    html = _TEMPLATES.get_template("report.html.j2").render(
        language=language,
        title=word("title", language),
        desk=desk.notices.settings.desk_name,
        month=str(made.month),
        made=f"{word('made', language)} {date_and_time(made.made_at, made.month.zone.key, language)}",
        earlier=str(Month.before(made.month.begin, made.month.zone)),
        later=f"{made.month.end:%Y-%m}",
        sheets=sheets(made, language),
        counted=word("formulas", language),
        formulas=formulas(made, language),
    )
    return HTMLResponse(html, headers={"cache-control": "no-store"})


async def _made(desk: Desk, text: str) -> Report:
    zone, now = ZoneInfo(desk.notices.settings.timezone), desk.now()
    try:
        month = Month.read(text, zone) if text else Month.before(now, zone)
    except NoMonth as error:
        raise InvalidInput("month", str(error)) from error
    return await desk.database.read(service_report, month, desk.calls, desk.report, now=now)


def _file(content: bytes, media_type: str, name: str) -> Response:
    return Response(content, media_type=media_type, headers={"content-disposition": f'attachment; filename="{name}"'})
