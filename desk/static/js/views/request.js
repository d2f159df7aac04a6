/** One service request: who has it, what may be done, what belongs to it, its notices and its history. */
import { html, useEffect, useRef, useState } from "../lib.js";
import { get, post } from "../api.js";
import { ticketText, when } from "../format.js";
import { t } from "../i18n.js";
import { answered, areaName, keepTyped, me, nameOf, promise, touched, untaken } from "../store.js";
import { Changes, CompanyDesk, Edited, Links } from "./changes.js";
import { Files } from "./files.js";
import { ended, heldBy, heldSince, Priority, StatusBadge } from "./request_parts.js";
import { Act, Badge, errorText, Icon, Loading, toast } from "./ui.js";

/** Notes that are not added yet, by request: they stay while another one is looked at. @type {Map<number, string>} */
const drafts = new Map();
keepTyped(() => drafts.clear());

export function One({ id }) {
  const [request, setRequest] = useState(null);
  const [failed, setFailed] = useState(null);
  const [note, setNote] = useState(drafts.get(id) ?? "");
  const field = useRef(null);
  const { count, topic, id: changed } = touched.value;
  const mine = topic === "" || (topic === "requests" && changed === id);
  const load = () => get(`/requests/${id}`).then((found) => (setRequest(found), setFailed(null)), setFailed);
  useEffect(() => { if (mine || !request) load(); }, [mine && count]);
  if (failed && !request) return html`<p class="notice bad" role="alert"><${Icon} name="alert" />${errorText(failed)}</p>`;
  if (!request) return html`<${Loading} />`;
  const write = (text) => {
    setNote(text);
    drafts.set(id, text);
  };
  const addNote = async () => {
    if (!note.trim()) return;
    setRequest(await post(`/requests/${id}/notes`, { text: note }));
    write("");
    field.current?.focus(); // the button has nothing to add any more
  };
  const moved = (now) => {
    setRequest(now);
    toast(t("requests.changed_toast", { ticket: ticketText(now.ticket), status: t(`status.${now.status}`) }));
  };
  const due = promise(request);
  return html`
    <article class="page">
      <a class="back quiet" href="#/requests"><${Icon} name="back" size=${16} />${t("requests.title")}</a>
      <header class="page-head">
        <div><p class="eyebrow"><span class="ticket">${ticketText(request.ticket)}</span> <${StatusBadge} status=${request.status} />
            <${Priority} n=${request.priority} /></p>
          <h2 id="request-title" tabindex="-1">${request.subject}</h2>
          <p class="muted">${[t(`kind.${request.kind}`), areaName(request.area), t(`channel.${request.channel}`)].join(" · ")}</p></div>
      </header>
      ${untaken(request) && !request.picked_up_at && html`<div class=${`promise ${due.tone}`}><${Icon} name=${due.tone === "bad" ? "alert" : "clock"} />
        <div><strong>${due.text}</strong>${request.promise && html`<p>${request.promise}</p>`}</div></div>`}
      <div class="held"><${Icon} name=${request.level === 0 ? "building" : request.holder ? "user" : "queue"} size=${18} />
        <p><strong>${heldBy(request)}</strong> <span class="muted">${request.closed_at ? ended(request) : heldSince(request)}</span></p></div>
      ${answered(request) && html`<p class="notice"><${Icon} name="mail" />${t("requests.answered_at", { when: when(request.level_0_answered_at) })}</p>`}
      ${request.level === 0 && request.company_desk && html`<${CompanyDesk} desk=${request.company_desk} />`}
      <${Changes} request=${request} onChanged=${moved} />
      <dl class="facts">
        <div><dt>${t("requests.user")}</dt><dd class="strong">${request.contact_name ?? t("requests.no_contact")}
          ${request.contact?.user_code && html` <code>${request.contact.user_code}</code>`}</dd></div>
        <div><dt>${t("requests.company")}</dt><dd>${request.company_name ?? "–"}</dd></div>
        <div><dt>${t("requests.phone")}</dt><dd>${request.phone_shown ?? "–"}</dd></div>
        <div><dt>E-mail</dt><dd>${request.email ?? "–"}</dd></div>
        <div><dt>${t("requests.received")}</dt><dd>${when(request.received_at)}</dd></div>
        <div><dt>${t("requests.holder")}</dt><dd>${request.holder ? nameOf(request.holder) : "–"}</dd></div>
        <div><dt>${t("form.impact")} / ${t("form.urgency")}</dt><dd>${t(`impact.${request.impact}`)} / ${t(`urgency.${request.urgency}`)}</dd></div>
      </dl>
      ${request.messages.map((message) => html`<section class="card prose spoken" key=${message.id}><h3>${t("requests.message", { when: when(message.started_at) })}</h3>
        ${message.transcript && html`<p>${message.transcript}</p>`}
        ${message.corrected_by && html`<p class="muted small">${t("requests.transcript_by", { who: nameOf(message.corrected_by) })}</p>`}
        <a class="button quiet" href=${`#/messages/${encodeURIComponent(message.id)}`}><${Icon} name="voice" size=${18} />${t("requests.listen")}</a></section>`)}
      ${request.description && html`<section class="card prose"><h3>${t("form.description")}</h3><p>${request.description}</p></section>`}
      ${request.solution && html`<section class="card prose solved"><h3>${t("form.solution")}</h3><p>${request.solution}</p></section>`}
      <${Links} request=${request} onChanged=${setRequest} />
      <${Files} request=${request} onChanged=${setRequest} />
      ${request.promises.length > 0 && html`<section aria-labelledby="promises"><h3 id="promises">${t("promises.title")}</h3>
        <ul class="notices">${request.promises.map((one) => html`<${Promised} key=${one.clock} one=${one} />`)}</ul></section>`}
      ${request.connectors.length > 0 && html`<section aria-labelledby="connectors"><h3 id="connectors">${t("sync.title")}</h3>
        <ul class="notices">${request.connectors.map((one) => html`<${InStep} key=${one.connector} request=${request} one=${one} onChanged=${setRequest} />`)}</ul></section>`}
      <section aria-labelledby="notices"><h3 id="notices">${t("requests.notices")}</h3>
        ${request.notices.length === 0 && html`<p class="muted">${t(request.email ? "requests.no_notices_yet" : "requests.no_notices")}</p>`}
        <ul class="notices">${request.notices.map((one) => html`<${Notice} key=${one.id} notice=${one} onChanged=${load} />`)}</ul></section>
      <section aria-labelledby="history"><h3 id="history">${t("requests.history")}</h3>
        <form class="note-form" onSubmit=${(event) => event.preventDefault()}>
          <textarea rows="2" ref=${field} aria-label=${t("requests.note")} placeholder=${t("requests.note_hint")} value=${note}
            onInput=${(event) => write(event.target.value)} aria-keyshortcuts="Control+Enter"
            onKeyDown=${(event) => event.key === "Enter" && event.ctrlKey && event.currentTarget.form.querySelector("button").click()}></textarea>
          <${Act} class="quiet" act=${addNote} disabled=${!note.trim()}>${t("requests.add_note")}<//></form>
        <ol class="history">${request.events.toReversed().map((event) => html`<${Event} key=${event.id} event=${event} />`)}</ol></section>
    </article>
  `;
}

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

