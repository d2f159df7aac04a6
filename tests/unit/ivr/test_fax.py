"""Faxes in the dialplan's folder: which are over, what is known of them, and what is made of their pages."""

import errno
import io
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image, ImageDraw
from sqlalchemy.exc import OperationalError

from ivr.config import Line
from ivr.fax import PREVIEW_PIXELS, read_pages, scan_faxes
from ivr.flow.fax import file_fax
from tickets.attachments import AttachmentStore, Kept

pytestmark = [pytest.mark.unit, pytest.mark.filterwarnings("ignore::UserWarning:PIL")]

STEM = "1764000000.12_800_+390805551234_1764000000"


def page(words: str, height: int = 2200) -> Image.Image:
    """A sheet with some words on it."""
    sheet = Image.new("1", (1728, height), 1)
    ImageDraw.Draw(sheet).text((200, 300), words, fill=0, font_size=80)
    return sheet


def fax(path: Path, *pages: Image.Image, dpi: tuple[float, float] = (204, 196)) -> Path:
    """Pages as Asterisk writes them."""
    pages[0].save(path, save_all=True, append_images=pages[1:], compression="group4", dpi=dpi)
    return path


def age(path: Path, seconds: float) -> None:
    at = time.time() - seconds
    os.utime(path, (at, at))


def test_a_fax_that_came_whole(tmp_path: Path) -> None:
    fax(tmp_path / f"{STEM}.tif", page("one"), page("two"))
    (tmp_path / f"{STEM}.fax").write_text("SUCCESS|2|  +39 080 5551234 |NO_ERROR OK\n")
    [found] = scan_faxes(tmp_path)
    assert (found.unique_id, found.line, found.caller) == ("1764000000.12", "800", "+390805551234")
    assert (found.station, found.failure) == ("+39 080 5551234", None)
    assert found.received_at == datetime.fromtimestamp(1764000000, UTC)


def test_a_fax_that_comes_in_is_left_alone_until_asterisk_says_how_it_went(tmp_path: Path) -> None:
    pages = fax(tmp_path / f"{STEM}.tif", page("one"))
    age(pages, 800)
    assert scan_faxes(tmp_path) == []
    (tmp_path / f"{STEM}.fax").write_text("FAILED|1")  # not written to its end yet
    assert scan_faxes(tmp_path) == []
    (tmp_path / f"{STEM}.fax").write_text("FAILED|1|anonymous|HANGUP Unexpected disconnection\n")
    [found] = scan_faxes(tmp_path)
    assert found.failure == "HANGUP Unexpected disconnection"


def test_a_fax_of_which_asterisk_never_said_how_it_went_counts_as_broken_off(tmp_path: Path) -> None:
    pages = fax(tmp_path / f"{STEM}.tif", page("one"))
    age(pages, 1000)
    [found] = scan_faxes(tmp_path)
    assert (found.station, found.failure) == ("", "Asterisk ended while the fax came in")


def test_a_fax_of_which_no_page_came_is_told_all_the_same(tmp_path: Path) -> None:
    (tmp_path / f"{STEM}.fax").write_text("FAILED|0||\n")
    [found] = scan_faxes(tmp_path)
    assert "res_fax_spandsp" in (found.failure or "")
    assert read_pages(found.path) is None


def test_a_withheld_number_and_a_file_of_another_name(tmp_path: Path) -> None:
    (tmp_path / "1.2_800_anonymous_1764000000.fax").write_text("FAILED|0||x\n")
    age(fax(tmp_path / "scan.tif", page("?")), 1000)
    assert {(found.unique_id, found.line, found.caller) for found in scan_faxes(tmp_path)} == {
        ("1.2", "800", None),
        ("scan", "", None),
    }


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert scan_faxes(tmp_path / "nowhere") == []


