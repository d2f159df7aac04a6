"""The recogniser process with the real Vosk and the tiny model."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from voicemail.audio import RATE, read_samples, wav_header
from voicemail.model_store import check_model, recogniser_command

pytestmark = pytest.mark.contract

STEP = 32768
"""Asterisk's own writes to a growing recording."""


class Process:
    """A recogniser, one line at a time."""

    def __init__(self, model: Path) -> None:
        command, environment = recogniser_command(model)
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def say(self, **command: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline() or b"null")

    def text(self, message_id: str, path: Path) -> str:
        self.say(finish=message_id, path=str(path))
        return text_of(self.hear())

    def close(self) -> int:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(10)


def text_of(answer: Any) -> str:
    return " ".join(word["word"] for word in answer["words"])


def word_errors(reference: list[str], heard: list[str]) -> int:
    row = list(range(len(heard) + 1))
    for i, word in enumerate(reference, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (word != other))
    return row[-1]


@pytest.fixture
def recogniser(model: Path) -> Iterator[Process]:
    process = Process(model)
    assert process.hear() == {"ready": True, "rate": 8000}
    yield process
    process.process.kill()
    process.close()


def test_recorded_messages_are_recognised(recogniser: Process, speech: Path) -> None:
    errors = words = 0
    for line in (speech / "transcripts.tsv").read_text().splitlines()[1:]:
        name, *_, reference = line.split("\t")
        if (speech / f"{name}.wav").exists():
            errors += word_errors(reference.split(), recogniser.text(name, speech / f"{name}.wav").split())
            words += len(reference.split())
    assert words > 200
    assert errors / words < 0.10


@pytest.mark.parametrize(("fed", "least_ahead", "most_ahead"), [(1.0, 12, 14), (0.5, 3, 9), (0.0, 0, 0)])
def test_a_growing_file_gives_the_same_text_as_the_whole(
    recogniser: Process, speech: Path, tmp_path: Path, fed: float, least_ahead: float, most_ahead: float
) -> None:
    whole = speech / "espeak-006.wav"
    expected = recogniser.text("whole", whole)
    _, samples = read_samples(whole)
    growing = tmp_path / "m1-1.wav"
    recogniser.say(open="m1", path=str(growing))  # before Asterisk has made the file
    recogniser.text("other", speech / "espeak-013.wav")
    with growing.open("wb", buffering=0) as file:
        file.write(wav_header(0)[:20])
        recogniser.text("other", speech / "espeak-013.wav")
        file.write(wav_header(0)[20:])
        for start in range(0, int(fed * len(samples)), STEP + 1):  # odd steps cut samples in two
            file.write(samples[start : start + STEP + 1])
            # An answer for another message shows that the process has gone round: it has looked at this file.
            recogniser.text("other", speech / "espeak-013.wav")
            recogniser.text("other", speech / "espeak-013.wav")
    kept = tmp_path / "kept.wav"
    shutil.copy(whole, kept)
    growing.unlink()  # moved into the store
    recogniser.say(finish="m1", path=str(kept))
    answer = recogniser.hear()
    assert text_of(answer) == expected
    assert answer["seconds"] == pytest.approx(13.101)
    assert answer["cpu_seconds"] > 0
    assert least_ahead <= answer["ahead_seconds"] <= most_ahead


def test_another_take_or_a_trimmed_end_is_noticed(recogniser: Process, speech: Path, tmp_path: Path) -> None:
    first, second = speech / "espeak-006.wav", speech / "espeak-007.wav"
    expected = recogniser.text("b", second)
    recogniser.say(open="m1", path=str(first))
    for _ in range(6):
        recogniser.text("other", speech / "espeak-013.wav")
    assert recogniser.text("m1", second) == expected

    _, samples = read_samples(second)
    longer = tmp_path / "longer.wav"
    longer.write_bytes(wav_header(0) + samples + bytes(10 * RATE))
    recogniser.say(open="m2", path=str(longer))
    for _ in range(14):
        recogniser.text("other", speech / "espeak-013.wav")
    assert recogniser.text("m2", second) == expected


