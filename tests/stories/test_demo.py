"""`make demo` is a promise: it plays six real stories and says so only when they happened."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.story

FIELDS = {
    "name",
    "caller",
    "outcome",
    "ticket",
    "due_at",
    "pop_before_ring_ms",
    "invite_to_pop_ms",
    "message_seconds",
    "transcript",
    "hangup_to_transcript_ms",
    "mail_subject",
    "maximo",
}


async def test_the_demo_plays_its_stories_and_reports_them(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "centralino", "demo", "--report", str(report)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    told = output.decode()
    assert process.returncode == 0, told
    result = json.loads(report.read_text(encoding="utf-8"))
    assert result["ok"] is True
    answered, after_hours, nobody, *_ = result["stories"]
    assert all(story.keys() >= FIELDS for story in result["stories"])
    assert [story["outcome"] for story in result["stories"]] == [
        *("answered", "voicemail", "voicemail", "solved by e-mail", "fax", "solved at level 0"),
    ]
    assert all(story["maximo"].startswith("SR ") for story in result["stories"])
    assert answered["pop_before_ring_ms"] > 0
    assert "mastropasqua" in after_hours["transcript"].lower()
    assert "troilo" in nobody["transcript"].lower()
    for story in result["stories"]:
        assert story["ticket"] in story["mail_subject"]
        assert story["ticket"] in told


def processes_naming(folder: Path) -> list[str]:
    """The command lines of processes that name a folder: Asterisk and the phones are started with theirs."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            if str(folder).encode() in (words := file.read_bytes()):
                found.append(words.replace(b"\0", b" ").decode())
    return found


async def test_a_demo_that_is_interrupted_leaves_nothing_behind(tmp_path: Path) -> None:
    """Also one that a script started in the background, where shells have SIGINT ignored."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, "-m", "centralino", "demo", "--keep"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while b"presses 1: applications" not in (line := await process.stdout.readline()):
            assert line, "the demo ended by itself"
    assert len(processes_naming(tmp_path)) > 2
    process.send_signal(signal.SIGINT)
    told = (await process.stdout.read()).decode()
    assert await process.wait() == 1, told
    assert told.splitlines()[-2:] == ["Stopped before the end.", "Nothing is left running."]
    assert os.listdir(tmp_path) == []
    assert processes_naming(tmp_path) == []
