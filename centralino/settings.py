"""The settings: one TOML file, with single values overridden by the environment.

Every section's model lives in the package it belongs to; this file only puts them together. Secrets are better given
through the environment (`CENTRALINO_ASTERISK__PASSWORD`, `CENTRALINO_SMTP__PASSWORD`) than in the file.
"""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from desk.settings import DeskSettings
from ivr.config import CallsConfig
from ivr.switchboard import AsteriskSettings
from tickets.notices import NoticeSettings
from tickets.outbox import SmtpSettings
from voicemail.transcription import TranscriptionSettings

DEFAULT_FILE = Path("/etc/centralino/centralino.toml")


class SettingsError(Exception):
    """The settings make no sense; the text names each field and what is wrong with it."""


class StorageSettings(BaseModel):
    """Where data is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database: str = "sqlite+aiosqlite:////var/lib/centralino/centralino.db"
    """SQLAlchemy URL: `sqlite+aiosqlite:///path` or `postgresql+psycopg://user@host/name`."""
    audio: Path = Path("/var/lib/centralino/audio")
    """Folder of the messages' audio."""
    keep_audio_days: int = Field(default=180, ge=1)
    """Audio and transcripts of closed requests are deleted after this many days."""


class ListenSettings(BaseModel):
    """Where the desk listens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8780, ge=0, le=65535)


class Settings(BaseSettings):
    """Everything a site can set."""

    model_config = SettingsConfigDict(
        env_prefix="CENTRALINO_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    asterisk: AsteriskSettings
    calls: CallsConfig
    notices: NoticeSettings
    smtp: SmtpSettings | None = None
    """Without it notices stay pending and are shown so."""
    transcription: TranscriptionSettings = TranscriptionSettings()
    storage: StorageSettings = StorageSettings()
    desk: DeskSettings = DeskSettings()
    listen: ListenSettings = ListenSettings()

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
    def _default_secret_refused(self) -> Self:
        if self.asterisk.password.get_secret_value() in ("", "changeme", "secret", "password"):
            raise ValueError("asterisk.password: choose a password of your own (the same as in Asterisk's ari.conf)")
        return self


def in_words(problem: ErrorDetails) -> str:
    """What is wrong with one field of a file that a person has written."""
    match problem["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "there is no such setting"
        case _:
            return problem["msg"].removeprefix("Value error, ")


def load(file: Path) -> Settings:
    """Read a settings file. Raises SettingsError with one line for each field that is wrong."""
    if not file.is_file():
        raise SettingsError(f"{file}: there is no such settings file")

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    try:
        return FromFile()
    except ValidationError as error:
        lines = [f"{file}: the settings make no sense"]
        for problem in error.errors(include_url=False, include_context=False, include_input=False):
            where = ".".join(str(part) for part in problem["loc"]) or "settings"
            words = in_words(problem)
            if problem["type"] == "missing":
                variable = "CENTRALINO_" + where.replace(".", "__").upper()
                words += f": write it into the file, or give it in the environment as {variable}"
            lines.append(f"  {where}: {words}")
        raise SettingsError("\n".join(lines)) from None
    except ValueError as error:  # not TOML at all
        raise SettingsError(f"{file}: {error}") from None
