"""`centralino report`: the monthly report of service levels, on the terminal or as a file."""

import json
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape
from rich.table import Table

from centralino.command import ConfigOption, read_settings, run_query
from centralino.settings import DEFAULT_FILE
from centralino.terminal import fail, terminal
from desk.report import Month, NoMonth, Report, as_csv, as_dict, formulas, service_report, sheets
from desk.report_pdf import as_pdf
from schedules.clock import utc_now

console = terminal()


def show_report(
    month: Annotated[str, typer.Option(help="The month, such as 2026-11; left out: the last that is over.")] = "",
    csv: Annotated[Path | None, typer.Option(help="Write it to this file, for spreadsheets.")] = None,
    pdf: Annotated[Path | None, typer.Option(help="Write it to this file, to be printed.")] = None,
    language: Annotated[Literal["it", "en"], typer.Option(help="Of the words.")] = "it",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Show what was promised and kept in a month, by line, company, channel and level."""
    settings = read_settings(config)
    zone, now = ZoneInfo(settings.notices.timezone), utc_now()
    try:
        wanted = Month.read(month, zone) if month else Month.before(now, zone)
    except NoMonth as error:
        fail(str(error))
    report = run_query(
        settings, lambda session: service_report(session, wanted, settings.calls, settings.report, now=now)
    )
    if csv is not None:
        _write(csv, as_csv(report).encode("utf-8-sig"))
    if pdf is not None:
        _write(pdf, as_pdf(report, settings.notices.desk_name, language))
    if as_json:
        typer.echo(json.dumps(as_dict(report, language), indent=2))
    elif csv is None and pdf is None:
        _show(report, language)


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}")
    typer.echo(f"written: {file}", err=True)


def _show(report: Report, language: str) -> None:
    for sheet in sheets(report, language):
        table = Table(*map(escape, sheet.head), title=escape(f"{sheet.title}, {report.month}"), title_justify="left")
        for row in sheet.rows:
            table.add_row(*map(escape, row))
        console.print(table)
    for sentence in formulas(report, language):
        console.print(f"* {sentence}", markup=False, soft_wrap=True)
