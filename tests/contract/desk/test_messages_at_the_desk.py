"""Messages at the desk: the transcript corrected, the waveform, what was taken for silence, others of who called."""

from typing import Any

import httpx
import pytest
from sqlalchemy.orm import Session

from centralino.rig.desk_server import HOSTILE, DeskServer
from tickets.models import Channel
from voicemail.models import Message
from voicemail.operations import erase_message
from voicemail.transcript import PAUSE_SECONDS

pytestmark = pytest.mark.contract

WORDS = "buongiorno non riesco a entrare nel porta le grazie"


async def correct(page: httpx.AsyncClient, text: str | None, corrections: int = 0, **more: Any) -> httpx.Response:
    return await page.put("/messages/m1/transcript", json={"text": text, "corrections": corrections, **more})


async def test_a_corrected_transcript_is_shown_everywhere_with_its_author(served: DeskServer) -> None:
    await served.agent("giulia")
    message = await served.message("m1", WORDS, seconds=9)
    async with served.browser("giulia") as page:
        before = (await page.get("/messages/m1")).json()
        assert (before["corrections"], before["corrected_by"], before["corrected_words"]) == (0, None, [])
        answer = await correct(page, "Buongiorno, non riesco a entrare\nnel portale. Grazie")
        assert answer.status_code == 200, answer.text
        detail = answer.json()
        assert (detail["corrected_by"], detail["corrections"]) == ("giulia", 1)
        assert detail["words"] == before["words"]
        first, second = detail["corrected_words"]
        assert [word["word"] for word in first] == ["Buongiorno,", "non", "riesco", "a", "entrare"]
        assert [word["start"] for word in first] == [word["start"] for word in before["words"][:5]]
        assert (second[1]["word"], second[1]["confidence"]) == ("portale.", 1.0)
        assert (second[1]["start"], second[1]["end"]) == (before["words"][6]["start"], before["words"][7]["end"])
        (listed,) = (await page.get("/messages")).json()
        assert listed["transcript"] == detail["transcript"] == "Buongiorno, non riesco a entrare\nnel portale. Grazie"
        request = (await page.get(f"/requests/{message.request_id}")).json()
        (spoken,) = request["messages"]
        assert (spoken["transcript"], spoken["corrected_by"]) == (detail["transcript"], "giulia")
        last = request["events"][-1]
        assert (last["kind"], last["actor"], last["details"]) == ("transcript_corrected", "giulia", {"message": "m1"})
        found = (await page.get("/requests", params={"which": "all", "q": "portale"})).json()["requests"]
        assert found[0]["extract"] == {
            "where": "transcript",
            "text": "Buongiorno, non riesco a entrare nel portale. Grazie",
        }
        back = (await correct(page, None, 1)).json()
        assert (back["transcript"], back["corrected_by"], back["corrections"]) == (before["transcript"], None, 2)


async def test_the_second_of_two_who_correct_is_told_who_was_first(served: DeskServer) -> None:
    for name in ("giulia", "marco"):
        await served.agent(name)
    await served.message("m1", WORDS)
    async with served.browser("giulia") as hers, served.browser("marco") as his:
        assert (await correct(hers, "di Giulia")).status_code == 200
        late = await correct(his, "di Marco")
        problem = late.json()
        assert (late.status_code, problem["error"]) == (409, "conflict")
        assert [(one["actor"], one["kind"]) for one in problem["changes"]] == [("giulia", "transcript_corrected")]
        seen = (await his.get("/messages/m1")).json()
        assert seen["transcript"] == "di Giulia"
        assert (await correct(his, "di Marco", seen["corrections"])).json()["corrected_by"] == "marco"


