"""What is rendered is what a real Asterisk understands."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from asterisk_conf.render import PhoneAccount, Trunk
from centralino.rig.asterisk import AsteriskServer

pytestmark = pytest.mark.contract

HARD = "a;b;--c> 'd\" \\e=#[f]"


async def test_a_password_of_any_characters_arrives_whole(tmp_path: Path) -> None:
    phones = [
        PhoneAccount(name="101", password=SecretStr(HARD)),
        PhoneAccount(name="102", password=SecretStr(">" + HARD)),
    ]
    async with AsteriskServer(tmp_path, phones=phones) as server:
        for name, password in {"101": HARD, "102": ">" + HARD}.items():
            shown = await server.cli(f"pjsip show auth {name}")
            assert re.search(r"^ password +: (.*)$", shown, re.MULTILINE)[1] == password  # type: ignore[index]


async def test_phones_and_trunks_are_what_the_site_says(tmp_path: Path, phone_accounts: list[PhoneAccount]) -> None:
    async with AsteriskServer(tmp_path, phones=phone_accounts, benchmarks=True) as server:
        trunks = [
            Trunk(name="plain", host="192.0.2.1", addresses=["192.0.2.1", "192.0.2.0/28"]),
            Trunk(
                name="registered",
                host="127.0.0.1:9",
                addresses=["127.0.0.9"],
                username="+39080555800",
                password=SecretStr("s"),
                line="800",
            ),
        ]
        server.site = server.site.model_copy(update={"trunks": trunks})
        await server.restart()
        endpoints = await server.cli("pjsip show endpoints")
        for name in ("101", "202", "plain", "registered", "anonymous"):
            assert re.search(rf"Endpoint:  {name}\b", endpoints)
        assert "centralino-inbound" in await server.cli("pjsip show endpoint plain")
        assert re.search(r"webrtc +: yes", await server.cli("pjsip show endpoint 201"))
        assert "192.0.2.0/28" in await server.cli("pjsip show identify plain")
        assert "registered/sip:127.0.0.1:9" in await server.cli("pjsip show registrations")
        assert "bench has 0 calls" in await server.cli("queue show bench")


async def test_asterisk_has_nothing_to_complain_about(asterisk: AsteriskServer) -> None:
    complaints = [
        line for line in asterisk.log_file.read_text().splitlines() if re.search(r"\] (WARNING|ERROR)\[", line)
    ]
    assert complaints == []
    assert "The following modules" not in await asterisk.cli("core show settings")
    assert "Not Running" not in await asterisk.cli("module show")
