/** Every call with its outcome. Those that nobody served are work: taken, called back, and done, several at once. */
import { html, signal, useEffect, useRef, useState } from "../lib.js";
import { get, post } from "../api.js";
import { tick } from "../choosing.js";
import { clock, phone, ticketText, when } from "../format.js";
import { t } from "../i18n.js";
import { areaName, codeName, labelText, lists, me, nameOf, outcomeCodes } from "../store.js";
import { CallBack } from "./request_parts.js";
import { Act, Badge, Empty, errorText, Icon, Loading, Menu, toast } from "./ui.js";

const LISTS = ["to_do", "missed", "abandoned", "mine", "all"];
const REASONS = ["called_back", "called_again", "not_needed", "not_reached", "wrong_number"];
const TONE = { answered: "ok", voicemail: "info", callback: "info", fallback: "info", fax: "info", ticket_told: "ok" };
/** Calls come and go all the time: the list is asked for anew no more often than this. */
const CALM_MS = 500;
/** What is looked for, and the pages gone through; it stays while a call is looked at. */
const filter = signal({ which: "to_do", day: "", before: [] });
/** The calls that are ticked. @type {import("@preact/signals").Signal<Set<string>>} */
const ticked = signal(new Set());

/**
 * Tell several calls something, and say what became of them; the keyboard goes on at `next`, since the button may be gone.
 * @param {string} what @param {string[]} ids @param {string} next @param {any} [more]
 */
async function tell(what, ids, next, more = {}) {
  const { handled, left } = await post(`/calls/${what}`, { ids, ...more });
  ticked.value = new Set();
  const words = [handled.length && t(`calls.told_${what.replace("-", "_")}`, { n: handled.length }), left.length && t("calls.left", { n: left.length })];
  toast(words.filter(Boolean).join(" "), handled.length ? "ok" : "bad");
  /** @type {HTMLElement} */ (document.querySelector(next))?.focus();
}

