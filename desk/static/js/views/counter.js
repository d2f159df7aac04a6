/** A request that no call brought: somebody stands at the counter, or rang another phone. Made for the keyboard. */
import { html, signal, useEffect, useRef, useState } from "../lib.js";
import { newKey, post } from "../api.js";
import { ticketText } from "../format.js";
import { language, t } from "../i18n.js";
import { keepTyped } from "../store.js";
import { Chosen, ContactSearch, PersonFields } from "./directory.js";
import { AreaSelect, Priority, StatusBadge, Weight } from "./request_parts.js";
import { Act, errorText, Field, Icon, Segments, toast } from "./ui.js";

const BLANK = {
  contact: null, person: null, searched: "", channel: "in_person", kind: null, area: null, subject: "", description: "",
  impact: 2, urgency: 2, email: "", phone: "", solve: false, solution: "", follow_up_of: null,
  key: "", // of this request from its first sending on: an answer may be lost, and it is sent again
};
/** What is typed stays while other things are looked at. */
const draft = signal(BLANK);
keepTyped(() => (draft.value = BLANK));

/** Begin a request that follows one which cannot be reopened any more. @param {any} request */
export function follow(request) {
  draft.value = {
    ...BLANK, contact: request.contact, channel: "phone", kind: request.kind, area: request.area, subject: request.subject,
    email: request.email ?? "", phone: request.phone_shown ?? "", follow_up_of: { id: request.id, ticket: request.ticket },
  };
  location.hash = "#/new";
}

export function Counter() {
  const [saved, setSaved] = useState(null);
  return html`
    <div class="counter">
      ${saved ? html`<${Saved} request=${saved} onNext=${() => setSaved(null)} />`
        : html`<${Form} onSaved=${setSaved} />`}
    </div>
  `;
}

