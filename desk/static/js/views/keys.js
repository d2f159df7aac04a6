/**
 * Single keys that do something while nothing is typed: along a list, choosing in it, to the search, to this page's keys. They can be
 * switched off and changed (WCAG 2.1, 2.1.4), since who speaks to the browser, or has a tremor, types them unmeant.
 */
import { html, useState } from "../lib.js";
import { chooseByKey } from "../choosing.js";
import { t } from "../i18n.js";
import { phone } from "../phone.js";
import { me } from "../store.js";
import { prefer, preferences } from "../preferences.js";
import { Act, Dialog, Field, toast } from "./ui.js";

const ACTIONS = ["next", "previous", "choose", "search", "help"];
const fixed = () => [["Alt+1", "nav.messages"], ["Alt+2", "nav.requests"], ["Alt+3", "nav.calls"], ["Alt+N", "form.title"], ["Alt+C", "keys.call"],
  ["Alt+E", "keys.outcome"], ["Alt+P", "keys.play"], ...(phone.value ? [["Alt+A", "phone.answer"]] : []), ["↑ ↓", "keys.arrows"], ["Esc", "keys.esc"], ["← →", "keys.words"],
  [`⇧ ${preferences.value.keys.choose.toUpperCase()}`, "keys.range"]];

/** Whether keys go into a field, or choose in one. @param {EventTarget|null} target */
const typing = (target) => target instanceof Element && Boolean(target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]"));

/** Go to the next or previous line of the list, from the one that is looked at where none has the focus. @param {number} step */
function along(step) {
  /** @type {HTMLElement[]} */
  const rows = [...document.querySelectorAll(/** @type {"a"} */ (".master a.row"))];
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.closest("li")?.contains(document.activeElement));
  const from = at >= 0 ? at : rows.findIndex((row) => row.getAttribute("aria-current") === "true");
  const to = from < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(from + step, 0), rows.length - 1);
  rows[to].focus();
}

/** Go to the search of the requests, whatever is looked at; what is in it is replaced by what is typed. */
function toSearch(tries = 60) {
  const field = /** @type {HTMLInputElement|null} */ (document.getElementById("request-search"));
  if (field?.checkVisibility()) {
    field.focus();
    field.select();
  } else if (tries > 0) {
    location.hash = "#/requests";
    requestAnimationFrame(() => toSearch(tries - 1)); // until the page is there
  }
}

/** @param {KeyboardEvent} event @param {() => void} showKeys */
export function singleKey(event, showKeys) {
  if (!me.value || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || document.querySelector("dialog[open]")) return;
  const onRow = event.target instanceof Element && event.target.closest(".master a.row");
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && (onRow || (event.target instanceof Element && event.target.id === "request-search"))) {
    event.preventDefault();
    return along(step);
  }
  const { keys } = preferences.value;
  if (!keys.on || typing(event.target)) return;
  const action = ACTIONS.find((name) => keys[name].toLowerCase() === event.key.toLowerCase());
  if (!action) return;
  event.preventDefault();
  ({ next: () => along(1), previous: () => along(-1), choose: () => chooseByKey(event.shiftKey), search: () => toSearch(), help: showKeys })[action]();
}

/** All keys; the single ones can be changed here, or switched off. @param {{onClose: () => void}} props */
export function KeysDialog({ onClose }) {
  const [keys, setKeys] = useState(preferences.value.keys);
  const [error, setError] = useState("");
  const set = (name) => (event) => { setKeys({ ...keys, [name]: event.target.value }); setError(""); };
  const save = async () => {
    const chosen = ACTIONS.map((name) => keys[name].toLowerCase());
    if (chosen.some((key) => [...key].length !== 1 || !key.trim())) return setError(t("keys.one"));
    if (new Set(chosen).size < chosen.length) return setError(t("keys.twice"));
    await prefer(() => ({ keys }));
    toast(t("keys.saved"));
    return onClose();
  };
  return html`
    <${Dialog} title=${t("keys.title")} onClose=${onClose}>
      <dl class="keys">${fixed().map(([key, what]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${t(what)}</dd></div>`)}</dl>
      <label class="switch"><input type="checkbox" checked=${keys.on} onChange=${(event) => setKeys({ ...keys, on: event.target.checked })} />${t("keys.on")}</label>
      ${keys.on && html`<div class="pair">${ACTIONS.map((name) => html`
        <${Field} key=${name} label=${t(`keys.${name}`)}>${(id) => html`
          <input id=${id} class="key" maxlength="1" autocomplete="off" autocapitalize="none" spellcheck="false" value=${keys[name]}
            onFocus=${(event) => event.target.select()} onInput=${set(name)} />`}<//>`)}</div>`}
      ${error && html`<p class="field-error" role="alert">${error}</p>`}
      <footer class="dialog-foot"><${Act} class="primary" act=${save}>${t("keys.save")}<//></footer>
    <//>
  `;
}
