from pathlib import Path

import pytest

from ivr.prompts import Prompts, PromptsError, Tone

pytestmark = pytest.mark.unit

CALL_FLOW = {
    "welcome",
    "welcome-closed",
    "closed-reopens",
    "closed-holiday",
    "notice",
    "menu-main",
    "wrong-key",
    "no-input",
    "you-are-number",
    "in-line",
    "please-wait",
    "you-are-next",
    "no-agents",
    "all-busy",
    "offer-message",
    "leave-message",
    "beep",
    "review",
    "message-empty",
    "ask-callback-number",
    "message-kept",
    "your-ticket-is",
    "ticket-repeat",
    "picked-up-by",
    "message-too-long",
    "goodbye",
    "apology",
    "technical-problem",
    "connecting",
    "transfer-failed",
    "caller-returns",
    "fallback-greeting",
    "fallback-thanks",
}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "manifest.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_prompt_of_the_call_flow_has_both_texts_and_both_sounds() -> None:
    prompts = Prompts()
    assert prompts.missing() == []
    there = {(prompt.name, prompt.language) for prompt in prompts}
    assert {(name, language) for name in CALL_FLOW for language in ("it", "en")} <= there


def test_media_gives_our_sound_the_sites_own_or_the_uri_as_it_is() -> None:
    prompts = Prompts()
    assert prompts.media("welcome", "it") == "sound:centralino/it/welcome"
    assert prompts.media("custom/asl-welcome", "it") == "sound:custom/asl-welcome"
    assert prompts.media("/srv/sounds/{language}/welcome", "en") == "sound:/srv/sounds/en/welcome"
    assert prompts.media("recording:welcome", "en") == "recording:welcome"


def test_seconds_adds_our_sounds_and_counts_strange_ones_as_nothing() -> None:
    prompts = Prompts()
    assert prompts.seconds(["sound:centralino/it/beep", "sound:centralino/en/beep"]) == pytest.approx(0.6)
    assert prompts.seconds(["sound:custom/x", "recording:y", "sound:centralino/it/none", "sound:centralino/"]) == 0


def test_missing_looks_into_the_folder_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "it").mkdir()
    (tmp_path / "it/welcome.wav").write_bytes(b"RIFF")
    (tmp_path / "it/notice.wav").write_bytes(b"")
    missing = Prompts().missing(tmp_path)
    assert "it/welcome" not in missing
    assert {"en/welcome", "it/notice"} <= set(missing)


def test_a_prompt_may_do_without_a_language_and_a_tone_has_both(tmp_path: Path) -> None:
    prompts = Prompts(write(tmp_path, "pieces.noon.en = 'noon'\ntones.beep = {hertz = 440, milliseconds = 10}"))
    assert [(prompt.name, prompt.language, prompt.says) for prompt in prompts] == [
        ("noon", "en", "noon"),
        ("beep", "it", Tone(hertz=440, milliseconds=10)),
        ("beep", "en", Tone(hertz=440, milliseconds=10)),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("sentences.hello = {}", "sentences.hello: .*at least one language"),
        ("sentences.hello.it = '  '", "sentences.hello.it"),
        ("sentences.hello.de = 'Hallo'", "sentences.hello.de"),
        ("sentences.'../hello'.it = 'x'", "hello"),
        ("sentences.hello.it = 'x'\npieces.hello.it = 'x'", "more than one table: hello"),
        ("tones.beep = {hertz = 9000, milliseconds = 1}", "tones.beep.hertz"),
        ("sentences = ", "not a TOML file"),
    ],
)
def test_a_wrong_manifest_is_refused_with_the_entry_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(PromptsError, match=complaint):
        Prompts(write(tmp_path, text))


def test_a_manifest_that_is_not_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(PromptsError, match="not a TOML file in UTF-8"):
        Prompts(tmp_path / "manifest.toml")
    with pytest.raises(PromptsError, match="cannot be read"):
        Prompts(tmp_path / "none.toml")
