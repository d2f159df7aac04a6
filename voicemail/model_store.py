"""The folder of speech models: what is in it, what may be put there, and whether it works.

A model is a folder such as `vosk-model-small-it-0.22`. Official ones come from the Vosk project's model host as zip
files, or on a stick where there is no internet; nothing of a caller ever goes there.
"""

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from voicemail.audio import RATE, wav_header
from voicemail.errors import ModelNotInstalled, ModelUnavailable

MODEL_HOST = "https://alphacephei.com/vosk/models/"
"""Where the Vosk project publishes its models, each as NAME.zip."""
LARGEST_MODEL = 10 * 10**9
"""Bytes unpacked; the largest official model has about 5 GB. More is a zip made to fill the disk."""
DOWNLOAD_PATIENCE = 60.0
"""Seconds without a byte after which a download is given up."""
LOAD_PATIENCE = 300.0
"""Seconds for a model to load and answer in `check`; the big ones took about 30 s on a slow disk."""

LANGUAGE_NAMES = {"it": "Italian", "en": "English", "de": "German", "fr": "French", "es": "Spanish"}


@dataclass(frozen=True, slots=True)
class KnownModel:
    """An official model: `megabytes` to download; word error rates are the publisher's, none measured on telephones."""

    name: str
    language: str
    megabytes: int
    licence: str
    note: str


