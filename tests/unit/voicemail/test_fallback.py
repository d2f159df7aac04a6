"""Recordings made by the dialplan while the service was down."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from voicemail.fallback import scan_fallback

pytestmark = pytest.mark.unit


def leave(folder: Path, name: str, age: float = 3600) -> None:
    path = folder / name
    path.write_bytes(b"audio")
    os.utime(path, (time.time() - age,) * 2)


def test_finished_recordings_are_found_oldest_first(tmp_path: Path) -> None:
    leave(tmp_path, "1773073800.17_0805550001_+393331234567_1773073800.wav")
    leave(tmp_path, "1773070200.3_0805550002_anonymous_1773070200.wav")
    first, second = scan_fallback(tmp_path)
    assert (first.unique_id, first.line, first.caller) == ("1773070200.3", "0805550002", None)
    assert first.left_at == datetime.fromtimestamp(1773070200, UTC)
    assert (second.unique_id, second.line, second.caller) == ("1773073800.17", "0805550001", "+393331234567")


@pytest.mark.parametrize(
    ("unique_id", "epoch", "left_at"),
    [
        ("1773070200.3", 1773070202, 1773070200),
        ("my_system-1.name-1773070200.3", 1773070202, 1773070200),
        ("1773070200.3", 1773070900, 1773070900),  # it waited for an agent before the service gave it up
        ("1773070200.3", 1773070100, 1773070100),  # a clock that was put back
        ("made-by-a-program", 1773070100, 1773070100),
    ],
)
def test_a_message_counts_from_when_its_call_came_in(tmp_path: Path, unique_id: str, epoch: int, left_at: int) -> None:
    leave(tmp_path, f"{unique_id}_0805550001_+393331234567_{epoch}.wav")
    (found,) = scan_fallback(tmp_path)
    assert (found.unique_id, found.line, found.caller) == (unique_id, "0805550001", "+393331234567")
    assert found.left_at == datetime.fromtimestamp(left_at, UTC)


def test_a_file_that_still_grows_is_left_for_later(tmp_path: Path) -> None:
    leave(tmp_path, "1.1_080_081_1773073800.wav", age=5)
    assert scan_fallback(tmp_path) == []
    assert len(scan_fallback(tmp_path, settled_seconds=1)) == 1


def test_a_file_from_the_future_is_not_left_for_ever(tmp_path: Path) -> None:
    leave(tmp_path, "1.1_080_081_1773073800.wav", age=-86400)
    assert len(scan_fallback(tmp_path)) == 1


@pytest.mark.parametrize("name", ["strange name.wav", "1.1_080_081.wav", "1.1_080_'; drop table_1.wav", "a_b_c_d.wav"])
def test_a_file_with_another_name_is_a_message_of_an_unknown_caller(tmp_path: Path, name: str) -> None:
    leave(tmp_path, name)
    (found,) = scan_fallback(tmp_path)
    assert (found.unique_id, found.line, found.caller) == (name.removesuffix(".wav"), "", None)


def test_other_files_and_a_missing_folder_are_nothing(tmp_path: Path) -> None:
    leave(tmp_path, "notes.txt")
    assert scan_fallback(tmp_path) == scan_fallback(tmp_path / "none") == []
