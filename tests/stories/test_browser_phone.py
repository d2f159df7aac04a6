"""The phone in the browser: a real Chromium on the real desk, a real Asterisk, and callers on the telephone."""

import asyncio
import base64
import time
import wave
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from playwright.async_api import Browser, BrowserContext, Dialog, Page, async_playwright, expect
from playwright.async_api import Error as PlaywrightError
from sqlalchemy.orm import Session

from centralino.rig.audio import RATE, Samples, read_samples, silence, similarity, write_samples
from centralino.rig.browser import ARGUMENTS, CHROMIUM
from centralino.rig.phone import Event, Phone
from centralino.rig.world import PASSWORD, Colleague, World
from centralino.serve import Service
from ivr.models import Agent, Call, OfferResult, Outcome, Phase, Presence
from tests.stories.conftest import (
    ANSWER,
    BRUNO,
    CARLA,
    QUESTION,
    ROSSI,
    STAFFED,
    Duty,
    dial,
    heard_between,
    is_music,
    nothing_left,
    outcome_of,
    say,
)

pytestmark = pytest.mark.story

ANNA = Colleague("anna", "Anna Bianchi", "201", ("edotto", "insieme"), browser=True)
BROWSER_RATE = 48_000
SILENT = 0.01
RETURN_SECONDS = 10.0
ATTEMPTS = 5
TALKS = 12.0
"""Seconds in which the agent says ANSWER more than once."""

expect.set_options(timeout=15_000)

WATCH = """() => {
    window.seen = {};
    new MutationObserver(() => {
        if (document.getElementById("call-panel")) window.seen.pop ??= performance.now();
    }).observe(document.body, { childList: true, subtree: true });
    return import(new URL("phone/line.js", document.querySelector("script[src]").src)).then((line) => {
        line.current.subscribe((call) => { if (call) window.seen.ring ??= performance.now(); });
    });
}"""
RECORD = """() => {
    const recorder = new MediaRecorder(document.getElementById("phone-voice").srcObject);
    window.pieces = [];
    recorder.ondataavailable = (event) => window.pieces.push(event.data);
    window.recorded = new Promise((resolve) => (recorder.onstop = resolve));
    recorder.start();
    window.recorder = recorder;
}"""
RECORDED = """async (rate) => {
    window.recorder.stop();
    await window.recorded;
    const bytes = await new Blob(window.pieces).arrayBuffer();
    const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
    const samples = Int16Array.from(sound.getChannelData(0), (value) => Math.max(-1, Math.min(1, value)) * 32767);
    let text = "";
    const raw = new Uint8Array(samples.buffer);
    for (let at = 0; at < raw.length; at += 8192) text += String.fromCharCode(...raw.subarray(at, at + 8192));
    return btoa(text);
}"""


@pytest.fixture
def colleagues() -> tuple[Colleague, ...]:
    return (ANNA, BRUNO, CARLA)


@pytest.fixture
def more_calls() -> dict[str, object]:
    waits = {"ring_seconds": 20, "max_wait_seconds": 60, "announce_seconds": 60, "when_no_agents": "wait"}
    back = {**waits, "wrap_up_seconds": 0, "return_seconds": RETURN_SECONDS}
    return {"queues": dict.fromkeys(("edotto", "secondo", "insieme", "impaziente", "deserto"), back)}


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """A browser with a microphone into which somebody says ANSWER again and again."""
    spoken = np.concatenate([read_samples(ANSWER), silence(0.4)])
    microphone = write_at(tmp_path / "microphone.wav", raised(spoken), BROWSER_RATE)
    arguments = [
        *ARGUMENTS,
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}",
    ]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        await browser.close()


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """One person's browser window; what a page's console says is an error fails the test."""
    context = await browser.new_context(locale="it-IT", viewport={"width": 1366, "height": 768})
    context.set_default_timeout(15_000)
    wrong: list[str] = []
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    yield context
    await context.close()
    assert wrong == []


def raised(samples: Samples) -> Samples:
    """The same sound with the browser's rate."""
    size = len(samples) * BROWSER_RATE // RATE
    return np.fft.irfft(np.fft.rfft(samples), size) * (size / len(samples))


def write_at(path: Path, samples: Samples, rate: int) -> Path:
    """A WAV of another rate than telephones have."""
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


