"""`centralino report` on a site's database: on the terminal, as JSON, as files."""

import csv
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session
from typer.testing import CliRunner, Result

from centralino.cli import app
from schedules.hours import Calendar
from tickets.database import create_engine
from tickets.models import Channel, Kind
from tickets.notices import Notices, NoticeSettings
from tickets.operations import NewRequest, open_request
from tickets.promise_rules import PromiseSettings, Terms

pytestmark = pytest.mark.contract

EXAMPLE = Path(__file__).parents[2] / "docs/centralino.example.toml"
Command = Callable[..., Result]


@pytest.fixture
def report(tmp_path: Path, migrated_file: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    shutil.copy(migrated_file, tmp_path / "centralino.db")
    monkeypatch.setenv("CENTRALINO_ASTERISK__PASSWORD", "una-password-di-prova")
    monkeypatch.setenv("CENTRALINO_STORAGE__DATABASE", f"sqlite:///{tmp_path}/centralino.db")
    engine = create_engine(f"sqlite:///{tmp_path}/centralino.db")
    with Session(engine) as session, session.begin():
        received = datetime(2026, 11, 10, 9, tzinfo=UTC)
        terms = Terms(PromiseSettings(), Calendar(weekly={"tuesday": ("08:00-18:00",)}))
        new = NewRequest(
            kind=Kind.PROBLEM, area="use", channel=Channel.FAX, subject="prova", received_at=received, terms=terms
        )
        open_request(session, new, Notices(NoticeSettings()), now=received)
    engine.dispose()

    def run(*words: Any) -> Result:
        return CliRunner().invoke(app, ["report", *map(str, words), "--config", str(EXAMPLE)])

    return run


def test_a_month_is_shown_with_its_formulas(report: Command) -> None:
    shown = report("--month", "2026-11", "--language", "en")
    assert shown.exit_code == 0, shown.output
    assert "Requests by channel, 2026-11" in shown.output
    assert "0.0% (0 of 1)" in " ".join(shown.output.split())
    assert "kept / (kept + missed)" in shown.output


def test_a_month_is_told_to_programs(report: Command) -> None:
    told = json.loads(report("--month", "2026-11", "--json").output)
    assert told["rows"][0] | {"by": "total", "received": 1, "pickup_missed": 1} == told["rows"][0]


def test_a_month_is_written_to_files(report: Command, tmp_path: Path) -> None:
    written = report("--month", "2026-11", "--csv", tmp_path / "nov.csv", "--pdf", tmp_path / "nov.pdf")
    assert written.exit_code == 0, written.output
    with (tmp_path / "nov.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["by"], row["name"], row["received"]) for row in rows if row["by"] == "channel"] == [
        ("channel", "fax", "1")
    ]
    assert (tmp_path / "nov.pdf").read_bytes().startswith(b"%PDF-")


def test_what_is_no_month_or_no_file_is_said(report: Command, tmp_path: Path) -> None:
    no_month = report("--month", "november")
    assert (no_month.exit_code, "write it as 2026-11" in no_month.output) == (1, True)
    no_file = report("--month", "2026-11", "--csv", tmp_path / "nowhere" / "nov.csv")
    assert (no_file.exit_code, "cannot be written" in no_file.output) == (1, True)
