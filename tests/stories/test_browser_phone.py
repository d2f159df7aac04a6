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
from ivr import operations
from ivr.models import Agent, Call, OfferResult, Outcome, Phase, Presence
from tests.stories.conftest import (
    ANSWER,
    BRUNO,
    CARLA,
    QUESTION,
    ROSSI,
    SPEECH,
    STAFFED,
    Duty,
    dial,
    heard_from,
    is_music,
    nothing_left,
    outcome_of,
    say,
    so_far,
)

pytestmark = pytest.mark.story

ANNA = Colleague("anna", "Anna Bianchi", "201", ("edotto", "insieme"), browser=True)
BROWSER_RATE = 48_000
SILENT = 0.01
ATTEMPTS = 5
CARLAS_WORDS = SPEECH / "espeak-021.wav"
TALKS = 12.0
"""Seconds in which the agent says ANSWER more than once."""
KEY_DELAY = RATE
"""Samples by which what is heard may follow a click late, on a busy machine."""

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
MACHINE = """
    // what happens to a machine: its network goes away, its microphone is unplugged or not allowed any more
    window.machine = { down: false, sockets: [], peers: [], voices: [], microphone: null };
    window.WebSocket = class extends WebSocket {
        constructor(url, protocols) {
            super(machine.down ? new URL("/nowhere", location.href.replace("http", "ws")) : url, protocols);
            machine.sockets.push(this);
        }
    };
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...how) { super(...how); machine.peers.push(this); }
    };
    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => {
        if (machine.microphone) throw new DOMException("", machine.microphone);
        const voice = await open(wanted);
        machine.voices.push(voice);
        return voice;
    };
    const named = (socket, what) => socket.url.endsWith("/ws") === (what === "phone");
    machine.cut = (whats) => {
        machine.down = true;
        for (const one of machine.sockets) if (whats.some((what) => named(one, what))) one.close();
    };
    machine.unplug = (why) => {
        machine.microphone = why;
        for (const track of machine.voices.flatMap((voice) => voice.getTracks())) {
            track.stop();
            track.dispatchEvent(new Event("ended"));
        }
    };
    machine.plug = () => {
        machine.microphone = null;
        navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
    };
"""
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
def return_seconds() -> float:
    """How long a caller waits for a phone that is lost; a test may override it."""
    return 45.0


