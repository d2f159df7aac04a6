"""Messages to a help desk as callers would leave them, spoken in Italian, with their text (see README.md)."""

import csv
from pathlib import Path

_FOLDER = Path(__file__).parent


def utterance(name: str) -> Path:
    """Give the WAV (8 kHz, one channel, 16 bits) of an utterance such as `"hand-038"`. Raises KeyError when unknown."""
    path = _FOLDER / f"{name}.wav"
    if not path.is_file():
        raise KeyError(name)
    return path


def transcripts() -> dict[str, str]:
    """Tell what is said in each utterance: lower case, numbers as words."""
    with (_FOLDER / "transcripts.tsv").open(encoding="utf-8", newline="") as table:
        return {row["id"]: row["text"] for row in csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE)}
