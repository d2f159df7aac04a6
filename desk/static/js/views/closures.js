/** Closing the line at once, with a message of its own. */
import { computed, html, useEffect, useState } from "../lib.js";
import { get, post } from "../api.js";
import { serverNow, siteTime } from "../format.js";
import { language, t } from "../i18n.js";
import { lists } from "../store.js";
import { Act, Dialog, errorText, Field, toast } from "./ui.js";

const open = computed(() => [...lists.closures.value.values()].filter((one) => !one.ends_at || Date.parse(one.ends_at) > serverNow()));
/** Those that hold now. */
export const holding = computed(() => open.value.filter((one) => Date.parse(one.begins_at) <= serverNow()));
/** Those that are to come. */
export const planned = computed(() => open.value.filter((one) => Date.parse(one.begins_at) > serverNow()));

/** @param {{id: number, begins_at: string}} closure */
export async function endClosure(closure) {
  await post(`/closures/${closure.id}/end`, {});
  toast(t(Date.parse(closure.begins_at) > serverNow() ? "closure.dropped" : "closure.ended"));
}

export function ClosureDialog({ onClose }) {
  const [form, setForm] = useState({ words: "", calendar: "", prompt: "", begins: "", ends: "" });
  const [choices, setChoices] = useState({ calendars: [], prompts: [] });
  const [fields, setFields] = useState(/** @type {Record<string, string>} */ ({}));
  useEffect(() => { get("/closures/choices").then(setChoices, (error) => toast(errorText(error), "bad")); }, []);
  const set = (field) => (event) => {
    setForm({ ...form, [field]: event.target.value });
    setFields({});
  };
  const close = async () => {
    if (!form.words.trim()) return setFields({ words: t("form.needed") });
    await post("/closures", {
      words: form.words, calendar: form.calendar || null, prompt: form.prompt || null,
      begins_at: form.begins ? siteTime(form.begins) : null, ends_at: form.ends ? siteTime(form.ends) : null,
    });
    toast(t("closure.begun"));
    return onClose();
  };
  const failed = (error) => {
    setFields(error.fields ?? {});
    toast(errorText(error), "bad");
  };
  const says = choices.prompts.find((prompt) => prompt.name === form.prompt);
  return html`
    <${Dialog} title=${t("closure.begin")} onClose=${onClose}>
      <p class="muted">${t("closure.lead")}</p>
      <${Field} label=${t("closure.words")} hint=${t("closure.words_hint")} error=${fields.words}>${(id, aria) => html`
        <input id=${id} ...${aria} value=${form.words} maxlength="200" autofocus aria-required="true" onInput=${set("words")} />`}<//>
      <${Field} label=${t("closure.prompt")} hint=${says?.[language.value] ?? t("closure.prompt_hint")} error=${fields.prompt}>${(id, aria) => html`
        <select id=${id} ...${aria} value=${form.prompt} onChange=${set("prompt")}><option value="">${t("closure.no_prompt")}</option>
          ${choices.prompts.map((prompt) => html`<option key=${prompt.name} value=${prompt.name}>${prompt[language.value] ?? prompt.name}</option>`)}</select>`}<//>
      ${choices.calendars.length > 1 && html`<${Field} label=${t("closure.calendar")} error=${fields.calendar}>${(id, aria) => html`
        <select id=${id} ...${aria} value=${form.calendar} onChange=${set("calendar")}><option value="">${t("closure.everything")}</option>
          ${choices.calendars.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select>`}<//>`}
      <div class="pair">
        <${Field} label=${t("closure.begins")} hint=${t("closure.at_once")} error=${fields.begins_at}>${(id, aria) => html`
          <input id=${id} ...${aria} type="datetime-local" value=${form.begins} onInput=${set("begins")} />`}<//>
        <${Field} label=${t("closure.ends")} hint=${t("closure.by_hand")} error=${fields.ends_at}>${(id, aria) => html`
          <input id=${id} ...${aria} type="datetime-local" value=${form.ends} onInput=${set("ends")} />`}<//>
      </div>
      <footer class="dialog-foot"><button type="button" class="quiet" onClick=${onClose}>${t("cancel")}</button>
        <${Act} class="danger" act=${close} onFailed=${failed}>${t("closure.do")}<//></footer>
    <//>
  `;
}
