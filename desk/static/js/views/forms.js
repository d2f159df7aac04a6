/** What the pages of administration share: asking the server, and forms from a list of fields. */
import { html, useEffect, useState } from "../lib.js";
import { get } from "../api.js";
import { t } from "../i18n.js";
import { Act, Dialog, errorText, Field, Icon, toast } from "./ui.js";

/**
 * What a page of administration shows, asked of the server; `again` asks anew.
 * @param {string} path  @returns {{items: any[]|null, failed: unknown, again: () => void}}
 */
export function useItems(path) {
  const [state, setState] = useState({ items: null, failed: null });
  const [count, setCount] = useState(0);
  useEffect(() => {
    let current = true;
    get(path).then((items) => current && setState({ items, failed: null }), (failed) => current && setState({ items: null, failed }));
    return () => { current = false; };
  }, [path, count]);
  return { ...state, again: () => setCount(count + 1) };
}

/**
 * A form in a window. `fields` are {name, kind, options, hint, label}; kinds: text, password, choice, checks, check, lines.
 * @param {{title: string, fields: any[], value: any, save: (form: any) => Promise<unknown>, onClose: () => void, onSaved: () => void, children?: any}} props
 */
export function FormDialog({ title, fields, value, save, onClose, onSaved, children }) {
  const [form, setForm] = useState(value);
  const [wrong, setWrong] = useState({});
  const set = (name, to) => setForm({ ...form, [name]: to });
  const run = async () => {
    await save(form);
    toast(t("admin.saved"));
    onSaved();
    onClose();
  };
  const failed = (error) => {
    setWrong(error.fields ?? {});
    toast([errorText(error), ...Object.entries(error.fields ?? {}).filter(([name]) => !fields.some((field) => field.name === name))
      .map(([name, words]) => `${name}: ${words}`)].join(" "), "bad");
  };
  return html`
    <${Dialog} title=${title} onClose=${onClose}>
      ${fields.map((field, at) => html`<${Input} key=${field.name} field=${field} first=${at === 0} value=${form[field.name]} error=${wrong[field.name]}
        onChange=${(to) => set(field.name, to)} />`)}
      ${children}
      <footer class="dialog-foot"><button type="button" class="quiet" onClick=${onClose}>${t("cancel")}</button>
        <${Act} class="primary" act=${run} onFailed=${failed}>${t("edit.save")}<//></footer>
    <//>
  `;
}

/** One field of such a form. */
export function Input({ field, value, error, onChange, first = false }) {
  const label = field.label ?? t(`field.${field.name}`);
  if (field.kind === "check") {
    return html`<label class="switch"><input type="checkbox" checked=${value} onChange=${(event) => onChange(event.target.checked)} />${label}</label>`;
  }
  if (field.kind === "checks") {
    return html`<fieldset class="options"><legend>${label}</legend>
      ${field.options.map(([key, words]) => html`<label key=${key} class="switch"><input type="checkbox" checked=${(value ?? []).includes(key)}
        onChange=${(event) => onChange(event.target.checked ? [...(value ?? []), key] : value.filter((one) => one !== key))} />${words}</label>`)}
      ${error && html`<p class="field-error" role="alert"><${Icon} name="alert" size=${14} />${error}</p>`}</fieldset>`;
  }
  return html`<${Field} label=${label} hint=${field.hint} error=${error}>${(id, aria) => {
    if (field.kind === "choice") {
      return html`<select id=${id} ...${aria} autofocus=${first} value=${value ?? ""} onChange=${(event) => onChange(event.target.value)}>
        ${field.options.map(([key, words]) => html`<option key=${key} value=${key} selected=${(value ?? "") === key}>${words}</option>`)}</select>`;
    }
    if (field.kind === "lines") {
      return html`<textarea id=${id} ...${aria} rows="3" value=${(value ?? []).join("\n")}
        onInput=${(event) => onChange(event.target.value.split("\n"))}></textarea>`;
    }
    return html`<input id=${id} ...${aria} type=${field.kind ?? "text"} value=${value ?? ""} maxlength=${field.longest ?? 200} autocomplete=${field.kind === "password" ? "new-password" : "off"}
      min=${field.min} max=${field.max} step=${field.step} autofocus=${first} onInput=${(event) => onChange(event.target.value)} />`;
  }}<//>`;
}

/** Something that cannot be taken back, asked twice. @param {{label: string, sure: string, act: () => Promise<unknown>, onFailed?: (error: unknown) => void}} props */
export function Confirmed({ label, sure, act, onFailed }) {
  const [asked, setAsked] = useState(false);
  if (!asked) return html`<button type="button" class="danger small" onClick=${() => setAsked(true)}>${label}</button>`;
  return html`<div class="notice bad"><p>${sure}</p><${Act} class="danger" act=${act} onFailed=${onFailed}>${label}<//>
    <button type="button" class="quiet" onClick=${() => setAsked(false)}>${t("cancel")}</button></div>`;
}
