"""Every view, menu, dialog and form of the desk, opened one after the other, and what must hold in each of them.

No rule of accessibility is broken, in light and dark and in both languages; nothing that somebody wrote becomes more
than text. The walk knows no words, so that it is the same in every language; a section of the navigation that it does
not come to fails the test. `make screenshots` has it make the pictures of docs/.
"""

import io
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image
from playwright.async_api import BrowserContext, Page, Route, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.desk_server import PASSWORD, DeskServer
from ivr.models import Agent, OfferResult, PauseReason, Phase, Presence
from ivr.operations import bookmark, end_offer
from tickets.alarms import Alarms, AlarmSettings, Words
from tickets.attachments import add_attachment
from tickets.database import announce
from tickets.directory import edit_company
from tickets.levels import add_group
from tickets.lifecycle import Role
from tickets.models import Company, DeliveryState, OutboxMail, Request, Status
from tickets.operations import add_note, edit_request, link_child, move_request
from voicemail.models import Message, TranscriptState

pytestmark = pytest.mark.contract

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")
WCAG_21_AA = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
CHECK = """async (tags) => {
    const found = await axe.run(document, { runOnly: { type: "tag", values: tags }, resultTypes: ["violations"] });
    if (found.passes.length < 12) throw new Error(`only ${found.passes.length} rules had something to look at`);
    const why = (node) => [...node.any, ...node.all, ...node.none].map((one) => one.message).join("; ");
    return found.violations.flatMap((rule) =>
        rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 160)} | ${why(node)}`));
}"""

SCROLLS = "document.querySelector('.frame') !== null && document.scrollingElement.scrollHeight > innerHeight"

HARM = "'\" data-injected=1 <img src=x onerror=hacked=1>javascript:hacked=1//${7*7}{{7*7}}</script>\u202e\u2066"
"""What would be an attribute, an element, an address, an expression of a template, and a change of direction."""
WATCH = """() => {
    window.broken = [];
    document.addEventListener("securitypolicyviolation", (event) =>
        window.broken.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
}"""
INJECTED = """() => {
    const never = `[data-injected], [onerror], [onload], [onclick], [style*=hacked], img[src=x], base, iframe, object,
        body script, a[href*="javascript:" i], form[action]`;
    return [
        ...(window.hacked === undefined ? [] : ["a script ran"]), ...window.broken,
        ...[...document.querySelectorAll(never)].map((one) => one.outerHTML.slice(0, 200)),
    ];
}"""
TURNED = """() => {
    const turning = /[\\u202a-\\u202e\\u2066-\\u2069]/, found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const text = walker.currentNode;
        if (!turning.test(text.data)) continue;
        let box = text.parentElement;
        const alone = (one) => /isolate|plaintext/.test(getComputedStyle(one).unicodeBidi)
            || !/^(inline|contents)$/.test(getComputedStyle(one).display);
        while (!alone(box)) box = box.parentElement;
        const isAlone = box.localName === "bdi" || box.textContent.trim() === text.data.trim();
        if (!isAlone) found.push(box.outerHTML.slice(0, 200));
    }
    return found;
}"""
"""Texts that would turn the words beside them round."""

PICTURES = {
    *("log-in", "messages", "a message", "requests", "a request", "a new request", "a call"),
    *("calls", "for supervisors", "the wallboard", "the history", "administration: #/admin/people", "the report"),
}
WIDTH, HEIGHT = 1366, 768
SPEECH = Path(__file__).resolve().parents[2] / "centralino/rig/speech/espeak-019.wav"

Say = Callable[[str], str]