async def test_hostile_words_stay_words_and_what_is_none_is_refused_at_its_field(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.message("m1", WORDS)
    async with served.browser("giulia") as page:
        detail = (await correct(page, HOSTILE)).json()
        assert detail["transcript"] == HOSTILE
        assert [word["word"] for line in detail["corrected_words"] for word in line] == HOSTILE.split()
        for text, field in (("", "text"), ("  \n ", "text"), ("\x00", "text"), ("x" * 20_001, "text"), (7, "text")):
            answer = await correct(page, text, 1)  # type: ignore[arg-type]
            assert (answer.status_code, list(answer.json()["fields"])) == (422, [field]), repr(text)[:9]
        longest = "parola " * 2_850
        assert (await correct(page, longest, 1)).json()["transcript"] == longest.strip()
        assert (await correct(page, "x", -1)).status_code == 422
        assert (await correct(page, "x", 2, more=1)).status_code == 422
        assert (await page.put("/messages/m9/transcript", json={"text": "x", "corrections": 0})).status_code == 404


async def test_an_erased_message_shows_neither_words_nor_waveform(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.message("m1", WORDS)
    async with served.browser("giulia") as page:
        await correct(page, "Sono Teresa Lorusso")
        await served.database.run(erase_message, "m1", now=served.now())
        detail = (await page.get("/messages/m1")).json()
        assert (detail["has_audio"], detail["transcript"], detail["corrected_by"]) == (False, None, None)
        assert detail["words"] == detail["corrected_words"] == []
        assert (await page.get("/messages/m1/waveform")).json()["error"] == "audio_missing"
        answer = await correct(page, "Sono Teresa", 1)
        assert (answer.status_code, answer.json()["error"]) == (409, "nothing_to_correct")


async def test_the_waveform_is_small_kept_by_the_browser_and_no_listening(served: DeskServer) -> None:
    await served.agent("giulia")
    message = await served.message("m1", WORDS, seconds=6)
    async with served.browser("giulia") as page:
        answer = await page.get("/messages/m1/waveform")
        assert answer.json() == {"seconds": 6.0, "loudness": [18] * 240}
        assert answer.headers["cache-control"] == "private, no-cache"
        again = await page.get("/messages/m1/waveform", headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert (await page.get("/messages/m1")).json()["heard_by"] is None
        (served.audio / str(message.audio)).write_bytes(b"RIFFnonsense")
        broken = await page.get("/messages/m1/waveform")
        assert (broken.status_code, broken.json()["error"]) == (404, "audio_missing")
        (served.audio / str(message.audio)).unlink()
        assert (await page.get("/messages/m1/waveform")).status_code == 404
        assert (await page.get("/messages/m9/waveform")).json()["error"] == "not_there"


async def test_what_was_taken_for_silence_is_made_a_request_with_its_promise(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.message("m1", speech=0.8)
    async with served.browser("giulia") as page:
        answer = await page.post("/messages/m1/request", json={})
        assert answer.status_code == 201, answer.text
        request = answer.json()["request"]
        assert (request["channel"], request["status"], request["holder"]) == (Channel.VOICEMAIL, "queued", None)
        assert request["pickup_due_at"] is not None
        assert (await page.post("/messages/m1/request", json={})).json()["request"]["id"] == request["id"]
        detail = (await page.get("/messages/m1")).json()
        assert (detail["request"]["id"], detail["transcript_state"]) == (request["id"], "waiting")
        assert (await page.post("/messages/m9/request", json={})).status_code == 404


async def test_other_open_requests_of_who_called_stand_beside_the_message(served: DeskServer) -> None:
    await served.agent("giulia")
    teresa = await served.contact("Teresa Lorusso", phone="+390805551234")
    mine = await served.request("Non si stampa", contact_id=teresa, actor="giulia")
    await served.request("Di un altro", phone="+390805559999")
    over = await served.request("Finita", contact_id=teresa, actor="giulia")
    message = await served.message("m1", WORDS, contact_id=teresa)
    async with served.browser("giulia") as page:
        await page.post(f"/requests/{over.id}/close", json={"solution": "Fatto"})
        detail = (await page.get("/messages/m1")).json()
        assert [one["subject"] for one in detail["others"]] == ["Non si stampa"]
        body = {"ticket": mine.ticket, "version": detail["request"]["version"]}
        merged = await page.post(f"/requests/{message.request_id}/merge", json=body)
        assert merged.json()["merged_into"]["id"] == mine.id
        assert (await page.get("/messages")).json() == []
        assert (await page.get("/messages/m1")).json()["others"] == []


async def test_lines_of_the_page_begin_where_those_of_the_transcript_do(served: DeskServer) -> None:
    script = (await _static(served, "transcript.js")).split("const PAUSE = ")[1]
    assert float(script.split(";")[0]) == PAUSE_SECONDS


async def _static(served: DeskServer, name: str) -> str:
    async with httpx.AsyncClient(base_url=served.url) as client:
        return (await client.get(f"/static/js/views/{name}")).text


async def test_a_message_corrected_before_this_version_was_there_is_none(served: DeskServer) -> None:
    """Rows of earlier versions have a transcript and no correction, also where lines were laid out otherwise then."""
    await served.agent("giulia")
    await served.message("m1", WORDS)

    def lay_out(session: Session) -> None:
        session.get_one(Message, "m1").transcript = WORDS.upper()

    await served.database.run(lay_out)
    async with served.browser("giulia") as page:
        detail = (await page.get("/messages/m1")).json()
        assert (detail["corrected_by"], detail["corrected_words"]) == (None, [])
