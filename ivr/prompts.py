"""The prompts: what each says, what Asterisk calls it, and which sounds are there."""

import tomllib
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from ivr.config import Language
from ivr.errors import IvrError

PREFIX = "centralino"
"""Asterisk's sounds folder has a link of this name to the folder of the prompts."""

LANGUAGES: tuple[Language, ...] = get_args(Language)

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


class PromptsError(IvrError):
    """The manifest of the prompts cannot be read, or is wrong."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Text(_Entry):
    """What a prompt says. A prompt that one language does without has no text in it."""

    it: Words | None = None
    en: Words | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.it is None and self.en is None:
            raise ValueError("a prompt needs a text in at least one language: it, en")
        return self

    def said_in(self, language: Language) -> str | None:
        """The words in a language."""
        return self.it if language == "it" else self.en


class Tone(_Entry):
    """A sound made without a voice, the same in every language; 0 Hz is silence."""

    hertz: int = Field(ge=0, lt=4000)
    """Below half of the telephone's 8,000 samples a second."""
    milliseconds: int = Field(gt=0, le=10_000)


class Manifest(_Entry):
    """The file that names every prompt: sentences stand alone, pieces are said one after the other."""

    sentences: dict[Name, Text] = {}
    pieces: dict[Name, Text] = {}
    tones: dict[Name, Tone] = {}

    @model_validator(mode="after")
    def _each_name_once(self) -> Self:
        tables = (self.sentences, self.pieces, self.tones)
        twice = {name for one in tables for other in tables if one is not other for name in one.keys() & other.keys()}
        if twice:
            raise ValueError(f"in more than one table: {', '.join(sorted(twice))}")
        return self


@dataclass(frozen=True)
class Prompt:
    """One sound that ought to be there: a name in one language, and what it holds."""

    name: str
    language: Language
    says: str | Tone
    piece: bool = False

    @property
    def file(self) -> Path:
        """Where the sound is, seen from the folder of the prompts: `it/welcome.wav`."""
        return Path(self.language, f"{self.name}.wav")


def media(name: str, language: Language) -> str:
    """The media URI of a prompt of ours, such as `sound:centralino/it/welcome`."""
    return f"sound:{PREFIX}/{language}/{name}"


def is_own_sound(name: str) -> bool:
    """Whether a name in the settings can only mean a sound of the site: one in a folder, or a whole media URI."""
    return "/" in name or ":" in name


def own_sound(name: str, language: Language) -> str:
    """The site's own sound of that name, as Asterisk knows it in a language."""
    return name.replace("{language}", language)


class Prompts:
    """The prompts of one manifest and the sounds beside it, in `it/` and `en/`."""

    def __init__(self, manifest: Path | None = None) -> None:
        """Read the manifest; without one given, the one that comes with Centralino.

        Raises:
            PromptsError: the file is missing, is not TOML, or an entry is wrong; the text names it.
        """
        path = manifest or Path(str(files("asterisk_conf"))) / "sounds" / "manifest.toml"
        try:
            self.manifest = Manifest.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise PromptsError(f"{path} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()]
            raise PromptsError(f"{path} is wrong: {'; '.join(faults)}") from error
        except ValueError as error:  # not TOML, or not UTF-8
            raise PromptsError(f"{path} is not a TOML file in UTF-8: {error}") from error
        self.folder = path.parent
        self._seconds: dict[str, float] = {}

    def __iter__(self) -> Iterator[Prompt]:
        """Every prompt in every language that has it, in the manifest's order."""
        for piece, table in ((False, self.manifest.sentences), (True, self.manifest.pieces)):
            for name, text in table.items():
                for language in LANGUAGES:
                    if says := text.said_in(language):
                        yield Prompt(name, language, says, piece)
        for name, tone in self.manifest.tones.items():
            for language in LANGUAGES:
                yield Prompt(name, language, tone)

    def __contains__(self, name: str) -> bool:
        """True when the manifest has a prompt of this name."""
        return any(name in table for table in (self.manifest.sentences, self.manifest.pieces, self.manifest.tones))

    def media(self, name: str, language: Language) -> str:
        """The media URI to play for a prompt named in the settings.

        A name of ours gives our sound. Any other is the site's own sound, as Asterisk names it: below its sounds
        folder or absolute, without the extension; `{language}` in it becomes `it` or `en`. A whole URI
        (`recording:...`) stays as it is.
        """
        if name in self:
            return media(name, language)
        own = own_sound(name, language)
        return own if own.startswith(("sound:", "recording:", "tone:")) else f"sound:{own}"

    def missing(self, folder: Path | None = None) -> list[str]:
        """The sounds that are not there or are empty, such as `it/welcome`.

        Worth asking at start: Asterisk reports a playback of a missing file as finished, like any other.

        Args:
            folder: the folder that holds `it/` and `en/` as Asterisk sees it; the manifest's own when not given.
        """
        root = folder or self.folder
        return [
            f"{prompt.language}/{prompt.name}"
            for prompt in self
            if not (root / prompt.file).is_file() or (root / prompt.file).stat().st_size == 0
        ]

    def seconds(self, uris: Sequence[str]) -> float:
        """How long our sounds among these media URIs last together, in seconds; others and unreadable ones count 0."""
        return sum(self._seconds_of(uri) for uri in uris)

    def _seconds_of(self, uri: str) -> float:
        if uri not in self._seconds:
            ours, _, file = uri.partition(f"sound:{PREFIX}/")
            seconds = 0.0
            if not ours and file:
                try:
                    with wave.open(str(self.folder / f"{file}.wav")) as sound:
                        seconds = sound.getnframes() / sound.getframerate()
                except (OSError, EOFError, wave.Error):
                    pass
            self._seconds[uri] = seconds
        return self._seconds[uri]
