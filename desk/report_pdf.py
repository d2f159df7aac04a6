"""The report of service levels as a PDF file: A4 across, one table after the other, for printing and filing."""

import unicodedata

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import FontFace

from desk.report import Report, Sheet, formulas, sheets, word
from schedules.words import date_and_time

_WIDTH = 277.0
"""Millimetres between the margins of A4 across."""
_NAME_WIDTH = 62.0


class _Page(FPDF):
    """A page with its number at the foot."""

    def footer(self) -> None:
        """Write the number of the page and of all pages."""
        self.set_y(-12)
        self.set_font("Helvetica", size=7)
        self.cell(0, 5, f"{self.page_no()} / {{nb}}", align="R")


def as_pdf(report: Report, desk_name: str, language: str) -> bytes:
    """The report as a PDF. Its font has the signs of Western Europe; what it has not is written as near as can be."""
    pdf = _Page(orientation="landscape", format="A4")
    pdf.set_margins(10, 10, 10)
    pdf.set_auto_page_break(auto=True, margin=15)
    title = f"{word('title', language)} {report.month}"
    pdf.set_title(_western(f"{title}, {desk_name}"))
    pdf.set_lang(language)
    pdf.set_creation_date(report.made_at)
    pdf.add_page()
    pdf.set_font("Helvetica", "B", 16)
    pdf.cell(0, 9, _western(f"{title} - {desk_name}"), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.set_font("Helvetica", size=8)
    made = date_and_time(report.made_at, report.month.zone.key, language)
    pdf.cell(0, 5, _western(f"{word('made', language)} {made}"), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    for sheet in sheets(report, language):
        _table(pdf, sheet)
    pdf.ln(4)
    pdf.set_font("Helvetica", "B", 10)
    pdf.cell(0, 6, _western(word("formulas", language)), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.set_font("Helvetica", size=8)
    for sentence in formulas(report, language):
        pdf.multi_cell(0, 4.5, _western(f"- {sentence}"), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    return bytes(pdf.output())


def _table(pdf: FPDF, sheet: Sheet) -> None:
    pdf.ln(4)
    pdf.set_font("Helvetica", "B", 10)
    pdf.cell(0, 6, _western(sheet.title), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.set_font("Helvetica", size=7.5)
    others = len(sheet.head) - 1
    with pdf.table(
        col_widths=(_NAME_WIDTH, *[(_WIDTH - _NAME_WIDTH) / others] * others),
        text_align=("LEFT", *["RIGHT"] * others),
        headings_style=FontFace(emphasis="BOLD", fill_color=(224, 240, 242)),
        line_height=4.5,
    ) as table:
        for texts in (sheet.head, *sheet.rows):
            row = table.row()
            for text in texts:
                row.cell(_western(text))


def _western(text: str) -> str:
    """`text` in the signs that the PDF's own fonts have: accents that they lack are left off, other signs are ?."""
    line = " ".join("".join(c if unicodedata.category(c)[0] != "C" else " " for c in text).split())
    return "".join(_sign(c) for c in line)


def _sign(c: str) -> str:
    for form in (c, unicodedata.normalize("NFKD", c)[:1], {"\u2019": "'", "\u2013": "-", "\u2014": "-"}.get(c, "?")):
        if form and ord(form) < 256:
            return form
    return "?"