export function Calls({ id }) {
  return html`
    <div class=${`split ${id ? "with-detail" : ""}`}>
      <section class="master" aria-labelledby="calls-title">
        <header class="view-head"><h2 id="calls-title">${t("calls.title")}</h2>
          <p class="muted">${t("calls.lead", { n: lists.missed.value.size })}</p><${Filters} /></header>
        <${Found} id=${id} />
      </section>
      <section class="detail" aria-label=${t("calls.one")}>
        ${id ? html`<${One} key=${id} id=${id} />` : html`<${Empty} icon="phone" title=${t("calls.choose_title")}>${t("calls.choose")}<//>`}
      </section>
    </div>
  `;
}

function Filters() {
  const now = filter.value;
  const set = (change) => { filter.value = { ...now, before: [], ...change }; ticked.value = new Set(); };
  return html`
    <div class="filters" role="group" aria-label=${t("filter.title")}>
      <select aria-label=${t("calls.which")} value=${now.which} onChange=${(event) => set({ which: event.target.value })}>
        ${LISTS.map((name) => html`<option key=${name} value=${name} selected=${now.which === name}>${t(`calls.list_${name}`)}</option>`)}</select>
      <input type="date" aria-label=${t("calls.day")} value=${now.day} onInput=${(event) => set({ day: event.target.value })} />
    </div>
  `;
}

/** Counts the moments in which calls may have changed: the server tells of each call that does by one of these lists. */
function useChanges() {
  const [seen, setSeen] = useState(0);
  const timer = useRef(0);
  useEffect(() => {
    timer.current ||= setTimeout(() => { timer.current = 0; setSeen((n) => n + 1); }, CALM_MS);
  }, [lists.missed.value, lists.waiting.value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return seen;
}

function Found({ id }) {
  const [found, setFound] = useState(null);
  const [failed, setFailed] = useState(null);
  const { which, day, before } = filter.value;
  const changed = useChanges();
  const at = before.at(-1) ?? "";
  useEffect(() => {
    let current = true;
    const query = new URLSearchParams({ which, ...(day && { day }), ...(at && { before: at }) });
    get(`/calls?${query}`).then((answer) => { if (current) { setFound(answer); setFailed(null); } }, (error) => current && setFailed(error));
    return () => { current = false; };
  }, [which, day, at, changed]);
  if (failed) return html`<p class="notice bad" role="alert"><${Icon} name="alert" />${errorText(failed)}</p>`;
  if (!found) return html`<${Loading} />`;
  const open = found.calls.filter((call) => call.to_do_since);
  const page = (pages) => () => (filter.value = { ...filter.value, before: pages });
  return html`
    ${open.length > 0 && html`<${Several} open=${open} />`}
    ${found.calls.length === 0 && html`<${Empty} icon="phone" title=${t("calls.none_title")}>${t(which === "to_do" ? "calls.none_to_do" : "calls.none")}<//>`}
    <ul class="rows">${found.calls.map((call) => html`<${Row} key=${call.id} call=${call} on=${call.id === id} />`)}</ul>
    ${(before.length > 0 || found.earlier) && html`
      <div class="actions pages">
        <button type="button" class="quiet" disabled=${before.length === 0} onClick=${page(before.slice(0, -1))}>${t("calls.later")}</button>
        <button type="button" class="quiet" disabled=${!found.earlier} onClick=${page([...before, found.earlier])}>${t("calls.earlier")}</button></div>`}
  `;
}

/** What is done with all that are ticked. */
function Several({ open }) {
  const ids = open.map((call) => call.id).filter((id) => ticked.value.has(id));
  const all = ids.length === open.length;
  return html`
    <div class="several" role="group" aria-label=${t("calls.several")}>
      <label class="switch"><input type="checkbox" checked=${all} onChange=${() => (ticked.value = new Set(all ? [] : open.map((call) => call.id)))} />
        <span>${t("calls.all")}</span></label>
      <span class="muted small grow" role="status">${ids.length ? t("calls.ticked", { n: ids.length }) : ""}</span>
      <${Work} ids=${ids} next=".several input" disabled=${ids.length === 0} give=${open.some((call) => ids.includes(call.id) && call.owner)} />
    </div>
  `;
}

/** Take, give back, done. */
const Work = ({ ids, next, disabled = false, take = true, give = false }) => html`
  ${take && html`<${Act} class="quiet" disabled=${disabled} act=${() => tell("take", ids, next)}><${Icon} name="hand" size=${18} />${t("calls.take")}<//>`}
  ${give && html`<${Act} class="quiet" disabled=${disabled} act=${() => tell("give-back", ids, next)}>${t("calls.give_back")}<//>`}
  ${disabled ? html`<button type="button" class="quiet" disabled>${t("calls.done")}</button>` : html`
    <${Menu} class="quiet" align="end" label=${html`<${Icon} name="check" size=${18} />${t("calls.done")}`}>
      ${REASONS.map((reason) => html`<${Act} key=${reason} class="menu-item" act=${() => tell("done", ids, next, { reason })}>${t(`done.${reason}`)}<//>`)}
    <//>`}`;

const nameOfCaller = (call) => call.contact_name ?? call.caller_name ?? phone(call.caller_shown);

/** How it ended, and what is left to do, in colour and in words. */
function Standing({ call }) {
  if (call.calling) return html`<${Badge} tone="info" icon="phone">${t("calls.calling")}<//>`;
  if (call.to_do_since) {
    return call.owner ? html`<${Badge} tone="info" icon="hand">${call.owner === me.value?.username ? t("calls.yours") : nameOf(call.owner)}<//>`
      : html`<${Badge} tone="warn" icon="alert">${t("calls.nobodys")}<//>`;
  }
  if (call.done_at) return html`<${Badge} tone="ok" icon="check">${t(`done.${call.done_reason}`)}<//>`;
  return html`<${Badge} tone=${TONE[call.outcome] ?? "calm"}>${call.outcome ? t(`outcome.${call.outcome}`) : t("calls.under_way")}<//>`;
}

const lengths = (call) => [
  call.waited !== null && t("calls.waited", { time: clock(call.waited) }), call.talked !== null && t("calls.talked", { time: clock(call.talked) }),
].filter(Boolean);

/** Its agent still has time to say how it went. */
const wrappingUp = (call) => [...lists.agents.value.values()].some((agent) => agent.presence === "wrap_up" && agent.call_id === call.id);

function Row({ call, on }) {
  const left = [call.outcome && (call.to_do_since || call.done_at) && t(`outcome.${call.outcome}`), ...lengths(call), call.agent && nameOf(call.agent),
    call.code && !(call.code === "timed_out" && wrappingUp(call)) && codeName(call.code), call.attempts > 0 && t("calls.attempts", { n: call.attempts })].filter(Boolean);
  return html`
    <li class="ticking">
      ${call.to_do_since && html`<input type="checkbox" data-row=${call.id} aria-label=${t("calls.tick", { name: nameOfCaller(call) })} checked=${ticked.value.has(call.id)} onClick=${tick(ticked)} />`}
      <a class=${`row with-icon ${on ? "on" : ""}`} href=${`#/calls/${encodeURIComponent(call.id)}`} aria-current=${on ? "true" : undefined}>
        <span class="row-icon" title=${t(call.outbound ? "calls.outbound" : "calls.inbound")}><${Icon} name=${call.outbound ? "forward" : "phone"} size=${18} />
          <span class="sr-only">${t(call.outbound ? "calls.outbound" : "calls.inbound")}</span></span>
        <span class="row-title"><span>${nameOfCaller(call)}</span></span>
        <span class="row-badge"><${Standing} call=${call} /></span>
        <span class="row-sub">${[call.company_name, (call.contact_name || call.caller_name) && phone(call.caller_shown), call.line_name].filter(Boolean).join(" · ")}</span>
        <span class="row-when">${when(call.started_at)}</span>
        <span class="row-text muted">${left.join(" · ")}${call.called_again && html` <strong>${t("calls.called_again")}</strong>`}</span>
      </a></li>
  `;
}

function One({ id }) {
  const [call, setCall] = useState(null);
  const [failed, setFailed] = useState(null);
  const changed = useChanges();
  const load = () => get(`/calls/${encodeURIComponent(id)}`).then((found) => (setCall(found), setFailed(null)), setFailed);
  useEffect(() => { load(); }, [changed]);
  if (failed && !call) return html`<p class="notice bad" role="alert"><${Icon} name="alert" />${errorText(failed)}</p>`;
  if (!call) return html`<${Loading} />`;
  const talked = call.offers.some((offer) => offer.agent === me.value?.username && offer.result === "answered");
  const mine = call.owner === me.value?.username;
  const say = async (code) => { await post(`/calls/${encodeURIComponent(id)}/code`, { code }); await load(); };
  return html`
    <article class="page">
      <a class="back quiet" href="#/calls"><${Icon} name="back" size=${16} />${t("calls.title")}</a>
      <header class="page-head">
        <div><h2 id="call-title" tabindex="-1">${nameOfCaller(call)}</h2>
          <p class="muted">${[call.company_name, (call.contact_name || call.caller_name) && phone(call.caller_shown), call.line_name, when(call.started_at)].filter(Boolean).join(" · ")}</p></div>
        ${call.request && html`<a class="ticket" href=${`#/requests/${call.request.id}`}><span class="sr-only">${t("ticket")} </span>${ticketText(call.request.ticket)}</a>`}
      </header>
      ${call.to_do_since && html`
        <div class="held"><${Icon} name=${call.owner ? "user" : "queue"} size=${18} />
          <p><strong>${call.owner ? nameOf(call.owner) : t("held.nobody")}</strong>
            <span class="muted"> ${call.owned_since ? when(call.owned_since) : ""}${call.calling ? ` · ${t("calls.calling")}` : ""}${call.called_again ? ` · ${t("calls.called_again")}` : ""}</span></p></div>
        <div class="actions" role="group" aria-label=${t("requests.actions")}>
          ${(!call.owner || mine) && !call.calling && html`<${CallBack} path=${`/calls/${encodeURIComponent(id)}`} number=${call.caller_shown} />`}
          <${Work} ids=${[id]} next="#call-title" take=${!mine} give=${mine} /></div>`}
      <dl class="facts">
        <div><dt>${t("calls.outcome")}</dt><dd>${call.outcome ? t(`outcome.${call.outcome}`) : t("calls.under_way")}</dd></div>
        <div><dt>${t("calls.lengths")}</dt><dd>${lengths(call).join(" · ") || "–"}</dd></div>
        <div><dt>${t("calls.agent")}</dt><dd>${call.agent ? nameOf(call.agent) : "–"}</dd></div>
        <div><dt>${t("form.area")}</dt><dd>${call.choice ? areaName(call.choice) : "–"}</dd></div>
        ${call.done_at && html`<div><dt>${t("calls.done_by")}</dt><dd>${nameOf(call.done_by)}, ${when(call.done_at)}: ${t(`done.${call.done_reason}`)}</dd></div>`}
        ${call.outcome_note && html`<div><dt>${t("requests.note")}</dt><dd>${call.outcome_note}</dd></div>`}
      </dl>
      ${call.message_id && html`<div class="actions"><a class="button quiet" href=${`#/messages/${encodeURIComponent(call.message_id)}`}><${Icon} name="voice" size=${18} />${t("requests.listen")}</a></div>`}
      ${call.offers.length > 0 && html`<section aria-labelledby="rung"><h3 id="rung">${t("calls.rung")}</h3>
        <ul class="notices">${call.offers.map((offer, index) => html`
          <li key=${index}><strong>${nameOf(offer.agent)}</strong><span>${t(`offer.${offer.result ?? "ringing"}`)}</span>
            <span class="muted small">${when(offer.offered_at)}</span>${offer.code && html`<${Badge}>${codeName(offer.code)}<//>`}</li>`)}</ul>
        ${talked && html`<${Menu} class="quiet" label=${t("calls.change_code")}>${outcomeCodes.value.map((label) => html`
          <${Act} key=${label.code} class="menu-item" act=${() => say(label.code)}>${labelText(label)}<//>`)}<//>`}</section>`}
      ${call.call_backs.length > 0 && html`<section aria-labelledby="attempts"><h3 id="attempts">${t("calls.call_backs")}</h3>
        <ul class="notices">${call.call_backs.map((one) => html`
          <li key=${one.id}><strong>${nameOf(one.asked_by)}</strong><span>${one.result ? t(`call_back.${one.result}`) : t("calls.calling")}</span>
            <span class="muted small">${when(one.asked_at)}</span></li>`)}</ul></section>`}
    </article>
  `;
}