@pytest.fixture
def more_calls(return_seconds: float) -> dict[str, object]:
    waits = {"ring_seconds": 20, "max_wait_seconds": 60, "announce_seconds": 60, "when_no_agents": "wait"}
    back = {**waits, "wrap_up_seconds": 0, "return_seconds": return_seconds}
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
    await page.add_init_script(MACHINE)
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

    A browser on a machine that is busy with other tests stretches and cuts what comes late, so that the caller may have
    to say it again: each piece of it counts as the best time it was heard.
    """
    heard, likeness = [], 0.0
    for _ in range(ATTEMPTS):
        await page.evaluate(RECORD)
        await say(caller, QUESTION)
        heard.append(await _recorded(page))
        all_of_it = write_samples(folder / f"page-{time.monotonic():.3f}.wav", np.concatenate(heard))
        likeness = await asyncio.to_thread(similarity, QUESTION, all_of_it)
        if likeness > 0.9:
            break
    return likeness


async def _recorded(page: Page) -> Samples:
    raw = base64.b64decode(await page.evaluate(RECORDED, RATE))
    return np.frombuffer(raw, dtype="<i2").astype(np.float64) / 32768


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
        muted = so_far(rossi)
        await asyncio.sleep(4)
        unmuted = so_far(rossi)
        await page.get_by_role("button", name="Riattiva microfono").click()
        await asyncio.sleep(TALKS)
        spoken = so_far(rossi)

        await page.get_by_role("button", name="Attesa").click()
        await world.call_until(call.id, lambda row: row.on_hold)
        held = so_far(rossi)
        await asyncio.sleep(6)  # longer than a page waits before it says that nothing is heard
        await expect(page.get_by_text("Non si sente niente.")).to_be_hidden()
        resumed = so_far(rossi)
        await page.get_by_role("button", name="Riprendi").click()
        await world.call_until(call.id, lambda row: not row.on_hold)

        await page.get_by_role("button", name="Riaggancia").click()
        await rossi.wait_for(Event.CLOSED)
        assert loudness(heard_from(rossi, muted + KEY_DELAY, unmuted, tmp_path)) < SILENT
        assert similarity(ANSWER, heard_from(rossi, unmuted, spoken, tmp_path)) > 0.9
        assert is_music(heard_from(rossi, held, resumed, tmp_path), world)
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
        gone = so_far(rossi)
        await page.reload()
        assert asked == ["beforeunload"]
        await expect(page.get_by_role("button", name="Rispondi")).to_be_enabled()
        await asyncio.sleep(3)  # it rings, and the caller hears music
        back = so_far(rossi)
        await page.get_by_role("button", name="Rispondi").click()
        row = await world.call_until(call.id, lambda row: row.agent_channel_id != first and row.phase is Phase.TALKING)
        assert row.agent_id == await anna_id(world)
        assert await heard_in_page(page, rossi, tmp_path) > 0.9
        await asyncio.sleep(TALKS)
        end = so_far(rossi)
        await page.get_by_role("button", name="Riaggancia").click()
        await rossi.wait_for(Event.CLOSED)
        assert is_music(heard_from(rossi, gone + KEY_DELAY, back, tmp_path), world)
        assert similarity(ANSWER, heard_from(rossi, back, end, tmp_path)) > 0.9
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


@pytest.mark.parametrize("return_seconds", [3.0])
async def test_a_caller_whose_agent_does_not_come_back_is_first_in_the_line_again(
    world: World, service: Service, page: Page, on_duty: Duty
) -> None:
    async with talk(world, page) as (rossi, call):
        bruno = await on_duty(BRUNO)
        await page.close()
        await world.call_until(call.id, lambda row: row.phase is Phase.RINGING)
        rang = await bruno.phone.wait_for(Event.RINGING, within=20)
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


# ---------------------------------------------------------------------------------------------------------- losses


async def test_a_phone_that_loses_its_websocket_in_a_call_talks_on_and_is_there_for_the_next_one(
    world: World, service: Service, page: Page, tmp_path: Path
) -> None:
    async with talk(world, page) as (rossi, call):
        first = (await world.call_until(call.id, lambda row: row.agent_channel_id)).agent_channel_id
        await page.evaluate("machine.cut(['phone'])")
        await expect(page.get_by_text("La chiamata continua; il collegamento torna da solo.")).to_be_visible()
        cut = so_far(rossi)
        assert await heard_in_page(page, rossi, tmp_path) > 0.9
        await asyncio.sleep(TALKS)
        mended = so_far(rossi)
        await page.evaluate("machine.down = false")
        await expect(page.get_by_role("button", name="Telefono pronto")).to_be_visible(timeout=40_000)
        row = await world.call_until(call.id, bool)
        assert (row.agent_channel_id, row.phase) == (first, Phase.TALKING)
        await page.get_by_role("button", name="Riaggancia").click()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(ANSWER, heard_from(rossi, cut, mended, tmp_path)) > 0.9
    # Asterisk's goodbye went to a websocket that is gone; a phone that still thinks it talks is rung all the same
    await world.until(reachable)
    async with world.caller(ROSSI.phone) as rossi:
        again = await dial(world, rossi, STAFFED)
        await page.get_by_role("button", name="Chiamata in arrivo").click()  # behind the one that is to be registered
        await answered(world, page, again)
        await page.get_by_role("button", name="Riaggancia").click()
        await rossi.wait_for(Event.CLOSED)
    for one in (call, again):
        assert await outcome_of(world, one) is Outcome.ANSWERED
    await nothing_left(world, service)


async def test_a_network_that_goes_away_in_a_call_costs_music_and_then_the_two_talk_on(
    world: World, service: Service, page: Page, on_duty: Duty, tmp_path: Path
) -> None:
    async with talk(world, page) as (rossi, call):
        bruno = await on_duty(BRUNO)  # is free, and must not get the call
        first = (await world.call_until(call.id, lambda row: row.agent_channel_id)).agent_channel_id
        await page.get_by_role("button", name="Microfono muto").click()
        await page.evaluate("""() => {
            machine.cut(["phone", "desk"]);
            machine.peers.at(-1).close();
        }""")
        await world.call_until(call.id, lambda row: row.phase is Phase.RINGING)  # nothing came from it
        gone = so_far(rossi)
        await asyncio.sleep(3)
        back = so_far(rossi)
        await page.evaluate("() => { machine.down = false; dispatchEvent(new Event('online')); }")
        await world.call_until(
            call.id, lambda row: row.agent_channel_id != first and row.phase is Phase.TALKING, within=40
        )
        unmute = page.get_by_role("button", name="Riattiva microfono")  # nobody hears what is not meant for them
        await expect(unmute).to_be_visible()
        muted = so_far(rossi)
        assert await heard_in_page(page, rossi, tmp_path) > 0.9
        heard = so_far(rossi)
        await unmute.click()
        await asyncio.sleep(TALKS)
        end = so_far(rossi)
        await page.get_by_role("button", name="Riaggancia").click()
        await rossi.wait_for(Event.CLOSED)
        assert is_music(heard_from(rossi, gone, back, tmp_path), world)
        assert loudness(heard_from(rossi, muted + KEY_DELAY, heard, tmp_path)) < SILENT
        assert similarity(ANSWER, heard_from(rossi, heard, end, tmp_path)) > 0.9
    assert await outcome_of(world, call) is Outcome.ANSWERED
    assert all(one.event is not Event.RINGING for one in bruno.phone.events)
    await nothing_left(world, service)


@pytest.mark.parametrize(
    ("why", "words"),
    [("NotFoundError", "Non c'è un microfono"), ("NotAllowedError", "Il microfono non è permesso")],
    ids=["unplugged", "not allowed any more"],
)
async def test_a_caller_whose_agent_has_no_microphone_any_more_hears_music_until_there_is_one(
    world: World, service: Service, page: Page, tmp_path: Path, why: str, words: str
) -> None:
    async with talk(world, page) as (rossi, call):
        await page.evaluate("(why) => machine.unplug(why)", why)
        await world.call_until(call.id, lambda row: row.on_hold)
        told = page.get_by_role("alert").filter(has_text="Il telefono non si può usare.")
        await expect(told).to_contain_text(words)
        await expect(told).to_contain_text("Chi chiama sente la musica")
        lost = so_far(rossi)
        await asyncio.sleep(4)
        found = so_far(rossi)
        if why == "NotFoundError":
            await page.evaluate("machine.plug()")
        else:  # allowed again: browsers tell nobody
            await page.evaluate("machine.microphone = null")
            await told.get_by_role("button", name="Controlla").click()
            await page.get_by_role("button", name="Prova", exact=True).click()
            await expect(page.get_by_role("dialog")).to_contain_text("Provato.")
            await page.keyboard.press("Escape")
        await expect(told).to_be_hidden()
        assert (await world.call_until(call.id, bool)).on_hold, "nobody is heard before the agent wants to be"
        await page.get_by_role("button", name="Riprendi").click()
        await world.call_until(call.id, lambda row: not row.on_hold)
        resumed = so_far(rossi)
        await asyncio.sleep(TALKS)
        end = so_far(rossi)
        await page.get_by_role("button", name="Riaggancia").click()
        await rossi.wait_for(Event.CLOSED)
        assert is_music(heard_from(rossi, lost, found, tmp_path), world)
        assert similarity(ANSWER, heard_from(rossi, resumed, end, tmp_path)) > 0.9
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world, service)


async def test_without_a_microphone_nobody_goes_on_duty_and_a_desk_phone_is_the_other_way(
    world: World, service: Service, context: BrowserContext
) -> None:
    page = await log_in(world, context)
    await page.evaluate("machine.microphone = 'NotAllowedError'")
    await page.get_by_role("button", name="Entra in servizio").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("alert")).to_contain_text("Il microfono non è permesso")
    await expect(dialog).to_contain_text("un supervisore ti dà un telefono da tavolo")
    await page.keyboard.press("Escape")
    await expect(page.locator(".presence-word")).to_have_text("Fuori servizio")
    await service.database.run(operations.change_agent, "carla", endpoint="PJSIP/109")  # gives hers away
    await service.database.run(operations.change_agent, "anna", endpoint="PJSIP/103", browser_phone=False)
    await page.reload()
    await expect(page.locator(".phone-button")).to_have_count(0)
    async with world.phone("103", answer="manual") as phone, world.caller(ROSSI.phone) as rossi:
        await page.get_by_role("button", name="Entra in servizio").click()
        await expect(page.locator(".presence-word")).to_have_text("Libero")
        call = await dial(world, rossi, STAFFED)
        await phone.wait_for(Event.RINGING)
        await phone.answer()
        await world.call_until(call.id, lambda row: row.phase is Phase.TALKING)
        await rossi.hang_up()
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world, service)


# ------------------------------------------------------------------------------------------------------ second call


async def test_with_the_keyboard_an_agent_has_a_second_call_swaps_the_two_and_lets_all_three_talk(
    world: World, service: Service, page: Page, on_duty: Duty, tmp_path: Path
) -> None:
    async def press(name: str) -> None:
        await page.get_by_role("button", name=name, exact=True).focus()
        await page.keyboard.press("Enter")

    async with talk(world, page) as (rossi, call):
        carla = await on_duty(CARLA)
        await press("2ª chiamata")
        dialog = page.get_by_role("dialog", name="Seconda chiamata")
        await dialog.get_by_label("Carla Neri").focus()
        await page.keyboard.press("Space")
        await press("Chiama")
        await carla.phone.wait_for(Event.RINGING)
        status = page.get_by_role("group", name="Comandi della chiamata").get_by_role("status")
        await expect(status).to_contain_text("Squilla la seconda chiamata")
        await carla.phone.answer()
        await expect(status).to_contain_text("Parli con la seconda persona")
        await expect(page.get_by_role("button", name="Scambia")).to_be_focused()  # where the next step is
        asked = so_far(rossi)
        await asyncio.sleep(TALKS)
        music = heard_from(rossi, asked, so_far(rossi), tmp_path)
        assert is_music(music, world)
        assert similarity(ANSWER, music) < 0.6

        await press("Scambia")
        await expect(status).to_contain_text("Parli con chi chiama")
        swapped = so_far(rossi), so_far(carla.phone)
        await asyncio.sleep(TALKS)
        assert similarity(ANSWER, heard_from(rossi, swapped[0], so_far(rossi), tmp_path)) > 0.9
        assert is_music(heard_from(carla.phone, swapped[1], so_far(carla.phone), tmp_path), world)

        await press("Scambia")
        await expect(status).to_contain_text("Parli con la seconda persona")
        back = so_far(rossi)
        await asyncio.sleep(4)
        assert is_music(heard_from(rossi, back, so_far(rossi), tmp_path), world)

        await press("Tutti e tre")
        await expect(status).to_contain_text("Parlate in tre")
        await press("Microfono muto")
        joined = so_far(rossi), so_far(carla.phone)
        assert await heard_in_page(page, rossi, tmp_path) > 0.9
        for _ in range(2):
            await say(carla.phone, CARLAS_WORDS)
        assert similarity(QUESTION, heard_from(carla.phone, joined[1], so_far(carla.phone), tmp_path)) > 0.8
        assert similarity(CARLAS_WORDS, heard_from(rossi, joined[0], so_far(rossi), tmp_path)) > 0.8
        await press("Riattiva microfono")

        await press("Chiudi la seconda")
        await carla.phone.wait_for(Event.CLOSED)
        assert similarity(ANSWER, carla.phone.heard()) > 0.9
        row = await world.call_until(call.id, lambda row: not row.consulting)
        assert (row.agent_id, row.on_hold, row.third_away) == (await anna_id(world), False, False)
        alone = so_far(rossi)
        await asyncio.sleep(TALKS)
        assert similarity(ANSWER, heard_from(rossi, alone, so_far(rossi), tmp_path)) > 0.9
        await press("Riaggancia")
        await rossi.wait_for(Event.CLOSED)
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world, service)
