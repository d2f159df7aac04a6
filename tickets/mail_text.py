"""The words of a mail: from bytes to text, from HTML to text, and a reply without what it quotes.

All of it is pure and takes what anybody may send: no input makes it raise, run for long or grow without bounds.
"""

import codecs
import re
import unicodedata
from collections.abc import Iterator

import lxml.html
from lxml import etree

from tickets.texts import clean_line, clean_text

LONGEST_HTML = 1_000_000
"""Signs of HTML that are read; what people write is a hundredth of it."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SPELLINGS = {
    # a charset is often less than what is written in its name: as browsers do (encoding.spec.whatwg.org)
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
}
_UNTRUE = frozenset({"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "mbcs", "oem"})
"""Codecs of Python that are no charsets of mails; some are slow, some run for long on hostile input."""
_INVISIBLE = dict.fromkeys(
    map(ord, "\u00ad\u200b\u2060\ufeff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c\u180e")
)
"""Zero-width signs and changes of direction, which make a text read other than it is written."""


def decode(content: bytes, charset: str | None = None) -> str:
    """Bytes as text, in the charset they say, or in what they must be where that is none or cannot be true.

    UTF-8 is believed wherever the bytes are valid in it, since other text hardly ever is; the last resort is
    Windows-1252, in which every byte means something.
    """
    said = _codec(charset)
    if said not in ("utf-8", "utf-7", "utf-16", "utf-32", "utf-16-le", "utf-16-be") and not said.startswith("iso2022"):
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            pass
    for codec in (said, "utf-8"):
        try:
            return content.decode(codec)
        except (UnicodeError, LookupError, ValueError):
            continue
    return content.decode("cp1252", "replace")


def _codec(charset: str | None) -> str:
    name = re.sub(r"[^A-Za-z0-9_:.-]", "", charset or "")[:40] or "utf-8"
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        return "cp1252"
    known = codec.name
    # codecs that make other things than text of bytes (base64, zip) are marked so
    if known in _UNTRUE or not getattr(codec, "_is_text_encoding", True):
        return "cp1252"
    return _SPELLINGS.get(known, known)


def readable(text: str) -> str:
    """A text for people: no control signs, nothing invisible, composed letters, at most two empty lines in a row."""
    text = clean_text(text).translate(_INVISIBLE).replace("\u00a0", " ")
    text = unicodedata.normalize("NFC", text)
    text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
    return re.sub(r"\n{4,}", "\n\n\n", text).strip()


def unflow(text: str, *, delete_space: bool = False) -> str:
    """The paragraphs of `format=flowed` text made whole again (RFC 3676)."""
    lines: list[str] = []
    depth_before, open_line = 0, False
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        words = line.lstrip(">")
        depth = len(line) - len(words)
        words = words.removeprefix(" ")  # space-stuffing
        signature = words == "-- "
        if open_line and depth == depth_before and not signature:
            lines[-1] += words
        else:
            lines.append(">" * depth + (" " if depth else "") + words)
        open_line = words.endswith(" ") and not signature
        if open_line and delete_space:
            lines[-1] = lines[-1][:-1]
        depth_before = depth
    return "\n".join(lines)


# --- HTML ------------------------------------------------------------------------------------------------------------

_LEFT_OUT = _words(
    "head script style title noscript template object embed applet iframe svg math audio video canvas select textarea"
    " button datalist map meta link base xml"
)
_BLOCKS = _words(
    "address article aside blockquote body center dd details div dl dt fieldset figcaption figure footer form h1 h2 h3"
    " h4 h5 h6 header hr html legend li main nav ol p pre section summary table tbody tfoot thead tr ul caption"
)
_APART = _words("blockquote h1 h2 h3 h4 h5 h6 ol p pre table ul")
_NOT_SHOWN = re.compile(r"[\x00-\x08\x0e-\x1f]")
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.0-9]*[1-9])|mso-hide\s*:\s*all", re.I
)


def html_to_text(html: str) -> str:
    """The text of an HTML page, without scripts, styles and what is hidden; quotes have `> ` before their lines.

    lxml reads it, as browsers read broken pages; the walk over what it read is ours. Libraries that lay pages out as
    text can be made to write gigabytes by a table or a margin of few bytes.
    """
    html = html[:LONGEST_HTML].replace("\x00", "")
    parser = lxml.html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True)
    try:
        root = lxml.html.document_fromstring(html.encode("utf-8", "replace"), parser=parser)
    except (etree.LxmlError, ValueError, AssertionError):  # nothing in it, or nothing that can be read
        return _without_tags(html)
    if any("depth" in error.message for error in parser.error_log):  # nested to do harm: the rest was not read
        return _without_tags(html)
    page = _Page()
    _walk(root, page)
    page.line()
    return readable("\n".join(page.lines))


def _without_tags(html: str) -> str:
    html = re.sub(r"<(script|style)\b[^>]*>.*?(?:</\1|\Z)", " ", html, flags=re.I | re.S)
    return readable(re.sub(r"<[^<>]*>", " ", html))


class _Page:
    """Lines of text as they are written."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._line: list[str] = []
        self._depth = 0

    def words(self, text: str | None) -> None:
        """Go on in this line."""
        if text:
            self._line.append(_NOT_SHOWN.sub("", text))

    def line(self) -> None:
        """Be at the beginning of a line from here on."""
        if words := " ".join("".join(self._line).split()):
            self.lines.append(self._mark + words)
        self._line = []

    def new_line(self) -> None:
        """End this line, be it empty."""
        words = " ".join("".join(self._line).split())
        self.lines.append((self._mark + words).rstrip())
        self._line = []

    def paragraph(self) -> None:
        """Be at the beginning of a line with an empty one before."""
        self.line()
        if self.lines and self.lines[-1].strip("> "):
            self.lines.append(self._mark.rstrip())

    def quote(self, deeper: int) -> None:
        """Go into a quote or out of it."""
        self.line()
        self._depth += deeper

    @property
    def _mark(self) -> str:
        return "> " * min(self._depth, 9)  # deeper quotes than these say nothing more


