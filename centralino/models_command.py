"""`centralino models`: see, install and check the speech models."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from centralino.terminal import fail, terminal
from voicemail import model_store
from voicemail.errors import VoicemailError

DEFAULT_FOLDER = Path("/var/lib/centralino/models")
UTTERANCE = Path(__file__).parent / "rig" / "speech" / "espeak-006.wav"
"""An Italian sentence to try a model with."""

models_app = typer.Typer(no_args_is_help=True, help="Speech models: what turns messages into text, on this machine.")
console = terminal()

FolderOption = Annotated[
    Path, typer.Option("--folder", envvar="CENTRALINO_MODELS_FOLDER", help="The folder of the models.")
]


@models_app.command("list")
def list_models(folder: FolderOption = DEFAULT_FOLDER) -> None:
    """Show the installed models and the official ones that can be installed."""
    table = Table(
        Column("installed", no_wrap=True), "language", "size", "sample rate", "state", title=escape(str(folder))
    )
    installed = model_store.installed_models(folder)
    for model in installed:
        table.add_row(
            escape(model.name),
            model.language or "?",
            f"{model.size / 1e6:.0f} MB",
            f"{model.sample_rate} Hz" if model.sample_rate else "?",
            escape(model.problem or "files are there"),
        )
    console.print(table if installed else f"No model is installed in {escape(str(folder))}.")
    official = Table(Column("official", no_wrap=True), "language", "download", "licence", "what to expect")
    names = {model.name for model in installed}
    for known in model_store.KNOWN_MODELS:
        mark = " (installed)" if known.name in names else ""
        official.add_row(known.name + mark, known.language, f"{known.megabytes} MB", known.licence, known.note)
    console.print(official)


@models_app.command("install")
def install(
    name: Annotated[str | None, typer.Argument(help="The model's name, such as vosk-model-small-it-0.22.")] = None,
    archive: Annotated[
        Path | None, typer.Option("--zip", help="Install from this file; nothing is downloaded.")
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="Refuse any other file than the one with this sum.")] = None,
    host: Annotated[str, typer.Option(help="Where models are downloaded from.")] = model_store.MODEL_HOST,
    folder: FolderOption = DEFAULT_FOLDER,
) -> None:
    """Install a model, by name from the Vosk project's host or from a zip file."""
    if (name is None) == (archive is None):
        fail("give either the name of a model or --zip FILE")
    try:
        if archive is not None:
            _install_zip(archive, folder, sha256)
        elif name is not None:
            if (folder / name).exists():
                fail(f"{name} is already installed in {folder}; remove it first")
            downloaded = _download(name, folder, host)
            try:
                _install_zip(downloaded, folder, sha256)
            finally:
                downloaded.unlink(missing_ok=True)
    except (VoicemailError, OSError) as error:
        fail(str(error))


@models_app.command()
def check(
    name: Annotated[str, typer.Argument(help="The name of an installed model.")],
    utterance: Annotated[Path | None, typer.Option(help="An 8 kHz mono WAV to hear; a sentence is shipped.")] = None,
    folder: FolderOption = DEFAULT_FOLDER,
) -> None:
    """Load a model in a process of its own and let it hear silence and a sentence."""
    heard = [utterance] if utterance else [UTTERANCE] if UTTERANCE.is_file() else []
    try:
        found = model_store.check_model(folder / name, heard)
    except VoicemailError as error:
        fail(str(error))
    console.print(f"{escape(name)} works: made for {found.sample_rate} Hz.")
    if found.sample_rate > 8000:
        console.print(
            "Telephone audio has 8000 Hz: it is converted, and words are recognised less well than published."
        )
    if found.silence:
        console.print(f"In silence it heard: {escape(found.silence)} (such words may stand in noisy messages)")
    for file, text in found.heard.items():
        console.print(f"In {escape(file)} it heard: {escape(text) or 'nothing at all'}")


def _install_zip(archive: Path, folder: Path, sha256: str | None) -> None:
    if not archive.is_file():
        fail(f"there is no file {archive}")
    console.print(f"SHA-256 {model_store.file_sha256(archive)}")
    with console.status("unpacking"):
        model = model_store.install_zip(archive, folder, sha256=sha256)
    language = model.language or "LANGUAGE"
    console.print("Installed. To use it, put this into the settings and restart:\n", end="")
    console.print(f'[transcription.models]\n{language} = "{model.folder.resolve()}"', markup=False)


def _download(name: str, folder: Path, host: str) -> Path:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(escape(name), total=None)
        return model_store.download(
            name, folder, host=host, progress=lambda got, of: progress.update(task, completed=got, total=of)
        )