async def log_in(world: World, context: BrowserContext) -> Page:
    page = await context.new_page()
    # what is compared must not be filtered
    await page.add_init_script("""localStorage.setItem("centralino.phone.anna", JSON.stringify({ filter: false }))""")
    await page.goto(world.desk_url)
    await page.get_by_label("Nome utente").fill("anna")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Messaggi").wait_for()
    return page


async def go_on_duty(world: World, page: Page) -> None:
    """One click: sound is tested, the phone registered, the agent free."""
    await page.get_by_role("button", name="Entra in servizio").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Sei in servizio.")
    await page.get_by_role("button", name="Fatto").click()
    await expect(page.locator(".presence-word")).to_have_text("Libero")
    await world.until(reachable)


def reachable(session: Session) -> bool:
    return the_agent(session).phone_reachable


def the_agent(session: Session) -> Agent:
    return session.query(Agent).filter_by(username="anna").one()


async def anna_id(world: World) -> int:
    return await world.read(lambda session: the_agent(session).id)


async def answered(world: World, page: Page, call: Call) -> None:
    """The phone rings in the page, and the agent picks up with the keyboard."""
    await expect(page.get_by_role("button", name="Rispondi")).to_be_enabled()
    await page.keyboard.press("Alt+a")
    await world.call_until(call.id, lambda row: row.phase is Phase.TALKING)
    await expect(page.get_by_role("button", name="Microfono muto")).to_be_visible()


async def heard_in_page(page: Page, caller: Phone, folder: Path) -> float:
    """How surely what a caller says comes out of the page's loudspeaker.

    A machine that is busy with other tests loses packets, so that the caller may have to say it again.
    """
    best = 0.0
    for _ in range(ATTEMPTS):
        await page.evaluate(RECORD)
        await say(caller, QUESTION)
        best = max(best, similarity(QUESTION, await _recorded(page, folder)))
        if best > 0.9:
            break
    return best


async def _recorded(page: Page, folder: Path) -> Path:
    raw = base64.b64decode(await page.evaluate(RECORDED, RATE))
    samples = np.frombuffer(raw, dtype="<i2").astype(np.float64) / 32768
    return write_samples(folder / f"page-{time.monotonic():.3f}.wav", samples)


def loudness(wav: Path) -> float:
    return float(np.sqrt(np.mean(read_samples(wav) ** 2)))


async def contacts(world: World) -> list[str]:
    """The phones that are registered as Anna's."""
    lines = (await world.asterisk.cli("pjsip show contacts")).splitlines()
    return [line for line in lines if "201/" in line]


@pytest.fixture
async def page(world: World, service: Service, context: BrowserContext) -> Page:
    """The agent's page, on duty with its phone."""
    page = await log_in(world, context)
    await go_on_duty(world, page)
    return page


@asynccontextmanager
async def talk(world: World, page: Page) -> AsyncIterator[tuple[Phone, Call]]:
    """A caller whom the agent has answered in the page."""
    async with world.caller(ROSSI.phone, wav=QUESTION) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered(world, page, call)
        yield rossi, call


async def test_a_whole_call_is_done_in_the_browser(world: World, service: Service, page: Page, tmp_path: Path) -> None:
    await page.evaluate(WATCH)
    async with talk(world, page) as (rossi, call):
        assert await page.evaluate("seen.pop <= seen.ring"), "the phone rang before the page showed who calls"

        assert await heard_in_page(page, rossi, tmp_path) > 0.9
        await expect(page.locator(".quality")).to_contain_text("buona")

        await page.get_by_role("button", name="Tastiera").click()
        await page.get_by_role("button", name="5", exact=True).click()
        assert (await rossi.wait_for(Event.KEY)).reason == "5"
        await page.get_by_role("button", name="Tastiera").click()

        await page.get_by_role("button", name="Microfono muto").click()
        muted = time.monotonic()
        await asyncio.sleep(4)
        unmuted = time.monotonic()
        await page.get_by_role("button", name="Riattiva microfono").click()
        await asyncio.sleep(TALKS)
        spoken = time.monotonic()

        await page.get_by_role("button", name="Attesa").click()
        await world.call_until(call.id, lambda row: row.on_hold)
        held = time.monotonic()
        await asyncio.sleep(6)  # longer than a page waits before it says that nothing is heard
        await expect(page.get_by_text("Non si sente niente.")).to_be_hidden()
        resumed = time.monotonic()
        await page.get_by_role("button", name="Riprendi").click()
        await world.call_until(call.id, lambda row: not row.on_hold)

        await page.get_by_role("button", name="Riaggancia").click()
        await rossi.wait_for(Event.CLOSED)
        # a key that is pressed, and packets that are late, shift what was recorded by parts of a second
        assert loudness(heard_between(rossi, muted + 1, unmuted - 1, tmp_path)) < SILENT
        assert similarity(ANSWER, heard_between(rossi, unmuted, spoken, tmp_path)) > 0.9
        assert is_music(heard_between(rossi, held + 0.5, resumed, tmp_path), world)
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await expect(page.get_by_role("button", name="Microfono muto")).to_be_hidden()
    await nothing_left(world, service)


