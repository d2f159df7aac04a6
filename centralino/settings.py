"""The settings: one TOML file, with single values overridden by the environment.

Every section's model lives in the package it belongs to; this file only puts them together. Secrets are better given
through the environment (`CENTRALINO_ASTERISK__PASSWORD`, `CENTRALINO_SMTP__PASSWORD`) than in the file.
"""

import glob
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource
from pydantic_settings import SettingsError as SourceError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from desk.settings import DeskSettings
from ivr.config import CallsConfig, FieldPath, wrong_fields
from ivr.prompts import Prompts, is_own_sound, own_sound
from ivr.report import ReportSettings
from ivr.settings import AsteriskOfPages, AsteriskSettings
from tickets.alarms import AlarmSettings
from tickets.attachments import AttachmentSettings
from tickets.connectors.maximo import MaximoSettings
from tickets.connectors.webhooks import WebhookSettings
from tickets.imap import MailboxSettings
from tickets.lifecycle import RequestSettings
from tickets.notices import Notices, NoticeSettings
from tickets.outbox import SmtpSettings
from tickets.promise_rules import PromiseSettings
from voicemail.model_store import model_problem
from voicemail.transcription import Folder, TranscriptionSettings

PROMPT_HELP = (
    "`centralino prompts list` shows the names; a sound of your own has a folder in its name, such as custom/welcome"
)
DEFAULT_FILE = Path("/etc/centralino/centralino.toml")


class SettingsError(Exception):
    """The settings make no sense; the text names each field and what is wrong with it."""


DATABASES = ("sqlite:////", "postgresql+psycopg://")
"""How the address of a database begins: other drivers of the same databases cannot be used."""


def _check_database(url: str) -> str:
    url = url.replace("sqlite+aiosqlite:", "sqlite:", 1)  # as versions before this one wanted it
    if not url.startswith(DATABASES):
        raise ValueError(f"must begin with {' or '.join(DATABASES)}: see docs/settings.md")
    try:
        make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("is no address of a database: see docs/settings.md") from None
    return url


class StorageSettings(BaseModel):
    """Where data is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database: Annotated[str, AfterValidator(_check_database)] = "sqlite:////var/lib/centralino/centralino.db"
    """SQLAlchemy URL: `sqlite:////absolute/path` or `postgresql+psycopg://user@host/name`."""
    audio: Folder = Path("/var/lib/centralino/audio")
    """Folder of the messages' audio."""
    keep_audio_days: int = Field(default=180, ge=1)
    """Audio and transcripts of closed requests are deleted after this many days."""
    attachments: Folder = Path("/var/lib/centralino/attachments")
    """Folder of the files that belong to requests."""
    keep_attachments_days: int = Field(default=365, ge=1)
    """Attachments and mails of closed requests, and mails that became no request, are deleted after this many days."""
    least_free_mb: int = Field(default=300, ge=0)
    """With less free disk space no message is recorded: enough for 100 callers who speak for 3 minutes (16 kB/s)."""

    @property
    def mail(self) -> Path:
        """Folder of the mails that came in."""
        return self.audio / "mail"


