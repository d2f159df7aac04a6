"""How many agents a queue needs, from the command line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from centralino.cli import app

pytestmark = pytest.mark.contract
EXAMPLE = Path(__file__).parents[2] / "docs/centralino.example.toml"


def staffing(*words: str) -> Result:
    return CliRunner().invoke(app, ("staffing", "--calls-per-hour", "20", "--talk-seconds", "120", *words))


def test_the_least_number_of_agents_that_reaches_the_target_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CENTRALINO_ASTERISK__PASSWORD", "una-password-di-prova")
    words = ("--queue", "credenziali", "--config", str(EXAMPLE), "--calls", "20", "--patience-seconds", "200")
    figures = json.loads(staffing(*words, "--json").output)
    reached = [row["agents"] for row in figures["rows"] if row["simulation"]["within"]["mean"] >= 0.8]
    assert figures["least_agents"] == reached[0] > figures["rows"][0]["agents"]
    shown = staffing(*words, "--agents", str(reached[0])).output
    assert f"{reached[0]} *" in shown
    assert "after 300 s of waiting, a message" in shown  # as the example's queue has it
    assert figures["demand"]["load_erlangs"] == pytest.approx(20 * (120 + 30 + 4) / 3600)


def test_more_work_than_agents_is_said_to_be_endless() -> None:
    figures = json.loads(staffing("--agents", "1", "--wrap-up-seconds", "90", "--calls", "20", "--json").output)
    assert figures["rows"][0]["erlang_c"]["mean_wait_seconds"] is None
    assert (figures["least_agents"], figures["rows"][0]["erlang_a"]) == (None, None)


def test_what_makes_no_sense_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CENTRALINO_ASTERISK__PASSWORD", "una-password-di-prova")
    for words, reason in (
        (("--queue", "[red]altra", "--config", str(EXAMPLE)), "there is no queue '[red]altra'"),
        (("--calls-per-hour", "99999"), "erlangs are too much for one queue"),
        (("--calls-per-hour", "nan"), "Invalid value for '--calls-per-hour'"),
        (("--talk-seconds", "0"), "Invalid value for '--talk-seconds'"),
        (("--target", "100"), "Invalid value for '--target'"),
        (("--agents", "0"), "Invalid value for '--agents'"),
    ):
        result = staffing(*words)
        assert result.exit_code != 0
        assert reason in " ".join(result.output.replace("│", " ").split()), result.output
