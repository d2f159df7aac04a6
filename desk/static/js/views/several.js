/** Several requests at once: taken, noted, given to a group, closed; what became of each is told and stays in sight. */
import { html, signal, useEffect, useRef, useState } from "../lib.js";
import { get, newKey, post } from "../api.js";
import { ticketText } from "../format.js";
import { t } from "../i18n.js";
import { Words } from "./changes.js";
import { Act, Dialog, errorText, Field, Icon, toast } from "./ui.js";

/** The requests that are ticked, by id. @type {import("@preact/signals").Signal<Set<string>>} */
export const chosen = signal(new Set());
/** Those that were refused the last time, and why. */
const told = signal({ done: 0, refused: /** @type {{request: any, message: string}[]} */ ([]) });
/** So many at most, as the server has it. */
const MOST = 50;

/** What was chosen in one list is not meant in another. */
export const forgetChosen = () => {
  chosen.value = new Set();
  told.value = { done: 0, refused: [] };
};

/** @param {{shown: any[]}} props  the requests of the list, in its order */
export function Several({ shown }) {
  const [open, setOpen] = useState("");
  const key = useRef(newKey());
  const some = shown.filter((request) => chosen.value.has(String(request.id)));
  const all = some.length === shown.length || some.length === MOST;
  const send = async (act, words = {}) => {
    const { results } = await post("/requests/several", { requests: some.map(({ id, version }) => ({ id, version })), act, ...words }, key.current);
    key.current = newKey();
    const why = new Map(results.filter((one) => !one.done).map((one) => [one.id, one.message]));
    const refused = some.filter((request) => why.has(request.id)).map((request) => ({ request, message: why.get(request.id) }));
    told.value = { done: results.length - refused.length, refused };
    chosen.value = new Set(refused.map((one) => String(one.request.id)));
    setOpen("");
    if (refused.length === 0) toast(t("several.done", { n: results.length }));
    else requestAnimationFrame(() => document.getElementById("several-told")?.focus());
    if (refused.length === 0) /** @type {HTMLElement|null} */ (document.querySelector(".several-bar input"))?.focus();
  };
  if (shown.length === 0) return null;
  return html`
    <div class="several-bar" role="group" aria-label=${t("several.title")}>
      <label class="switch"><input type="checkbox" checked=${all} onChange=${() => (chosen.value = new Set(all ? [] : shown.slice(0, MOST).map((one) => String(one.id))))} />
        <span>${t(shown.length > MOST ? "several.first" : "several.all", { n: MOST })}</span></label>
      <span class="muted small grow" role="status">${some.length > MOST ? t("several.too_many", { n: MOST }) : some.length ? t("several.chosen", { n: some.length }) : ""}</span>
      ${some.length > 0 && some.length <= MOST && html`
        <${Act} class="quiet" act=${() => send("take")}><${Icon} name="hand" size=${18} />${t("requests.take")}<//>
        ${["note", "escalate", "close"].map((act) => html`<button type="button" key=${act} class="quiet" onClick=${() => setOpen(act)}>${t(`several.${act}`)}</button>`)}`}
    </div>
    <${Told} />
    ${open && html`<${Telling} act=${open} n=${some.length} send=${send} onClose=${() => setOpen("")} />`}
  `;
}

/** What was not done, request by request. */
function Told() {
  const { done, refused } = told.value;
  if (refused.length === 0) return null;
  return html`
    <section class="notice bad several-told" aria-labelledby="several-told">
      <div class="grow"><p id="several-told" tabindex="-1" role="alert"><strong>${t("several.told", { done, n: refused.length })}</strong></p>
        <ul>${refused.map(({ request, message }) => html`<li key=${request.id}>
          <a href=${`#/requests/${request.id}`}><span class="ticket">${ticketText(request.ticket)}</span> <bdi>${request.subject}</bdi></a>: ${message}</li>`)}</ul></div>
      <button type="button" class="bare" onClick=${() => (told.value = { done: 0, refused: [] })}><${Icon} name="close" size=${16} /><span class="sr-only">${t("close_it")}</span></button>
    </section>
  `;
}

const FIELDS = { note: ["text"], close: ["text"], escalate: ["text", "handover"] };

/** The words that all of them get. */
function Telling({ act, n, send, onClose }) {
  const [words, setWords] = useState({ text: "", handover: "" });
  const [groups, setGroups] = useState([]);
  const [group, setGroup] = useState("");
  const [wrong, setWrong] = useState(/** @type {Record<string, string>} */ ({}));
  useEffect(() => { if (act === "escalate") get("/support-groups").then(setGroups, (error) => toast(errorText(error), "bad")); }, []);
  const label = { text: { note: "requests.note", close: "form.solution", escalate: "levels.reason" }[act], handover: "levels.handover" };
  const save = () => {
    const missing = Object.fromEntries(FIELDS[act].filter((field) => !words[field].trim()).map((field) => [field, t("form.needed")]));
    if (act === "escalate" && !group) missing.group_id = t("form.needed");
    setWrong(missing);
    if (Object.keys(missing).length) return undefined;
    return send(act, { text: words.text, ...(act === "escalate" && { handover: words.handover, group_id: Number(group) }) });
  };
  const failed = (error) => { setWrong(error.fields ?? {}); toast(errorText(error), "bad"); };
  return html`
    <${Dialog} title=${`${t(`several.${act}`)}: ${t("several.chosen", { n })}`} onClose=${onClose}>
      ${act === "escalate" && html`<${Field} label=${t("levels.group")} error=${wrong.group_id}>${(id, aria) => html`
        <select id=${id} ...${aria} value=${group} onChange=${(event) => setGroup(event.target.value)}>
          <option value="" disabled>${t("form.choose")}</option>
          ${groups.map((one) => html`<option key=${one.id} value=${String(one.id)}>${t("requests.level", { n: one.level })} · ${one.name}</option>`)}</select>`}<//>`}
      ${FIELDS[act].map((field) => html`<${Words} key=${field} label=${t(label[field])} error=${wrong[field]} value=${words[field]}
        hint=${act === "close" ? t("several.close_hint") : undefined} onInput=${(text) => setWords({ ...words, [field]: text })} />`)}
      <footer class="dialog-foot"><button type="button" class="quiet" onClick=${onClose}>${t("cancel")}</button>
        <${Act} class="primary" act=${save} onFailed=${failed}>${t(`several.${act}_do`, { n })}<//></footer>
    <//>
  `;
}
