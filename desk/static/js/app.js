/** The page: log-in, the frame around the views, and what happens beside them. */
import { effect, html, render, signal, useEffect, useState } from "./lib.js";
import { api, get, loggedOut, put } from "./api.js";
import { clock, phone, secondsSince, when } from "./format.js";
import { language, setLanguage, t } from "./i18n.js";
import { connect, disconnect, retryNow } from "./live.js";
import { phone as browserPhone } from "./phone.js";
import { answeredRequests, areas, connection, dueMessages, dueRequests, forget, forgetTyped, lists, loaded, me, myRequests, outdated, untaken, waitingLine } from "./store.js";
import { callerName, CallPanel } from "./views/calls.js";
import { Calls } from "./views/call_log.js";
import { holding } from "./views/closures.js";
import { Counter } from "./views/counter.js";
import { KeysDialog, singleKey } from "./views/keys.js";
import { LogInsDialog } from "./views/log_ins.js";
import { Login } from "./views/login.js";
import { Mails } from "./views/mails.js";
import { Messages } from "./views/messages.js";
import { Presence, PresenceNotice, WrapUp } from "./views/presence.js";
import { Requests } from "./views/requests.js";
import { initials, Side } from "./views/side.js";
import { Act, errorText, Icon, Loading, Menu, toast, Toasts } from "./views/ui.js";

