"""`centralino models`, with a model host on this machine."""

import functools
import http.server
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from centralino.models_command import models_app
from voicemail import model_store
from voicemail.errors import ModelNotInstalled

pytestmark = pytest.mark.contract

NAME = "vosk-model-tiny-it-helpdesk"


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; `cut.zip` promises more than it gives."""

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.endswith("/cut.zip"):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 10)
            self.close_connection = True
        else:
            super().do_GET()


@pytest.fixture
def host(tmp_path: Path, model: Path) -> Iterator[str]:
    served = tmp_path / "host"
    served.mkdir()
    shutil.make_archive(str(served / NAME), "zip", model.parent, model.name)
    handler = functools.partial(Handler, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(models_app, [str(argument) for argument in arguments], env={"COLUMNS": "300"})
    return result.exit_code, re.sub(r"\s+", " ", result.output)


def test_a_model_is_downloaded_checked_and_listed(host: str, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    status, output = run("install", NAME, "--host", host, "--folder", folder)
    assert status == 0, output
    sha256 = model_store.file_sha256(tmp_path / "host" / f"{NAME}.zip")
    assert sha256 in output
    assert "[transcription.models]" in output
    assert sorted(p.name for p in folder.iterdir()) == [NAME]

    status, output = run("check", NAME, "--folder", folder)
    assert status == 0, output
    assert "works: made for 8000 Hz" in output
    assert "buonasera qui è l'istituto tumori di bari" in output

    status, output = run("list", "--folder", folder)
    assert status == 0
    for expected in (NAME, "8000 Hz", "vosk-model-small-it-0.22", "Apache-2.0", "1200 MB"):
        assert expected in output

    status, output = run("install", NAME, "--host", host, "--folder", folder)
    assert (status, "already installed" in output) == (1, True)


def test_a_model_is_installed_from_a_file(host: str, tmp_path: Path) -> None:
    archive = tmp_path / "host" / f"{NAME}.zip"
    status, output = run("install", "--zip", archive, "--sha256", "12" * 32, "--folder", tmp_path / "models")
    assert (status, "not the expected file" in output) == (1, True)
    status, output = run("install", "--zip", archive, "--folder", tmp_path / "models")
    assert status == 0, output


def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path) -> None:
    status, output = run("list", "--folder", tmp_path / "none")
    assert status == 0
    assert "No model is installed" in output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("install",), "either the name"),
        (("install", "a", "--zip", "b"), "either the name"),
        (("install", "--zip", "/none.zip"), "there is no file"),
        (("install", "vosk-model-xx", "--host", "HOST"), "has no vosk-model-xx"),
        (("install", "cut", "--host", "HOST"), "10 of 1000 bytes"),
        (("install", "a", "--host", "http://127.0.0.1:1"), "cannot download"),
        (("install", "../../a", "--host", "HOST"), "not the name of a model"),
        (("check", "none"), "does not exist"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing(
    host: str, tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    folder = tmp_path / "models"
    status, output = run(*(host if a == "HOST" else a for a in arguments), "--folder", folder)
    assert status == 1
    assert reason in output
    assert not folder.exists() or not list(folder.iterdir())


def test_a_broken_model_does_not_pass_the_check(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "models" / NAME)
    weights = tmp_path / "models" / NAME / "am" / "final.mdl"
    weights.chmod(0o644)
    weights.write_bytes(b"nonsense")
    status, output = run("check", NAME, "--folder", tmp_path / "models")
    assert status == 1
    assert "does not work" in output


def test_progress_is_told(host: str, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    path = model_store.download(NAME, tmp_path, host=host, progress=lambda got, of: told.append((got, of)))
    size = path.stat().st_size
    assert told[-1] == (size, size)
    with pytest.raises(ModelNotInstalled):
        model_store.download("none", tmp_path, host=host)
