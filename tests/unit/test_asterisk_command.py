"""`centralino asterisk-conf`: what the settings and a site file become, and what is said of mistakes in them."""

import re
import stat
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from asterisk_conf.render import INCLUDES
from centralino.asterisk_command import SITE_FIELDS, write_asterisk_conf

pytestmark = pytest.mark.unit

SETTINGS = """
[asterisk]
url = "{url}"
username = "ari-user"
password = "a;long password"
app = "desk-app"
fallback = "/srv/fallback"
[notices]
[calls]
calendars = {{ always = {{ weekly = {{ monday = ["08:00-18:00"] }} }} }}
queues = {{ first = {{}} }}
lines = [{{ number = "800", name = "Edotto", calendar = "always", queue = "first", language = "en" }}]
message = {{ max_seconds = 90, max_silence_seconds = 6 }}
"""
PHONES_AND_TRUNK = """
bind = "192.0.2.5"
[[phones]]
name = "101"
password = "secret-101"
[[phones]]
name = "201"
password = "secret-201"
kind = "browser"
[[trunks]]
name = "carrier"
host = "sip.carrier.example"
addresses = ["192.0.2.10", "192.0.2.11"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "asterisk"


def write(
    folder: Path,
    site: str | None = None,
    url: str = "http://127.0.0.1:8099",
    *,
    node: str | None = None,
    more: str = "",
) -> Result:
    config, site_file = folder.parent / "centralino.toml", folder.parent / "site.toml"
    config.write_text(SETTINGS.format(url=url) + more, encoding="utf-8")
    arguments = [str(folder), "--config", str(config)]
    if node is not None:
        arguments += ["--node", node]
    if site is not None:
        site_file.write_text(site, encoding="utf-8")
        arguments += ["--site", str(site_file)]
    return run(*arguments)


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command("asterisk-conf")(write_asterisk_conf)
    return CliRunner(env={"COLUMNS": "300", "CENTRALINO_CONFIG": ""}).invoke(app, arguments)


def written(folder: Path, name: str) -> str:
    return (folder / f"centralino-{name}.conf").read_text(encoding="utf-8")


def test_the_settings_alone_are_enough_and_the_files_are_for_their_owner_only(folder: Path) -> None:
    result = write(folder)
    assert result.exit_code == 0, result.output
    assert {path.name for path in folder.iterdir()} == set(INCLUDES)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert "[ari-user]" in written(folder, "ari")
    assert "password = a\\;long password" in written(folder, "ari")
    assert "bindaddr=127.0.0.1\nbindport=8099" in written(folder, "http")
    extensions = written(folder, "extensions")
    assert ("Stasis(desk-app," in extensions, "Record(/srv/fallback/" in extensions) == (True, True)
    assert "centralino/en/fallback-greeting" in extensions
    assert "${CENTRALINO_MESSAGE}.wav,6,90,qk)" in extensions


def test_it_says_what_was_written_and_how_the_prompts_are_linked(folder: Path) -> None:
    output = write(folder).output
    assert all(f"written: {folder / name}" in output for name in INCLUDES)
    link = re.search(r"ln -s (\S+) ASTERISK_DATA/sounds/centralino", output)
    assert link is not None
    assert (Path(link[1]) / "it/welcome.wav").is_file()


def test_no_password_is_printed(folder: Path) -> None:
    output = write(folder, PHONES_AND_TRUNK).output
    assert ("secret" in output, "long password" in output) == (False, False)


def test_phones_trunks_and_addresses_come_from_the_site_file(folder: Path) -> None:
    result = write(folder, PHONES_AND_TRUNK, url="http://pbx.example.org:8088")
    assert result.exit_code == 0, result.output
    phones = written(folder, "pjsip")
    assert "[101](centralino-desk-phone)" in phones
    assert "[201](centralino-browser-phone)" in phones
    assert "match=192.0.2.10,192.0.2.11" in phones
    assert "bindaddr=192.0.2.5\nbindport=8088" in written(folder, "http")


@pytest.mark.parametrize(
    ("site", "says"),
    [
        ('ari_password = "x"', "ari_password: comes from the settings (asterisk.password)"),
        ("anonymous_calls = true", "anonymous_calls: there is no such field"),
        ("sip_port = 5060", f"a site file may hold {', '.join(SITE_FIELDS)}"),
        ('phones = [{ name = "1 0", password = "x" }]', "phones[entry 1].name: "),
        ('phones = [{ name = "101", password = "" }]', "phones[entry 1].password: must be one line"),
        ('phones = [{ name = "a", password = "x" }, { name = "a", password = "y" }]', "used twice: a"),
        ('bind = "pbx"', "bind: "),
        ("phones = [", "is not a TOML file"),
    ],
)
def test_a_wrong_site_file_is_refused_by_field(folder: Path, site: str, says: str) -> None:
    result = write(folder, site)
    assert (result.exit_code, folder.exists()) == (1, False)
    assert says in result.output


def test_secrets_of_a_wrong_site_file_are_not_shown(folder: Path) -> None:
    result = write(folder, 'phones = [{ name = "101", password = " s3cret " }]')
    assert (result.exit_code, "s3cret" in result.output) == (1, False)


def test_a_named_asterisk_needs_an_address_to_listen_at(folder: Path) -> None:
    result = write(folder, url="http://pbx.example.org:8088")
    assert (result.exit_code, folder.exists()) == (1, False)
    assert 'bind = "192.0.2.5"' in result.output


def test_a_wrong_setting_is_named_as_in_the_settings(folder: Path) -> None:
    config = folder.parent / "centralino.toml"
    settings = SETTINGS.format(url="http://localhost:8088")
    config.write_text(settings.replace("/srv/fallback", "/srv/fall,back"), encoding="utf-8")
    result = run(str(folder), "--config", str(config))
    assert (result.exit_code, "settings: asterisk.fallback: must be an absolute path" in result.output) == (1, True)


def test_missing_files_are_named(folder: Path, tmp_path: Path) -> None:
    no_settings = run(str(folder), "--config", str(tmp_path / "none.toml"))
    assert (no_settings.exit_code, "there is no such settings file" in no_settings.output) == (1, True)
    write(folder)
    config = str(tmp_path / "centralino.toml")
    no_site = run(str(folder), "--config", config, "--site", str(tmp_path / "none.toml"))
    assert (no_site.exit_code, "none.toml cannot be read" in no_site.output) == (1, True)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "asterisk").write_text("a file")
    result = write(tmp_path / "asterisk")
    assert (result.exit_code, "asterisk cannot be written" in result.output) == (1, True)


NODES = """
[[asterisk.nodes]]
name = "nord"
url = "http://192.0.2.21:8088"
password = "the password of nord"
[[asterisk.nodes]]
name = "sud"
url = "http://192.0.2.22:8089"
fallback = "/srv/sud"
"""
WAYS = """
[[nodes]]
name = "nord"
host = "192.0.2.21:5062"
[[nodes]]
name = "sud"
host = "sud.example.org"
addresses = ["192.0.2.22"]
"""


def test_each_of_several_asterisks_gets_the_way_to_the_others(folder: Path) -> None:
    assert write(folder, WAYS, node="nord", more=NODES).exit_code == 0
    ways = written(folder, "pjsip")
    assert "contact=sip:sud.example.org" in ways
    assert "endpoint=centralino-node-sud\nmatch=192.0.2.22\n" in ways
    assert "[centralino-node-nord]" not in ways
    assert "[centralino-node]" in written(folder, "extensions")
    assert ("the password of nord" in written(folder, "ari"), "bindport=8088" in written(folder, "http")) == (
        True,
        True,
    )
    assert write(folder, WAYS, node="sud", more=NODES).exit_code == 0
    assert "endpoint=centralino-node-nord\nmatch=192.0.2.21\n" in written(folder, "pjsip")
    assert "bindaddr=192.0.2.22\nbindport=8089" in written(folder, "http")
    assert ("/srv/sud/" in written(folder, "extensions"), "a\\;long password" in written(folder, "ari")) == (True, True)


def test_with_one_asterisk_nothing_is_said_of_nodes(folder: Path) -> None:
    assert write(folder, PHONES_AND_TRUNK).exit_code == 0
    assert "centralino-node" not in written(folder, "pjsip") + written(folder, "extensions")


@pytest.mark.parametrize(
    ("node", "site", "more", "says"),
    [
        (None, WAYS, NODES, "there are several nodes, name one with --node: nord, sud"),
        ("ovest", WAYS, NODES, "there is no node 'ovest': nord, sud"),
        ("nord", WAYS, "", "there is no node 'nord': the settings name none"),
        ("nord", WAYS + '[[nodes]]\nname = "est"\nhost = "192.0.2.23"\n', NODES, "this differs: est"),
        ("nord", WAYS + '[[nodes]]\nname = "sud"\nhost = "192.0.2.23"\n', NODES, "used twice: sud"),
    ],
)
def test_mistakes_about_nodes_are_named(folder: Path, node: str | None, site: str, more: str, says: str) -> None:
    result = write(folder, site, node=node, more=more)
    assert (result.exit_code, says in result.output.replace("\n", " ")) == (1, True), result.output
