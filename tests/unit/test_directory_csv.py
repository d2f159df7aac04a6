"""CSV files as spreadsheets and other systems write them."""

import pytest

from tickets.directory_csv import CsvRefused, read_csv
from tickets.directory_import import COMPANY_COLUMNS, CONTACT_COLUMNS

pytestmark = pytest.mark.unit

ROWS = [{"code": "1", "name": "Città è qui"}, {"code": "2", "name": 'Ospedale "S. Anna"; Bari'}]
TEXT = 'code;name\r\n1;Città è qui\r\n2;"Ospedale ""S. Anna""; Bari"\r\n'


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (TEXT.encode(), "UTF-8"),
        (TEXT.encode("utf-8-sig"), "UTF-8"),
        (TEXT.replace("\r\n", "\n").encode(), "UTF-8"),
        (TEXT.encode("cp1252"), "Windows-1252"),
        (
            TEXT.replace(";Citt", "\tCitt").replace("code;name", "code\tname").replace("2;", "2\t").encode("utf-16"),
            "UTF-16",
        ),
        (TEXT.replace("code;name", "Code , NAME").replace("1;", "1,").replace("2;", "2,").encode(), "UTF-8"),
    ],
    ids=["utf-8", "byte order mark", "unix line ends", "windows-1252", "utf-16 with tabs", "commas"],
)
def test_the_same_table_however_it_is_written(content: bytes, encoding: str) -> None:
    table = read_csv(content, COMPANY_COLUMNS, "code")
    assert [dict(row.cells) for row in table.rows] == ROWS
    assert ([row.line for row in table.rows], table.encoding, table.errors) == ([2, 3], encoding, [])


def test_lines_are_those_of_the_file() -> None:
    content = b'user_code,name\nA,"Anna\nRossi"\n\n,,\nB,Bruno\nC,Carla,X\n'
    table = read_csv(content, CONTACT_COLUMNS, "user_code")
    assert [row.line for row in table.rows] == [2, 6]
    assert [(line, str(fault)) for line, fault in table.errors] == [(7, "has 3 cells, the first line has 2")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the first line must name the columns, user_code among them"),
        (b"name\nAnna\n", "user_code among them"),
        (b"user_code;nome\nA;Anna\n", "no column 'nome'; there can be user_code, name,"),
        (b"user_code;name;name\nA;Anna;B\n", "column name is there twice"),
        (b'user_code;name\nA;"Anna\n', "line 2: .*: look at the quotation marks"),
        (b'user_code;name\nA;"An"na\n', "quotation marks"),
        (b"user_code\n" + b"x" * 200_000, "line 2: field larger than"),
        (b"\xff\xfea", "UTF-8"),
    ],
)
def test_what_is_no_such_table_is_said(content: bytes, words: str) -> None:
    with pytest.raises(CsvRefused, match=words):
        read_csv(content, CONTACT_COLUMNS, "user_code")


@pytest.mark.parametrize("content", [b"user_code\nA\x00B\n", b"user_code\n\x81\x8d\n"])
def test_odd_bytes_are_read(content: bytes) -> None:
    assert len(read_csv(content, CONTACT_COLUMNS, "user_code").rows) == 1
