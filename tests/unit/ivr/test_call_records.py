"""Asterisk's records of calls are read once each, whatever callers write into them and whatever becomes of the file."""

import gzip
import os
import shutil
from pathlib import Path

import pytest

from ivr.call_records import CHUNK_BYTES, ChannelEvent, Position, parse_event, read_on

pytestmark = pytest.mark.unit

NAMES = iter(range(1_000_000))


def line(
    kind: str = "APP_START",
    channel: str | None = None,
    *,
    context: str = "centralino-inbound",
    app: str = "Stasis",
    dialled: str = "800",
    caller: str = "+390805551234",
) -> str:
    """A line as cel_custom writes it, quotation marks doubled as CSV_QUOTE does."""
    number = next(NAMES)
    fields = kind, f"1795543122.{number:06}", channel or f"1795543122.{number}", context, app, dialled, caller
    return ",".join('"' + field.replace('"', '""') + '"' for field in fields) + "\n"


def read_all(path: Path, position: Position) -> tuple[list[ChannelEvent], Position]:
    """All that can be read after a position, and where that ends."""
    events: list[ChannelEvent] = []
    while (piece := read_on(path, position)) is not None:
        assert not piece.lost
        events += piece.events
        position = piece.position
    return events, position


def callers(events: list[ChannelEvent]) -> list[str | None]:
    return [event.caller for event in events]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where Asterisk writes."""
    return tmp_path / "centralino.csv"


def append(file: Path, *lines: str | bytes) -> None:
    with file.open("ab") as stream:
        for one in lines:
            stream.write(one if isinstance(one, bytes) else one.encode())


@pytest.mark.parametrize(
    ("caller", "digits"),
    [
        ('0805551234"', "0805551234"),
        ('080","CHAN_END","1.000000","victim', "0801000000"),
        ("080,555", "080555"),
        ("080\n555", "080"),
        ('080\n"CHAN_END","1795543122.000001","victim","centralino-inbound","","800","1"', "080"),
        ("${SHELL(touch x)}", None),
        ("", None),
        ("9" * 500, "9" * 32),
    ],
)
def test_a_hostile_caller_number_is_only_a_number(file: Path, caller: str, digits: str | None) -> None:
    append(file, line(channel="mine.1", caller=caller), line("CHAN_END", "mine.1", app="", caller="1"))
    events, _ = read_all(file, Position())
    assert [(event.kind, event.channel_id) for event in events] == [("reached", "mine.1"), ("ended", "mine.1")]
    assert events[0].caller == digits


def test_what_is_no_text_is_passed_over_and_counted(file: Path) -> None:
    append(file, line(caller="1"), b'"\xff\xfe\x00garbage\n', b"\0\0\0\0\n", b'"APP_START","17955\n')
    append(
        file, b'"APP_START","1795543122.000001","x.1","centralino-inbound","Stasis","800","08\xff0"\n', line(caller="2")
    )
    piece = read_on(file, Position())
    assert piece is not None
    assert callers(list(piece.events)) == ["1", "080", "2"]
    assert piece.unreadable == 2


def test_only_calls_from_the_telephone_network_count() -> None:
    for other in (
        line(context="centralino-agents"),
        line(channel="centralino-26afa58d856343df8b37"),
        line(channel="centralino-out-centralino-uno.26afa58d856343df"),
        line(app="Record"),
        line(app="Dial"),
        line("LINKEDID_END"),
    ):
        assert parse_event(other.rstrip()) is None
    for ours_by_the_name_of_asterisk_only in ("centralino-1795543122.1", "centralino-out-1795543122.1"):
        assert parse_event(line(channel=ours_by_the_name_of_asterisk_only).rstrip()) is not None
    recording = parse_event(line(context="centralino-fallback", app="Record").rstrip())
    assert recording is not None
    assert (recording.kind, recording.fallback) == ("recording", True)


def test_a_last_line_that_is_not_finished_is_read_when_it_is(file: Path) -> None:
    whole = line(caller="2")
    append(file, line(caller="1"), whole[:40])
    first, position = read_all(file, Position())
    assert callers(first) == ["1"]
    append(file, whole[40:])
    assert callers(read_all(file, position)[0]) == ["2"]


def test_reading_goes_on_through_pieces_of_a_large_file(file: Path) -> None:
    numbers = [str(number) for number in range(3 * CHUNK_BYTES // 100)]
    append(file, *(line(caller=number) for number in numbers))
    assert callers(read_all(file, Position())[0]) == numbers


@pytest.mark.parametrize("how", ["renamed", "renamed twice", "compressed", "copied and emptied"])
def test_rotation_loses_nothing_and_repeats_nothing(file: Path, how: str) -> None:
    append(file, line(caller="1"))
    _, position = read_all(file, Position())
    append(file, line(caller="2"))
    old = file.with_name(f"{file.name}.1")
    if how == "copied and emptied":
        shutil.copy2(file, old)
        os.truncate(file, 0)
    else:
        file.rename(old)
    if how == "renamed twice":
        append(file, line(caller="3"))
        old.rename(file.with_name(f"{file.name}.2"))
        file.rename(old)
        os.utime(file.with_name(f"{file.name}.2"), (1, 1))
    elif how == "compressed":
        file.with_name(f"{file.name}.1.gz").write_bytes(gzip.compress(old.read_bytes()))
        old.unlink()
    if how != "renamed twice":
        events, position = read_all(file, position)
        assert callers(events) == ["2"]
        append(file, line(caller="3"))
        events, position = read_all(file, position)
        assert callers(events) == ["3"]
    append(file, line(caller="4"))
    assert callers(read_all(file, position)[0])[-1] == "4"
    if how == "renamed twice":
        assert callers(read_all(file, position)[0]) == ["2", "3", "4"]


def test_a_file_that_was_removed_before_it_was_read_is_noticed(file: Path) -> None:
    append(file, line(caller="1"))
    _, position = read_all(file, Position())
    file.unlink()
    assert read_on(file, position) is None
    append(file, line(caller="2"))
    piece = read_on(file, position)
    assert piece is not None
    assert (piece.lost, callers(list(piece.events))) == (True, ["2"])
