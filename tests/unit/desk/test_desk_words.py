"""Every word exists in every language."""

import re
from pathlib import Path

import pytest

import desk
from desk.errors import DeskError
from desk.words import LANGUAGES, WORDS, language_of, say

pytestmark = pytest.mark.unit

JS = Path(desk.__file__).parent / "static" / "js"
KEY = re.compile(r'^  "([^"]+)":', re.MULTILINE)


def keys_of(language: str) -> list[str]:
    return KEY.findall((JS / "i18n" / f"{language}.js").read_text(encoding="utf-8"))


def test_the_pages_have_the_same_keys_in_italian_and_english() -> None:
    assert keys_of("it") == keys_of("en")
    assert len(set(keys_of("it"))) == len(keys_of("it"))


def test_every_key_the_pages_use_has_words() -> None:
    known = set(keys_of("it"))
    for module in [*JS.glob("*.js"), *JS.glob("views/*.js")]:
        text = module.read_text(encoding="utf-8")
        used = set(re.findall(r'\bt\("([^"]+)"', text))
        assert used <= known, f"{module.name}: {used - known}"
        for prefix in re.findall(r"\bt\(`([a-z_]+\.)\$\{", text):
            assert any(key.startswith(prefix) for key in known), f"{module.name}: {prefix}"


def test_every_value_of_the_api_has_words() -> None:
    from desk.models import DismissReason
    from ivr.models import CallBackResult, DoneReason, OfferResult, Outcome, PauseReason, Presence
    from tickets.models import AREAS, Channel, DeliveryState, Kind, Status
    from tickets.queries import Confidence
    from voicemail.models import MessageState, TranscriptState

    known = set(keys_of("it"))
    shown = {
        "presence": Presence,
        "pause": PauseReason,
        "status": Status,
        "kind": Kind,
        "channel": Channel,
        "area": AREAS,
        "notice": DeliveryState,
        "confidence": Confidence,
        "message_state": MessageState,
        "transcript": TranscriptState,
        "dismiss": DismissReason,
        "outcome": Outcome,
        "offer": OfferResult,
        "done": DoneReason,
        "call_back": CallBackResult,
    }
    for prefix, values in shown.items():
        assert {f"{prefix}.{value}" for value in values} <= known


def test_placeholders_are_the_same_in_both_languages() -> None:
    tables = {}
    for language in LANGUAGES:
        text = (JS / "i18n" / f"{language}.js").read_text(encoding="utf-8")
        tables[language] = {
            key: set(re.findall(r"\{(\w+)\}", words))
            for key, words in re.findall(r'^  "([^"]+)": "(.*)",$', text, re.MULTILINE)
        }
    assert tables["it"] == tables["en"]


def test_the_servers_errors_have_the_same_codes_in_every_language() -> None:
    assert WORDS["it"].keys() == WORDS["en"].keys()


def test_every_error_of_the_desk_has_words() -> None:
    def codes(kind: type[DeskError]) -> set[str]:
        return {kind.code}.union(*(codes(child) for child in kind.__subclasses__()))

    assert codes(DeskError) <= WORDS["it"].keys()


@pytest.mark.parametrize(
    ("wishes", "language"),
    [
        (("en",), "en"),
        ((None, "de-DE,en;q=0.8"), "en"),
        (("fr", None), "it"),
        ((), "it"),
        (("it", "en"), "it"),
    ],
)
def test_the_first_language_that_can_be_met_is_used(wishes: tuple[str | None, ...], language: str) -> None:
    assert language_of(*wishes) == language


def test_an_unknown_code_still_gets_words() -> None:
    assert say("never heard of", "it") == WORDS["it"]["bad_request"]
