"""No call is lost: with no service running, the dialplan takes the message itself."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

import asterisk_conf
from centralino.rig import audio
from centralino.rig.asterisk import AsteriskServer
from centralino.rig.phone import Event, Phone
from centralino.rig.speech import utterance

pytestmark = pytest.mark.contract

NAME = re.compile(r"(?P<unique_id>[0-9A-Za-z.]+)_(?P<line>\+?\d+)_(?P<caller>\+?\d+|anonymous)_(?P<epoch>\d{10})\.wav")
SAID = utterance("festival-063")


@pytest.fixture
async def asterisk(tmp_path: Path) -> AsyncIterator[AsteriskServer]:
    """An Asterisk whose greeting is short, so that a test does not listen to all of the real one."""
    prompts = tmp_path / "prompts"
    (prompts / "it").mkdir(parents=True)
    for name in ("fallback-greeting", "beep", "fallback-thanks"):
        audio.write_samples(prompts / f"it/{name}.wav", audio.silence(0.2))
    async with AsteriskServer(tmp_path / "asterisk", sounds=prompts) as server:
        yield server


async def until(holds: Callable[[], bool], what: str, within: float = 20) -> None:
    """Look ten times a second: a file that grows sends no event."""
    try:
        async with asyncio.timeout(within):
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise TimeoutError(f"not within {within} s: {what}") from None


def only_file(asterisk: AsteriskServer) -> Path:
    (path,) = asterisk.fallback_spool.iterdir()
    return path


async def leave_message(asterisk: AsteriskServer, caller: Phone) -> Path:
    """Call, and speak from the moment Asterisk records."""
    await caller.call("+39080555800")
    await caller.wait_for(Event.ESTABLISHED)
    await until(lambda: any(file.stat().st_size > 44 for file in asterisk.fallback_spool.iterdir()), "it records")
    await caller.speak(SAID)
    return only_file(asterisk)


@pytest.mark.parametrize("language", ["it", "en"])
def test_every_prompt_of_the_fallback_exists(language: str) -> None:
    sounds = Path(asterisk_conf.__file__).parent / "sounds" / language
    for name in ("fallback-greeting", "beep", "fallback-thanks"):
        assert audio.seconds(sounds / f"{name}.wav") > 0.1


async def test_a_message_is_kept_whole_and_named_by_line_and_caller_when_the_caller_hangs_up(
    asterisk: AsteriskServer,
) -> None:
    async with Phone("+390805551234", asterisk) as caller:
        recording = await leave_message(asterisk, caller)
        length = audio.seconds(SAID) + 0.5
        await until(lambda: audio.seconds(recording) >= length, "all is recorded")
        await caller.hang_up()
        await caller.wait_for(Event.CLOSED)
    name = NAME.fullmatch(recording.name)
    assert name is not None
    assert (name["line"], name["caller"]) == ("+39080555800", "+390805551234")
    assert audio.similarity(SAID, recording) > 0.9
    assert await asterisk.channel_names() == []


async def test_silence_ends_the_message_and_the_caller_is_thanked(asterisk: AsteriskServer) -> None:
    async with Phone("3471234567", asterisk) as caller:
        await leave_message(asterisk, caller)
        await caller.wait_for(Event.CLOSED, within=30)
    assert "Playback" in (log := asterisk.log_file.read_text())
    assert "fallback-thanks" in log
    assert audio.similarity(SAID, only_file(asterisk)) > 0.9


async def test_a_message_cut_by_the_death_of_asterisk_is_still_there(asterisk: AsteriskServer) -> None:
    async with Phone("3471234567", asterisk) as caller:
        recording = await leave_message(asterisk, caller)
        await until(lambda: audio.seconds(recording) >= 4, "some seconds are on disk")
        await asterisk.kill()
        await asterisk.start()
    assert NAME.fullmatch(recording.name)
    assert audio.seconds(recording) >= 4
    kept = audio.read_samples(recording)
    spoken = audio.write_samples(recording.with_name("part.wav"), audio.read_samples(SAID)[: len(kept) // 2])
    assert audio.similarity(spoken, recording) > 0.9


@pytest.mark.parametrize(
    ("number", "name", "expected"),
    [
        ("anonymous", "", "anonymous"),
        ("", "", "anonymous"),
        ("9" * 200, "", "9" * 32),
        ("../../../etc/passwd\n", 'x"y' * 50, "anonymous"),
        ("12/../../34", "$(touch evil)", "1234"),
        ("$(touch evil)`touch evil`;'\"|&,)}%d_%n", "${SHELL(touch evil)}", "anonymous"),
    ],
)
async def test_a_hostile_caller_id_cannot_leave_the_spool(
    asterisk: AsteriskServer, number: str, name: str, expected: str
) -> None:
    async with Phone(number, asterisk, caller_name=name) as caller:
        await caller.call("800")
        await caller.wait_for(Event.ESTABLISHED)
        await until(lambda: any(asterisk.fallback_spool.iterdir()), "it records")
        await caller.hang_up()
        await caller.wait_for(Event.CLOSED)
        recording = only_file(asterisk)
    found = NAME.fullmatch(recording.name)
    assert found is not None
    assert found["caller"] == expected
    assert not list(asterisk.folder.rglob("evil"))


async def test_a_hostile_dialled_number_is_reduced_to_digits(asterisk: AsteriskServer) -> None:
    async with Phone("3471234567", asterisk) as caller:
        await caller.call("800,evil)}${EXTEN}/../x" + "7" * 60)
        await caller.wait_for(Event.ESTABLISHED)
        await until(lambda: any(asterisk.fallback_spool.iterdir()), "it records")
    found = NAME.fullmatch(only_file(asterisk).name)
    assert found is not None
    assert set(found["line"]) <= set("0123456789")
