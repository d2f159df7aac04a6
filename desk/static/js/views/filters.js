/** Saved lists of requests, and what their lines show. */
import { effect, html, signal, useState } from "../lib.js";
import { t } from "../i18n.js";
import { me } from "../store.js";
import { COLUMNS, prefer, preferences } from "../preferences.js";
import { Act, Dialog, Field, Icon, Menu, toast } from "./ui.js";

export const PLAIN = { which: "work", level: "", q: "", days: "14", order: "due" };
/** What is looked for; it stays while a request is looked at. */
export const filter = signal(PLAIN);

const chosen = (saved) => ({ which: saved.which, level: saved.level === null ? "" : String(saved.level), q: saved.q, days: String(saved.days), order: saved.order });
const same = (one, other) => Object.keys(PLAIN).every((field) => one[field] === other[field]);

/** After log-in the list is there that this person begins with. */
let begun = "";
effect(() => {
  const username = me.value?.username ?? "";
  if (username === begun) return;
  begun = username;
  const first = username && preferences.peek().filters.find((saved) => saved.name === preferences.peek().begin_with);
  filter.value = first ? chosen(first) : PLAIN;
});

export function SavedFilters() {
  const [open, setOpen] = useState("");
  const { filters, begin_with } = preferences.value;
  const now = filters.find((saved) => same(chosen(saved), filter.value));
  const forget = () => prefer((kept) => ({
    filters: kept.filters.filter((saved) => saved.name !== now.name), begin_with: kept.begin_with === now.name ? null : kept.begin_with,
  }));
  return html`
    <${Menu} class="quiet" label=${html`<${Icon} name="list" size=${18} /><span>${now?.name ?? t("saved.title")}</span>`}>
      ${filters.length === 0 && html`<p class="menu-title muted">${t("saved.none")}</p>`}
      ${filters.map((saved) => html`
        <button type="button" key=${saved.name} class="menu-item" aria-pressed=${saved === now} onClick=${() => (filter.value = chosen(saved))}>
          <${Icon} name=${saved === now ? "check" : "list"} size=${18} />${saved.name}
          ${saved.name === begin_with && html`<span class="muted small">${t("saved.first")}</span>`}</button>`)}
      ${!now && html`<button type="button" class="menu-item apart" onClick=${() => setOpen("save")}><${Icon} name="plus" size=${18} />${t("saved.save")}</button>`}
      ${now && html`
        <${Act} class="menu-item apart" act=${() => prefer(() => ({ begin_with: now.name === begin_with ? null : now.name }))}>
          <${Icon} name="up" size=${18} />${t(now.name === begin_with ? "saved.not_first" : "saved.make_first")}<//>
        <${Act} class="menu-item" act=${forget}><${Icon} name="close" size=${18} />${t("saved.forget", { name: now.name })}<//>`}
      <button type="button" class="menu-item" onClick=${() => setOpen("columns")}><${Icon} name="edit" size=${18} />${t("columns.title")}</button>
    <//>
    ${open === "save" && html`<${Save} onClose=${() => setOpen("")} />`}
    ${open === "columns" && html`<${Columns} onClose=${() => setOpen("")} />`}
  `;
}

function Save({ onClose }) {
  const [name, setName] = useState("");
  const [first, setFirst] = useState(false);
  const [error, setError] = useState("");
  const save = async (event) => {
    event?.preventDefault();
    const { filters } = preferences.value;
    const called = name.trim();
    if (!called) return setError(t("form.needed"));
    if (filters.some((saved) => saved.name.toLowerCase() === called.toLowerCase())) return setError(t("saved.twice"));
    const { level, days, ...rest } = filter.value;
    const added = { ...rest, name: called, level: level === "" ? null : Number(level), days: Number(days) };
    await prefer((kept) => ({ filters: [...kept.filters, added], begin_with: first ? called : kept.begin_with }));
    toast(t("saved.saved", { name: called }));
    return onClose();
  };
  return html`
    <${Dialog} title=${t("saved.save")} onClose=${onClose}>
      <${Field} label=${t("saved.name")} error=${error}>${(id, aria) => html`
        <input id=${id} ...${aria} maxlength="40" autocomplete="off" autofocus value=${name}
          onInput=${(event) => { setName(event.target.value); setError(""); }}
          onKeyDown=${(event) => event.key === "Enter" && save(event)} />`}<//>
      <label class="switch"><input type="checkbox" checked=${first} onChange=${(event) => setFirst(event.target.checked)} />${t("saved.make_first")}</label>
      <footer class="dialog-foot"><${Act} class="primary" act=${save}>${t("keys.save")}<//></footer>
    <//>
  `;
}

function Columns({ onClose }) {
  const toggle = (name) => () => {
    const shown = preferences.value.columns.includes(name);
    return prefer(({ columns }) => ({ columns: COLUMNS.filter((one) => (one === name ? !shown : columns.includes(one))) }));
  };
  return html`
    <${Dialog} title=${t("columns.title")} onClose=${onClose}>
      <p class="muted">${t("columns.lead")}</p>
      <div class="options" role="group" aria-label=${t("columns.title")}>
        ${COLUMNS.map((name) => html`
          <${Act} key=${name} class="quiet" aria-pressed=${preferences.value.columns.includes(name)} act=${toggle(name)}>
            <${Icon} name=${preferences.value.columns.includes(name) ? "check" : "plus"} size=${18} />${t(`columns.${name}`)}<//>`)}</div>
    <//>
  `;
}
