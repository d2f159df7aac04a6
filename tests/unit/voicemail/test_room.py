"""Free disk space: an alarm when there is too little, and its end."""

import shutil
from pathlib import Path
from typing import Any, cast

import pytest

from tickets.alarms import Alarms, Words
from voicemail.room import ALARM, MEGABYTE, Room

pytestmark = pytest.mark.unit


class Told:
    """Alarms that only remember."""

    def __init__(self) -> None:
        self.log: list[str] = []

    async def sound(self, kind: str, words: Words, subject: str = "") -> None:
        assert words.it != words.en
        self.log.append(f"{kind}: {words.en}")

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
    room = Room([recordings, tmp_path / "kept"], 300, cast("Alarms", told), attachments=tmp_path)
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
    room = Room([tmp_path], 0, cast("Alarms", told), attachments=tmp_path)
    await room.look()
    assert (room.short, len(told.log)) == (False, 1)


async def test_a_disk_of_attachments_that_fills_up_is_an_alarm_and_callers_can_still_leave_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages, attachments = tmp_path / "messages", tmp_path / "attachments"
    free = {messages: 301, attachments: 299}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1000, 0, free[path] * MEGABYTE))
    told = Told()
    room = Room([messages], 300, cast("Alarms", told), attachments=attachments)
    await room.look()
    assert not room.short
    assert [line.partition(" (")[0] for line in told.log] == [f"{ALARM}: 299 MB are free for attachments"]
    told.log.clear()
    free[messages] = 10
    await room.look()  # worse: those who were told of attachments are told of messages
    await room.look()
    assert room.short
    assert told.log == [
        f"end of {ALARM}",
        *[f"{ALARM}: 10 MB are free for {messages}: callers can leave no messages"] * 2,
    ]
    told.log.clear()
    free[messages] = free[attachments] = 301
    await room.look()
    await room.look()
    assert told.log == [f"end of {ALARM}"]