const NOTICE = { pending: ["warn", "clock"], sent: ["ok", "check"], held: ["warn", "alert"], dead: ["bad", "alert"] };

/** A mail and what became of it; one that goes nowhere by itself is sent again with one click. */
function Notice({ notice, onChanged }) {
  const [tone, icon] = NOTICE[notice.state];
  const again = (what) => async () => {
    await post(`/notices/${notice.id}/${what}`, {});
    await onChanged();
  };
  return html`
    <li><${Badge} tone=${tone} icon=${icon}>${t(`notice.${notice.state}`)}<//>
      <span>${t(`notice.${notice.kind}`)} → ${notice.recipient}</span>
      <span class="muted small">${notice.state === "sent" ? when(notice.sent_at) : notice.attempts
        ? t("notice.attempts", { n: notice.attempts, when: when(notice.next_attempt_at) }) : when(notice.created_at)}</span>
      ${notice.last_error && notice.state !== "sent" && html`<span class="bad-text small">${notice.last_error}</span>`}
      ${(notice.state === "dead" || notice.state === "held") && html`<${Act} class="quiet small" act=${again("retry")}>${t("notice.retry")}<//>`}
      ${notice.state === "held" && html`<${Act} class="quiet small" act=${again("dismiss")}>${t("notice.dismiss")}<//>`}</li>
  `;
}

const STANDING = { in_step: ["ok", "check"], waiting: ["warn", "clock"], refused: ["bad", "alert"], dead: ["bad", "alert"], differs: ["warn", "alert"] };

/** How the request stands with another ticket system. */
function InStep({ request, one, onChanged }) {
  const [tone, icon] = STANDING[one.standing];
  const retry = async () => onChanged(await post(`/requests/${request.id}/connectors/${encodeURIComponent(one.connector)}/retry`, {}));
  return html`
    <li><${Badge} tone=${tone} icon=${icon}>${t(`sync.${one.standing}`)}<//>
      <span><strong>${one.connector === "maximo" ? "Maximo" : one.connector}</strong> ${one.remote_id ?? ""}</span>
      <span class="muted small">${one.waiting ? t("sync.behind", { n: one.waiting, when: when(one.since) }) : one.told_at ? when(one.told_at) : ""}</span>
      ${one.error && html`<span class="bad-text small">${one.error}</span>`}
      ${(one.standing === "refused" || one.standing === "dead") && html`<${Act} class="quiet small" act=${retry}>${t("sync.retry")}<//>`}
      ${one.differences.map((difference) => html`<span class="small" key=${difference.field}>${t("sync.difference", difference)}</span>`)}</li>
  `;
}

function Event({ event }) {
  const { details } = event;
  const texts = [details.text, details.handover, details.solution, details.note, details.error].filter((text) => typeof text === "string" && text);
  const about = [
    details.group, details.company, details.name, details.parent && t("links.event_parent", { ticket: ticketText(details.parent) }),
    details.child && t("links.event_child", { ticket: ticketText(details.child) }), details.into && t("links.event_into", { ticket: ticketText(details.into) }),
    event.kind === "merged" && details.from && t("links.event_from", { ticket: ticketText(details.from) }),
    event.kind === "holder_left" && nameOf(details.holder),
    event.kind === "transcript_corrected" && details.withdrawn && t("transcript.restored"),
    event.kind === "called_back" && details.result && t(`call_back.${details.result}`),
  ].filter((word) => typeof word === "string" && word);
  return html`
    <li class=${event.kind}><span class="time">${when(event.at)}</span>
      <div><strong>${t(`event.${event.kind}`)}</strong> <span class="muted">${event.actor === "system" ? t("requests.system") : nameOf(event.actor)}</span>
        ${about.length > 0 && html`<p class="muted">${about.join(" · ")}</p>`}
        ${details.refused && event.kind === "level_0_answered" && html`<p class="bad-text">${t("event.answer_refused", { answer: t(`answer.${details.answer}`) })}</p>`}
        ${event.kind === "edited" && html`<${Edited} details=${details} />`}
        ${texts.map((text, index) => html`<p class="pre" key=${index}>${text}</p>`)}</div></li>
  `;
}