class Scene:
    """A desk at work, with something of everything; `say` makes the texts that others write."""

    def __init__(self, served: DeskServer, say: Say = str, language: str = "it") -> None:
        self.served, self.say, self.language = served, say, language

    async def prepare(self) -> None:
        served, say = self.served, self.say
        self.giulia = await served.agent(
            "giulia", say("Giulia Ferrante"), presence=Presence.FREE, language=self.language
        )
        await served.agent("marco", say("Marco De Luca"), presence=Presence.FREE)
        await served.agent("sara", say("Sara Conte"), presence=Presence.PAUSED)
        await served.supervisor("paola")
        self.teresa = await served.contact(
            say("Teresa Lorusso"), company=say("ASL Bari")[:100], email="t.lorusso@asl.example.org"
        )
        await served.database.run(add_group, say("Applicativi clinici")[:100], 2)
        about = {"contact_id": self.teresa, "email": "t.lorusso@asl.example.org", "phone": "+390805551234"}
        self.open = await served.request(
            say("Stampa del referto bloccata"),
            description=say("Dalle otto di stamattina, su tutte le postazioni di cardiologia."),
            area="network",
            impact=1,
            urgency=1,
            pickup_due_at=served.now() + timedelta(minutes=50),
            **about,
        )
        self.mine = await served.request(say("Password scaduta"), holder="giulia", actor="giulia", **about)
        self.below = await served.request(say("Anche da noi non si stampa"), **about)
        await served.message(
            "m1", say("buongiorno non riesco a entrare nel portale grazie"), contact_id=self.teresa, seconds=9
        )
        shutil.copy(SPEECH, served.audio / "m1.wav")  # a waveform is to be seen
        await served.message("m2", caller="+393331112222", due=timedelta(minutes=-5))
        await served.message("m3", speech=0.1)
        await served.message("m4", caller=None)
        await served.waiting_call("+390883555777", choice="credentials", waited=150)
        await served.database.run(self._fill)
        alarms = Alarms(served.database, AlarmSettings(), served.notices, served.now)
        words = Words(
            it=say("Il disco dei messaggi è quasi pieno."),
            en=say("The disk of the messages is nearly full: make room."),
        )
        await alarms.sound("disk_space", words)
        await served.missed_call("+390805551234")

    def _fill(self, session: Session) -> None:
        served, say, now = self.served, self.say, self.served.now()
        company = session.scalars(select(Company)).one()
        desk = {"phone": "0805550000", "hours": say("lun-ven 8-14"), "email": "ced@asl.example.org"}
        edit_company(session, company.id, {f"level_0_{name}": value for name, value in desk.items()})
        failed = session.get_one(Message, "m4")
        failed.transcript_state, failed.transcript_error = TranscriptState.FAILED, say("recogniser died")
        attachments = served.app.state.desk.attachments
        for name, media_type, content in (
            ("schermata.png", "image/png", _picture()),
            ("modulo.pdf", "application/pdf", b"%PDF-1.4\n%%EOF\n"),
            ("log.txt", "text/plain", b"<script>window.hacked=1</script>"),
        ):
            kept = attachments.keep(content, now)
            one = session.get_one(Request, self.open.id)
            add_attachment(session, one, kept, name=say(name), media_type=media_type, actor="giulia", now=now)
        add_note(session, self.open.id, say("Provato a riavviare il servizio di stampa."), actor="giulia", now=now)
        link_child(session, self.below.id, self.open.id, actor="giulia", now=now)
        edit_request(session, self.open.id, {"subject": say("Stampa dei referti bloccata")}, actor="giulia", now=now)
        for mail in session.scalars(select(OutboxMail).where(OutboxMail.request_id == self.open.id)):
            mail.state, mail.last_error = DeliveryState.DEAD, say("550 no such user")
        for mail in session.scalars(select(OutboxMail).where(OutboxMail.request_id == self.mine.id)):
            mail.state, mail.last_error = DeliveryState.HELD, say("over the cap")
        move_request(
            session,
            self.mine.id,
            Status.RESOLVED,
            served.notices,
            actor="giulia",
            role=Role.AGENT,
            text=say("Reimpostata."),
            now=now,
        )

    def change_agent(self, session: Session, /, **fields: Any) -> None:
        agent = session.get_one(Agent, self.giulia)
        for name, value in fields.items():
            setattr(agent, name, value)
        announce(session, "agent", agent.id)


async def log_in(page: Page, served: DeskServer, username: str) -> None:
    await page.locator("input[name=username]").fill(username)
    await page.locator("input[name=password]").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator(".frame")).to_be_visible()


