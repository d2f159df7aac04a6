"""The configuration written for Asterisk: nothing a person puts into the settings can break out of its line."""

import stat
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from asterisk_conf.render import INCLUDES, Site, render

pytestmark = pytest.mark.unit

PHONE = {"name": "101", "password": "secret"}


def site(**fields: Any) -> Site:
    return Site.model_validate({"ari_password": "secret", **fields})


def test_a_site_gets_the_files_to_include_readable_by_their_owner_only(tmp_path: Path) -> None:
    render(tmp_path, site(phones=[PHONE]))
    assert {path.name for path in tmp_path.iterdir()} == set(INCLUDES)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert "[101](centralino-desk-phone)" in (tmp_path / "centralino-pjsip.conf").read_text()


def test_a_site_without_phones_and_trunks_gets_examples_and_nothing_open(tmp_path: Path) -> None:
    render(tmp_path, site())
    live = [
        line
        for line in (tmp_path / "centralino-pjsip.conf").read_text().splitlines()
        if line.startswith("[") and "(!" not in line
    ]
    assert live == []


def test_rendering_again_replaces_the_old_files(tmp_path: Path) -> None:
    render(tmp_path, site(phones=[PHONE]))
    render(tmp_path, site(phones=[{"name": "205", "password": "other"}]))
    text = (tmp_path / "centralino-pjsip.conf").read_text()
    assert ("101" in text.replace("secret-101", ""), "205" in text) == (False, True)


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"phones": [{"name": "101]\n[evil", "password": "x"}]}, "phones.0.name"),
        ({"phones": [{"name": "101", "password": "x\ncontext=evil"}]}, "phones.0.password"),
        ({"phones": [{"name": "101", "password": ""}]}, "phones.0.password"),
        ({"phones": [PHONE, PHONE]}, ""),
        ({"ari_username": "a b"}, "ari_username"),
        ({"ari_password": " padded "}, "ari_password"),
        ({"fallback_spool": "/spool,with/comma"}, "fallback_spool"),
        ({"fallback_spool": "/spool/${EVIL}"}, "fallback_spool"),
        ({"fallback_spool": "relative"}, "fallback_spool"),
        ({"stasis_app": "app,evil"}, "stasis_app"),
        ({"trunks": [{"name": "carrier", "host": "sip.example.it", "addresses": []}]}, "trunks.0.addresses"),
        ({"trunks": [{"name": "c", "host": "h", "addresses": ["192.0.2.1"], "username": "u"}]}, "trunks.0"),
        ({"anonymous_calls": True, "bind": "0.0.0.0"}, ""),
        ({"rtp_first": 2000, "rtp_last": 1000}, ""),
        ({"sip_port": 0}, "sip_port"),
    ],
)
def test_what_asterisk_would_misread_is_refused_by_the_name_of_its_field(fields: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as refused:
        site(**fields)
    assert ".".join(str(part) for part in refused.value.errors()[0]["loc"]) == where
