"""`centralino mail`: the mails that came in, and what became of them."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from centralino.command import ConfigOption, on_database, read_settings, run_in_loop, run_operation
from centralino.serve import mail_intake
from centralino.settings import DEFAULT_FILE
from centralino.terminal import fail, terminal
from tickets.attachments import AttachmentStore
from tickets.database import Database
from tickets.intake import MailStore, filed_mail, filed_mails
from tickets.mail import read_mail
from tickets.models import MailIn, MailResult
from tickets.notices import Notices

mail_app = typer.Typer(no_args_is_help=True, help="Mails that came in, also those that became no request.")
console = terminal()


@mail_app.command("list")
def list_mails(
    result: Annotated[list[MailResult] | None, typer.Option(help="Only these; may be given several times.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Show the mails taken last: what became of each, and why."""
    table = Table("id", "received", "from", "subject", "became", "why")
    for mail in run_operation(read_settings(config), filed_mails, result or tuple(MailResult), limit):
        received = f"{mail.received_at:%Y-%m-%d %H:%M}"
        cells = (str(mail.id), received, mail.sender or "-", mail.subject, mail.result, mail.why)
        table.add_row(*map(escape, cells))
    console.print(table if table.rows else "No mail has come in.")


@mail_app.command("show")
def show_mail(
    mail_id: Annotated[int, typer.Argument(help="Its id in the list.")], config: ConfigOption = DEFAULT_FILE
) -> None:
    """Show what a mail says, and where its bytes are."""
    settings = read_settings(config)
    row = run_operation(settings, filed_mail, mail_id)
    if row is None:
        fail(f"there is no mail with the id {mail_id}")
    store = MailStore(settings.storage.mail)
    ours = settings.mailbox.ours(settings.notices) if settings.mailbox else None
    mail = read_mail(_bytes_of(store, row.path), ours) if ours else None
    console.print(f"{row.result}: {row.why}\nfile: {store.folder / row.path}", markup=False, soft_wrap=True)
    if mail is not None:
        console.print(
            f"from: {mail.author or '-'}\nsubject: {mail.subject}\n\n{mail.text}", markup=False, soft_wrap=True
        )


@mail_app.command("open")
def open_mail(
    mail_id: Annotated[int, typer.Argument(help="Its id in the list.")], config: ConfigOption = DEFAULT_FILE
) -> None:
    """Make a request of a mail that became none; its sender is not told."""
    settings = read_settings(config)
    chosen = settings.mailbox
    if chosen is None:
        fail("there is no section [mailbox] in the settings")

    async def make(database: Database) -> MailIn | None:
        attachments = AttachmentStore(settings.storage.attachments)
        intake = mail_intake(settings, chosen, database, Notices(settings.notices), attachments)
        return await intake.open_filed(mail_id, actor="system")

    try:
        opened = run_in_loop(on_database(settings, make))
    except OSError as error:
        fail(f"the mail or its files: {error.strerror}")
    if opened is None:
        fail(f"there is no mail with the id {mail_id}")
    console.print(f"It belongs to the request with the id {opened.request_id}.")


def _bytes_of(store: MailStore, path: str) -> bytes:
    try:
        return store.read(path)
    except OSError as error:
        fail(f"{Path(store.folder) / path}: it cannot be read: {error.strerror}")