async def every_view(page: Page, scene: Scene) -> AsyncIterator[str]:
    """Open one after the other, as an agent and then as a supervisor; gives what is shown now."""
    served = scene.served
    await page.emulate_media(reduced_motion="reduce")
    await page.goto(served.url)
    await expect(page.locator("input[name=username]")).to_be_visible()
    yield "log-in"
    await page.locator("input[name=username]").fill("giulia")
    await page.locator("input[name=password]").fill("not this one")
    await page.keyboard.press("Enter")
    await expect(page.locator(".login-card [role=alert]")).to_be_visible()
    yield "log-in refused"
    await log_in(page, served, "giulia")
    visited = {"#/messages"}
    for views in (messages, requests, calls, new_request, menus, call, banners):
        async for name in views(page, scene):
            yield name
            visited.add(section_of(page))
    await every_section_was_visited(page, visited)
    async for name in for_supervisors(page, scene):
        yield name
        visited.add(section_of(shown(page)))
        if name.startswith("administration"):
            await every_section_was_visited(shown(page), visited)


SECTIONS, ADDRESSES = "a[href^='#/']", "all => all.map((one) => one.getAttribute('href'))"


def section_of(page: Page) -> str:
    return "#/" + page.url.partition("#/")[2].split("/")[0]


async def every_section_was_visited(page: Page, visited: set[str]) -> None:
    sections = await page.locator("nav").locator(SECTIONS).evaluate_all(ADDRESSES)
    assert set(sections) <= visited, "sections that the walk does not come to"


async def show(page: Page, scene: Scene, path: str, shown: str) -> None:
    await page.goto(f"{scene.served.url}/#/{path}")
    await expect(page.locator(shown).first).to_be_visible()


async def messages(page: Page, scene: Scene) -> AsyncIterator[str]:
    await show(page, scene, "messages", ".master .row")
    yield "messages"
    await show(page, scene, "messages/m1", ".words")
    await expect(page.locator(".wave")).to_be_visible()
    yield "a message"
    await page.locator(".words .doubtful").first.click()
    await expect(page.locator(".words .now")).to_have_count(1)
    await page.locator("button.play").click()
    yield "a message that was heard"
    await page.locator(".player-card .small", has=page.locator(".icon")).last.click()
    await expect(page.locator(".player-card .change textarea")).to_be_focused()
    yield "a transcript that is being corrected"
    await page.locator(".player-card .change textarea").fill(scene.say("Buongiorno, non riesco a entrare nel portale."))
    await page.locator(".player-card .change .primary").click()
    await expect(page.locator(".corrected")).to_be_visible()
    yield "a transcript that was corrected"
    await page.locator(".transcript-foot [aria-pressed]").click()
    yield "the original of a transcript that was corrected"
    await page.locator(".page > .actions [aria-expanded]").last.click()
    await expect(page.locator(".page > .change .past-list button").first).to_be_visible()
    yield "a message that is being merged"
    await show(page, scene, "messages/m4", ".transcript-state")
    yield "a message whose transcript failed"
    await page.locator("details.fold summary").click()
    await show(page, scene, "messages/m3", ".page")
    yield "messages without words"