def _walk(root: lxml.html.HtmlElement, page: _Page) -> None:
    stack: list[tuple[lxml.html.HtmlElement, bool]] = [(root, False)]
    skipping: lxml.html.HtmlElement | None = None
    while stack:
        element, leaving = stack.pop()
        tag = element.tag if isinstance(element.tag, str) else ""
        if leaving:
            if skipping is element:
                skipping = None
            elif skipping is None:
                _leave(element, tag, page)
            if skipping is None and element is not root:
                page.words(element.tail)
            continue
        stack.append((element, True))
        if skipping is None and (not tag or tag in _LEFT_OUT or _is_hidden(element)):
            skipping = element
        if skipping is None:
            _enter(element, tag, page)
            stack.extend((child, False) for child in reversed(element))


def _enter(element: lxml.html.HtmlElement, tag: str, page: _Page) -> None:
    if tag in _APART:
        page.paragraph()
    elif tag in _BLOCKS:
        page.line()
    if tag == "blockquote":
        page.quote(1)
    if tag == "li":
        page.words("- ")
    elif tag in ("td", "th"):
        page.words(" ")
    elif tag == "br":
        page.new_line()
    elif tag == "hr":
        page.words("----------")
    elif tag == "img" and (alt := clean_line(element.get("alt", ""))):
        page.words(f"[{alt[:200]}]")
    if tag == "pre" and element.text:
        *whole, last = element.text.split("\n")
        for words in whole:
            page.words(words)
            page.new_line()
        page.words(last)
    else:
        page.words(element.text)


def _leave(element: lxml.html.HtmlElement, tag: str, page: _Page) -> None:
    if tag == "a" and (address := clean_line(element.get("href", ""))[:500]):
        shown = " ".join(element.text_content().split()) if len(element) < 20 else ""
        bare = address.removeprefix("mailto:")
        if address.lower().startswith(("http://", "https://", "mailto:", "ftp://")) and bare.rstrip("/") not in shown:
            page.words(f" <{bare}>")
    if tag == "blockquote":
        page.quote(-1)
    if tag in _APART:
        page.paragraph()
    elif tag in _BLOCKS:
        page.line()


def _is_hidden(element: lxml.html.HtmlElement) -> bool:
    return element.get("hidden") is not None or _HIDDEN.search(element.get("style", "")[:2000]) is not None


# --- replies ---------------------------------------------------------------------------------------------------------