function Form({ onSaved }) {
  const form = draft.value;
  const [fields, setFields] = useState(/** @type {Record<string, string>} */ ({}));
  const box = useRef(null);
  const solution = useRef(null);
  const set = (change) => {
    draft.value = { ...draft.value, ...change };
    const over = Object.keys(change).filter((field) => fields[field]);
    if (over.length) setFields({ ...fields, ...Object.fromEntries(over.map((field) => [field, undefined])) });
  };
  const typed = (field) => (event) => set({ [field]: event.target.value });
  /** Show what is wrong at its field, and go to the first. */
  const show = (wrong) => {
    setFields(wrong);
    requestAnimationFrame(() => box.current?.querySelector(".wrong :is(input, select, textarea)")?.focus());
  };
  const choose = (contact) => {
    set({ contact, person: null, searched: "", email: form.email || contact.email || "", phone: form.phone || contact.phones_shown[0] || "" });
    requestAnimationFrame(() => box.current?.querySelector("[name=channel]:checked")?.focus());
  };
  const addPerson = (name) => {
    set({ person: { name, user_code: "", company_id: "" }, contact: null, searched: "" });
    requestAnimationFrame(() => box.current?.querySelector("fieldset.person input")?.focus());
  };
  const clear = () => {
    set({ contact: null, person: null, email: "", phone: "" });
    requestAnimationFrame(() => box.current?.querySelector("[role=combobox]")?.focus());
  };
  const save = async () => {
    const wrong = {};
    for (const field of ["kind", "area", "subject"]) if (!form[field]?.trim()) wrong[field] = t("form.needed");
    if (form.person && !form.person.name.trim()) wrong.name = t("form.needed");
    if (!form.contact && !form.person && form.searched.trim()) wrong.contact = t("counter.choose_person");
    if (form.solve && !form.solution.trim()) wrong.solution = t("form.needed");
    if (Object.keys(wrong).length) return show(wrong);
    const email = form.email.trim() || null;
    const phone = form.phone.trim() || null;
    const key = form.key || newKey();
    set({ key });
    const { request } = await post("/requests", {
      channel: form.channel, kind: form.kind, area: form.area, subject: form.subject, description: form.description,
      impact: form.impact, urgency: form.urgency, email, phone, solution: form.solve ? form.solution : null,
      contact_id: form.contact?.id ?? null, language: form.contact?.language === "en" ? "en" : form.contact ? "it" : language.value,
      follow_up_of_id: form.follow_up_of?.id ?? null,
      new_contact: form.person && {
        name: form.person.name, user_code: form.person.user_code.trim() || null, email, phone,
        company_id: form.person.company_id ? Number(form.person.company_id) : null,
      },
    }, key);
    draft.value = BLANK;
    return onSaved(request);
  };
  const failed = (error) => {
    show(Object.fromEntries(Object.entries(error.fields ?? {}).map(([key, words]) => [key.split(".").at(-1), words])));
    toast(errorText(error), "bad");
  };
  const button = useRef(null);
  const keys = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      button.current?.querySelector(".primary").click();
    }
  };
  return html`
    <form class="counter-form card" ref=${box} onSubmit=${(event) => event.preventDefault()} onKeyDown=${keys} aria-labelledby="counter-title">
      <header class="view-head"><h2 id="counter-title">${t("form.title")}</h2>
        <p class="muted">${form.follow_up_of ? t("counter.follows", { ticket: ticketText(form.follow_up_of.ticket) }) : t("counter.lead")}</p></header>
      ${form.contact ? html`<${Chosen} contact=${form.contact} onClear=${clear} />`
        : form.person ? html`
          <fieldset class="person"><legend>${t("directory.new")}
            <button type="button" class="link" onClick=${clear}>${t("directory.other")}</button></legend>
            <${PersonFields} person=${form.person} fields=${fields} onChange=${(person) => set({ person, name: "" })} /></fieldset>`
        : html`<${Field} label=${t("counter.who")} error=${fields.contact ?? fields.contact_id}>${(id, aria) => html`
            <${ContactSearch} id=${id} aria=${aria} focus onChosen=${choose} onNew=${addPerson}
              onText=${(searched) => set({ searched, contact: null })} />`}<//>`}
      <div class="pair">
        <${Segments} label=${t("counter.channel")} name="channel" value=${form.channel} onChange=${(channel) => set({ channel })} error=${fields.channel}
          options=${["in_person", "phone"].map((channel) => [channel, t(`channel.${channel}`)])} />
        <${Segments} label=${t("form.kind")} name="kind" value=${form.kind} onChange=${(kind) => set({ kind })} error=${fields.kind}
          options=${["question", "request", "problem"].map((kind) => [kind, t(`kind.${kind}`)])} />
      </div>
      <${Field} label=${t("form.area")} error=${fields.area}>${(id, aria) => html`
        <${AreaSelect} id=${id} ...${aria} value=${form.area} aria-required="true" onChange=${typed("area")} />`}<//>
      <${Field} label=${t("form.subject")} error=${fields.subject}>${(id, aria) => html`
        <input id=${id} ...${aria} value=${form.subject} maxlength="200" autocomplete="off" aria-required="true" onInput=${typed("subject")} />`}<//>
      <${Field} label=${t("form.description")} error=${fields.description}>${(id, aria) => html`
        <textarea id=${id} ...${aria} rows="3" value=${form.description} onInput=${typed("description")}></textarea>`}<//>
      <${Weight} values=${form} fields=${fields} onChange=${set} />
      <div class="pair">
        <${Field} label=${t("form.email")} error=${fields.email}>${(id, aria) => html`
          <input id=${id} ...${aria} type="email" value=${form.email} maxlength="254" onInput=${typed("email")} placeholder=${t("form.email_none")} />`}<//>
        <${Field} label=${t("form.phone")} error=${fields.phone}>${(id, aria) => html`
          <input id=${id} ...${aria} type="tel" value=${form.phone} maxlength="64" onInput=${typed("phone")} />`}<//>
      </div>
      <label class="switch"><input type="checkbox" checked=${form.solve} onChange=${(event) => {
          set({ solve: event.target.checked });
          if (event.target.checked) requestAnimationFrame(() => solution.current?.focus());
        }} /><span>${t("form.solve_now")}</span></label>
      ${form.solve && html`<${Field} label=${t("form.solution")} error=${fields.solution} hint=${t("form.solution_hint")}>${(id, aria) => html`
        <textarea id=${id} ...${aria} rows="2" ref=${solution} value=${form.solution} onInput=${typed("solution")}></textarea>`}<//>`}
      <footer class="change-foot" ref=${button}>
        <span class="muted small grow"><kbd>Ctrl</kbd> + <kbd>${t("keys.enter")}</kbd></span>
        <button type="button" class="quiet" onClick=${() => { draft.value = BLANK; setFields({}); clear(); }}>${t("counter.empty")}</button>
        <${Act} class="primary large" act=${save} onFailed=${failed}><${Icon} name="check" size=${18} />${t(form.solve ? "form.save_solved" : "form.save")}<//>
      </footer>
    </form>
  `;
}

/** The ticket, to be told at once; Enter goes on to the next in the queue. */
function Saved({ request, onNext }) {
  const next = useRef(null);
  useEffect(() => next.current.focus(), []);
  return html`
    <section class="card registered" aria-label=${t("counter.saved")}>
      <span class="done"><${Icon} name="check" size=${28} /></span>
      <div role="status"><p>${t("call.tell_ticket")}</p>
        <p class="big-ticket" aria-label=${(request.ticket ?? "").split("").join(" ")}>${ticketText(request.ticket)}</p></div>
      <p class="muted">${request.subject}</p>
      <p><${StatusBadge} status=${request.status} /> <${Priority} n=${request.priority} /></p>
      <div class="actions"><button type="button" class="primary" ref=${next} onClick=${onNext}><${Icon} name="plus" size=${18} />${t("counter.next")}</button>
        <a class="button quiet" href=${`#/requests/${request.id}`}>${t("call.open_request")}</a></div>
    </section>
  `;
}
