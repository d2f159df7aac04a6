/** Service requests: those in charge and those due, and one with history, notices and its end. */
import { html, useEffect, useState } from "../lib.js";
import { get, post } from "../api.js";
import { phone, ticketText, when } from "../format.js";
import { t } from "../i18n.js";
import { dueRequests, loaded, me, myRequests, nameOf, promise, touched } from "../store.js";
import { Act, Badge, Empty, errorText, Field, Icon, Loading, toast } from "./ui.js";

const CHANNEL_ICON = { phone: "phone", voicemail: "voice", email: "mail", fax: "note", api: "list", in_person: "user" };
const STATUS_TONE = { new: "warn", queued: "warn", in_progress: "info", pending_user: "calm", resolved: "ok", closed: "ok", cancelled: "calm" };

export const StatusBadge = ({ status }) => html`<${Badge} tone=${STATUS_TONE[status]}>${t(`status.${status}`)}<//>`;

export function Requests({ id }) {
  const mine = myRequests.value;
  const due = dueRequests.value;
  return html`
    <div class=${`split ${id ? "with-detail" : mine.length + due.length === 0 ? "alone" : ""}`}>
      <section class="master" aria-labelledby="requests-title">
        <header class="view-head"><h2 id="requests-title">${t("requests.title")}</h2>
          <p class="muted">${t("requests.lead", { mine: mine.length, due: due.length })}</p>
          <${Find} /></header>
        ${!loaded.value && html`<${Loading} />`}
        ${loaded.value && mine.length + due.length === 0 && html`
          <${Empty} icon="list" title=${t("requests.none_title")}>${t("requests.none")}<//>`}
        ${due.length > 0 && html`<h2 class="group">${t("requests.due")} <span class="count">${due.length}</span></h2>
          <ul class="rows">${due.map((r) => html`<${RequestRow} key=${r.id} request=${r} on=${r.id === id} />`)}</ul>`}
        ${mine.length > 0 && html`<h2 class="group">${t("requests.mine")} <span class="count">${mine.length}</span></h2>
          <ul class="rows">${mine.map((r) => html`<${RequestRow} key=${r.id} request=${r} on=${r.id === id} />`)}</ul>`}
      </section>
      <section class="detail" aria-label=${t("requests.one")}>
        ${id ? html`<${One} key=${id} id=${id} />` : html`
          <${Empty} icon="list" title=${t("requests.choose_title")}>${t("requests.choose")}<//>`}
      </section>
    </div>
  `;
}

/** Opens the request whose number a user quotes, in any phase. */
function Find() {
  const [failed, setFailed] = useState("");
  const find = async (event) => {
    event.preventDefault();
    const form = event.target;
    try {
      const request = await get(`/requests/by-ticket/${encodeURIComponent(new FormData(form).get("ticket").trim())}`);
      setFailed("");
      form.reset();
      location.hash = `#/requests/${request.id}`;
    } catch (error) {
      setFailed(error.status === 404 ? t("requests.not_found") : errorText(error));
    }
  };
  return html`
    <form class="find" role="search" onSubmit=${find}>
      <input type="search" name="ticket" required inputmode="numeric" maxlength="20" autocomplete="off"
        aria-label=${t("requests.ticket")} placeholder=${t("requests.ticket")} />
      <button class="quiet">${t("requests.open")}</button>
      ${failed && html`<p class="notice bad" role="alert"><${Icon} name="alert" />${failed}</p>`}
    </form>
  `;
}

function RequestRow({ request, on }) {
  const due = promise(request);
  return html`
    <li><a class=${`row with-icon ${on ? "on" : ""}`} href=${`#/requests/${request.id}`} aria-current=${on ? "true" : undefined}>
      <span class="row-icon" title=${t(`channel.${request.channel}`)}><${Icon} name=${CHANNEL_ICON[request.channel]} size=${18} />
        <span class="sr-only">${t(`channel.${request.channel}`)}</span></span>
      <span class="row-title"><span>${request.subject}</span></span>
      <span class="row-badge">${request.picked_up_at ? html`<${StatusBadge} status=${request.status} />`
        : html`<${Badge} tone=${due.tone} icon=${due.tone === "bad" ? "alert" : "clock"}>${due.text}<//>`}</span>
      <span class="row-sub"><span class="ticket">${ticketText(request.ticket)}</span> ${["", request.contact_name ?? phone(request.phone_shown), request.company_name].filter((part) => part !== null).join(" · ")}</span>
      <span class="row-when">${when(request.received_at)}</span>
    </a></li>
  `;
}

/** Taking in charge, where it is possible. */
export function RequestActions({ request, onChanged }) {
  if (request.closed_at) return html`<${Badge} tone="ok" icon="check">${t("requests.closed_at", { when: when(request.closed_at) })}<//>`;
  if (request.picked_up_at) {
    return request.holder === me.value?.username
      ? html`<${Badge} tone="info" icon="hand">${t("requests.yours")}<//>`
      : html`<${Badge} tone="calm" icon="user">${t("promise.taken", { who: nameOf(request.holder) })}<//>`;
  }
  const take = async () => {
    await post(`/requests/${request.id}/take`, { version: request.version });
    toast(t("requests.taken_toast", { ticket: ticketText(request.ticket) }));
    await onChanged?.();
  };
  return html`<${Act} class="primary" act=${take}><${Icon} name="hand" size=${18} />${t("requests.take")}<//>`;
}