/** "#/messages/17" -> ["messages", "17"] */
const route = signal([]);
const readRoute = () => (route.value = location.hash.replace(/^#\/?/, "").split("/").map(readPart));
/** A part of an address that nobody wrote so is taken as it is. @param {string} part */
function readPart(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
addEventListener("hashchange", () => {
  readRoute();
  document.getElementById("main")?.scrollIntoView(); // where the page is one column, what was opened may be far below
});
readRoute();

/** Whether the keys are shown. */
const keys = signal(false);
/** Whether the own log-ins are shown. */
const logIns = signal(false);

function App() {
  if (me.value === undefined) return html`<main class="login"><div class="login-card"><${Loading} lines=${3} /></div></main>`;
  if (me.value === null) return html`<${Login} /><${Toasts} />`;
  return html`<${Frame} />`;
}

/** What the first part of the address shows; the second is an id. */
const VIEWS = {
  messages: (id) => html`<${Messages} id=${id} />`,
  requests: (id) => html`<${Requests} id=${id && Number(id)} />`,
  calls: (id) => html`<${Calls} id=${id} />`,
  mails: (id) => html`<${Mails} id=${id && Number(id)} />`,
  new: () => html`<${Counter} />`,
};

function Frame() {
  const [view, id] = route.value;
  const inCall = lists.pops.value.size > 0;
  const wide = OF_SUPERVISORS.includes(view) && me.value.role === "supervisor";
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById("main").focus(); }}>${t("skip")}</a>
    <div class=${`frame ${inCall ? "in-call" : wide ? "wide" : ""}`}>
      <${Top} />
      <${Nav} view=${view} />
      <div class="banners"><${ConnectionBanner} /><${NewVersion} />${browserPhone.value && html`<${browserPhone.value.PhoneNotice} />`}<${PresenceNotice} /><${WrapUp} /><${Alarms} />${view !== "board" && html`<${ClosedNow} />`}</div>
      <main id="main" tabindex="-1">
        ${wide ? html`<${Supervision} view=${view} tab=${id} />` : Object.hasOwn(VIEWS, view) ? VIEWS[view](id || null) : VIEWS.messages(null)}
      </main>
      ${inCall ? html`<${CallPanel} />` : wide ? null : html`<${Side} />`}
    </div>
    <${Toasts} />
  `;
}

/** The pages of supervisors, which agents never load. */
const OF_SUPERVISORS = ["board", "history", "admin"];
/** @type {import("@preact/signals").Signal<any>} */
const supervision = signal(null);
function Supervision({ view, tab }) {
  useEffect(() => {
    if (!supervision.value) import("./views/supervision.js").then((module) => (supervision.value = module), () => toast(t("error.unreachable"), "bad"));
  }, []);
  return supervision.value ? html`<${supervision.value.Supervision} view=${view} tab=${tab} />` : html`<${Loading} />`;
}

function Top() {
  const line = waitingLine.value;
  const choose = async (code) => {
    me.value = await put("/session/language", { language: code });
    await setLanguage(code);
  };
  const leave = async (path) => {
    await api("DELETE", path);
    logIns.value = false;
    disconnect();
    forget();
    forgetTyped();
  };
  return html`
    <header class="top">
      <h1><a class="brand" href="#/messages"><img src="/static/icon.svg" alt="" width="28" height="28" /><span>Centralino</span></a></h1>
      ${line.length > 0 && html`<p class="top-waiting"><${Icon} name="queue" size=${18} />
        <span>${t("top.waiting", { n: line.length })}</span><span class="time">${clock(secondsSince(line[0].queued_at))}</span></p>`}
      <span class="grow"></span>
      <a class="button quiet new-request" href="#/new" aria-keyshortcuts="Alt+N"><${Icon} name="plus" size=${18} /><span>${t("form.title")}</span></a>
      ${browserPhone.value && html`<${browserPhone.value.PhoneButton} />`}
      <${Presence} />
      <${Menu} class="me" align="end" label=${html`<span class="avatar" aria-hidden="true">${initials(me.value.name)}</span><span class="me-name">${me.value.name}</span>`}>
        <p class="menu-title">${me.value.name}<span class="muted small"> ${t(`role.${me.value.role}`)}</span></p>
        ${["it", "en"].map((code) => html`<${Act} key=${code} class="menu-item" lang=${code} aria-pressed=${language.value === code}
          act=${() => choose(code)}><${Icon} name=${language.value === code ? "check" : "note"} size=${18} />${code === "it" ? "Italiano" : "English"}<//>`)}
        <button type="button" class="menu-item" onClick=${() => (keys.value = true)}><${Icon} name="keyboard" size=${18} />${t("keys.title")}</button>
        <button type="button" class="menu-item" onClick=${() => (logIns.value = true)}><${Icon} name="user" size=${18} />${t("log_ins.title")}</button>
        <${Act} class="menu-item apart" act=${() => leave("/session")}><${Icon} name="logout" size=${18} />${t("log_out")}<//>
        <${Act} class="menu-item" act=${() => leave("/session/everywhere")}><${Icon} name="logout" size=${18} />${t("log_out_everywhere")}<//>
      <//>
      ${keys.value && html`<${KeysDialog} onClose=${() => (keys.value = false)} />`}
      ${logIns.value && html`<${LogInsDialog} onClose=${() => (logIns.value = false)} onLeave=${() => leave("/session")} />`}
    </header>
  `;
}

function Nav({ view }) {
  const due = dueMessages.value.filter((m) => untaken(m.request)).length;
  const item = (name, icon, count, hot) => html`
    <li><a href=${`#/${name}`} aria-current=${(view || "messages") === name ? "page" : undefined}>
      <${Icon} name=${icon} size=${22} /><span>${t(`nav.${name}`)}</span>
      ${count > 0 && html`<span class=${`count ${hot ? "hot" : ""}`}>${count}</span>`}</a></li>`;
  return html`
    <nav aria-label=${t("nav.title")}><ul>
      ${item("messages", "voice", due, due > 0)}
      ${item("requests", "list", myRequests.value.length + dueRequests.value.length + answeredRequests.value.length, false)}
      ${item("calls", "phone", lists.missed.value.size, false)}
      ${me.value?.role === "supervisor" && item("mails", "mail", 0, false)}
      ${me.value?.role === "supervisor" && html`
        ${item("board", "queue", lists.waiting.value.size, false)}${item("history", "clock", 0, false)}${item("admin", "edit", 0, false)}
        <li><a href="/report" target="_blank" rel="noopener">
        <${Icon} name="note" size=${22} /><span>${t("nav.report")}</span></a></li>`}
    </ul></nav>
  `;
}

function ConnectionBanner() {
  if (connection.value === "live" || (connection.value === "connecting" && !loaded.value)) return null;
  return html`
    <div class="banner bad" role="alert"><${Icon} name="plug" />
      <p><strong>${t("connection.lost_title")}</strong> ${t("connection.lost")}</p>
      <button type="button" class="quiet" onClick=${retryNow}>${t("connection.retry")}</button></div>
  `;
}

/** The service was renewed under this page: its parts that are loaded later may not fit any more. */
function NewVersion() {
  if (!outdated.value) return null;
  return html`
    <div class="banner warn" role="status"><${Icon} name="alert" />
      <p><strong>${t("version.title")}</strong> ${t("version.lead")}</p>
      <button type="button" class="quiet" onClick=${() => location.reload()}>${t("version.reload")}</button></div>
  `;
}

/** The line is closed in spite of its hours: agents wonder why no call comes. */
function ClosedNow() {
  return holding.value.map((closure) => html`
    <div key=${closure.id} class="banner warn" role="status"><${Icon} name="clock" />
      <p><strong>${t("closure.now")}</strong> ${closure.words} <span class="small">${closure.ends_at ? t("closure.until", { when: when(closure.ends_at) }) : t("closure.until_ended")}</span></p></div>`);
}

/** What supervisors have to look after; the server tells nobody else. */
function Alarms() {
  return [...lists.alarms.value.values()].map((alarm) => html`
    <div key=${alarm.id} class="banner bad" role="alert"><${Icon} name="alert" />
      <p><strong>${t("alarm.title")}</strong> <bdi>${alarm.words[language.value]}</bdi> <span class="small">${when(alarm.sounded_at)}</span></p></div>`);
}

// ---- beside the views -------------------------------------------------------------------------------------------

/** Calls already told to people who listen rather than look. @type {Set<string>} */
const told = new Set();
effect(() => {
  const ringing = [...lists.pops.value.values()].filter((pop) => pop.state === "ringing");
  document.title = ringing.length ? `☎ ${callerName(ringing[0])}` : "Centralino";
  // A call that comes back is told again, also where the words are the same.
  for (const id of told) if (!ringing.some((pop) => pop.call_id === id)) told.delete(id);
  if (!ringing.length) document.getElementById("announce").textContent = "";
  for (const pop of ringing) {
    if (told.has(pop.call_id)) continue;
    told.add(pop.call_id);
    // A live region, not a focus move: what the agent is typing stays where it is.
    document.getElementById("announce").textContent = t("call.announce", {
      name: callerName(pop), company: pop.company?.name ?? phone(pop.caller_shown), n: pop.open_requests.length,
    });
  }
});

let refused = loggedOut.value;
effect(() => {
  if (loggedOut.value === refused) return;
  refused = loggedOut.value;
  if (me.peek()) toast(t("login.over"), "bad");
  disconnect();
  forget();
});

effect(() => {
  if (me.value) connect();
});

/** The areas in this person's language; asked again after a lost connection, since they can be changed. */
effect(() => {
  if (!me.value || !loaded.value || connection.value !== "live" || !language.value) return;
  get("/areas").then((found) => (areas.value = found), () => {});
});

/** Show a view, and be in it: whoever does not see the page hears what it is. @param {string} view */
function goTo(view) {
  location.hash = `#/${view}`;
  document.getElementById("main")?.focus();
}

addEventListener("keydown", (event) => {
  singleKey(event, () => (keys.value = true));
  if (!event.altKey || event.ctrlKey || event.metaKey || !me.value) return;
  const action = {
    Digit1: () => goTo("messages"),
    Digit2: () => goTo("requests"),
    Digit3: () => goTo("calls"),
    ...(browserPhone.peek() && { KeyA: browserPhone.peek().answer }),
    KeyN: () => (location.hash = "#/new"),
    KeyP: () => /** @type {HTMLElement} */ (document.querySelector(".player .play"))?.click(),
    KeyE: () => /** @type {HTMLElement} */ (document.querySelector(".wrap-up button"))?.focus(),
    KeyC: () => /** @type {HTMLElement} */ (document.querySelector("#call-panel .call-form :is(input, select, textarea)") ?? document.querySelector("#call-panel button"))?.focus(),
  }[event.code];
  if (!action) return;
  event.preventDefault();
  action();
});

await setLanguage(language.value);
render(html`<${App} />`, document.getElementById("app"));
try {
  const person = await get("/session");
  await setLanguage(person.language);
  me.value = person;
} catch (error) {
  me.value = null;
  if (error.status !== 401) toast(errorText(error), "bad");
}
