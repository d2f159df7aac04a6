"""What a person reads whose settings make no sense, or point to what is not there."""

import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from typer.testing import CliRunner

from centralino.cli import app
from centralino.settings import SettingsError, load

pytestmark = pytest.mark.unit
EXAMPLE = Path(__file__).parents[2] / "docs/centralino.example.toml"


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CENTRALINO_ASTERISK__PASSWORD", "una-password-di-prova")


@pytest.fixture
def settings() -> dict[str, Any]:
    """The example, to be changed."""
    return tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))


def refused(folder: Path, settings: dict[str, Any] | str) -> list[str]:
    """The lines that a person reads about these settings, without the file's name."""
    file = folder / "centralino.toml"
    file.write_text(settings if isinstance(settings, str) else tomli_w.dumps(settings), encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(file)
    first, *fields = str(caught.value).removeprefix(f"{file}: ").splitlines()
    return [line.strip() for line in fields] or [first]


def test_a_missing_secret_and_an_unknown_setting_say_what_to_do(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CENTRALINO_ASTERISK__PASSWORD", raising=False)
    assert refused(tmp_path, {"pippo": 1} | settings) == [
        "asterisk.password: is missing: write it into the file, or give it in the environment as "
        "CENTRALINO_ASTERISK__PASSWORD",
        "pippo: there is no such setting",
    ]


def test_the_desk_by_itself_needs_no_password_of_asterisk(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CENTRALINO_ASTERISK__PASSWORD", raising=False)
    monkeypatch.setattr("centralino.log.configure", lambda _level: None)  # to a terminal that is gone afterwards
    file = tmp_path / "centralino.toml"
    file.write_text(tomli_w.dumps(settings), encoding="utf-8")
    told = CliRunner().invoke(app, ["desk", "--config", str(file)]).output
    assert "password" not in told
    assert "needs PostgreSQL" in told
    file.write_text(tomli_w.dumps(settings | {"asterisk": {"password": "changeme"}}), encoding="utf-8")
    with pytest.raises(SettingsError, match=r"asterisk\.password: choose a password of your own"):
        load(file, only_pages=True)


def test_values_of_a_wrong_kind_are_shown_but_for_secrets(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CENTRALINO_ASTERISK__PASSWORD", raising=False)
    settings["asterisk"] |= {"password": 12345, "url": "127.0.0.1:8088"}
    settings["calls"]["calendars"]["edotto"]["holidays"] = "forse"
    settings["calls"]["queues"]["applicativi"] |= {"ring_seconds": "venti", "ring_agents": 1.5, "wrap_up_seconds": -1}
    settings["calls"]["lines"][1]["language"] = "de"
    settings["storage"]["database"] = "mysql://centralino"
    settings["listen"] = {"port": 70000}
    settings["transcription"]["models"] = "vosk"
    settings["smtp"] = {"host": 25, "port": "posta"}
    assert refused(tmp_path, settings) == [
        "asterisk.url: is no address of a web server: write it as http://127.0.0.1:8088",
        "asterisk.password: must be a text in quotes",
        "calls.calendars.edotto.holidays: must be true or false, not 'forse'",
        "calls.queues.applicativi.ring_seconds: must be a number, not 'venti'",
        "calls.queues.applicativi.ring_agents: must be a whole number, not 1.5",
        "calls.queues.applicativi.wrap_up_seconds: must be 0 or more, not -1",
        "calls.lines[entry 2].language: must be 'it' or 'en', not 'de'",
        "smtp.host: must be a text in quotes, not 25",
        "smtp.port: must be a whole number, not 'posta'",
        "transcription.models: must be a section or table of its own",
        "storage.database: must begin with sqlite://// or postgresql+psycopg://: see docs/settings.md",
        "listen.port: must be 65535 or less, not 70000",
    ]


def test_codes_that_are_given_twice_or_are_the_machines_own_are_refused(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    def label(code: str) -> dict[str, str]:
        return {"code": code, "it": "x", "en": "x"}

    settings["calls"]["outcome_codes"] = [label(code) for code in ("a", "timed_out", "a")]
    settings["calls"]["pause_reasons"] = [label("missed_call")]
    assert refused(tmp_path, settings) == [
        "calls.outcome_codes[entry 2].code: 'timed_out' is given twice, or is the machine's own",
        "calls.outcome_codes[entry 3].code: 'a' is given twice, or is the machine's own",
        "calls.pause_reasons[entry 1].code: 'missed_call' is given twice, or is the machine's own",
    ]
    settings["calls"]["outcome_codes"] = [label(f"c{number}") for number in range(16)]
    assert any("outcome_codes" in line for line in refused(tmp_path, settings))


@pytest.mark.parametrize("url", ["utente:segreta@127.0.0.1:8088", "http://127.0.0.1:80x8", "http://[::1", "ftp://pbx"])
def test_an_address_of_asterisk_that_cannot_be_is_not_repeated(
    tmp_path: Path, settings: dict[str, Any], url: str
) -> None:
    settings["asterisk"]["url"] = url
    told = refused(tmp_path, settings)
    assert told == ["asterisk.url: is no address of a web server: write it as http://127.0.0.1:8088"]


def test_a_broken_value_of_the_environment_is_not_blamed_on_the_file(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CENTRALINO_STORAGE", '{"database"')
    file = tmp_path / "centralino.toml"
    file.write_text(tomli_w.dumps(settings), encoding="utf-8")
    with pytest.raises(SettingsError, match=r"of the environment makes no sense: .*storage"):
        load(file)


def test_a_variable_of_the_environment_that_nobody_reads_is_told(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CENTRALINO_SMPT__PASSWORD", "segreta")
    assert refused(tmp_path, settings) == ["the environment holds what is no setting: CENTRALINO_SMPT__PASSWORD"]


def test_what_a_value_must_look_like_is_said_in_words(tmp_path: Path, settings: dict[str, Any]) -> None:
    settings["asterisk"] |= {"app": "cen tra,lino", "recordings": "registrazioni"}
    settings["calls"]["calendars"]["edotto"]["closures"] = [{"name": "x", "first": "agosto", "last": "2027-08-20"}]
    settings["calls"]["lines"][0] |= {"number": "+39 080 5550000", "menu": {"choices": {"12": {}}}}
    settings["smtp"] = {"host": "", "username": "desk"}
    settings["desk"] = {"origins": ["desk.example.org", "https://desk.example.org/"]}
    settings["transcription"]["models"] = {"it": "vosk-model-it"}
    assert refused(tmp_path, settings) == [
        "asterisk.app: 'cen tra,lino' is no name for Asterisk: letters, digits, _ and -, 40 at most",
        "asterisk.recordings: must be a whole path, from / on",
        "calls.calendars.edotto.closures[entry 1].first: must be a day such as 2027-08-16, not 'agosto'",
        "calls.lines[entry 1].number: '+39 080 5550000' is no dialled number: digits only, perhaps a + before them, "
        "no spaces",
        "calls.lines[entry 1].menu.choices.12.[key]: '12' is no key of a telephone: 0 to 9, * or #",
        "smtp.host: must not be empty",
        "transcription.models.it: must be a whole path, from / on",
        "desk.origins[entry 1]: 'desk.example.org' is no origin: write it as https://desk.example.org",
    ]


def test_what_is_missing_in_an_entry_of_a_list_is_not_sought_in_the_environment(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    del settings["calls"]["lines"][1]["number"]
    assert refused(tmp_path, settings) == ["calls.lines[entry 2].number: is missing"]


def test_every_name_that_points_nowhere_is_told_at_once(tmp_path: Path, settings: dict[str, Any]) -> None:
    settings["calls"]["lines"][0] |= {"queue": "nessuna", "calendar": "mai"}
    settings["calls"]["lines"][0]["menu"]["choices"]["3"]["queue"] = "altra"
    settings["calls"]["lines"][1]["number"] = settings["calls"]["lines"][0]["number"]
    settings["calls"]["outbound_allowed"] = ["3[0-9"]
    queues = "the settings describe applicativi, credenziali"
    told = refused(tmp_path, settings)
    assert told[:-1] == [
        "calls.lines[entry 1].calendar: there is no calendar 'mai'; the settings describe edotto",
        f"calls.lines[entry 1].queue: there is no queue 'nessuna'; {queues}",
        f"calls.lines[entry 1].menu.choices.3.queue: there is no queue 'altra'; {queues}",
        "calls.lines[entry 2].number: the number 800123456 is described twice",
    ]
    assert told[-1].startswith("calls.outbound_allowed[entry 1]: '3[0-9' is no regular expression")


@pytest.mark.parametrize("way_out", [{}, {"outbound_endpoint": "PJSIP/{number}@trunk"}, {"outbound_allowed": ["0.+"]}])
def test_callers_can_only_be_called_back_where_there_is_a_way_out(
    tmp_path: Path, settings: dict[str, Any], way_out: dict[str, Any]
) -> None:
    settings["calls"].pop("outbound_endpoint", None)
    settings["calls"].pop("outbound_allowed", None)
    settings["calls"] |= way_out
    settings["calls"]["queues"]["applicativi"]["call_back"] = True
    assert refused(tmp_path, settings) == [
        "calls.queues.applicativi.call_back: callers can be called back only where there is a way out: "
        "outbound_endpoint, outbound_allowed"
    ]


def test_a_prompt_that_does_not_exist_is_refused_where_it_is_named(tmp_path: Path, settings: dict[str, Any]) -> None:
    settings["calls"]["lines"][1]["greeting"] = "welcom"
    settings["calls"]["lines"][0]["menu"]["prompt"] = "custom/menu"
    settings["calls"]["calendars"]["edotto"]["closures"][0]["prompt"] = "ferie"
    told = refused(tmp_path, settings)
    assert [line.partition(":")[0] for line in told] == [
        "calls.lines[entry 2].greeting",
        "calls.calendars.edotto.closures[entry 1].prompt",
        "calls.calendars.edotto.closures[entry 1].prompt",
    ]
    assert "there is no prompt 'welcom' in 'en': `centralino prompts list` shows the names" in told[0]


def test_a_wrong_prompt_is_told_together_with_what_else_is_wrong(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CENTRALINO_ASTERISK__PASSWORD", raising=False)
    settings["calls"]["lines"][0] |= {"queue": "nessuna", "greeting": "welcom"}
    assert [line.partition(":")[0] for line in refused(tmp_path, settings)] == [
        "asterisk.password",
        "calls.lines[entry 1].queue",
        "calls.lines[entry 1].greeting",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[asterisk]\nurl = nowhere\n",
            "(at line 2, column 7). It must be TOML: a text stands in quotes",
        ),
        ("", "asterisk: is missing"),
    ],
)
def test_what_is_no_settings_file_is_said_so(
    tmp_path: Path, text: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CENTRALINO_ASTERISK__PASSWORD")
    assert told in refused(tmp_path, text)[0]


def test_a_file_that_is_not_there_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no such settings file\. Copy docs/centralino\.example\.toml"):
        load(tmp_path / "centralino.toml")
    with pytest.raises(SettingsError, match="this is no file that can be read again"):
        load(tmp_path)


def test_an_address_of_sqlite_as_earlier_versions_wanted_it_still_works(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    settings["storage"]["database"] = "sqlite+aiosqlite:////var/lib/centralino/centralino.db"
    (tmp_path / "centralino.toml").write_text(tomli_w.dumps(settings), encoding="utf-8")
    assert load(tmp_path / "centralino.toml").storage.database == "sqlite:////var/lib/centralino/centralino.db"


def test_several_workers_want_a_database_server(tmp_path: Path, settings: dict[str, Any]) -> None:
    settings["asterisk"]["worker"] = "uno"
    assert refused(tmp_path, settings) == [
        "asterisk.worker: several workers need PostgreSQL as their database (storage.database)"
    ]


def test_check_tells_what_the_settings_point_to_and_is_not_there(tmp_path: Path, settings: dict[str, Any]) -> None:
    settings["asterisk"] |= {"recordings": str(tmp_path / "recording"), "fallback": str(tmp_path)}
    settings["asterisk"]["call_records"] = str(tmp_path / "calls.csv")
    settings["transcription"]["models"] = {"it": str(tmp_path / "vosk-model-it")}
    settings["storage"] = {"database": f"sqlite:///{tmp_path}/x/centralino.db", "audio": str(tmp_path)}
    settings["calls"]["lines"][0] |= {"greeting": str(tmp_path / "{language}/benvenuto"), "notice": "custom/notice"}
    settings["calls"]["lines"][1]["notice"] = ""
    (tmp_path / "it").mkdir()
    file = tmp_path / "centralino.toml"
    file.write_text(tomli_w.dumps(settings), encoding="utf-8")
    result = CliRunner().invoke(app, ["check", "--config", str(file)])
    assert result.exit_code == 0
    told = result.output.partition("The settings make sense.")[2]
    assert [line.removeprefix("* ") for line in told.splitlines() if line.startswith("* ")] == [
        f"transcription.models.it: the folder {tmp_path}/vosk-model-it does not exist; messages are kept, "
        "but not transcribed",
        f"asterisk.recordings: there is no folder {tmp_path}/recording that this user can see",
        f"storage.database: there is no folder {tmp_path}/x that this user can see",
        f"asterisk.call_records: there is no file {tmp_path}/calls.csv that this user can read; Asterisk makes it "
        "with a call",
        f"the sound {tmp_path}/it/benvenuto: there is no such file",
        "[smtp]: users get no mail; notices wait until there is a mail server",
        "[mailbox]: no mailbox is read; what users write by mail becomes no request",
        "alarms.email: alarms are told on the supervisors' pages and in the log, but not by mail",
        "promises.supervisors: nobody is told by mail of promises that are broken",
        "transcription.models.en: no model is named; messages are kept, but not transcribed",
        "calls.lines[entry 2].notice: callers are told nothing of data processing",
        "the sound custom/notice: your own, so make sure that it is below Asterisk's folder of sounds",
    ]


def test_what_this_user_may_not_look_into_is_told_and_stops_nothing(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Asterisk's folders may be closed to all but its group."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    settings["asterisk"] |= {"recordings": f"{closed}/recording", "fallback": f"{closed}/fallback"}
    settings["asterisk"]["call_records"] = f"{closed}/calls.csv"
    settings["transcription"]["models"] = {"it": f"{closed}/vosk-model-it"}
    settings["storage"] = {"database": f"sqlite:///{closed}/centralino.db", "audio": f"{closed}/audio"}
    settings["calls"]["lines"][0]["greeting"] = f"{closed}/benvenuto"
    file = tmp_path / "centralino.toml"
    file.write_text(tomli_w.dumps(settings), encoding="utf-8")
    program = "import sys; from centralino.settings import *; print(*what_is_broken(load(Path(sys.argv[1]))), sep='#')"
    # root may look everywhere, unless that right is taken away
    as_others = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    told = subprocess.run(
        [*as_others, sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert [line.partition(":")[0] for line in told.stdout.split("#")] == [
        "transcription.models.it",
        "asterisk.recordings",
        "asterisk.fallback",
        "storage.audio",
        "storage.database",
        "asterisk.call_records",
    ]


def test_a_database_that_cannot_be_opened_is_said_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CENTRALINO_STORAGE__DATABASE", f"sqlite:///{tmp_path}/no-such-folder/x.db")
    result = CliRunner().invoke(app, ["agent", "list", "--config", str(EXAMPLE)])
    assert result.exit_code == 1
    assert "the database cannot be used: unable to open database file" in result.output
    assert "Traceback" not in result.output


def test_an_address_that_is_taken_is_said_plainly_and_nothing_is_touched(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CENTRALINO_STORAGE__DATABASE", f"sqlite:///{tmp_path}/x.db")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("CENTRALINO_LISTEN__PORT", str(port))
        result = subprocess.run(
            [sys.executable, "-m", "centralino", "serve", "--config", str(EXAMPLE)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert result.returncode == 1
    assert f"the desk cannot listen on 127.0.0.1, port {port} ([listen]): Address already in use" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "x.db").exists()