export function CloseForm({ request, onClosed }) {
  const [solution, setSolution] = useState("");
  const [error, setError] = useState("");
  const close = async () => {
    if (!solution.trim()) return setError(t("form.needed"));
    await post(`/requests/${request.id}/close`, { solution, version: request.version });
    toast(t("requests.closed_toast", { ticket: ticketText(request.ticket) }));
    return onClosed?.();
  };
  return html`
    <section class="card close-form"><h3>${t("requests.close")}</h3>
      <${Field} label=${t("form.solution")} error=${error} hint=${t("requests.close_hint")}>${(id) => html`
        <textarea id=${id} rows="3" value=${solution} aria-required="true"
          onInput=${(event) => { setSolution(event.target.value); setError(""); }}></textarea>`}<//>
      <${Act} class="primary" act=${close}><${Icon} name="check" size=${18} />${t("requests.close")}<//>
    </section>
  `;
}

function One({ id }) {
  const [request, setRequest] = useState(null);
  const [failed, setFailed] = useState(null);
  const [note, setNote] = useState("");
  const { count, topic, id: changed } = touched.value;
  const mine = topic === "" || (topic === "requests" && changed === id);
  const load = () => get(`/requests/${id}`).then((found) => (setRequest(found), setFailed(null)), setFailed);
  useEffect(() => { if (mine || !request) load(); }, [mine && count]);
  if (failed && !request) return html`<p class="notice bad" role="alert"><${Icon} name="alert" />${errorText(failed)}</p>`;
  if (!request) return html`<${Loading} />`;
  const addNote = async () => {
    if (!note.trim()) return;
    setRequest(await post(`/requests/${id}/notes`, { text: note }));
    setNote("");
  };
  const due = promise(request);
  return html`
    <article class="page">
      <a class="back quiet" href="#/requests"><${Icon} name="back" size=${16} />${t("requests.title")}</a>
      <header class="page-head">
        <div><p class="eyebrow"><span class="ticket">${ticketText(request.ticket)}</span> <${StatusBadge} status=${request.status} /></p>
          <h2>${request.subject}</h2>
          <p class="muted">${[t(`kind.${request.kind}`), t(`area.${request.area}`), t(`channel.${request.channel}`), t("requests.level", { n: request.level })].join(" · ")}</p></div>
      </header>
      ${!request.picked_up_at && html`<div class=${`promise ${due.tone}`}><${Icon} name=${due.tone === "bad" ? "alert" : "clock"} />
        <div><strong>${due.text}</strong>${request.promise && html`<p>${request.promise}</p>`}</div></div>`}
      <div class="actions"><${RequestActions} request=${request} onChanged=${load} />
        ${request.message_ids.map((message) => html`<a class="button quiet" key=${message} href=${`#/messages/${encodeURIComponent(message)}`}>
          <${Icon} name="voice" size=${18} />${t("requests.listen")}</a>`)}</div>
      <dl class="facts">
        <div><dt>${t("requests.user")}</dt><dd class="strong">${request.contact_name ?? t("requests.no_contact")}
          ${request.contact?.user_code && html` <code>${request.contact.user_code}</code>`}</dd></div>
        <div><dt>${t("requests.company")}</dt><dd>${request.company_name ?? "–"}</dd></div>
        <div><dt>${t("requests.phone")}</dt><dd>${request.phone_shown ?? "–"}</dd></div>
        <div><dt>E-mail</dt><dd>${request.email ?? "–"}</dd></div>
        <div><dt>${t("requests.received")}</dt><dd>${when(request.received_at)}</dd></div>
        <div><dt>${t("requests.holder")}</dt><dd>${request.holder ? nameOf(request.holder) : "–"}</dd></div>
      </dl>
      ${request.description && html`<section class="card prose"><h3>${t("form.description")}</h3><p>${request.description}</p></section>`}
      ${request.solution && html`<section class="card prose solved"><h3>${t("form.solution")}</h3><p>${request.solution}</p></section>`}
      ${request.picked_up_at && !request.closed_at && html`<${CloseForm} request=${request} onClosed=${load} />`}
      ${request.promises?.length > 0 && html`<section aria-labelledby="promises"><h3 id="promises">${t("promises.title")}</h3>
        <ul class="notices">${request.promises.map((one) => html`<${Promised} key=${one.clock} one=${one} />`)}</ul></section>`}
      <section aria-labelledby="notices"><h3 id="notices">${t("requests.notices")}</h3>
        ${request.notices.length === 0 && html`<p class="muted">${t("requests.no_notices")}</p>`}
        <ul class="notices">${request.notices.map((one) => html`<${Notice} key=${one.id} notice=${one} />`)}</ul></section>
      <section aria-labelledby="history"><h3 id="history">${t("requests.history")}</h3>
        <form class="note-form" onSubmit=${(event) => event.preventDefault()}>
          <textarea rows="2" aria-label=${t("requests.note")} placeholder=${t("requests.note_hint")} value=${note}
            onInput=${(event) => setNote(event.target.value)}></textarea>
          <${Act} class="quiet" act=${addNote} disabled=${!note.trim()}>${t("requests.add_note")}<//></form>
        <ol class="history">${request.events.toReversed().map((event) => html`<${Event} key=${event.id} event=${event} />`)}</ol></section>
    </article>
  `;
}

