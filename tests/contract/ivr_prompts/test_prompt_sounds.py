"""The sounds that come with Centralino fit the telephone and each other."""

from itertools import pairwise

import pytest

from centralino.prompts_command import PEAK_DBFS, SPEECH_DBFS, find_faults, measure, read_sound
from ivr.prompts import Prompts

pytestmark = pytest.mark.contract


def test_every_prompt_is_8_khz_mono_16_bit_and_none_is_left_over() -> None:
    assert find_faults(Prompts()) == []


def test_all_prompts_are_equally_loud_none_is_clipped_and_no_piece_drags() -> None:
    prompts = Prompts()
    for prompt in prompts:
        if isinstance(prompt.says, str):
            sound = measure(read_sound(prompts.folder / prompt.file))
            assert abs(sound.speech_dbfs - SPEECH_DBFS) < 1.5, prompt.file
            assert sound.peak_dbfs < PEAK_DBFS + 0.1, prompt.file
            assert 0.3 < sound.seconds < (3.5 if prompt.piece else 40), prompt.file


def test_the_beep_is_one_kilohertz_for_300_ms() -> None:
    prompts = Prompts()
    samples = read_sound(prompts.folder / "it/beep.wav")
    upward = sum(1 for before, after in pairwise(samples) if before < 0 <= after)
    assert len(samples) == 2400
    assert abs(upward - 300) <= 2
