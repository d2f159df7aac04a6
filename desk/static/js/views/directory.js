/** Choosing who is calling: someone from the directory, or a new person. */
import { html, useEffect, useRef, useState } from "../lib.js";
import { get } from "../api.js";
import { t } from "../i18n.js";
import { Act, Dialog, errorText, Field, Icon, toast } from "./ui.js";

/** @param {{number: string|null, onClose: () => void, onChosen: (body: any) => Promise<void>}} props */
export function ContactPicker({ number, onClose, onChosen }) {
  const [text, setText] = useState("");
  const [found, setFound] = useState([]);
  const [adding, setAdding] = useState(false);
  const [companies, setCompanies] = useState([]);
  const [person, setPerson] = useState({ name: "", user_code: "", email: "", company_id: "" });
  const [fields, setFields] = useState(/** @type {Record<string, string>} */ ({}));
  useEffect(() => {
    if (text.trim().length < 2) return setFound([]);
    let current = true;
    const timer = setTimeout(() => get(`/contacts?q=${encodeURIComponent(text)}`).then(
      (people) => current && setFound(people), (error) => toast(errorText(error), "bad")), 200);
    return () => { current = false; clearTimeout(timer); };
  }, [text]);
  useEffect(() => { if (adding) get("/companies").then(setCompanies, () => {}); }, [adding]);
  const set = (field) => (event) => setPerson({ ...person, [field]: event.target.value });
  const add = async () => {
    if (!person.name.trim()) return setFields({ name: t("form.needed") });
    return onChosen({ new: {
      name: person.name, user_code: person.user_code.trim() || null, email: person.email.trim() || null,
      company_id: person.company_id ? Number(person.company_id) : null,
    } });
  };
  const failed = (error) => {
    setFields(Object.fromEntries(Object.entries(error.fields ?? {}).map(([key, words]) => [key.split(".").at(-1), words])));
    toast(errorText(error), "bad");
  };
  return html`
    <${Dialog} title=${t("caller.who")} onClose=${onClose}>
      ${number && html`<p class="muted">${t("caller.will_remember", { number })}</p>`}
      ${!adding && html`
        <${Field} label=${t("directory.search")}>${(id) => html`
          <input id=${id} type="search" value=${text} maxlength="200" autocomplete="off" autofocus
            onInput=${(event) => setText(event.target.value)} />`}<//>
        <ul class="people" aria-live="polite">${found.map((contact) => html`
          <li key=${contact.id}><span class="who">${contact.name}</span>
            <span class="meta">${[contact.company?.name, contact.user_code, contact.phones_shown[0]].filter(Boolean).join(" · ")}</span>
            <${Act} class="quiet small" act=${() => onChosen({ contact_id: contact.id })}>${t("directory.choose")}<//></li>`)}
          ${text.trim().length >= 2 && found.length === 0 && html`<li class="muted">${t("directory.nobody")}</li>`}</ul>
        <button type="button" class="quiet" onClick=${() => { setAdding(true); setPerson({ ...person, name: text }); }}>
          <${Icon} name="user" size=${18} />${t("directory.new")}</button>`}
      ${adding && html`
        <${Field} label=${t("directory.name")} error=${fields.name}>${(id) => html`<input id=${id} value=${person.name} maxlength="200" onInput=${set("name")} />`}<//>
        <${Field} label=${t("requests.company")} error=${fields.company_id}>${(id) => html`
          <select id=${id} value=${person.company_id} onChange=${set("company_id")}><option value="">–</option>
            ${companies.map((company) => html`<option key=${company.id} value=${company.id}>${company.name}</option>`)}</select>`}<//>
        <div class="pair">
          <${Field} label=${t("directory.code")} error=${fields.user_code}>${(id) => html`<input id=${id} value=${person.user_code} maxlength="64" onInput=${set("user_code")} />`}<//>
          <${Field} label=${t("form.email")} error=${fields.email}>${(id) => html`<input id=${id} type="email" value=${person.email} maxlength="254" onInput=${set("email")} />`}<//>
        </div>
        <footer class="dialog-foot"><button type="button" class="quiet" onClick=${() => setAdding(false)}>${t("back")}</button>
          <${Act} class="primary" act=${add} onFailed=${failed}>${t("directory.add")}<//></footer>`}
    <//>
  `;
}

/**
 * A person, found while typing: arrows and Enter choose, the last choice is a new person.
 * @param {{id: string, aria: any, onChosen: (contact: any) => void, onNew: (name: string) => void, onText?: (text: string) => void,
 *   focus?: boolean}} props
 */
export function ContactSearch({ id, aria, onChosen, onNew, onText, focus = false }) {
  const [text, setText] = useState("");
  const [found, setFound] = useState(null);
  const [at, setAt] = useState(0);
  const input = useRef(null);
  useEffect(() => { if (focus) input.current.focus(); }, []);
  useEffect(() => {
    setFound(null);
    if (text.trim().length < 2) return undefined;
    let current = true;
    const timer = setTimeout(() => get(`/contacts?q=${encodeURIComponent(text)}`).then(
      (people) => { if (current) { setFound(people.slice(0, 8)); setAt(0); } }, (error) => toast(errorText(error), "bad")), 150);
    return () => { current = false; clearTimeout(timer); };
  }, [text]);
  const choices = found ? [...found.map((contact) => () => onChosen(contact)), ...(onNew ? [() => onNew(text.trim())] : [])] : [];
  const type = (value) => {
    setText(value);
    onText?.(value);
  };
  const keys = (event) => {
    if (!choices.length) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      setAt((at + (event.key === "ArrowDown" ? 1 : -1) + choices.length) % choices.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      choices[at]();
    } else if (event.key === "Escape") {
      event.stopPropagation();
      setFound(null);
    }
  };
  const option = (index, kind, content) => html`
    <li key=${index} id=${`${id}-${index}`} role="option" class=${`${kind} ${index === at ? "on" : ""}`} aria-selected=${index === at}
      onMouseDown=${(event) => event.preventDefault()} onClick=${choices[index]}>${content}</li>`;
  return html`
    <div class="combo" onFocusOut=${() => setFound(null)}>
      <input id=${id} ...${aria} ref=${input} role="combobox" type="text" value=${text} maxlength="200" autocomplete="off"
        aria-autocomplete="list" aria-expanded=${choices.length > 0} aria-controls=${`${id}-list`}
        aria-activedescendant=${choices.length ? `${id}-${at}` : undefined} placeholder=${t("directory.search")}
        onInput=${(event) => type(event.target.value)} onKeyDown=${keys} />
      <ul id=${`${id}-list`} role="listbox" aria-label=${t("directory.found")} hidden=${!choices.length}>
        ${(found ?? []).map((contact, index) => option(index, "", html`<span class="who">${contact.name}</span>
          <span class="meta">${[contact.company?.name, contact.user_code, contact.phones_shown[0]].filter(Boolean).join(" · ")}</span>`))}
        ${found && onNew && option(found.length, "new", html`<${Icon} name="plus" size=${16} /> ${t("directory.new_named", { name: text.trim() })}`)}
      </ul>
      <span class="sr-only" role="status">${found ? t("directory.count", { n: found.length }) : ""}</span>
    </div>
  `;
}

/** The person chosen, with a way back to the search. */
export function Chosen({ contact, onClear, children }) {
  return html`
    <p class="chosen"><${Icon} name="user" size=${18} /><span><strong>${contact.name}</strong>
      <span class="meta">${[contact.company?.name, contact.user_code].filter(Boolean).join(" · ")}</span>${children}</span>
      <button type="button" class="quiet small" onClick=${onClear}>${t("directory.other")}</button></p>
  `;
}

/** The fields of somebody who is not in the directory yet; telephone and e-mail are those of the request. */
export function PersonFields({ person, fields, onChange }) {
  const [companies, setCompanies] = useState([]);
  useEffect(() => { get("/companies").then(setCompanies, (error) => toast(errorText(error), "bad")); }, []);
  const set = (field) => (event) => onChange({ ...person, [field]: event.target.value });
  return html`
    <${Field} label=${t("directory.name")} error=${fields.name}>${(id, aria) => html`
      <input id=${id} ...${aria} value=${person.name} maxlength="200" autocomplete="off" aria-required="true" onInput=${set("name")} />`}<//>
    <div class="pair">
      <${Field} label=${t("requests.company")} error=${fields.company_id}>${(id, aria) => html`
        <select id=${id} ...${aria} value=${person.company_id} onChange=${set("company_id")}><option value="">–</option>
          ${companies.map((company) => html`<option key=${company.id} value=${company.id}>${company.name}</option>`)}</select>`}<//>
      <${Field} label=${t("directory.code")} error=${fields.user_code}>${(id, aria) => html`
        <input id=${id} ...${aria} value=${person.user_code} maxlength="64" autocomplete="off" onInput=${set("user_code")} />`}<//>
    </div>
  `;
}
