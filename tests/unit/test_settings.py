"""What a person reads whose settings make no sense."""

from pathlib import Path

import pytest

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
