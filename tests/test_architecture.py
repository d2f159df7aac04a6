"""The packages form a total order, each importing only those to its right: the architecture, so a test keeps it."""

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[1]
ORDER = ("centralino", "desk", "ivr", "voicemail", "tickets", "schedules")


def imports_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", ORDER)
def test_a_package_imports_only_those_to_its_right(package: str) -> None:
    forbidden = set(ORDER[: ORDER.index(package)])
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    wrong = {str(file.relative_to(ROOT)): bad for file in files if (bad := imports_of(file) & forbidden)}
    assert not wrong


def test_nothing_in_the_product_imports_the_tests() -> None:
    wrong = [file for package in ORDER for file in (ROOT / package).rglob("*.py") if "tests" in imports_of(file)]
    assert not wrong
