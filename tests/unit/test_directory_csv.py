"""CSV files as spreadsheets and other systems write them."""

from pathlib import Path

import pytest

from centralino.directory_csv import CsvRefused, read_csv
from tickets.directory_import import COMPANY_COLUMNS, CONTACT_COLUMNS

pytestmark = pytest.mark.unit

ROWS = [{"code": "1", "name": "Città è qui"}, {"code": "2", "name": 'Ospedale "S. Anna"; Bari'}]
TEXT = 'code;name\r\n1;Città è qui\r\n2;"Ospedale ""S. Anna""; Bari"\r\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


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
def test_the_same_table_however_it_is_written(file: Path, content: bytes, encoding: str) -> None:
    file.write_bytes(content)
    table = read_csv(file, COMPANY_COLUMNS, "code")
    assert [dict(row.cells) for row in table.rows] == ROWS
    assert ([row.line for row in table.rows], table.encoding, table.errors) == ([2, 3], encoding, [])


def test_lines_are_those_of_the_file(file: Path) -> None:
    file.write_text('user_code,name\nA,"Anna\nRossi"\n\n,,\nB,Bruno\nC,Carla,X\n', encoding="utf-8")
    table = read_csv(file, CONTACT_COLUMNS, "user_code")
    assert [row.line for row in table.rows] == [2, 6]
    assert table.errors == [(7, "has 3 cells, the first line has 2")]


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
def test_what_is_no_such_table_is_said(file: Path, content: bytes, words: str) -> None:
    file.write_bytes(content)
    with pytest.raises(CsvRefused, match=words):
        read_csv(file, CONTACT_COLUMNS, "user_code")


def test_a_file_that_is_not_there_is_said(file: Path) -> None:
    with pytest.raises(CsvRefused, match="cannot be read"):
        read_csv(file, CONTACT_COLUMNS, "user_code")


@pytest.mark.parametrize("content", [b"user_code\nA\x00B\n", b"user_code\n\x81\x8d\n"])
def test_odd_bytes_are_read(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert len(read_csv(file, CONTACT_COLUMNS, "user_code").rows) == 1
