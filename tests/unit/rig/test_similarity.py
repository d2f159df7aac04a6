"""The proof that what was spoken is what was heard."""

from pathlib import Path

import pytest

from centralino.rig import audio
from centralino.rig.audio import RATE, read_samples, similarity, write_samples

pytestmark = pytest.mark.unit

SPEECH = Path(audio.__file__).with_name("speech")
SPOKEN = SPEECH / "espeak-013.wav"
OTHER = SPEECH / "festival-063.wav"


def heard_from(seconds: float, folder: Path) -> Path:
    """What a phone records that hears the speech from some moment on."""
    return write_samples(folder / "heard.wav", read_samples(SPOKEN)[round(seconds * RATE) :])


def test_speech_whose_first_packet_was_lost_is_the_same_speech(tmp_path: Path) -> None:
    assert similarity(SPOKEN, heard_from(0.02, tmp_path)) > 0.99


def test_speech_whose_first_seconds_were_lost_is_not(tmp_path: Path) -> None:
    assert similarity(SPOKEN, heard_from(3.5, tmp_path)) < 0.8


def test_other_speech_is_not_taken_for_it() -> None:
    assert similarity(SPOKEN, OTHER) < 0.4
    assert similarity(OTHER, SPOKEN) < 0.4
