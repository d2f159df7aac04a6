/** Voicemail: the list by promised time, and one message with its player and words. */
import { html, useEffect, useRef, useState } from "../lib.js";
import { get, post } from "../api.js";
import { clock, phone, ticketText, when } from "../format.js";
import { t } from "../i18n.js";
import { areaName, dueMessages, emptyMessages, loaded, nameOf, promise, touched, untaken } from "../store.js";
import { LinkForm } from "./changes.js";
import { CallBack, CloseForm, RequestActions } from "./request_parts.js";
import { Player } from "./player.js";
import { Act, Badge, Empty, errorText, focusIsLost, Icon, Loading, toast } from "./ui.js";

export function Messages({ id }) {
  const due = dueMessages.value;
  const empty = emptyMessages.value;
  const open = due.filter((m) => untaken(m.request));
  const taken = due.filter((m) => !untaken(m.request));
  return html`
    <div class=${`split ${id ? "with-detail" : due.length + empty.length === 0 ? "alone" : ""}`}>
      <section class="master" aria-labelledby="messages-title">
        <header class="view-head"><h2 id="messages-title">${t("messages.title")}</h2>
          <p class="muted">${t("messages.lead", { n: open.length })}</p></header>
        ${!loaded.value && html`<${Loading} />`}
        ${loaded.value && due.length === 0 && html`
          <${Empty} icon="inbox" title=${t("messages.none_title")}>${t("messages.none")}<//>`}
        ${open.length > 0 && html`<ul class="rows">${open.map((m) => html`<${Row} key=${m.id} message=${m} on=${m.id === id} />`)}</ul>`}
        ${taken.length > 0 && html`
          <h2 class="group">${t("messages.taken")} <span class="count">${taken.length}</span></h2>
          <ul class="rows">${taken.map((m) => html`<${Row} key=${m.id} message=${m} on=${m.id === id} />`)}</ul>`}
        ${empty.length > 0 && html`
          <details class="fold"><summary>${t("messages.empty")} <span class="count">${empty.length}</span></summary>
            <p class="muted">${t("messages.empty_lead")}
              <${Act} class="quiet small" act=${() => post("/messages/heard", { ids: empty.map((m) => m.id) })}>
                <${Icon} name="check" size=${16} />${t("messages.all_heard")}<//></p>
            <ul class="rows">${empty.map((m) => html`<${Row} key=${m.id} message=${m} on=${m.id === id} />`)}</ul>
          </details>`}
      </section>
      <section class="detail" aria-label=${t("messages.one")}>
        ${id ? html`<${One} key=${id} id=${id} />` : html`
          <${Empty} icon="voice" title=${t("messages.choose_title")}>${t("messages.choose")}<//>`}
      </section>
    </div>
  `;
}

function Row({ message, on }) {
  const due = message.request ? promise(message.request) : null;
  return html`
    <li><a class=${`row ${on ? "on" : ""} ${message.heard_at ? "" : "unheard"}`} href=${`#/messages/${encodeURIComponent(message.id)}`}
        aria-current=${on ? "true" : undefined}>
      <span class="row-title"><span>${message.contact_name ?? phone(message.callback_shown ?? message.caller_shown)}</span>
        ${!message.heard_at && html`<span class="new-mark">${t("messages.new")}</span>`}</span>
      <span class="row-badge">${due && html`<${Badge} tone=${due.tone} icon=${due.tone === "bad" ? "alert" : "clock"}>${due.text}<//>`}</span>
      <span class="row-sub">${message.company_name ?? (message.contact_name ? phone(message.callback_shown ?? message.caller_shown) : message.line_name)}</span>
      <span class="row-when">${when(message.started_at)} · ${clock(message.seconds ?? 0)}</span>
      <span class=${`row-text ${message.transcript ? "" : "muted"}`}>${excerpt(message)}</span>
    </a></li>
  `;
}

function excerpt(message) {
  if (message.transcript) return message.transcript.replaceAll("\n", " – ");
  return t(message.state !== "filed" ? `message_state.${message.state}` : `transcript.${message.transcript_state}`);
}

/** How far the transcript is, and why it has to wait. */
function transcriptWords(message) {
  const why = message.transcript_error ? ` (${message.transcript_error})` : "";
  return t(`transcript.${message.transcript_state}`) + why;
}

function One({ id }) {
  const [message, setMessage] = useState(null);
  const [failed, setFailed] = useState(null);
  const [merging, setMerging] = useState(false);
  const merger = useRef(null);
  const { count, topic, id: changed } = touched.value;
  const mine = topic === "" || (topic === "messages" && changed === id);
  const load = () => get(`/messages/${encodeURIComponent(id)}`).then(
    (found) => (setMessage(found), setFailed(null)), (error) => setFailed(error));
  useEffect(() => { if (mine || !message) load(); }, [mine && count]);
  if (failed && !message) return html`<p class="notice bad" role="alert"><${Icon} name="alert" />${errorText(failed)}</p>`;
  if (!message) return html`<${Loading} />`;
  const { request } = message;
  /** What was pressed may be gone: then the title has the focus. */
  const after = async () => {
    await load();
    requestAnimationFrame(() => {
      if (focusIsLost()) document.getElementById("message-title")?.focus({ preventScroll: true });
    });
  };
  const stopMerging = () => {
    setMerging(false);
    requestAnimationFrame(() => merger.current?.focus());
  };
  const merged = async (changed) => {
    setMerging(false);
    toast(t("links.merged_toast", { ticket: ticketText(changed.merged_into?.ticket ?? null) }));
    await after();
  };
  const fileIt = async () => {
    const { request: made } = await post(`/messages/${encodeURIComponent(id)}/request`);
    toast(t("messages.filed_toast", { ticket: ticketText(made.ticket) }));
    await after();
  };
  const due = request ? promise(request) : null;
  return html`
    <article class="page">
      <a class="back quiet" href="#/messages"><${Icon} name="back" size=${16} />${t("messages.title")}</a>
      <header class="page-head">
        <div><h2 id="message-title" tabindex="-1">${message.contact_name ?? phone(message.caller_shown)}</h2>
          <p class="muted">${[message.company_name, message.line_name, when(message.started_at)].filter(Boolean).join(" · ")}</p></div>
        ${request && html`<a class="ticket" href=${`#/requests/${request.id}`}><span class="sr-only">${t("ticket")} </span>${ticketText(request.ticket)}</a>`}
      </header>
      ${due && html`<div class=${`promise ${due.tone}`}><${Icon} name=${due.tone === "bad" ? "alert" : "clock"} />
        <div><strong>${due.text}</strong>${message.promise && html`<p>${message.promise}</p>`}</div></div>`}
      <section class="card player-card" aria-label=${t("player.title")}>
        ${message.has_audio ? html`<${Player} message=${message} onPlayed=${load} onChanged=${setMessage} />` : html`
          <p class="notice bad"><${Icon} name="alert" />${t(message.seconds !== null ? "messages.erased" : "message_state.lost")}</p>`}
        ${!message.transcript && message.has_audio && html`
          <p class=${`transcript-state ${message.transcript_state}`} role="status">
            ${(message.transcript_state === "running" || message.transcript_state === "waiting") && html`<span class="spinner"></span>`}
            ${message.state === "filed" ? transcriptWords(message) : t(`message_state.${message.state}`)}</p>`}
        ${message.transcript_state === "failed" && html`
          <${Act} class="quiet small" act=${async () => { await post(`/messages/${encodeURIComponent(id)}/transcript`); await after(); }}>
            ${t("transcript.again")}<//>`}
      </section>
      <dl class="facts">
        <div><dt>${t("messages.call_back")}</dt><dd class="strong">${phone(message.callback_shown ?? message.caller_shown)}
          <span class="muted small"> ${message.callback ? t("messages.keyed") : t("messages.own_number")}</span></dd></div>
        ${message.numbers.length > 0 && html`<div><dt>${t("messages.numbers_heard")}</dt>
          ${message.numbers.map((one) => html`<dd key=${one}>${one} <span class="muted small">
            ${t(message.callback?.endsWith(one) ? "messages.as_keyed" : "messages.verify")}</span></dd>`)}</div>`}
        <div><dt>${t("form.area")}</dt><dd>${areaName(request?.area ?? message.area ?? "none")}</dd></div>
        <div><dt>${t("messages.heard")}</dt><dd>${message.heard_at ? t("messages.heard_by", { who: nameOf(message.heard_by), when: when(message.heard_at) }) : t("messages.not_heard")}</dd></div>
      </dl>
      ${!request && message.state !== "recording" && html`<div class="actions">
        ${!message.heard_at && html`<${Act} class="primary" act=${async () => { await post("/messages/heard", { ids: [id] }); await after(); }}>
          <${Icon} name="check" size=${18} />${t("messages.mark_heard")}<//>`}
        <${Act} class="quiet" act=${fileIt}><${Icon} name="plus" size=${18} />${t("messages.file")}<//>
        <${CallBack} path=${`/messages/${encodeURIComponent(id)}`} number=${message.callback_shown ?? message.caller_shown} heard=${message.numbers} /></div>`}
      ${request && html`<div class="actions"><${RequestActions} request=${request} onChanged=${after} />
        ${!request.closed_at && html`<${CallBack} path=${`/messages/${encodeURIComponent(id)}`} number=${message.callback_shown ?? message.caller_shown} heard=${message.numbers} />
          <button type="button" class="quiet" ref=${merger} aria-expanded=${merging} onClick=${() => setMerging(true)}><${Icon} name="link" size=${18} />${t("links.merge")}</button>`}</div>
        ${merging && !request.closed_at && html`<${LinkForm} request=${request} name="merge" others=${message.others} onDone=${merged} onClose=${stopMerging} />`}
        ${!untaken(request) && !request.closed_at && html`<${CloseForm} request=${request} onClosed=${after} />`}`}
    </article>
  `;
}
