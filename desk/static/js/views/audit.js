/** The audit log: who changed or steered what, when, from where. */
import { html, useEffect, useState } from "../lib.js";
import { get } from "../api.js";
import { when } from "../format.js";
import { t } from "../i18n.js";
import { nameOf, pauseName } from "../store.js";
import { Act, Empty, errorText, Icon, Loading } from "./ui.js";

const ACTS = [
  "agent_added", "agent_edited", "agent_removed", "password_set", "company_added", "company_edited", "companies_imported", "contact_added",
  "contact_edited", "contact_removed", "contacts_imported", "area_added", "area_edited", "group_added", "group_edited",
  ...["hours", "queue", "line"].flatMap((what) => ["added", "edited", "removed"].map((done) => `${what}_${done}`)), "closed", "closure_ended", "presence_set", "call_moved", "call_listened",
];

export function Audit() {
  const [filter, setFilter] = useState({ actor: "", act: "", first: "", last: "" });
  const [found, setFound] = useState(null);
  const [failed, setFailed] = useState(null);
  const query = new URLSearchParams(Object.entries(filter).filter(([, value]) => value)).toString();
  useEffect(() => {
    let current = true;
    const timer = setTimeout(() => get(`/audit?${query}`).then(
      (answer) => { if (current) { setFound(answer); setFailed(null); } }, (error) => current && setFailed(error)), 200);
    return () => { current = false; clearTimeout(timer); };
  }, [query]);
  const set = (field) => (event) => setFilter({ ...filter, [field]: event.target.value });
  const more = async () => {
    const next = await get(`/audit?${query}&before_id=${found.more_before}`);
    setFound({ entries: [...found.entries, ...next.entries], more_before: next.more_before });
  };
  return html`
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <label>${t("audit.actor")}<input value=${filter.actor} maxlength="64" autocomplete="off" onInput=${set("actor")} /></label>
      <label>${t("audit.act")}<select value=${filter.act} onChange=${set("act")}><option value="">${t("audit.every")}</option>
        ${ACTS.map((act) => html`<option key=${act} value=${act}>${t(`act.${act}`)}</option>`)}</select></label>
      <label>${t("history.first")}<input type="date" value=${filter.first} onChange=${set("first")} /></label>
      <label>${t("history.last")}<input type="date" value=${filter.last} onChange=${set("last")} /></label>
      <a class="button quiet" href=${`/api/audit.csv?${query}`} download><${Icon} name="file" size=${18} />${t("csv")}</a>
    </form>
    ${failed && html`<p class="notice bad" role="alert"><${Icon} name="alert" />${errorText(failed)}</p>`}
    ${!failed && !found && html`<${Loading} />`}
    ${found && !found.entries.length && html`<${Empty} icon="note" title=${t("audit.none_title")}>${t("audit.none")}<//>`}
    ${found && found.entries.length > 0 && html`
      <div class="table-scroll" tabindex="0" role="region" aria-label=${t("admin.audit")}><table class="entries audit">
        <thead><tr>${["at", "actor", "act", "subject", "change", "source"].map((key) => html`<th scope="col" key=${key}>${t(`audit.${key}`)}</th>`)}</tr></thead>
        <tbody>${found.entries.map((one) => html`<tr key=${one.id}><td>${when(one.at)}</td><td>${nameOf(one.actor)}</td><td>${t(`act.${one.act}`)}</td>
          <td>${one.subject === "*" ? t("closure.everything") : one.subject}</td><td><${Change} old=${one.old} now=${one.new} /></td><td>${one.source}</td></tr>`)}</tbody>
      </table></div>
      ${found.more_before && html`<${Act} class="quiet" act=${more}>${t("audit.more")}<//>`}`}
  `;
}

const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d/;

/** A value in the words of the other pages, where there are some. */
function shown(field, value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "boolean") return t(value ? "admin.yes" : "admin.no");
  if (Array.isArray(value) && value.every((one) => typeof one === "string")) return value.join(", ") || "–";
  if (typeof value === "object") return JSON.stringify(value);
  if (field === "presence" || field === "role") return t(`${field}.${value}`);
  if (field === "pause_reason") return pauseName(value);
  return MOMENT.test(value) ? when(value) : String(value);
}

/** Each field that changed: as it was, and as it is. */
function Change({ old, now }) {
  const keys = [...new Set([...Object.keys(old ?? {}), ...Object.keys(now ?? {})])];
  return html`<ul class="edited">${keys.map((key) => html`<li key=${key}>${t(`field.${key}`)}: ${old && html`<del>${shown(key, old[key])}</del>`}
    ${old && now ? " → " : ""}${now && html`<ins>${shown(key, now[key])}</ins>`}</li>`)}</ul>`;
}