_WROTE = re.compile(
    r"^\s*(?:(?:il|in data|on|am|le|el)\b.{4,300}|.{0,200}<[^<>\s]+@[^<>\s]+>.{0,80})"
    r"(?:ha scritto|hai scritto|scrive|wrote|writes|schrieb|a écrit|escribió)\s*:?\s*$",
    re.I,
)
_MAY_WRITE = re.compile(r"^\s*(?:il|in data|on|am|le|el)\b|<", re.I)
_SEPARATOR = re.compile(
    r"^\s*[-_ ]{2,}\s*(?:messaggio (?:originale|inoltrato)|original (?:message|appointment)|forwarded message"
    r"|messaggio inoltrato da.*|weitergeleitete nachricht|ursprüngliche nachricht|message d'origine)\s*[-_ ]{2,}\s*$"
    r"|^\s*(?:inizio messaggio inoltrato|begin forwarded message)\s*:\s*$",
    re.I,
)
_HEADER_FIRST = re.compile(r"^\s*\*?(?:da|from|von|de)\s?:\*?\s+\S", re.I)
_HEADER_MORE = re.compile(
    r"^\s*\*?(?:inviato|data|a|cc|oggetto|sent|date|to|subject|gesendet|an|betreff)\s?:\*?\s+\S", re.I
)
_RULER = re.compile(r"^\s*_{20,}\s*$")
_SIGNATURE = re.compile(
    r"^\s*(?:inviato da(?:l mio)? (?:iphone|ipad|smartphone|tablet|telefono|dispositivo|cellulare|huawei|samsung|xiaomi"
    r"|outlook|posta|libero|yahoo|tiscali|mobile|tim ?mail|proton)\b.{0,80}|(?:scarica|ottieni) outlook per .{0,60}"
    r"|sent from (?:my|outlook|mail|yahoo|proton|samsung|gmail)\b.{0,60}|get outlook for .{0,60})\s*$",
    re.I,
)
LONGEST_REPLY = 200_000


def reply_of(text: str) -> str:
    """What is new in a reply: `text` without the quoted rest and without a telephone's signature.

    Goes by the marks that mail programs leave in Italian and English (and some more): quoted lines, "... ha scritto:",
    "-----Messaggio originale-----", a block of From, Sent, To. Where nothing is left, as with a forwarded mail, it is
    the whole text; answers between the quotes are kept.
    """
    lines = text[:LONGEST_REPLY].split("\n")
    lines = lines[: _end_of_new(lines)]
    kept = [line for line in _without_attributions(lines) if not line.lstrip().startswith(">")]
    for index, line in enumerate(kept):
        if line.rstrip("\r") in ("-- ", "--") and index and len(kept) - index <= 15:
            kept = kept[:index]
            break
    while kept and (not kept[-1].strip() or _SIGNATURE.match(kept[-1][:200])):
        kept.pop()
    return readable("\n".join(kept)) or text


def _end_of_new(lines: list[str]) -> int:
    for index, line in enumerate(lines):
        short = line[:400]
        if _SEPARATOR.match(short):
            return index
        following = [later[:400] for later in lines[index + 1 : index + 6] if later.strip()]
        if _HEADER_FIRST.match(short) and sum(bool(_HEADER_MORE.match(later)) for later in following) >= 2:
            return index - 1 if index and _RULER.match(lines[index - 1][:200]) else index
        if wrote := _wrote_at(lines, index):
            rest = next((later for later in lines[wrote:] if later.strip()), "")
            if not rest.lstrip().startswith(">"):  # quoted without marks, to the end
                return index
    return len(lines)


def _wrote_at(lines: list[str], index: int) -> int:
    """Where the lines after "... ha scritto:" begin, which may be broken over three lines; 0 where there is none."""
    if not _MAY_WRITE.search(lines[index][:500]):
        return 0
    for count in (1, 2, 3):
        joined = " ".join(line.strip() for line in lines[index : index + count])[:500]
        if _WROTE.match(joined):
            # the last line that it may begin with: before it there may be a sentence that begins alike
            later = (_wrote_at(lines, start) for start in range(index + 1, index + count))
            return 0 if any(later) else index + count
    return 0


def _without_attributions(lines: list[str]) -> Iterator[str]:
    index = 0
    while index < len(lines):
        if wrote := _wrote_at(lines, index):
            index = wrote
            continue
        yield lines[index]
        index += 1


# --- language --------------------------------------------------------------------------------------------------------

_ITALIAN = _words(
    "il lo la gli le un una di del della dei delle che non per con sono ho è ha mi si al alla nel nella buongiorno"
    " grazie saluti cordiali salve questo anche ma come quando funziona richiesta problema"
)
_ENGLISH = _words(
    "the a an of and to in is are i my we you not for with this that it on can cannot please thanks thank hello dear"
    " regards have when how request problem"
)


def language_of(text: str) -> str:
    """`it` or `en`, by the small words; Italian where that does not tell."""
    words = re.findall(r"[^\W\d_]+", text[:5000].casefold())
    return "en" if sum(w in _ENGLISH for w in words) > sum(w in _ITALIAN for w in words) else "it"
