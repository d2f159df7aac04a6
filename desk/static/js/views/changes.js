/**
 * What changes a request: moves, levels, fields, links. What was typed stays, whatever the answer; who was second is shown
 * what changed meanwhile and by whom, and says again that the change is meant.
 */
import { html, useEffect, useRef, useState } from "../lib.js";
import { get, patch, post } from "../api.js";
import { ticketText } from "../format.js";
import { t } from "../i18n.js";
import { areaName, lists, me, nameOf } from "../store.js";
import { follow } from "./counter.js";
import { Chosen, ContactSearch, PersonFields } from "./directory.js";
import { AreaSelect, CallBack, changeText, refused, Weight } from "./request_parts.js";
import { Act, Badge, errorText, Field, Icon, Menu, Segments, toast } from "./ui.js";

/** Moves that need no word of explanation. */
const AT_ONCE = new Set(["picked_up", "resumed", "queued"]);
const ICON = { picked_up: "hand", resolved: "check", closed: "check", asked: "mail", waiting: "clock", cancelled: "close", put_back: "back" };
const moveKey = (move) => (move.event === "resumed" || move.event === "reopened" ? `${move.event}_${move.to}` : move.event);

/** Buttons for all that may be done with a request now, and the form of the one that was chosen. */
export function Changes({ request, onChanged }) {
  const [open, setOpen] = useState(null);
  const opener = useRef(null);
  const choose = (what) => (event) => {
    opener.current = event.currentTarget.closest(".menu")?.querySelector("button") ?? event.currentTarget;
    setOpen(what);
  };
  const close = () => {
    setOpen(null);
    opener.current?.focus();
  };
  const done = (changed) => {
    onChanged(changed);
    setOpen(null);
    document.getElementById("request-title")?.focus();
  };
  const send = (path, body) => post(`/requests/${request.id}/${path}`, { ...body, version: request.version }).then(done);
  const isOpen = request.moves.length > 0 && !["resolved", "closed", "cancelled"].includes(request.status);
  const moves = request.moves.map((move) => {
    const key = moveKey(move);
    const label = html`${ICON[move.event] && html`<${Icon} name=${ICON[move.event]} size=${18} />`}${t(`move.${key}`)}`;
    const immediate = AT_ONCE.has(move.event) || (move.event === "closed" && !move.text);
    const kind = move.event === "picked_up" ? "primary" : "quiet";
    return immediate
      ? html`<${Act} key=${key} class=${kind} onFailed=${refused} act=${() => (move.event === "picked_up" ? send("take", {}) : send("move", { to: move.to }))}>${label}<//>`
      : html`<button type="button" key=${key} class=${kind} aria-expanded=${open?.key === key} onClick=${choose({ key, move })}>${label}</button>`;
  });
  return html`
    <div class="actions" role="group" aria-label=${t("requests.actions")}>
      ${moves}
      ${request.level_moves.map((name) => html`
        <button type="button" key=${name} class="quiet" aria-expanded=${open?.key === name} onClick=${choose({ key: name, level: name })}>
          <${Icon} name="forward" size=${18} />${t(`move.${name}`)}</button>`)}
      ${isOpen && html`
        <button type="button" class="quiet" aria-expanded=${open?.key === "edit"} onClick=${choose({ key: "edit" })}><${Icon} name="edit" size=${18} />${t("move.edit")}</button>
        <${CallBack} path=${`/requests/${request.id}`} number=${request.phone_shown} />
        <${Menu} class="quiet" label=${html`<${Icon} name="link" size=${18} />${t("links.title")}`}>
          ${["parent", "merge"].map((name) => html`
            <button type="button" key=${name} class="menu-item" onClick=${choose({ key: name, link: name })}>${t(`links.${name}`)}</button>`)}<//>`}
      ${request.status !== "cancelled" && request.closed_at && request.moves.length === 0 && html`
        <button type="button" class="quiet" onClick=${() => follow(request)}><${Icon} name="plus" size=${18} />${t("links.follow")}</button>`}
    </div>
    ${open?.move && html`<${MoveForm} key=${open.key} request=${request} move=${open.move} name=${open.key} onDone=${done} onClose=${close} />`}
    ${open?.level && html`<${LevelForm} key=${open.key} request=${request} name=${open.level} onDone=${done} onClose=${close} />`}
    ${open?.key === "edit" && html`<${EditForm} request=${request} onDone=${done} onClose=${close} />`}
    ${open?.link && html`<${LinkForm} key=${open.key} request=${request} name=${open.link} onDone=${done} onClose=${close} />`}
  `;
}

/**
 * The frame of a form for one change: its errors, and what others did meanwhile; `own` are the fields that it shows itself.
 * @param {{title: string, own: string[], request: any, send: (version: number) => Promise<any>, check?: () => Record<string, string>, submit: string,
 *   onDone: (changed: any) => void, onClose: () => void, children: (fields: Record<string, string>) => any, tone?: string}} props
 */
function ChangeForm({ title, own, request, send, check, submit, onDone, onClose, children, tone = "primary" }) {
  const [fields, setFields] = useState({});
  const [changes, setChanges] = useState(null);
  const version = useRef(request.version);
  const box = useRef(null);
  const typed = useRef(false);
  useEffect(() => box.current.querySelector("input:not([type=radio]), textarea, select")?.focus(), []);
  const show = (wrong) => {
    setFields(wrong);
    requestAnimationFrame(() => box.current?.querySelector(".wrong :is(input, select, textarea)")?.focus());
  };
  const run = async () => {
    const wrong = check?.() ?? {};
    if (Object.keys(wrong).length) return show(wrong);
    setFields({});
    return onDone(await send(version.current));
  };
  const failed = async (error) => {
    if (error.code === "conflict") {
      // From here on it is meant for the request as it is now.
      version.current = (await get(`/requests/${request.id}`).catch(() => request)).version;
      setChanges(error.changes);
      requestAnimationFrame(() => box.current?.querySelector(".conflict")?.focus());
      return;
    }
    show(Object.fromEntries(Object.entries(error.fields ?? {}).map(([key, words]) => [key.split(".").at(-1), words])));
    toast(errorText(error), "bad");
  };
  return html`
    <section class="card change" aria-label=${title} ref=${box} onInput=${() => (typed.current = true)}
      onKeyDown=${(event) => event.key === "Escape" && !typed.current && onClose()}>
      <h3>${title}</h3>
      ${changes && html`
        <div class="notice bad conflict" role="alert" tabindex="-1"><${Icon} name="alert" />
          <div><strong>${t("conflict.title")}</strong>
            <ul>${changes.map((change, index) => html`
              <li key=${index}>${changeText(change)}</li>`)}</ul>
            <p>${t("conflict.again", { button: submit })}</p></div></div>`}
      ${children(fields)}
      ${Object.entries(fields).filter(([key]) => !own.includes(key))
        .map(([key, words]) => html`<p class="field-error" role="alert" key=${key}><${Icon} name="alert" size=${14} />${t(`form.${key}`)}: ${words}</p>`)}
      <footer class="change-foot"><button type="button" class="quiet" onClick=${onClose}>${t("cancel")}</button>
        <${Act} class=${tone} act=${run} onFailed=${failed}>${submit}<//></footer>
    </section>
  `;
}

export const Words = ({ label, hint, error, value, onInput, rows = 3 }) => html`
  <${Field} label=${label} hint=${hint} error=${error}>${(id, aria) => html`
    <textarea id=${id} ...${aria} rows=${rows} value=${value} onInput=${(event) => onInput(event.target.value)}></textarea>`}<//>`;

function MoveForm({ request, move, name, onDone, onClose }) {
  const [text, setText] = useState("");
  const label = { asked: "move.question", waiting: "move.whom", resolved: "form.solution", closed: "form.solution", cancelled: "move.reason" }[move.event] ?? "move.note";
  const hint = { asked: "move.question_hint", resolved: "requests.close_hint", closed: "requests.close_hint" }[move.event];
  return html`
    <${ChangeForm} title=${t(`move.${name}`)} submit=${t(`move.${name}`)} request=${request} onDone=${onDone} onClose=${onClose}
      own=${[move.text ?? "text"]} tone=${move.event === "cancelled" ? "danger" : "primary"}
      check=${() => (move.text && !text.trim() ? { [move.text]: t("form.needed") } : {})}
      send=${(version) => post(`/requests/${request.id}/move`, { to: move.to, text, version })}>
      ${(fields) => html`
        ${request.children.length > 0 && (move.event === "resolved" || move.event === "closed") && html`
          <p class="muted">${t("move.with_children", { n: request.children.filter((child) => !["resolved", "closed", "cancelled"].includes(child.status)).length })}</p>`}
        <${Words} label=${t(label)} hint=${hint && t(hint)} error=${fields[move.text ?? "text"]} value=${text} onInput=${setText} />`}
    <//>
  `;
}

function LevelForm({ request, name, onDone, onClose }) {
  const [groups, setGroups] = useState([]);
  const [group, setGroup] = useState("");
  const [words, setWords] = useState({ reason: "", handover: "", note: "" });
  useEffect(() => { if (name === "escalate") get("/support-groups").then(setGroups, (error) => toast(errorText(error), "bad")); }, [name]);
  const needed = { escalate: ["reason", "handover"], refer: ["reason"] }[name] ?? ["note"];
  const check = () => {
    const wrong = Object.fromEntries(needed.filter((field) => !words[field].trim()).map((field) => [field, t("form.needed")]));
    if (name === "escalate" && !group) wrong.group_id = t("form.needed");
    return wrong;
  };
  const path = { hand_back: "hand-back" }[name] ?? name;
  const desk = request.company_desk;
  return html`
    <${ChangeForm} title=${t(`move.${name}`)} submit=${t(`move.${name}`)} request=${request} onDone=${onDone} onClose=${onClose} check=${check}
      own=${[...needed, "group_id"]} send=${(version) => post(`/requests/${request.id}/${path}`, {
        version, ...Object.fromEntries(needed.map((field) => [field, words[field]])), ...(name === "escalate" && { group_id: Number(group) }),
      })}>
      ${(fields) => html`
        ${name === "escalate" && html`<${Field} label=${t("levels.group")} error=${fields.group_id}>${(id, aria) => html`
          <select id=${id} ...${aria} value=${group} onChange=${(event) => setGroup(event.target.value)}>
            <option value="" disabled>${t("form.choose")}</option>
            ${groups.map((one) => html`<option key=${one.id} value=${String(one.id)}>${t("requests.level", { n: one.level })} · ${one.name}</option>`)}
          </select>`}<//>`}
        ${name === "refer" && desk && html`<${CompanyDesk} desk=${desk} />`}
        ${needed.map((field) => html`<${Words} key=${field} label=${t(`levels.${field}`)} hint=${field === "handover" ? t("levels.handover_hint") : undefined}
          error=${fields[field]} value=${words[field]} onInput=${(text) => setWords({ ...words, [field]: text })} />`)}`}
    <//>
  `;
}

/** How to reach a company's own desk. */
export const CompanyDesk = ({ desk }) => html`
  <p class="company-desk"><${Icon} name="building" size=${18} /><span><strong>${t("held.level_0", { company: desk.name })}</strong>
    <span class="meta"> ${[desk.phone_shown, desk.hours, desk.email].filter(Boolean).join(" · ") || t("levels.desk_unknown")}</span></span></p>`;

const EDITED = ["subject", "description", "kind", "area", "impact", "urgency", "email", "phone", "holder"];

function EditForm({ request, onDone, onClose }) {
  const begun = useRef({ ...request, phone: request.phone_shown ?? "", email: request.email ?? "", holder: request.holder ?? "" });
  const [form, setForm] = useState(begun.current);
  const [contact, setContact] = useState(request.contact);
  const [person, setPerson] = useState(null);
  const set = (field) => (event) => setForm({ ...form, [field]: event.target ? event.target.value : event });
  const agents = [...new Set([form.holder, me.value.username, ...[...lists.agents.value.values()].map((agent) => agent.username)])].filter(Boolean);
  /** Only what was changed here: what others changed in other fields stays. */
  const changed = () => {
    const fields = EDITED.filter((field) => form[field] !== begun.current[field]);
    const changes = Object.fromEntries(fields.map((field) => [field, form[field]]));
    for (const field of ["email", "phone"]) if (field in changes) changes[field] = changes[field].trim() || null;
    return changes;
  };
  const send = async (version) => {
    const changes = changed();
    if (person) {
      const added = await post("/contacts", {
        name: person.name, user_code: person.user_code.trim() || null, company_id: person.company_id ? Number(person.company_id) : null,
        email: form.email.trim() || null, phone: form.phone.trim() || null,
      });
      setContact(added);
      setPerson(null);
      changes.contact_id = added.id;
    } else if (contact?.id !== begun.current.contact?.id) changes.contact_id = contact?.id ?? null;
    return patch(`/requests/${request.id}`, { ...changes, version });
  };
  const check = () => ({
    ...(!form.subject.trim() && { subject: t("form.needed") }), ...(person && !person.name.trim() && { name: t("form.needed") }),
  });
  return html`
    <${ChangeForm} title=${t("move.edit")} own=${[...EDITED, "name", "user_code", "company_id", "contact_id"]} submit=${t("edit.save")} request=${request} onDone=${onDone} onClose=${onClose} check=${check} send=${send}>
      ${(fields) => html`
        <${Field} label=${t("form.subject")} error=${fields.subject}>${(id, aria) => html`
          <input id=${id} ...${aria} value=${form.subject} maxlength="200" onInput=${set("subject")} />`}<//>
        <${Words} label=${t("form.description")} error=${fields.description} value=${form.description} onInput=${set("description")} />
        <div class="pair">
          <${Segments} label=${t("form.kind")} name="edit-kind" value=${form.kind} onChange=${set("kind")} error=${fields.kind}
            options=${["question", "request", "problem"].map((kind) => [kind, t(`kind.${kind}`)])} />
          <${Field} label=${t("form.area")} error=${fields.area}>${(id, aria) => html`
            <${AreaSelect} id=${id} ...${aria} value=${form.area} onChange=${set("area")} />`}<//>
        </div>
        <${Weight} prefix="edit-" values=${form} fields=${fields} onChange=${(change) => setForm({ ...form, ...change })} />
        ${contact ? html`<${Chosen} contact=${contact} onClear=${() => setContact(null)} />`
          : person ? html`<fieldset class="person"><legend>${t("directory.new")}
              <button type="button" class="link" onClick=${() => setPerson(null)}>${t("directory.other")}</button></legend>
              <${PersonFields} person=${person} fields=${fields} onChange=${setPerson} /></fieldset>`
          : html`<${Field} label=${t("requests.user")} error=${fields.contact_id}>${(id, aria) => html`
              <${ContactSearch} id=${id} aria=${aria} onChosen=${(found) => { setContact(found); setForm({ ...form, email: form.email || found.email || "" }); }}
                onNew=${(name) => setPerson({ name, user_code: "", company_id: "" })} />`}<//>`}
        <div class="pair">
          <${Field} label=${t("form.email")} error=${fields.email}>${(id, aria) => html`
            <input id=${id} ...${aria} type="email" value=${form.email} maxlength="254" placeholder=${t("form.email_none")} onInput=${set("email")} />`}<//>
          <${Field} label=${t("form.phone")} error=${fields.phone}>${(id, aria) => html`
            <input id=${id} ...${aria} type="tel" value=${form.phone} maxlength="64" onInput=${set("phone")} />`}<//>
        </div>
        ${begun.current.holder && html`<${Field} label=${t("requests.holder")} error=${fields.holder}>${(id, aria) => html`
          <select id=${id} ...${aria} value=${form.holder} onChange=${set("holder")}>
            ${agents.map((name) => html`<option key=${name} value=${name} selected=${name === form.holder}>${nameOf(name)}</option>`)}</select>`}<//>`}`}
    <//>
  `;
}

/**
 * Another request by its ticket number, or one of `others` at a click: it is shown first, with its subject, and then confirmed.
 * @param {{request: any, name: "parent"|"merge", others?: any[], onDone: (changed: any) => void, onClose: () => void}} props
 */
export function LinkForm({ request, name, others = [], onDone, onClose }) {
  const [ticket, setTicket] = useState("");
  const [other, setOther] = useState(null);
  const look = async () => {
    try {
      setOther(await get(`/requests/by-ticket/${encodeURIComponent(ticket.trim())}`));
    } catch (error) {
      if (error.status === 404) error.fields = { ticket: t("requests.not_found") };
      throw error;
    }
    return undefined;
  };
  const side = (what, one) => html`<div><dt>${t(what)}</dt><dd><span class="ticket">${ticketText(one.ticket)}</span> ${one.subject}
    <span class="meta"> ${[one.contact_name, t(`status.${one.status}`)].filter(Boolean).join(" · ")}</span></dd></div>`;
  if (!other) {
    return html`
      <${ChangeForm} title=${t(`links.${name}`)} own=${["ticket"]} submit=${t("links.look")} request=${request} onDone=${() => {}} onClose=${onClose}
        check=${() => (ticket.trim() ? {} : { ticket: t("form.needed") })} send=${look}>
        ${(fields) => html`<p class="muted">${t(`links.${name}_hint`)}</p>
          ${others.length > 0 && html`<div><p class="section-label">${t("links.of_caller")}</p><ul class="past-list">${others.map((one) => html`
            <li key=${one.id}><button type="button" class="link" onClick=${() => setOther(one)}>${ticketText(one.ticket)} ${one.subject}</button>
              <${Badge}>${t(`status.${one.status}`)}<//></li>`)}</ul></div>`}
          <${Field} label=${t("requests.ticket")} error=${fields.ticket}>${(id, aria) => html`
            <input id=${id} ...${aria} value=${ticket} inputmode="numeric" maxlength="20" autocomplete="off"
              onInput=${(event) => setTicket(event.target.value)} />`}<//>`}
      <//>`;
  }
  return html`
    <${ChangeForm} key="confirm" title=${t(`links.${name}`)} own=${["ticket"]} submit=${t(`links.${name}_do`)} request=${request} onDone=${onDone} onClose=${onClose}
      send=${(version) => post(`/requests/${request.id}/${name}`, { ticket: other.ticket, version })}>
      ${(fields) => html`
        <dl class="both">${side(name === "merge" ? "links.closes" : "links.below", request)}${side(name === "merge" ? "links.goes_on" : "links.above", other)}</dl>
        ${fields.ticket && html`<p class="field-error" role="alert">${fields.ticket}</p>`}
        <button type="button" class="link" onClick=${() => setOther(null)}>${t("links.another")}</button>`}
    <//>
  `;
}

const LINKS = [["parent", "links.is_below"], ["merged_into", "links.goes_on_in"], ["follow_up_of", "links.follows"]];

/** The requests that have to do with this one; what was put below another by mistake is taken from there. */
export function Links({ request, onChanged }) {
  const item = (one, more) => html`<li key=${one.id}><a href=${`#/requests/${one.id}`}><span class="ticket">${ticketText(one.ticket)}</span> ${one.subject}</a>
    <${Badge}>${t(`status.${one.status}`)}<//>${more}</li>`;
  const unlink = async () => {
    onChanged(await post(`/requests/${request.id}/unlink`, { version: request.version }));
    toast(t("links.unlinked"));
    document.getElementById("request-title")?.focus();
  };
  const alone = LINKS.filter(([field]) => request[field]);
  const lists_ = [["children", "links.children"], ["merged", "links.merged"], ["follow_ups", "links.follow_ups"]].filter(([field]) => request[field].length);
  if (alone.length + lists_.length === 0) return null;
  return html`
    <section class="links" aria-labelledby="links"><h3 id="links">${t("links.title")}</h3>
      ${alone.map(([field, words]) => html`<p class="section-label" key=${field}>${t(words)}</p><ul class="past-list">
        ${item(request[field], field === "parent" && !request.closed_at && html`<${Act} class="quiet small" act=${unlink} onFailed=${refused}>
          <${Icon} name="close" size=${16} />${t("links.unlink")}<//>`)}</ul>`)}
      ${lists_.map(([field, words]) => html`<p class="section-label" key=${field}>${t(words, { n: request[field].length })}</p>
        <ul class="past-list">${request[field].map((one) => item(one))}</ul>`)}
    </section>
  `;
}

/** What an edit changed, old and new. @param {Record<string, [any, any]>} details */
export function Edited({ details }) {
  const shown = (field, value) => {
    if (value === null || value === "") return "–";
    if (field === "area") return areaName(value);
    if (field === "kind") return t(`kind.${value}`);
    if (field === "impact" || field === "urgency") return t(`${field}.${value}`);
    if (field === "holder") return nameOf(value);
    return String(value);
  };
  return html`<ul class="edited">${Object.entries(details).filter(([, pair]) => Array.isArray(pair)).map(([field, [before, after]]) => html`
    <li key=${field}><span class="muted">${t(`form.${field}`)}:</span>
      ${field.endsWith("_id") || field === "description" ? "" : html` <del>${shown(field, before)}</del> → <ins>${shown(field, after)}</ins>`}</li>`)}</ul>`;
}
