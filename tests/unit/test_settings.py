"""What a person reads whose settings make no sense."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from centralino.cli import app
from centralino.settings import SettingsError, load

pytestmark = pytest.mark.unit
EXAMPLE = Path(__file__).parents[2] / "docs/centralino.example.toml"


def test_a_missing_secret_and_an_unknown_setting_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CENTRALINO_ASTERISK__PASSWORD", raising=False)
    file = tmp_path / "centralino.toml"
    file.write_text("pippo = 1\n" + EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(file)
    assert str(caught.value).splitlines()[1:] == [
        "  asterisk.password: is missing: write it into the file, or give it in the environment as "
        "CENTRALINO_ASTERISK__PASSWORD",
        "  pippo: there is no such setting",
    ]


def test_a_database_that_cannot_be_opened_is_said_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CENTRALINO_ASTERISK__PASSWORD", "una-password-di-prova")
    monkeypatch.setenv("CENTRALINO_STORAGE__DATABASE", f"sqlite+aiosqlite:///{tmp_path}/no-such-folder/x.db")
    result = CliRunner().invoke(app, ["agent", "list", "--config", str(EXAMPLE)])
    assert result.exit_code == 1
    assert "the database cannot be used: unable to open database file" in result.output
    assert "Traceback" not in result.output