async def test_a_call_is_handed_over_from_the_browser_after_a_word_with_the_colleague(
    world: World, service: Service, page: Page, on_duty: Duty, tmp_path: Path
) -> None:
    async with talk(world, page) as (rossi, call):
        carla = await on_duty(CARLA)
        await page.get_by_role("button", name="Trasferisci").click()
        await page.get_by_label("Carla Neri").check()
        await page.get_by_role("button", name="Prima ci parlo").click()
        await carla.phone.wait_for(Event.RINGING)
        await carla.phone.answer()
        await carla.until_presence("talking")
        await asyncio.sleep(TALKS)
        await page.get_by_role("button", name="Collega", exact=True).click()
        await world.call_until(call.id, lambda row: row.agent_id == carla.id and not row.consulting)
        await expect(page.get_by_role("button", name="Microfono muto")).to_be_hidden()
        for _ in range(3):
            await say(rossi, QUESTION)
        await carla.phone.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(ANSWER, carla.phone.heard()) > 0.9, "Carla did not hear Anna"
        assert similarity(QUESTION, carla.phone.heard()) > 0.9, "Carla did not hear the caller"
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world, service)


async def test_a_page_loaded_anew_in_a_call_gets_the_caller_back(
    world: World, service: Service, page: Page, on_duty: Duty, tmp_path: Path
) -> None:
    asked: list[str] = []

    async def leave(dialog: Dialog) -> None:
        asked.append(dialog.type)
        await dialog.accept()

    page.on("dialog", leave)
    async with talk(world, page) as (rossi, call):
        bruno = await on_duty(BRUNO)  # is free, and must not get the call
        first = (await world.call_until(call.id, lambda row: row.agent_channel_id)).agent_channel_id
        gone = time.monotonic()
        await page.reload()
        assert asked == ["beforeunload"]
        await expect(page.get_by_role("button", name="Rispondi")).to_be_enabled()
        await asyncio.sleep(3)  # it rings, and the caller hears music
        back = time.monotonic()
        await page.get_by_role("button", name="Rispondi").click()
        row = await world.call_until(call.id, lambda row: row.agent_channel_id != first and row.phase is Phase.TALKING)
        assert row.agent_id == await anna_id(world)
        assert await heard_in_page(page, rossi, tmp_path) > 0.9
        await asyncio.sleep(TALKS)
        end = time.monotonic()
        await page.get_by_role("button", name="Riaggancia").click()
        await rossi.wait_for(Event.CLOSED)
        assert is_music(heard_between(rossi, gone + 0.7, back, tmp_path), world)
        assert similarity(ANSWER, heard_between(rossi, back + 0.5, end, tmp_path)) > 0.9
    assert await outcome_of(world, call) is Outcome.ANSWERED
    assert all(one.event is not Event.RINGING for one in bruno.phone.events)
    await nothing_left(world, service)


@pytest.mark.parametrize("soon", [True, False], ids=["opened again at once", "found by its silence"])
async def test_a_browser_that_crashes_in_a_call_gets_the_caller_back(
    world: World, service: Service, page: Page, context: BrowserContext, soon: bool
) -> None:
    async with talk(world, page) as (rossi, call):
        first = (await world.call_until(call.id, lambda row: row.agent_channel_id)).agent_channel_id
        with suppress(PlaywrightError):
            await page.goto("chrome://crash")  # no goodbye, and no word that it goes
        if not soon:
            await world.call_until(call.id, lambda row: row.phase is Phase.RINGING)
        again = await context.new_page()
        await again.goto(world.desk_url)
        await answered(world, again, call)
        row = await world.call_until(call.id, lambda row: row.agent_channel_id != first and row.phase is Phase.TALKING)
        assert row.agent_id == await anna_id(world)
        await again.get_by_role("button", name="Riaggancia").click()
        await rossi.wait_for(Event.CLOSED)
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world, service)


