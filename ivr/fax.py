"""Faxes that the dialplan received: finding them in its folder, and making of their pages what a desk can look at.

The dialplan writes the pages to `<unique id>_<line>_<caller's digits or "anonymous">_<epoch>.tif`, beside the messages
it records, and at the end of the call how it went to a file of the same name with `.fax`: one line,
`status|pages|sender's station|why`. A fax that broke off has the pages that came until then; one of which no page came
has no pictures at all, and is told all the same.
"""

import io
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from PIL import Image

from voicemail.fallback import SETTLED_SECONDS

log = structlog.get_logger()

FAX_CONTEXT = "centralino-fax"
"""The dialplan's context that receives a fax."""
SETTLED_TIMES = 15
"""Without a last line a fax counts as broken off when nothing was written for so many times as long as for a message:
Asterisk writes page by page, and a full page takes minutes at the lowest speed."""
MOST_PAGES = 500
MOST_PIXELS = 60_000_000
"""Of one page: a sheet of more than six metres."""
USUAL_DPI = (204.0, 196.0)
"""Dots an inch across and down of a fine fax (ITU-T T.4); a coarse one has half of them down."""
PREVIEW_PIXELS = 900
"""Width of the picture of page 1, and half of its greatest height."""

_NAME = re.compile(
    r"(?P<unique_id>[A-Za-z0-9._-]{1,150})_(?P<line>[0-9+]{0,40})_(?P<caller>\+?[0-9]{1,32}|[A-Za-z]*)_(?P<epoch>[0-9]{1,11})"
)
_RESULT = re.compile(r"(?P<status>[A-Z]*)\|(?P<pages>[0-9]{0,6})\|(?P<station>[^|\n]*)\|(?P<why>[^|\n]*)\n?")
_NO_REASON = "Asterisk could not receive it: is its module res_fax_spandsp there?"
_BROKEN_OFF = "Asterisk ended while the fax came in"


@dataclass(frozen=True, slots=True)
class ReceivedFax:
    """A fax whose call has ended. `caller` is None when the number was withheld."""

    path: Path
    """The pages, if any came."""
    result: Path
    """How it went; it may be missing."""
    unique_id: str
    """Asterisk's id of the channel: the same files have the same one, so they are filed once."""
    line: str
    caller: str | None
    received_at: datetime
    station: str
    """What the sender's machine calls itself, most often its number; anybody may set it to anything."""
    failure: str | None
    """Why it is not whole, in Asterisk's words; None: the sender has sent all, and Asterisk confirmed it."""


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of a fax for the desk."""

    count: int
    pdf: bytes
    preview: bytes
    """Page 1 as PNG."""


def scan_faxes(folder: Path, *, settled_seconds: float = SETTLED_SECONDS) -> list[ReceivedFax]:
    """The faxes in a folder that are over, the oldest first.

    One that still comes in is left for the next time. A picture with another name comes with its name as `unique_id`,
    no line, no caller, and the time it was last written. A folder that does not exist is empty.
    """
    stems = {path.stem for pattern in ("*.tif", "*.fax") for path in folder.glob(pattern)}
    found = (_look_at(folder, stem, settled_seconds * SETTLED_TIMES) for stem in stems)
    return sorted((fax for fax in found if fax is not None), key=lambda fax: fax.received_at)


def _look_at(folder: Path, stem: str, settled_seconds: float) -> ReceivedFax | None:
    pages, result = folder / f"{stem}.tif", folder / f"{stem}.fax"
    told = _read(result)
    ended = _RESULT.fullmatch(told) if told.endswith("\n") else None
    try:
        written_at = max(path.stat().st_mtime for path in (pages, result) if path.exists())
    except (FileNotFoundError, ValueError):
        return None  # filed this moment
    if ended is None and abs(time.time() - written_at) < settled_seconds:
        return None
    if ended is None:
        failure: str | None = _BROKEN_OFF
    elif ended["status"] == "SUCCESS":
        failure = None
    else:
        failure = " ".join(ended["why"].split()) or _NO_REASON
    station = " ".join(ended["station"].split()) if ended else ""
    name = _NAME.fullmatch(stem)
    if name is None:
        return ReceivedFax(pages, result, stem, "", None, datetime.fromtimestamp(written_at, UTC), station, failure)
    caller = name["caller"] if name["caller"][-1:].isdigit() else None
    received_at = datetime.fromtimestamp(int(name["epoch"]), UTC)
    return ReceivedFax(pages, result, name["unique_id"], name["line"], caller, received_at, station, failure)


def _read(result: Path) -> str:
    try:
        with result.open("rb") as file:
            return file.read(1000).decode("ascii", errors="replace")
    except FileNotFoundError:
        return ""


def read_pages(path: Path) -> Pages | None:
    """Make a PDF and a preview of the pages that can be read; None when there is none.

    Blocks for some milliseconds a page (a thread is the place for it). Pages after one that cannot be read are left
    out: the pictures themselves stay as they came.
    """
    if not path.exists() or not path.stat().st_size:
        return None
    count, preview = 0, b""
    with tempfile.TemporaryDirectory(prefix="centralino-fax-") as folder:
        pdf = Path(folder) / "fax.pdf"
        try:
            for page in _each_page(path):
                # one after the other, each with its own dots an inch: never more than one page is in memory
                page.save(pdf, "PDF", append=count > 0, dpi=_dpi(page), producer="Centralino")
                preview = preview or _preview(page)
                count += 1
        except Exception as error:  # Pillow has many ways to say that a picture is cut or none at all
            log.info("the rest of a fax cannot be read", fax=path.name, pages=count, error=repr(error))
        return Pages(count, pdf.read_bytes(), preview) if count else None


def _each_page(path: Path) -> Iterator[Image.Image]:
    with Image.open(path, formats=("TIFF",)) as picture:
        for number in range(MOST_PAGES):
            try:
                picture.seek(number)
            except EOFError:
                return
            if picture.width * picture.height > MOST_PIXELS:
                raise ValueError("no page of a fax is so large")
            page = picture.copy()
            page.info = dict(picture.info)
            yield page.convert("1") if page.mode != "1" else page


def _dpi(page: Image.Image) -> tuple[float, float]:
    across, down = (float(one) for one in page.info.get("dpi", USUAL_DPI))
    return (across, down) if 50 <= across <= 1200 and 50 <= down <= 1200 else USUAL_DPI


def _preview(page: Image.Image) -> bytes:
    across, down = _dpi(page)
    height = round(PREVIEW_PIXELS * page.height / page.width * across / down)
    small = page.convert("L").resize((PREVIEW_PIXELS, max(height, 1)), Image.Resampling.LANCZOS)
    kept = small.crop((0, 0, PREVIEW_PIXELS, min(small.height, 2 * PREVIEW_PIXELS)))
    file = io.BytesIO()
    kept.save(file, "PNG", optimize=True)
    return file.getvalue()