const NOTICE = { pending: ["warn", "clock"], held: ["warn", "alert"], sent: ["ok", "check"], dead: ["bad", "alert"] };

/** What was promised by one clock, and how its time came about; what the hours of now would make of it stands beside. */
function Promised({ one }) {
  const [tone, icon, text] = one.breached_at ? ["bad", "alert", t("promises.missed")]
    : one.met_at ? ["ok", "check", t("promises.kept")]
    : one.paused_since ? ["calm", "clock", t("promises.paused", { when: when(one.paused_since) })]
    : ["info", "clock", t("promises.due", { when: when(one.due_at) })];
  return html`
    <li><${Badge} tone=${tone} icon=${icon}>${text}<//><strong>${t(`promises.${one.clock}`)}</strong>
      <span class="muted small">${one.explanation}</span>
      ${one.as_now && html`<span class="small">${one.as_now}</span>`}</li>
  `;
}

function Notice({ notice }) {
  const [tone, icon] = NOTICE[notice.state];
  return html`
    <li><${Badge} tone=${tone} icon=${icon}>${t(`notice.${notice.state}`)}<//>
      <span>${t(`notice.${notice.kind}`)} → ${notice.recipient}</span>
      <span class="muted small">${notice.state === "sent" ? when(notice.sent_at) : notice.attempts
        ? t("notice.attempts", { n: notice.attempts, when: when(notice.next_attempt_at) }) : when(notice.created_at)}</span>
      ${notice.last_error && notice.state !== "sent" && html`<span class="bad-text small">${notice.last_error}</span>`}
      ${["held", "dead"].includes(notice.state) && html`
        <${Act} class="quiet" act=${() => post(`/notices/${notice.id}/retry`, {})}>${t("notice.retry")}<//>`}
      ${notice.state === "held" && html`
        <${Act} class="quiet" act=${() => post(`/notices/${notice.id}/dismiss`, {})}>${t("notice.dismiss")}<//>`}</li>
  `;
}

function Event({ event }) {
  const { details } = event;
  const text = details.text ?? details.solution ?? details.error ?? "";
  const fields = event.kind === "edited" ? Object.keys(details).map((field) => t(`form.${field}`)).join(", ") : "";
  return html`
    <li class=${event.kind}><span class="time">${when(event.at)}</span>
      <div><strong>${t(`event.${event.kind}`)}</strong> <span class="muted">${event.actor === "system" ? t("requests.system") : nameOf(event.actor)}</span>
        ${fields && html`<p class="muted">${fields}</p>`}
        ${typeof text === "string" && text && html`<p class="pre">${text}</p>`}</div></li>
  `;
}
