"""Free disk space: an alarm when there is too little, and its end."""

import shutil
from pathlib import Path
from typing import Any, cast

import pytest

from tickets.alarms import Alarms
from voicemail.room import ALARM, MEGABYTE, Room

pytestmark = pytest.mark.unit


class Told:
    """Alarms that only remember."""

    def __init__(self) -> None:
        self.log: list[str] = []

    async def sound(self, kind: str, words: str, subject: str = "") -> None:
        self.log.append(f"{kind}: {words}")

    async def end(self, kind: str, subject: str = "") -> None:
        self.log.append(f"end of {kind}")


async def test_too_little_room_sounds_the_alarm_and_room_again_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = {tmp_path: 301, tmp_path / "kept": 301}

    def usage(path: Path) -> Any:
        if path not in free:
            raise FileNotFoundError(path)
        return shutil._ntuple_diskusage(1000, 0, free[path] * MEGABYTE)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    told = Told()
    recordings = tmp_path / "recording"
    # the folder of recordings is not made yet: what counts is the one above it
    room = Room([recordings, tmp_path / "kept"], 300, cast("Alarms", told))
    await room.look()
    await room.look()
    assert (room.short, room.full(recordings), told.log) == (
        False,
        False,
        [f"end of {ALARM}"],
    )  # of an earlier process, perhaps
    free[tmp_path / "kept"] = 299
    await room.look()
    assert (room.short, room.full(recordings)) == (True, False)
    assert told.log[1:] == [f"{ALARM}: 299 MB are free for {tmp_path / 'kept'}: callers can leave no messages"]
    free[tmp_path / "kept"] = 301
    await room.look()
    assert (room.short, told.log[2:]) == (False, [f"end of {ALARM}"])
    free[tmp_path] = 0
    assert room.full(recordings)


async def test_a_disk_that_is_full_is_an_alarm_even_where_no_floor_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1000, 1000, 0))
    told = Told()
    room = Room([tmp_path], 0, cast("Alarms", told))
    await room.look()
    assert (room.short, len(told.log)) == (False, 1)