async def requests(page: Page, scene: Scene) -> AsyncIterator[str]:
    await show(page, scene, "requests", ".master .row")
    yield "requests"
    await page.locator(".several-bar input").click()
    await expect(page.locator(".several-bar > button").first).to_be_visible()
    yield "several requests"
    for number in range(1, await page.locator(".several-bar > button").count()):
        await page.locator(".several-bar > button").nth(number).click()
        await page.locator("dialog[open] .primary").click()
        await expect(page.locator("dialog [role=alert]").first).to_be_visible()
        yield f"what is told of several requests, {number}"
        await page.keyboard.press("Escape")
        await expect(page.locator("dialog[open]")).to_have_count(0)
    await page.route("**/api/requests/several", _refuse_some)
    await page.locator(".several-bar > button").first.click()
    await expect(page.locator(".several-told")).to_be_visible()
    yield "several requests of which some are refused"
    await page.locator(".several-told > button").click()
    await page.locator(".find input").fill("xyzzy")
    await expect(page.locator(".master .row")).to_have_count(0)
    yield "nothing that is found"
    await page.locator(".find input").fill("cardiologia")
    await expect(page.locator(".master .row")).to_have_count(1)
    yield "requests that are found"
    lists = page.locator(".view-head .menu")
    for number in (0, -1):  # to save what is looked for, and to choose what is shown
        await lists.locator("button").first.click()
        await lists.locator(".menu-list button").nth(number).click()
        await expect(page.locator("dialog[open]")).to_be_visible()
        yield f"a list of one's own, {number}"
        await page.keyboard.press("Escape")
        await expect(page.locator("dialog[open]")).to_have_count(0)
    await page.locator(".find input").fill("")
    await page.locator(".filters select").first.select_option("closed")
    await expect(page.locator(".master .row")).to_have_count(1)
    yield "requests that were closed"
    await page.locator(".filters select").first.select_option("work")
    await show(page, scene, f"requests/{scene.mine.id}", ".history")
    yield "a request that was solved"
    await show(page, scene, f"requests/{scene.open.id}", ".history")
    await expect(page.locator(".files img")).to_be_visible()
    yield "a request"
    openers = page.locator(".actions > button[aria-expanded]")
    changes = await openers.count() - 1  # the last calls back
    assert changes >= 3
    for number in range(changes):
        await openers.nth(number).click()
        await expect(page.locator(".change")).to_have_count(1)
        yield f"a change of a request, {number}"
        if number < changes - 1:  # the last, to edit, may be sent as it is
            await page.locator(".change-foot > :last-child").click()
            await expect(page.locator(".change [role=alert]").first).to_be_visible()
            yield f"a change of a request without its words, {number}"
        await page.locator(".change-foot > :first-child").click()
        await expect(page.locator(".change")).to_have_count(0)
    await openers.last.click()
    yield "calling back"
    await page.locator(".change-foot > :first-child").click()
    await page.locator(".actions .menu > button").click()
    yield "the menu of links"
    await page.locator(".actions .menu-list button").last.click()
    await page.locator(".change input").fill(scene.below.ticket or "")
    await page.locator(".change-foot > :last-child").click()
    await expect(page.locator(".both")).to_be_visible()
    yield "two requests side by side"
    await page.locator(".change-foot > :first-child").click()


async def calls(page: Page, scene: Scene) -> AsyncIterator[str]:
    await show(page, scene, "calls", ".master .row")
    yield "calls"
    await page.locator(".master a.row").first.click()
    await expect(page.locator(".detail .page")).to_be_visible()
    yield "one call of the list"


async def new_request(page: Page, scene: Scene) -> AsyncIterator[str]:
    await show(page, scene, "new", ".counter-form")
    await page.locator(".combo input").fill("teresa")
    await expect(page.locator(".combo [role=option]")).to_have_count(2)
    yield "people to choose from"
    await page.locator(".combo [role=option]").last.click()
    await page.locator(".counter-form .switch input").dispatch_event("click")
    await page.locator(".counter-form .primary").click()
    await expect(page.locator(".counter-form [role=alert]").first).to_be_visible()
    yield "a new request with everything missing"
    await page.locator("fieldset.person .link").click()
    await page.locator(".combo input").fill("teresa")
    await page.locator(".combo [role=option]").first.click()
    await page.locator("[name=kind]").first.dispatch_event("click")
    await page.locator(".counter-form select").select_option("application")
    subject = page.locator(".counter-form input[maxlength='200']").last
    await subject.fill(scene.say("Come si stampa un referto"))
    await page.locator(".counter-form .switch input").dispatch_event("click")
    yield "a new request"
    await page.locator(".counter-form .primary").click()
    await expect(page.locator(".registered")).to_be_visible()
    yield "a request that is registered"


async def menus(page: Page, scene: Scene) -> AsyncIterator[str]:
    await show(page, scene, "messages", ".master .row")
    await page.locator(".presence .menu > button").click()
    yield "the menu of presence"
    await page.keyboard.press("Escape")
    await page.locator(".top button.me").click()
    yield "the menu of a person"
    await page.keyboard.press("Escape")
    for number, what in enumerate(("the keys", "the own log-ins")):
        await page.locator(".top button.me").click()
        await page.locator(".top .menu-list .menu-item:not([aria-busy])").nth(number).click()
        await expect(page.locator("dialog[open]")).to_be_visible()
        await expect(page.locator("dialog .loading")).to_have_count(0)
        yield what
        await page.keyboard.press("Escape")


