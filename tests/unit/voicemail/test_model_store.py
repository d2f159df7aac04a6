"""Installing speech models from zip files."""

import hashlib
import io
import stat
import zipfile
from pathlib import Path

import pytest

from voicemail import model_store
from voicemail.errors import ModelNotInstalled, ModelUnavailable

pytestmark = pytest.mark.unit

MODEL = {
    "am/final.mdl": b"weights",
    "conf/mfcc.conf": b"--sample-frequency=16000\n",
    "graph/phones/word_boundary.int": b"1 begin\n",
}


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def model_zip(path: Path, name: str = "vosk-model-small-it-0.22") -> Path:
    return make_zip(path, {f"{name}/{file}": content for file, content in MODEL.items()})


def left_over(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def test_a_model_is_unpacked_under_its_own_name(tmp_path: Path) -> None:
    archive = model_zip(tmp_path / "download.zip")
    model = model_store.install_zip(archive, tmp_path / "models")
    assert (model.name, model.language, model.sample_rate, model.problem) == (
        "vosk-model-small-it-0.22", "it", 16000, None,
    )  # fmt: skip
    assert model.size == sum(len(content) for content in MODEL.values())
    assert left_over(tmp_path / "models") == ["vosk-model-small-it-0.22"]
    assert model_store.installed_models(tmp_path / "models") == [model]


def test_a_model_at_the_top_of_the_zip_is_named_after_it(tmp_path: Path) -> None:
    model = model_store.install_zip(make_zip(tmp_path / "vosk-model-en-us-9.zip", MODEL), tmp_path / "models")
    assert (model.name, model.language) == ("vosk-model-en-us-9", "en")
    assert left_over(tmp_path / "models") == ["vosk-model-en-us-9"]


def test_a_model_is_not_written_over(tmp_path: Path) -> None:
    archive = model_zip(tmp_path / "a.zip")
    model_store.install_zip(archive, tmp_path / "models")
    with pytest.raises(ModelNotInstalled, match="already installed"):
        model_store.install_zip(archive, tmp_path / "models")


def test_the_sum_is_checked(tmp_path: Path) -> None:
    archive = model_zip(tmp_path / "a.zip")
    with pytest.raises(ModelNotInstalled, match="not the expected file"):
        model_store.install_zip(archive, tmp_path / "models", sha256="00" * 32)
    right = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert model_store.install_zip(archive, tmp_path / "models", sha256=right.upper())


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/etc/evil", "m/../../evil", "..\\evil", "C:/evil", "vosk-model-it/../../../evil"]
)
def test_files_outside_the_zip_are_refused(tmp_path: Path, name: str) -> None:
    archive = make_zip(tmp_path / "a.zip", {f"m/{k}": v for k, v in MODEL.items()} | {name: b"evil"})
    with pytest.raises(ModelNotInstalled, match="outside itself"):
        model_store.install_zip(archive, tmp_path / "models")
    assert left_over(tmp_path / "models") == []
    assert not list(tmp_path.rglob("*evil*"))


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    archive = model_zip(tmp_path / "a.zip")
    link = zipfile.ZipInfo("vosk-model-small-it-0.22/README")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(link, "/etc/passwd")
    with pytest.raises(ModelNotInstalled, match="outside itself"):
        model_store.install_zip(archive, tmp_path / "models")


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.95])
def test_a_truncated_zip_is_refused_and_leaves_nothing(tmp_path: Path, kept: float) -> None:
    content = model_zip(tmp_path / "a.zip").read_bytes()
    archive = tmp_path / "cut.zip"
    archive.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])
    with pytest.raises(ModelNotInstalled, match="not a whole zip"):
        model_store.install_zip(archive, tmp_path / "models")
    assert left_over(tmp_path / "models") == []


def test_a_zip_with_a_spoilt_file_is_refused(tmp_path: Path) -> None:
    archive = model_zip(tmp_path / "a.zip")
    archive.write_bytes(archive.read_bytes().replace(b"weights", b"wEights"))
    with pytest.raises(ModelNotInstalled, match="not a whole zip"):
        model_store.install_zip(archive, tmp_path / "models")
    assert left_over(tmp_path / "models") == []


@pytest.mark.parametrize(
    "files",
    [
        {"readme.txt": b"hello"},
        {"vosk-model-it/am/final.mdl": b"weights"},
        {f"{m}/{k}": v for m in ("one", "two") for k, v in MODEL.items()},
    ],
)
def test_a_zip_without_exactly_one_model_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    with pytest.raises(ModelNotInstalled, match="holds"):
        model_store.install_zip(make_zip(tmp_path / "a.zip", files), tmp_path / "models")
    assert left_over(tmp_path / "models") == []


def test_a_zip_that_would_fill_the_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_store, "LARGEST_MODEL", 20)
    with pytest.raises(ModelNotInstalled, match="no speech model"):
        model_store.install_zip(model_zip(tmp_path / "a.zip"), tmp_path / "models")


def test_a_folder_without_a_model_says_so(tmp_path: Path) -> None:
    assert "does not exist" in (model_store.model_problem(tmp_path / "none") or "")
    assert "no am/final.mdl" in (model_store.model_problem(tmp_path) or "")
    with pytest.raises(ModelUnavailable, match="does not exist"):
        model_store.check_model(tmp_path / "none")


def test_other_files_in_the_folder_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "a.zip").write_bytes(io.BytesIO().getvalue())
    broken = tmp_path / "vosk-model-it-9" / "conf"
    broken.mkdir(parents=True)
    (found,) = model_store.installed_models(tmp_path)
    assert (found.name, found.language) == ("vosk-model-it-9", "it")
    assert found.problem is not None
    assert model_store.installed_models(tmp_path / "none") == []


@pytest.mark.parametrize("name", ["../a", "a/b", "", "-x", "a b"])
def test_a_name_that_is_none_is_not_asked_for(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelNotInstalled, match="name of a model"):
        model_store.download(name, tmp_path, host="http://127.0.0.1:9")


def test_only_web_addresses_are_fetched(tmp_path: Path) -> None:
    with pytest.raises(ModelNotInstalled, match="web address"):
        model_store.download("passwd", tmp_path, host="file:///etc")
