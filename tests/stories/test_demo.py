"""`make demo` is a promise: it plays three real stories and says so only when they happened."""

import asyncio
import json
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
}


async def test_the_demo_plays_its_three_stories_and_reports_them(tmp_path: Path) -> None:
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
    answered, after_hours, nobody = result["stories"]
    assert all(story.keys() >= FIELDS for story in result["stories"])
    assert [story["outcome"] for story in result["stories"]] == ["answered", "voicemail", "voicemail"]
    assert answered["pop_before_ring_ms"] > 0
    assert "mastropasqua" in after_hours["transcript"].lower()
    assert "troilo" in nobody["transcript"].lower()
    for story in result["stories"]:
        assert story["ticket"] in story["mail_subject"]
        assert story["ticket"] in told