async def call(page: Page, scene: Scene) -> AsyncIterator[str]:
    served = scene.served
    first = await served.waiting_call("+390805551234", choice="credentials", waited=35)
    offer = await served.ring(first, scene.giulia)
    await expect(page.locator(".call-panel .caller")).to_be_visible()
    yield "a call that rings"
    await page.locator(".identity button.link").click()
    await page.locator("dialog input[type=search]").fill("teresa")
    await expect(page.locator("dialog .people .who")).to_have_count(1)
    yield "who is calling"
    await page.locator("dialog > button.quiet").click()
    await page.locator("dialog input").first.fill("")
    await page.locator("dialog .primary").click()
    await expect(page.locator("dialog [role=alert]")).to_be_visible()
    yield "somebody new who is calling"
    await page.keyboard.press("Escape")
    await served.answer(offer)
    await expect(page.locator(".controls")).to_be_visible()
    yield "a call"
    for number, what in enumerate(("where a call goes", "whom a second call goes to")):
        await page.locator(".controls > button:not([aria-busy])").nth(number).click()
        await page.locator("dialog input[value=number]").dispatch_event("click")
        yield what
        await page.keyboard.press("Escape")
    for away in (True, False):
        await served.database.run(bookmark, first, Phase.TALKING, consulting=True, third_away=away)
        await expect(page.locator(".controls [role=status]")).to_have_count(1)
        await expect(page.locator(".controls button")).to_have_count(4 if away else 3)
        yield f"a second call {'on hold' if away else 'of all three'}"
    await served.database.run(bookmark, first, Phase.TALKING, consulting=False)
    await expect(page.locator(".controls .danger")).to_be_visible()
    await page.locator(".call-foot .primary").click()
    await expect(page.locator(".call-form [role=alert]").first).to_be_visible()
    yield "the form of a call with everything missing"
    await page.locator(".call-foot .menu > button").click()
    yield "why a call needs no request"
    await page.keyboard.press("Escape")
    second = await served.ring(await served.waiting_call("+393332223333"), scene.giulia)
    await expect(page.locator(".call-tab")).to_have_count(2)
    await page.locator(".call-tab.ringing").click()
    yield "two calls, and somebody who is not known"
    await page.locator(".call-tab.talking").click()
    await page.locator(".call-form [name=kind]").first.dispatch_event("click")
    await page.locator(".call-form input[maxlength='200']").fill(scene.say("Password dimenticata"))
    await page.locator(".call-foot .primary").click()
    await expect(page.locator(".call-panel .registered")).to_be_visible()
    yield "a call with its ticket number"
    await served.hang_up(first)
    await served.database.run(end_offer, second, OfferResult.MISSED, misses_before_pause=1, now=served.now())
    await expect(page.locator(".call-tab")).to_have_count(0)


async def banners(page: Page, scene: Scene) -> AsyncIterator[str]:
    served = scene.served
    missed = {"presence": Presence.PAUSED, "pause_reason": PauseReason.MISSED_CALL, "call_id": None}
    await served.database.run(scene.change_agent, **missed)
    await expect(page.locator(".banner.warn")).to_be_visible()
    yield "a pause after a missed call"
    away = {"pause_reason": PauseReason.PHONE_UNREACHABLE, "phone_reachable": False}
    await served.database.run(scene.change_agent, **away)
    await expect(page.locator(".banner.bad")).to_be_visible()
    yield "a phone that cannot be reached"
    await page.route_web_socket("**/api/live", lambda socket: socket.close())
    for browser in tuple(served.live._browsers):
        await browser.socket.close(1012)
    await expect(page.locator(".banner.bad")).to_have_count(2)
    yield "a lost connection"