def test_several_messages_at_once_do_not_disturb_each_other(recogniser: Process, speech: Path) -> None:
    paths = sorted(speech.glob("*.wav"))[:6]
    alone = {path.stem: recogniser.text(path.stem, path) for path in paths}
    for path in paths:
        recogniser.say(finish=path.stem, path=str(path))
    answers = [recogniser.hear() for _ in paths]
    assert {answer["id"]: text_of(answer) for answer in answers} == alone


def test_word_times_lie_in_the_audio(recogniser: Process, speech: Path) -> None:
    recogniser.say(finish="m", path=str(speech / "espeak-006.wav"))
    answer = recogniser.hear()
    times = [(word["start"], word["end"]) for word in answer["words"]]
    assert times == sorted(times)
    assert times[0][0] > 0.3
    assert times[-1][1] <= answer["seconds"]
    assert all(0 < word["confidence"] <= 1 for word in answer["words"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello " * 1000, "not a WAV"),
        (wav_header(0, rate=0) + bytes(16000), "0 samples a second"),  # Vosk would hang for ever
        (wav_header(0, rate=4000) + bytes(16000), "4000 samples"),
        (None, "No such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_answer(
    recogniser: Process, speech: Path, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "m1.wav"
    if content is not None:
        path.write_bytes(content)
    recogniser.say(open="m1", path=str(path))
    recogniser.text("other", speech / "espeak-013.wav")
    recogniser.say(finish="m1", path=str(path))
    answer = recogniser.hear()
    assert answer["id"] == "m1"
    assert reason in answer["error"]
    assert recogniser.text("m2", speech / "espeak-013.wav")  # and it lives on


def test_a_cut_file_and_silence_are_read(recogniser: Process, speech: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.wav"
    cut.write_bytes((speech / "espeak-006.wav").read_bytes()[:60001])
    assert recogniser.text("cut", cut).startswith("buonasera qui è l'istituto")
    silence = tmp_path / "silence.wav"
    silence.write_bytes(wav_header(0) + bytes(RATE * 2 * 5))
    assert recogniser.text("silence", silence) == ""
    header_only = tmp_path / "header.wav"
    header_only.write_bytes(wav_header(0))
    assert recogniser.text("header", header_only) == ""


def test_a_cancelled_message_is_forgotten(recogniser: Process, speech: Path) -> None:
    recogniser.say(open="m1", path=str(speech / "espeak-006.wav"))
    recogniser.say(cancel="m1")
    recogniser.say(cancel="never there")
    expected = recogniser.text("m2", speech / "espeak-007.wav")
    assert recogniser.text("m1", speech / "espeak-007.wav") == expected


def test_it_ends_when_its_input_is_closed(model: Path, speech: Path) -> None:
    process = Process(model)
    process.hear()
    process.say(open="m1", path="/nowhere")
    assert process.close() == 0


def test_a_model_for_16_khz_takes_telephone_audio(model: Path, speech: Path, tmp_path: Path) -> None:
    wide = tmp_path / "wide"
    shutil.copytree(model, wide)
    settings = wide / "conf" / "mfcc.conf"
    settings.chmod(0o644)
    settings.write_text(settings.read_text().replace("8000", "16000"))
    found = check_model(wide, [speech / "espeak-006.wav"])
    assert found.sample_rate == 16000
    assert found.silence == ""
    assert found.heard["espeak-006.wav"].startswith("buonasera qui è l'istituto tumori di bari")


@pytest.mark.parametrize("part", ["am/final.mdl", "graph/HCLG.fst", "graph/words.txt"])
@pytest.mark.parametrize("damage", ["cut", "garbage", "missing"])
def test_a_broken_model_is_told_and_the_process_ends(model: Path, tmp_path: Path, part: str, damage: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    path = broken / part
    path.chmod(0o644)
    path.parent.chmod(0o755)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:5000] if damage == "cut" else b"\xfe" * 50000)
    process = Process(broken)
    answer = process.hear()
    status = process.close()
    # Half a word list is still a model; everything else must be told.
    assert (answer and "fatal" in answer and status == 3) or (part == "graph/words.txt" and damage != "missing")