async def test_a_caller_whose_agent_does_not_come_back_is_first_in_the_line_again(
    world: World, service: Service, page: Page, on_duty: Duty
) -> None:
    async with talk(world, page) as (rossi, call):
        await page.close()
        bruno = await on_duty(BRUNO)
        rang = await bruno.phone.wait_for(Event.RINGING, within=RETURN_SECONDS + 10)
        offers = await world.read(lambda session: [offer.result for offer in session.get_one(Call, call.id).offers])
        assert offers[:2] == [OfferResult.ANSWERED, OfferResult.UNREACHABLE]
        assert await world.read(lambda session: the_agent(session).presence) is Presence.PAUSED
        await bruno.phone.answer()
        await world.call_until(call.id, lambda row: row.agent_id == bruno.id and row.phase is Phase.TALKING)
        assert rang.peer
        await bruno.phone.hang_up()
        await rossi.wait_for(Event.CLOSED)
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world, service)


async def test_a_caller_who_hangs_up_while_the_page_is_loaded_anew_leaves_the_agent_to_the_notes(
    world: World, service: Service, page: Page
) -> None:
    async with talk(world, page) as (rossi, call):
        await page.close()
        await world.call_until(call.id, lambda row: row.phase is Phase.RINGING)
        await rossi.hang_up()
        assert await outcome_of(world, call) is Outcome.ANSWERED
    assert await world.read(lambda session: the_agent(session).call_id) is None
    await nothing_left(world, service)


async def test_of_two_pages_one_has_the_phone_and_the_other_can_take_it(
    world: World, service: Service, context: BrowserContext
) -> None:
    first = await log_in(world, context)
    await go_on_duty(world, first)
    second = await context.new_page()
    await second.goto(world.desk_url)
    await expect(second.get_by_text("Il telefono è in un'altra pagina")).to_be_visible()
    await expect(first.get_by_role("button", name="Telefono pronto")).to_be_visible()
    before = await contacts(world)
    assert len(before) == 1

    await second.get_by_role("button", name="Porta qui il telefono").click()
    await expect(second.get_by_role("button", name="Telefono pronto")).to_be_visible()
    await expect(first.get_by_text("Il telefono è in un'altra pagina")).to_be_visible()
    after = await contacts(world)
    assert len(after) == 1
    assert after != before
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered(world, second, call)
        await expect(first.get_by_role("button", name="Rispondi")).to_be_hidden()
        await second.get_by_role("button", name="Riaggancia").click()
        await rossi.wait_for(Event.CLOSED)

    await second.close()
    await expect(first.get_by_role("button", name="Telefono pronto")).to_be_visible()
    assert len(await contacts(world)) == 1
    await nothing_left(world, service)


async def test_a_call_in_which_nothing_is_heard_is_connected_anew_with_one_click(
    world: World, service: Service, page: Page, tmp_path: Path
) -> None:
    async with talk(world, page) as (rossi, call):
        first = (await world.call_until(call.id, lambda row: row.agent_channel_id)).agent_channel_id
        # the caller is taken out of the bridge behind the service's back: nothing comes any more
        bridge = (await world.call_until(call.id, lambda row: row.bridge_id)).bridge_id
        await service.switchboard.applications.own[0].ari.bridges.remove(bridge or "", [call.channel_id])
        await expect(page.get_by_text("Non si sente niente.")).to_be_visible()
        await page.get_by_role("button", name="Ricollega").click()
        await world.call_until(call.id, lambda row: row.agent_channel_id != first and row.phase is Phase.TALKING)
        await expect(page.get_by_role("button", name="Microfono muto")).to_be_visible()
        await expect(page.get_by_text("Non si sente niente.")).to_be_hidden()
        assert await heard_in_page(page, rossi, tmp_path) > 0.9
        await page.get_by_role("button", name="Riaggancia").click()
        await rossi.wait_for(Event.CLOSED)
    await nothing_left(world, service)


async def test_a_key_of_before_lets_nobody_in(world: World, service: Service, context: BrowserContext) -> None:
    page = await log_in(world, context)
    old = await page.evaluate("""() => import("/static/js/api.js").then(({ post }) => post("/phone/key"))""")
    await go_on_duty(world, page)
    impostor = Phone("201", world.asterisk, password=old["key"])
    with pytest.raises(Exception, match="not let in"):
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(impostor)