@pytest.mark.parametrize("down", [98, 196, 391])
def test_the_pdf_has_every_page_in_its_true_shape(tmp_path: Path, down: float) -> None:
    height = round(11.2 * down)
    made = read_pages(fax(tmp_path / "a.tif", page("one", height), page("two", height), dpi=(204, down)))
    assert made is not None
    assert made.count == 2
    # pages are added one by one: what is written last counts
    assert re.findall(rb"/Count (\d+)", made.pdf)[-1] == b"2"
    for box in re.findall(rb"/MediaBox \[ ([^]]+) \]", made.pdf):
        assert [float(one) for one in box.split()] == pytest.approx([0, 0, 1728 / 204 * 72, 11.2 * 72], abs=1)
    preview = Image.open(io.BytesIO(made.preview))
    assert preview.width == PREVIEW_PIXELS
    assert preview.height == pytest.approx(PREVIEW_PIXELS * 11.2 / (1728 / 204), abs=5)
    assert min(preview.convert("L").tobytes()) < 100  # the words are there


def test_a_page_that_is_cut_costs_no_page_before_it(tmp_path: Path) -> None:
    whole = fax(tmp_path / "a.tif", page("one"), page("two")).read_bytes()
    cut = tmp_path / "cut.tif"
    for length in (0, 4, 100, len(whole) // 2, len(whole) - 10):
        cut.write_bytes(whole[:length])
        made = read_pages(cut)
        assert made is None or made.count in (1, 2)


def test_what_is_no_picture_gives_no_pages(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for content in (b"", b"II*\0", b"\x89PNG\r\n", b"II*\0\xff\xff\xff\xff", os.urandom(5000)):
        path.write_bytes(content)
        assert read_pages(path) is None


def test_a_sheet_without_end_is_refused(tmp_path: Path) -> None:
    assert read_pages(fax(tmp_path / "a.tif", Image.new("1", (1728, 40_000), 1))) is None


class DatabaseAway:
    """A database that stores nothing."""

    async def run(self, *_args: Any, **_options: Any) -> None:
        raise OperationalError("INSERT", {}, OSError("the disk is full"))


async def test_a_fax_that_cannot_be_stored_stays_and_leaves_no_copies(tmp_path: Path) -> None:
    """It is tried again every few seconds, and must not fill the disk meanwhile."""
    pages = fax(tmp_path / f"{STEM}.tif", page("one"))
    (tmp_path / f"{STEM}.fax").write_text("SUCCESS|1|39 080|NO_ERROR OK\n")
    [found] = scan_faxes(tmp_path)
    line = Line(number="800", name="Edotto", calendar="c", queue="q")
    store = AttachmentStore(tmp_path / "attachments")
    services: Any = SimpleNamespace(
        config=SimpleNamespace(line=lambda _: line, lines=[line]), database=DatabaseAway(), attachments=store
    )
    with pytest.raises(OperationalError):
        await file_fax(services, found)
    assert store.files(datetime.fromtimestamp(time.time() + 60, UTC)) == []
    assert pages.exists()


class FullStore(AttachmentStore):
    """A folder that holds the first file only."""

    def keep(self, content: bytes, at: datetime) -> Kept:
        if self.files(datetime.fromtimestamp(time.time() + 60, UTC)):
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().keep(content, at)


async def test_a_fax_for_which_there_is_no_room_stays_where_asterisk_put_it(tmp_path: Path) -> None:
    pages = fax(tmp_path / f"{STEM}.tif", page("one"))
    (tmp_path / f"{STEM}.fax").write_text("SUCCESS|1|39 080|NO_ERROR OK\n")
    [found] = scan_faxes(tmp_path)
    line = Line(number="800", name="Edotto", calendar="c", queue="q")
    store = FullStore(tmp_path / "attachments")
    services: Any = SimpleNamespace(config=SimpleNamespace(line=lambda _: line, lines=[line]), attachments=store)
    with pytest.raises(OSError, match="No space"):
        await file_fax(services, found)
    assert store.files(datetime.fromtimestamp(time.time() + 60, UTC)) == []
    assert pages.exists()
