"""The documentation keeps up with the product: every setting, every module, and an example that can be read."""

import re
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from centralino.settings import Settings, load

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXAMPLE = DOCS / "centralino.example.toml"
PACKAGES = ("centralino", "desk", "ivr", "voicemail", "tickets", "schedules", "asterisk_conf")


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting as docs/settings.md names it: `[]` for the entries of a list, NAME for the key of a table."""
    for name, field in model.model_fields.items():
        found = list(_models_in(field.annotation, f"{prefix}{name}"))
        if not found:
            yield f"{prefix}{name}", field
        for path, inner in found:
            yield from settings_of(inner, f"{path}.")


def _models_in(annotation: Any, path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield path, annotation
        return
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is dict:
        path, arguments = f"{path}.NAME", arguments[1:]
    elif origin in (list, tuple):
        path = f"{path}[]"
    for argument in arguments:
        yield from _models_in(argument, path)


def default_of(field: FieldInfo) -> str:
    """A default as a settings file would have it."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    match value:
        case None:
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"`{value:g}`"
        case list() | tuple():
            return f"`{list(value)}`"
        case dict():
            return "`{}`" if not value else f"`{value}`"
    return f'`"{value}"`'


def documented() -> dict[str, str]:
    """The rows of docs/settings.md: name and default."""
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+?) \|", (DOCS / "settings.md").read_text(encoding="utf-8"), re.MULTILINE)
    return dict(rows)


def test_every_setting_is_described_with_its_default_and_nothing_else_is() -> None:
    assert documented() == {name: default_of(field) for name, field in settings_of(Settings)}


def test_no_secret_has_a_default() -> None:
    secrets = [name for name, field in settings_of(Settings) if SecretStr in (field.annotation, *_of(field.annotation))]
    assert secrets
    assert {documented()[name] for name in secrets} <= {"required", "none"}


def _of(annotation: Any) -> tuple[Any, ...]:
    return typing.get_args(annotation)


def test_the_example_is_a_settings_file_that_makes_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CENTRALINO_ASTERISK__PASSWORD", "given-by-the-environment")
    settings = load(EXAMPLE)
    assert settings.asterisk.password.get_secret_value() == "given-by-the-environment"
    assert [line.number for line in settings.calls.lines]


def test_the_example_shows_every_setting() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    keys = {name.rpartition(".")[2] for name, _ in settings_of(Settings)}
    assert {
        key for key in keys if not re.search(rf"^#?\s*{key}\b.*=|[{{,] *{key} *=|^#?\s*\[.*{key}\]", text, re.MULTILINE)
    } == set()


def test_what_the_example_has_commented_out_is_toml_as_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A line that begins with `#` and no space is a setting to switch on."""
    text = re.sub(r"^#(?=[\[a-z\"}\]])", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert tomllib.loads(text) != tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    monkeypatch.delenv("CENTRALINO_ASTERISK__PASSWORD", raising=False)
    everything = tmp_path / "everything.toml"
    everything.write_text(text, encoding="utf-8")
    assert load(everything).smtp is not None


@pytest.mark.parametrize("package", PACKAGES)
def test_the_map_has_a_line_for_every_module(package: str) -> None:
    rows = set(re.findall(r"^\| `([^`]+)` \|", (DOCS / "map.md").read_text(encoding="utf-8"), re.MULTILINE))
    modules = {
        str(file.relative_to(ROOT))
        for file in (ROOT / package).rglob("*.py")
        if file.name != "__init__.py" and "migrations/versions" not in str(file)
    }
    assert modules
    assert modules - rows == set()
    assert {row for row in rows if row.startswith(f"{package}/") and not (ROOT / row).exists()} == set()


@pytest.mark.parametrize("page", sorted([ROOT / "README.md", *DOCS.glob("*.md")]), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_every_test_that_shows_how_it_degrades_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (DOCS / "degradation.md").read_text(encoding="utf-8")))
    files = [file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py")]
    assert named
    assert named - {name for text in files for name in re.findall(r"def (test_\w+)\(", text)} == set()