KNOWN_MODELS = (
    KnownModel("vosk-model-it-0.22", "it", 1200, "Apache-2.0", "big: 8-16 % word errors, up to 16 GB of memory"),
    KnownModel("vosk-model-small-it-0.22", "it", 48, "Apache-2.0", "small: 17-26 % word errors, 300 MB of memory"),
    KnownModel("vosk-model-en-us-0.22", "en", 1800, "Apache-2.0", "big: 6 % read aloud, 30 % in a call centre"),
    KnownModel("vosk-model-small-en-us-0.15", "en", 40, "Apache-2.0", "small: 10 % read aloud"),
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LANGUAGE = re.compile(r"vosk-model-(?:(?:small|tiny|big|spk)-)?([a-z]{2})(?:-|$)")


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model in the folder: size in bytes, sample rate in Hz; `problem` says what is wrong with it, if anything."""

    name: str
    folder: Path
    language: str | None
    size: int
    sample_rate: int | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Check:
    """What a model made of one second of silence and of test utterances (file name to text)."""

    sample_rate: int
    silence: str
    heard: dict[str, str]


Progress = Callable[[int, int | None], None]
"""Called with the bytes that came so far and all that are expected (None: unknown)."""


def language_name(language: str) -> str:
    """The English name of a language, or its code."""
    return LANGUAGE_NAMES.get(language, language)


def model_problem(folder: Path) -> str | None:
    """What a look at the files says against a model; None when they are all there."""
    try:
        return _missing_part(folder)
    except OSError as error:
        return f"{folder} cannot be looked into: {error.strerror}"


def _missing_part(folder: Path) -> str | None:
    if not folder.is_dir():
        return f"the folder {folder} does not exist"
    for parts in (("am/final.mdl", "conf/mfcc.conf"), ("final.mdl", "mfcc.conf")):  # the old layout is flat
        if (folder / parts[0]).is_file():
            return None if (folder / parts[1]).is_file() else f"the model has no {parts[1]}"
    return f"no model in {folder}: there is no am/final.mdl"


def installed_models(folder: Path) -> list[InstalledModel]:
    """The models in a folder, by name; folders that hold none are left out."""
    if not folder.is_dir():
        return []
    found = []
    for place in sorted(folder.iterdir()):
        if not place.is_dir() or place.name.startswith("."):
            continue
        problem = model_problem(place)
        if problem and not (place / "conf").is_dir() and not (place / "am").is_dir():
            continue
        language = _LANGUAGE.match(place.name)
        size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
        found.append(InstalledModel(place.name, place, language and language[1], size, _sample_rate(place), problem))
    return found


def _sample_rate(folder: Path) -> int | None:
    for settings in (folder / "conf/mfcc.conf", folder / "mfcc.conf"):
        if settings.is_file():
            found = re.search(r"--sample-frequency=(\d+)", settings.read_text(errors="replace"))
            return int(found[1]) if found else None
    return None


def download(name: str, folder: Path, *, host: str = MODEL_HOST, progress: Progress = lambda got, of: None) -> Path:
    """Fetch NAME.zip from the model host into a temporary file below `folder`; the caller removes it.

    Raises ModelNotInstalled when the name is not one, the host cannot be reached, or the file came incomplete.
    """
    _check_name(name)
    url = f"{host.rstrip('/')}/{name}.zip"
    if not url.startswith(("https://", "http://")):
        raise ModelNotInstalled(f"not a web address: {url}")
    folder.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=".download-", suffix=".zip", dir=folder)
    try:
        with (
            open(handle, "wb") as file,
            urllib.request.urlopen(url, timeout=DOWNLOAD_PATIENCE) as answer,  # noqa: S310 - scheme checked above
        ):
            expected = int(answer.headers.get("Content-Length", 0)) or None
            got = 0
            while block := answer.read(1 << 18):
                file.write(block)
                got += len(block)
                progress(got, expected)
        if expected is not None and got != expected:
            raise ModelNotInstalled(f"only {got} of {expected} bytes came from {url}; try again")
    except BaseException as error:
        Path(partial).unlink(missing_ok=True)
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is an open answer, too
        if isinstance(error, urllib.error.HTTPError) and error.code == 404:
            raise ModelNotInstalled(
                f"the model host has no {name} ({url}): `centralino models list` names the official ones, "
                "--zip FILE installs a model that you have"
            ) from error
        if isinstance(error, OSError):
            raise ModelNotInstalled(f"cannot download {url}: {error}") from error
        raise
    return Path(partial)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def install_zip(archive: Path, folder: Path, *, sha256: str | None = None) -> InstalledModel:
    """Unpack a zip with one model into `folder`, under the name of the folder in the zip.

    Everything is unpacked beside its final place and renamed at the end, so that a half model is never found. Raises
    ModelNotInstalled when the sum is not `sha256`, the zip is broken, names files outside itself, holds no model or
    several, or the model is there already.
    """
    if sha256 is not None and file_sha256(archive) != sha256.strip().lower():
        raise ModelNotInstalled(f"{archive.name} is not the expected file: its SHA-256 is {file_sha256(archive)}")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(archive) as opened, tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as made:
            _unpack(opened, Path(made))
            model = _find_model(Path(made), archive)
            target = folder / (model.name if model != Path(made) else archive.stem)
            _check_name(target.name)
            if target.exists():
                raise ModelNotInstalled(f"{target.name} is already installed in {folder}; remove it first")
            model.chmod(0o755)
            model.rename(target)
            if model == Path(made):
                model.mkdir()  # for its own clean-up
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelNotInstalled(f"{archive.name} is not a whole zip file: {error}") from error
    except OSError as error:
        raise ModelNotInstalled(f"cannot install {archive.name}: {error}") from error
    return next(found for found in installed_models(folder) if found.name == target.name)


def _unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    entries = archive.infolist()
    size = sum(entry.file_size for entry in entries)
    if size > LARGEST_MODEL:
        raise ModelNotInstalled(f"the zip unpacks to {size} bytes: that is no speech model")
    if size > shutil.disk_usage(folder).free:
        raise ModelNotInstalled(f"not enough room on the disk for {size} bytes")
    for entry in entries:
        path = PurePosixPath(entry.filename)
        unsafe = path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename
        if unsafe or stat.S_ISLNK(entry.external_attr >> 16):
            raise ModelNotInstalled(f"the zip names a file outside itself: {entry.filename!r}")
        target = folder.joinpath(*path.parts)
        if entry.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)  # checks the entry's own checksum
            file.flush()
            os.fsync(file.fileno())


def _find_model(folder: Path, archive: Path) -> Path:
    places = [place for place in (folder, *sorted(folder.iterdir())) if place.is_dir() and not model_problem(place)]
    if len(places) != 1:
        what = "no speech model" if not places else f"{len(places)} models"
        raise ModelNotInstalled(f"{archive.name} holds {what}")
    return places[0]


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ModelNotInstalled(f"not the name of a model: {name!r}")


def recogniser_command(folder: Path) -> tuple[list[str], dict[str, str]]:
    """The command line and environment of a recogniser process for a model folder."""
    package = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return [sys.executable, "-m", "voicemail.recogniser", str(folder)], {**os.environ, "PYTHONPATH": path}


def check_model(folder: Path, utterances: Sequence[Path] = ()) -> Check:
    """Load a model in its own process and let it hear a second of silence and `utterances` (8 kHz WAV files).

    Raises ModelUnavailable with the reason when it does not load or does not answer.
    """
    problem = model_problem(folder)
    if problem:
        raise ModelUnavailable(problem)
    with tempfile.TemporaryDirectory() as made:
        silence = Path(made) / "silence.wav"
        silence.write_bytes(wav_header(RATE * 2) + bytes(RATE * 2))
        orders = [{"finish": str(number), "path": str(path)} for number, path in enumerate((silence, *utterances))]
        command, environment = recogniser_command(folder)
        try:
            done = subprocess.run(  # noqa: S603 - our own module
                command,
                env=environment,
                input="".join(json.dumps(order) + "\n" for order in orders).encode(),
                capture_output=True,
                timeout=LOAD_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ModelUnavailable(f"{folder.name} did not answer in {LOAD_PATIENCE:.0f} s") from error
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    trouble = next(
        (line.get("fatal") or line.get("error") for line in lines if "fatal" in line or "error" in line), None
    )
    if trouble or len(lines) != 1 + len(orders):
        last_words = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise ModelUnavailable(f"{folder.name} does not work: {'; '.join([trouble or 'it stopped', *last_words])}")
    texts = {line["id"]: " ".join(word["word"] for word in line["words"]) for line in lines if "id" in line}
    heard = {path.name: texts[str(number)] for number, path in enumerate(utterances, start=1)}
    return Check(lines[0]["rate"], texts["0"], heard)