async def for_supervisors(page: Page, scene: Scene) -> AsyncIterator[str]:
    await page.context.clear_cookies()
    page = await page.context.new_page()
    await page.emulate_media(reduced_motion="reduce")
    await page.goto(scene.served.url)
    await log_in(page, scene.served, "paola")
    if scene.language == "en":
        await page.locator(".top button.me").click()
        await page.locator(".top .menu-item[lang=en]").click()
    await expect(page.locator(".banner")).to_be_visible()
    yield "for supervisors"
    await show(page, scene, "mails", ".master")
    yield "mails"
    await show(page, scene, "board", ".board-lists")
    await expect(page.locator(".board .loading")).to_have_count(0)
    yield "the wallboard"
    await show(page, scene, "history", "main h2")
    await expect(page.locator("main .loading")).to_have_count(0)
    yield "the history"
    await show(page, scene, "admin", ".tabs")
    tabs = await page.locator(".tabs a").evaluate_all(ADDRESSES)
    for tab in tabs:
        await show(page, scene, tab.removeprefix("#/"), ".tabs [aria-current=page]")
        await expect(page.locator("main .loading")).to_have_count(0)
        yield f"administration: {tab}"
        folds = page.locator("main details > summary")
        if await folds.count():
            for number in range(await folds.count()):
                await folds.nth(number).click()
            yield f"administration: {tab}, unfolded"
        begin = page.locator("main section.parts > p.actions > button")
        if await begin.count():
            for _ in range(await begin.count()):
                await begin.first.click()
            yield f"administration: {tab}, new ones"
        add = page.locator("main p.actions > button.primary:visible")
        if await add.count() and not await folds.count():
            await add.first.click()
            await expect(page.locator("dialog[open]")).to_be_visible()
            yield f"administration: {tab}, new"
            await page.keyboard.press("Escape")
            await expect(page.locator("dialog[open]")).to_have_count(0)
    await page.goto(f"{scene.served.url}/report?month={scene.served.now():%Y-%m}")
    await expect(page.locator("table").first).to_be_visible()
    yield "the report"


async def _refuse_some(route: Route) -> None:
    asked = json.loads(route.request.post_data or "{}")["requests"]
    results = [
        {"id": one["id"], "done": not n, "error": "x", "message": "Già in carico."} for n, one in enumerate(asked)
    ]
    await route.fulfill(json={"results": results})


def _picture() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (60, 40), "teal").save(content, "PNG")
    return content.getvalue()


def shown(page: Page) -> Page:
    """The page that was opened last."""
    return page.context.pages[-1]


@pytest.mark.parametrize(("language", "schemes"), [("it", ("light", "dark")), ("en", ("light",))])
async def test_no_view_breaks_a_rule_of_accessibility(
    served: DeskServer, context: BrowserContext, language: str, schemes: Sequence[Literal["light", "dark"]]
) -> None:
    scene = Scene(served, language=language)
    await scene.prepare()
    page = await context.new_page()
    wrong: set[str] = set()
    seen = 0
    async for view in every_view(page, scene):
        for colours in schemes:
            await shown(page).emulate_media(color_scheme=colours, reduced_motion="reduce")
            await shown(page).evaluate(AXE)
            found = await shown(page).evaluate(CHECK, WCAG_21_AA)
            wrong |= {f"{view}, {colours}: {one}" for one in found}
        seen += 1
    assert not wrong, "\n".join(sorted(wrong))
    assert seen > 40


async def test_what_others_wrote_is_text_in_every_view(served: DeskServer, context: BrowserContext) -> None:
    scene = Scene(served, say=lambda text: f"{text} {HARM}")
    await scene.prepare()
    await context.add_init_script(f"({WATCH})()")
    page = await context.new_page()
    wrong: dict[str, list[str]] = {}
    with_harm = 0
    async for view in every_view(page, scene):
        now = shown(page)
        found = [*(await now.evaluate(INJECTED)), *(await now.evaluate(TURNED))]
        if found:
            wrong[view] = found
        with_harm += "data-injected=1" in await now.locator("body").inner_text()
    assert wrong == {}
    assert with_harm > 30  # the texts are there to be seen


async def test_the_main_views_look_like_this(served: DeskServer, context: BrowserContext, tmp_path: Path) -> None:
    folder = Path(os.environ.get("CENTRALINO_SCREENSHOTS", tmp_path))
    scene = Scene(served)
    await scene.prepare()
    page = await context.new_page()
    made = set()
    async for view in every_view(page, scene):
        assert not await shown(page).evaluate(SCROLLS), f"{view}: the page scrolls as a whole"
        if view in PICTURES:
            await shown(page).set_viewport_size({"width": WIDTH, "height": HEIGHT})
            picture = Image.open(io.BytesIO(await shown(page).screenshot(animations="disabled", caret="hide")))
            assert picture.size == (WIDTH, HEIGHT)
            colours = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
            assert len(colours.getcolors() or ()) > 10, "an empty page"
            name = view.removeprefix("administration: #/").replace(" ", "-").replace("/", "-")
            colours.save(folder / f"{name}.png", optimize=True)
            made.add(view)
    assert made == PICTURES
