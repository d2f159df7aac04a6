/** Mails that became no request: the list for supervisors, and one of them as plain text. */
import { html, signal, useEffect, useState } from "../lib.js";
import { get, post } from "../api.js";
import { bytes, ticketText, when } from "../format.js";
import { t } from "../i18n.js";
import { Act, Badge, Empty, errorText, Icon, Loading, toast } from "./ui.js";

const KINDS = ["automatic", "held", "bounce", "receipt", "repeated"];
const TONE = { held: "warn", bounce: "bad", opened: "ok", replied: "ok", follow_up: "ok" };
const LOOK_AGAIN_SECONDS = 30;
/** What is looked for; it stays while a mail is read. */
const filter = signal({ result: "", q: "" });

export function Mails({ id }) {
  const [found, setFound] = useState(null);
  const [failed, setFailed] = useState(null);
  const { result, q } = filter.value;
  const query = new URLSearchParams({ q: q.trim(), ...(result && { result }) }).toString();
  useEffect(() => {
    let current = true;
    const look = () => get(`/mails?${query}`).then(
      (answer) => { if (current) { setFound(answer); setFailed(null); } }, (error) => current && setFailed(error));
    const soon = setTimeout(look, 200);
    const again = setInterval(look, LOOK_AGAIN_SECONDS * 1000);
    return () => { current = false; clearTimeout(soon); clearInterval(again); };
  }, [query, id]);
  const asked = result || q.trim();
  const mails = found?.mails ?? [];
  return html`
    <div class=${`split ${id ? "with-detail" : found && !mails.length && !asked ? "alone" : ""}`}>
      <section class="master" aria-labelledby="mails-title">
        <header class="view-head"><h2 id="mails-title">${t("mails.title")}</h2><p class="muted">${t("mails.lead")}</p><${Filters} /></header>
        ${failed && html`<p class="notice bad" role="alert"><${Icon} name="alert" />${errorText(failed)}</p>`}
        ${!found && !failed && html`<${Loading} />`}
        ${found && mails.length === 0 && html`
          <${Empty} icon="mail" title=${t("mails.none_title")}>${t(asked ? "mails.nothing_found" : "mails.none")}<//>`}
        ${mails.length > 0 && html`<p class="group" role="status">${t(found.more ? "mails.more" : "mails.found", { n: mails.length })}</p>
          <ul class="rows">${mails.map((mail) => html`<${Row} key=${mail.id} mail=${mail} on=${mail.id === id} />`)}</ul>`}
      </section>
      <section class="detail" aria-label=${t("mails.one")}>
        ${id ? html`<${One} key=${id} id=${id} />` : html`
          <${Empty} icon="mail" title=${t("mails.choose_title")}>${t("mails.choose")}<//>`}
      </section>
    </div>
  `;
}

function Filters() {
  const set = (field) => (event) => (filter.value = { ...filter.value, [field]: event.target.value });
  const { result, q } = filter.value;
  return html`
    <div class="filters" role="group" aria-label=${t("filter.title")}>
      <select aria-label=${t("mails.kind")} value=${result} onChange=${set("result")}>
        ${["", ...KINDS].map((kind) => html`<option key=${kind} value=${kind} selected=${kind === result}>${t(kind ? `mail.${kind}` : "mails.all")}</option>`)}</select>
      <input type="search" aria-label=${t("mails.search")} placeholder=${t("mails.search")} value=${q} maxlength="200" onInput=${set("q")} />
    </div>
  `;
}

const Result = ({ mail }) => html`<${Badge} tone=${TONE[mail.result]}>${t(`mail.${mail.result}`)}<//>`;

function Row({ mail, on }) {
  return html`
    <li><a class=${`row ${on ? "on" : ""}`} href=${`#/mails/${mail.id}`} aria-current=${on ? "true" : undefined}>
      <span class="row-title"><span>${mail.subject || t("mails.no_subject")}</span></span>
      <span class="row-badge"><${Result} mail=${mail} /></span>
      <span class="row-sub">${mail.sender ?? "–"}</span>
      <span class="row-when">${when(mail.received_at)}</span>
    </a></li>
  `;
}

function One({ id }) {
  const [mail, setMail] = useState(null);
  const [failed, setFailed] = useState(null);
  useEffect(() => {
    get(`/mails/${id}`).then(setMail, setFailed);
  }, []);
  if (failed) return html`<p class="notice bad" role="alert"><${Icon} name="alert" />${errorText(failed)}</p>`;
  if (!mail) return html`<${Loading} />`;
  const open = async () => {
    const { request } = await post(`/mails/${id}/open`, {});
    toast(t("mails.opened_toast", { ticket: ticketText(request.ticket) }));
    location.hash = `#/requests/${request.id}`;
  };
  const author = [mail.name, mail.author && `<${mail.author}>`].filter(Boolean).join(" ");
  return html`
    <article class="page">
      <a class="back quiet" href="#/mails"><${Icon} name="back" size=${16} />${t("mails.title")}</a>
      <header class="page-head">
        <div><p class="eyebrow"><${Result} mail=${mail} /></p><h2>${mail.subject || t("mails.no_subject")}</h2>
          <p class="muted">${when(mail.received_at)}</p></div>
        ${mail.request_id !== null && html`<a class="ticket" href=${`#/requests/${mail.request_id}`}>${t("mails.request", { ticket: ticketText(mail.ticket) })}</a>`}
      </header>
      ${mail.may_open && html`<div class="actions"><${Act} class="primary" act=${open}><${Icon} name="plus" size=${18} />${t("mails.open")}<//></div>`}
      <dl class="facts">
        <div><dt>${t("mails.from")}</dt><dd class="strong">${author || "–"}</dd></div>
        ${mail.sender && mail.sender !== mail.author && html`<div><dt>${t("mails.answer_to")}</dt><dd>${mail.sender}</dd></div>`}
        <div><dt>${t("mails.why")}</dt><dd>${mail.why}</dd></div>
        ${mail.files.length > 0 && html`<div><dt>${t("mails.files")}</dt><dd>${mail.files.map((file, index) => html`<span key=${index}>${index > 0 && ", "}${file.name} (${bytes(file.size)})</span>`)}</dd></div>`}
      </dl>
      ${mail.error && html`<p class="notice"><${Icon} name="alert" />${t("mails.error", { error: mail.error })}</p>`}
      <section class="card prose" aria-label=${t("mails.one")}><p>${mail.text || t("mails.no_text")}</p></section>
    </article>
  `;
}