class ListenSettings(BaseModel):
    """Where the desk listens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8780, ge=0, le=65535)


class SiteCalls(CallsConfig):
    """What a site describes of its calls, with prompts that are there."""

    def problems(self) -> Iterator[tuple[FieldPath, str]]:
        """Also prompts that there are not."""
        yield from super().problems()
        ours = {(prompt.name, prompt.language) for prompt in Prompts()}
        for path, name, language in self.prompts():
            if not is_own_sound(name) and (name, language) not in ours:
                yield path, f"there is no prompt {name!r} in {language!r}: {PROMPT_HELP}"


class Settings(BaseSettings):
    """Everything a site can set."""

    model_config = SettingsConfigDict(
        env_prefix="CENTRALINO_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    asterisk: AsteriskSettings
    calls: SiteCalls
    notices: NoticeSettings
    smtp: SmtpSettings | None = None
    """Without it notices stay pending and are shown so."""
    mailbox: MailboxSettings | None = None
    """Without it no mails become requests."""
    transcription: TranscriptionSettings = TranscriptionSettings()
    storage: StorageSettings = StorageSettings()
    desk: DeskSettings = DeskSettings()
    listen: ListenSettings = ListenSettings()
    alarms: AlarmSettings = AlarmSettings()
    requests: RequestSettings = RequestSettings()
    attachments: AttachmentSettings = AttachmentSettings()
    promises: PromiseSettings = PromiseSettings()
    report: ReportSettings = ReportSettings()
    maximo: MaximoSettings | None = None
    """Without it requests stay here."""
    webhooks: tuple[WebhookSettings, ...] = ()

    @property
    def connectors(self) -> tuple[str, ...]:
        """The names of the other ticket systems that follow the requests; Maximo is the first."""
        maximo = ("maximo",) if self.maximo is not None else ()
        return maximo + tuple(webhook.connector for webhook in self.webhooks)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment comes before the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @model_validator(mode="after")
    def _workers_share_a_server(self) -> Self:
        if self.asterisk.worker and not self.storage.database.startswith("postgresql"):
            raise wrong_fields(
                [(("asterisk", "worker"), "several workers need PostgreSQL as their database (storage.database)")]
            )
        return self

    @model_validator(mode="after")
    def _webhooks_have_names_of_their_own(self) -> Self:
        names = [webhook.name for webhook in self.webhooks]
        if double := [index for index, name in enumerate(names) if name in names[:index]]:
            raise wrong_fields([(("webhooks", double[0], "name"), f"{names[double[0]]!r} is taken by another")])
        return self

    @model_validator(mode="after")
    def _promises_name_a_calendar(self) -> Self:
        name, known = self.promises.calendar, self.calls.calendars
        if name and name not in known:
            raise wrong_fields(
                [(("promises", "calendar"), f"there is no calendar {name!r}; the settings describe {', '.join(known)}")]
            )
        return self


def in_words(problem: ErrorDetails) -> str:
    """What is wrong with one field of a file that a person has written; secrets are never in it."""
    given, limits = problem.get("input"), problem.get("ctx", {})
    secret = any(word in str(part) for part in problem["loc"] for word in ("password", "secret", "api_key"))
    found = f", not {given!r}" if isinstance(given, str | int | float) and not secret else ""
    match problem["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "there is no such setting"
        case "bool_parsing" | "bool_type":
            return "must be true or false" + found
        case "int_parsing" | "int_type" | "int_from_float":
            return "must be a whole number" + found
        case "float_parsing" | "float_type":
            return "must be a number" + found
        case "string_type":
            return "must be a text in quotes" + found
        case "string_too_short" | "too_short":
            return "must not be empty"
        case "string_pattern_mismatch":
            return f"has a form that is not allowed here (see docs/settings.md){found.replace(', not ', ': ', 1)}"
        case "date_from_datetime_parsing" | "date_parsing" | "date_from_datetime_inexact" | "date_type":
            return "must be a day such as 2027-08-16" + found
        case "greater_than":
            return f"must be above {limits['gt']:g}" + found
        case "greater_than_equal":
            return f"must be {limits['ge']:g} or more" + found
        case "less_than":
            return f"must be below {limits['lt']:g}" + found
        case "less_than_equal":
            return f"must be {limits['le']:g} or less" + found
        case "literal_error" | "enum":
            return f"must be {limits['expected']}" + found
        case "model_type" | "dict_type":
            return "must be a section or table of its own"
        case "list_type" | "tuple_type":
            return "must be a list in square brackets"
        case _:
            return problem["msg"].removeprefix("Value error, ")


def _told(problem: ErrorDetails) -> Iterator[tuple[FieldPath, str]]:
    path, words = problem["loc"], in_words(problem)
    if problem["type"] == "wrong_fields":
        yield from (((*path, *rest), words) for rest, words in problem["ctx"]["problems"])
    elif problem["type"] == "missing" and path[-1] == "password":
        variable = "CENTRALINO_" + "__".join(map(str, path)).upper()
        yield path, f"{words}: write it into the file, or give it in the environment as {variable}"
    else:
        yield path, words


def where(path: FieldPath) -> str:
    """A field as docs/settings.md names it; the entries of a list are counted from 1, as people do."""
    parts = (f"[entry {part + 1}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


def load(file: Path, *, only_pages: bool = False) -> Settings:
    """Read a settings file; `only_pages`: for the desk by itself, which needs no password of Asterisk.

    Raises SettingsError with one line for each field that is wrong.
    """

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    class PagesFromFile(FromFile):
        asterisk: AsteriskOfPages

    if unknown := _unknown_variables():
        raise SettingsError(f"the environment holds what is no setting: {', '.join(unknown)}")
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise SettingsError(f"{file}: this is no file that can be read again, but a folder or something else")
        return PagesFromFile() if only_pages else FromFile()
    except FileNotFoundError:
        raise SettingsError(
            f"{file}: there is no such settings file. Copy docs/centralino.example.toml there and change it, "
            "or name another file with --config"
        ) from None
    except ValidationError as error:
        lines = [f"{file}: the settings make no sense"]
        for problem in error.errors(include_url=False):
            for path, words in _told(problem):
                lines.append(f"  {where(path)}: {words}")
        raise SettingsError("\n".join(lines)) from None
    except SourceError as error:
        raise SettingsError(f"a variable CENTRALINO_... of the environment makes no sense: {error}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file}: it is not written in UTF-8") from None
    except OSError as error:
        raise SettingsError(f"{file}: it cannot be read: {error.strerror}") from None
    except ValueError as error:  # not TOML at all
        raise SettingsError(f"{file}: {error}. It must be TOML: a text stands in quotes, a list in brackets") from None


def _unknown_variables() -> list[str]:
    """Variables that look like ours and are read by nobody; a misspelt field of a known section is found elsewhere."""
    sections = {f"CENTRALINO_{name.upper()}" for name in Settings.model_fields}
    ours = [name for name in os.environ if name.upper().startswith("CENTRALINO_") and "__" in name]
    return sorted(name for name in ours if name.upper().partition("__")[0] not in sections)


def what_is_broken(settings: Settings) -> list[str]:
    """What the settings point to and is not there, or not for this user; one sentence each.

    None of it keeps the service from starting: calls are taken, and what is missing is made up for afterwards.
    """
    # os.path and not pathlib, whose tests raise where this user may not look.
    broken = []
    for language, folder in settings.transcription.models.items():
        if problem := model_problem(folder):
            broken.append(f"transcription.models.{language}: {problem}; messages are kept, but not transcribed")
    folders = {
        **_folders_of_asterisk(settings),
        "storage.audio": settings.storage.audio,
        "storage.attachments": settings.storage.attachments,
    }
    made_by_us = ("storage.audio", "storage.attachments")
    url = make_url(settings.storage.database)
    if url.get_backend_name() == "sqlite" and url.database:
        folders["storage.database"] = Path(url.database).parent
    for field, folder in folders.items():
        if os.path.isdir(folder):
            if not os.access(folder, os.W_OK | os.X_OK):
                broken.append(f"{field}: this user may not write in {folder}")
        elif field not in made_by_us or not _can_be_made(folder):
            broken.append(f"{field}: there is no folder {folder} that this user can see")
    if (records := settings.asterisk.records) is not None and not os.access(records, os.R_OK):
        broken.append(
            f"asterisk.call_records: there is no file {records} that this user can read; Asterisk makes it with a call"
        )
    if (templates := settings.notices.templates) is not None:
        if not os.access(templates, os.R_OK | os.X_OK):
            broken.append(f"notices.templates: there is no folder {templates} that this user may read")
        for name, problem in Notices(settings.notices).check().items():
            broken.append(f"notices.templates: {name}: {problem}; the package's own is used")
    for field, file in _ca_files(settings):
        if not os.access(file, os.R_OK):
            broken.append(f"{field}: there is no file {file} that this user can read; nothing is told so")
    certificates = settings.mailbox.ca_file if settings.mailbox is not None else None
    if certificates is not None and not os.access(certificates, os.R_OK):
        broken.append(f"mailbox.ca_file: there is no file {certificates} that this user can read; no mail comes in")
    broken += [f"the sound {sound}: there is no such file" for sound in _own_sounds(settings) if _is_missing(sound)]
    return broken


def _ca_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    if settings.maximo is not None and settings.maximo.ca_file is not None:
        yield "maximo.ca_file", settings.maximo.ca_file
    for index, webhook in enumerate(settings.webhooks):
        if webhook.ca_file is not None:
            yield where(("webhooks", index, "ca_file")), webhook.ca_file


def _folders_of_asterisk(settings: Settings) -> dict[str, Path]:
    asterisk = settings.asterisk
    if not asterisk.nodes:
        return {"asterisk.recordings": asterisk.recordings, "asterisk.fallback": asterisk.fallback}
    fields = {}
    for index, node in enumerate(asterisk.served.values()):
        fields[where(("asterisk", "nodes", index, "recordings"))] = node.recordings
        fields[where(("asterisk", "nodes", index, "fallback"))] = node.fallback
    return fields


def what_is_left_out(settings: Settings) -> list[str]:
    """What the settings do without, or what cannot be seen from here; one sentence each."""
    left_out = []
    if settings.smtp is None:
        left_out.append("[smtp]: users get no mail; notices wait until there is a mail server")
    if settings.mailbox is None:
        left_out.append("[mailbox]: no mailbox is read; what users write by mail becomes no request")
    elif settings.mailbox.tls == "none":
        left_out.append("mailbox.tls: the mailbox's password and mails travel unencrypted")
    if not settings.alarms.email:
        left_out.append("alarms.email: alarms are told on the supervisors' pages and in the log, but not by mail")
    if not settings.promises.supervisors:
        left_out.append("promises.supervisors: nobody is told by mail of promises that are broken")
    if settings.asterisk.records is None:
        left_out.append("asterisk.call_records: the ledger is not compared with what Asterisk itself has recorded")
    if settings.maximo is not None and settings.maximo.url.startswith("http://"):
        left_out.append("maximo.url: texts and log-in travel unencrypted; use https://")
    for index, webhook in enumerate(settings.webhooks):
        if webhook.url.startswith("http://"):
            left_out.append(f"{where(('webhooks', index, 'url'))}: what is told travels unencrypted; use https://")
    for language in sorted({line.language for line in settings.calls.lines} - settings.transcription.models.keys()):
        left_out.append(f"transcription.models.{language}: no model is named; messages are kept, but not transcribed")
    for index, line in enumerate(settings.calls.lines):
        if not line.notice:
            left_out.append(
                f"{where(('calls', 'lines', index, 'notice'))}: callers are told nothing of data processing"
            )
    for sound in _own_sounds(settings):
        if not sound.startswith("/"):
            left_out.append(f"the sound {sound}: your own, so make sure that it is below Asterisk's folder of sounds")
    return left_out


def _own_sounds(settings: Settings) -> list[str]:
    return sorted({own_sound(name, lang) for _, name, lang in settings.calls.prompts() if is_own_sound(name)})


def _is_missing(sound: str) -> bool:
    folder = os.path.dirname(sound)
    # one in a folder that only Asterisk may enter is not missing
    return sound.startswith("/") and os.access(folder, os.R_OK | os.X_OK) and not glob.glob(f"{glob.escape(sound)}.*")


def _can_be_made(folder: Path) -> bool:
    above = next((parent for parent in folder.parents if os.path.exists(parent)), folder)
    return not os.path.exists(folder) and os.path.isdir(above) and os.access(above, os.W_OK | os.X_OK)
