"""`centralino notices`: the mails to users, how they look, and those that go nowhere by themselves."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy.orm import Session

from centralino.command import ConfigOption, read_settings, run_operation, run_query
from centralino.settings import DEFAULT_FILE
from centralino.terminal import fail, terminal
from schedules.clock import utc_now
from tickets.models import DeliveryState
from tickets.notices import KINDS, LANGUAGES, Notices
from tickets.operations import SYSTEM
from tickets.outbox import dismiss_notice, retry_notice, stopped_notices

notices_app = typer.Typer(no_args_is_help=True, help="Notices: the mails to users, and what became of them.")
console = terminal()

IDS_HELP = "The notices' numbers, as `stopped` shows them."


@notices_app.command("preview")
def preview(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(KINDS)}.")],
    language: Annotated[str, typer.Option(help="it or en.")] = "it",
    html: Annotated[Path | None, typer.Option(help="Also write the HTML part to this file.")] = None,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Show what a notice looks like, with an invented request; exit code 1 when a template of the site fails."""
    settings = read_settings(config)
    known = next((one for one in KINDS if one == kind), None)
    if known is None:
        fail(f"there is no notice {kind!r}; there are {', '.join(KINDS)}")
    spoken = next((one for one in LANGUAGES if one == language), None)
    if spoken is None:
        fail(f"notices are written in {' and '.join(LANGUAGES)}, not in {language!r}")
    written = Notices(settings.notices).preview(known, spoken)
    console.print(f"Subject: {written.subject}\n\n{written.text}", markup=False, highlight=False, soft_wrap=True)
    if kind not in settings.notices.send:
        console.print(f"This site does not send it: {kind} is not in notices.send.")
    if html is not None:
        html.write_text(written.html, encoding="utf-8")
    for name, problem in written.problems.items():
        console.print(f"{name}: {problem}; the package's own template was used", markup=False, soft_wrap=True)
    raise typer.Exit(bool(written.problems))


@notices_app.command("stopped")
def show_stopped(config: ConfigOption = DEFAULT_FILE) -> None:
    """Show the notices that go nowhere by themselves: held ones (over a cap) and dead ones (refused)."""
    table = Table("number", "state", "written", "notice", "to", "about", "why")

    def read(session: Session) -> list[tuple[str, ...]]:
        return [
            (
                str(mail.id),
                mail.state.value,
                mail.created_at.astimezone().isoformat(sep=" ", timespec="minutes"),
                mail.kind,
                mail.recipient,
                mail.subject,
                mail.last_error or "",
            )
            for mail in stopped_notices(session)
        ]

    for cells in run_query(read_settings(config), read):
        table.add_row(*map(escape, cells))
    console.print(table if table.rows else "None: every notice is sent or on its way.")


@notices_app.command("retry")
def retry(
    ids: Annotated[list[int] | None, typer.Argument(help=IDS_HELP)] = None,
    all_held: Annotated[bool, typer.Option("--all-held", help="Every held one.")] = False,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Have held or dead notices sent after all."""

    def work(session: Session) -> int:
        chosen = list(ids or ())
        if all_held:
            chosen += [mail.id for mail in stopped_notices(session, DeliveryState.HELD, limit=100_000)]
        for mail_id in dict.fromkeys(chosen):
            retry_notice(session, mail_id, actor=SYSTEM, now=now)
        return len(dict.fromkeys(chosen))

    if not ids and not all_held:
        fail("which ones? Give their numbers, or --all-held")
    now = utc_now()
    console.print(f"{run_operation(read_settings(config), work)} notices will be sent.")


@notices_app.command("dismiss")
def dismiss(ids: Annotated[list[int], typer.Argument(help=IDS_HELP)], config: ConfigOption = DEFAULT_FILE) -> None:
    """Give held notices up: they are not sent, and the history of their requests tells so."""
    now = utc_now()

    def work(session: Session) -> None:
        for mail_id in dict.fromkeys(ids):
            dismiss_notice(session, mail_id, actor=SYSTEM, now=now)

    run_operation(read_settings(config), work)
    console.print(f"{len(dict.fromkeys(ids))} notices are given up.")
