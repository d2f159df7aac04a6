/** Parts of service requests that several views show. */
import { html, useId, useRef, useState } from "../lib.js";
import { post } from "../api.js";
import { secondsSince, ticketText, when, words } from "../format.js";
import { t } from "../i18n.js";
import { activeAreas, areaName, me, nameOf, promise, untaken } from "../store.js";
import { Act, Badge, errorText, Field, Icon, Segments, toast } from "./ui.js";

const STATUS_TONE = {
  new: "warn", queued: "warn", in_progress: "info", pending_user: "calm", pending_third_party: "calm", resolved: "ok", closed: "ok",
  cancelled: "calm",
};
const PRIORITY_TONE = { 1: "bad", 2: "warn", 3: "calm", 4: "calm", 5: "calm" };

export const StatusBadge = ({ status }) => html`<${Badge} tone=${STATUS_TONE[status]}>${t(`status.${status}`)}<//>`;

/** 1 (highest) to 5. */
export const Priority = ({ n }) => html`
  <${Badge} tone=${PRIORITY_TONE[n]} title=${t("requests.priority", { n, words: t(`priority.${n}`) })}>
    <span aria-hidden="true">P${n}</span><span class="sr-only">${t("requests.priority", { n, words: t(`priority.${n}`) })}</span><//>`;

const WEIGHT = ["impact", "urgency"];

/** How many are hit and how soon it must be; the priority that follows. @param {{values: any, fields: any, prefix?: string, onChange: (change: any) => void}} props */
export const Weight = ({ values, fields, prefix = "", onChange }) => html`
  <div class="pair weight">${WEIGHT.map((name) => html`
    <${Segments} key=${name} label=${t(`form.${name}`)} name=${prefix + name} value=${String(values[name])} error=${fields[name]}
      onChange=${(n) => onChange({ [name]: Number(n) })} options=${["1", "2", "3"].map((n) => [n, t(`${name}.${n}`)])} />`)}</div>
  <p class="muted" role="status"><span aria-hidden="true">${t("form.priority")} </span><${Priority} n=${values.impact + values.urgency - 1} /></p>`;

/** Who has it: level, group or company, agent; and since when. @param {any} request */
export function heldBy(request) {
  const place = request.level === 0 ? t("held.level_0", { company: request.company_name ?? "" })
    : request.group_name ?? (request.level === 1 ? "" : t("requests.level", { n: request.level }));
  const holder = request.holder && nameOf(request.holder);
  const level = t("requests.level", { n: request.level });
  return [level, place === level ? "" : place, holder, !holder && !place && untaken(request) ? t("held.nobody") : ""]
    .filter(Boolean).join(" · ");
}
/** How it ended and when. @param {any} request */
export const ended = (request) => t("requests.ended", { status: t(`status.${request.status}`), when: when(request.closed_at) });
export const heldSince = (request) =>
  request.held_since && !request.closed_at ? t("held.since", { time: words(secondsSince(request.held_since)) }) : "";

/** The areas, each followed by those below it; one that is not used any more stays where it was chosen. */
export function AreaSelect({ id, value, onChange, ...rest }) {
  const options = activeAreas.value;
  return html`
    <select id=${id} value=${value ?? ""} onChange=${onChange} ...${rest}>
      <option value="" disabled selected=${!value}>${t("form.choose")}</option>
      ${value && !options.some((area) => area.key === value) && html`<option value=${value} selected>${areaName(value)}</option>`}
      ${options.map((area) => html`<option key=${area.key} value=${area.key} selected=${value === area.key}>${area.parent ? "– " : ""}${area.name}</option>`)}
    </select>`;
}

/** What somebody did meanwhile, in words. @param {{at: string, actor: string, kind: string, fields: string[]}} change */
export const changeText = (change) => t("conflict.line", {
  who: change.actor === "system" ? t("requests.system") : nameOf(change.actor), what: t(`event.${change.kind}`), when: when(change.at),
}) + (change.fields.length ? `: ${change.fields.map((field) => t(`form.${field}`)).join(", ")}` : "");

/** Say why nothing was done; where somebody was faster, who and what it was. */
export const refused = (error) =>
  toast([errorText(error), error.changes?.length && `${changeText(error.changes.at(-1))}.`].filter(Boolean).join(" "), "bad");

/** Taking in charge, where it is possible. */
export function RequestActions({ request, onChanged }) {
  if (request.closed_at) return html`<${Badge} tone="ok" icon="check">${ended(request)}<//>`;
  if (!untaken(request)) {
    return request.holder === me.value?.username
      ? html`<${Badge} tone="info" icon="hand">${t("requests.yours")}<//>`
      : html`<${Badge} tone="calm" icon="user">${promise({ ...request, due_at: null, picked_up_at: "yes" }).text}<//>`;
  }
  const take = async () => {
    await post(`/requests/${request.id}/take`, { version: request.version });
    toast(t("requests.taken_toast", { ticket: ticketText(request.ticket) }));
    await onChanged?.();
  };
  return html`<${Act} class="primary" act=${take} onFailed=${refused}><${Icon} name="hand" size=${18} />${t("requests.take")}<//>`;
}

export function CloseForm({ request, onClosed }) {
  const [solution, setSolution] = useState("");
  const [error, setError] = useState("");
  const close = async () => {
    if (!solution.trim()) return setError(t("form.needed"));
    await post(`/requests/${request.id}/close`, { solution, version: request.version });
    toast(t("requests.closed_toast", { ticket: ticketText(request.ticket) }));
    return onClosed?.();
  };
  return html`
    <section class="card close-form"><h3>${t("requests.close")}</h3>
      <${Field} label=${t("form.solution")} error=${error} hint=${t("requests.close_hint")}>${(id, aria) => html`
        <textarea id=${id} ...${aria} rows="3" value=${solution} aria-required="true"
          onInput=${(event) => { setSolution(event.target.value); setError(""); }}></textarea>`}<//>
      <${Act} class="primary" act=${close}><${Icon} name="check" size=${18} />${t("requests.close")}<//>
    </section>
  `;
}

/**
 * Calling the user of a request or message, at the known number or another: whose phone rings first is chosen.
 * @param {{path: string, number: string|null, heard?: string[]}} props  `heard`: numbers said in a message, which are offered
 */
export function CallBack({ path, number, heard = [] }) {
  const offered = useId();
  const [open, setOpen] = useState(false);
  const [other, setOther] = useState("");
  const [error, setError] = useState("");
  const opener = useRef(null);
  if (!me.value?.agent_id) return null;
  const close = () => {
    setOpen(false);
    opener.current?.focus();
  };
  const call = (first) => async () => {
    setError("");
    await post(`${path}/call-back`, { first, number: other.trim() || null });
    toast(t(`call_back.ringing_${first}`));
    close();
  };
  const failed = (problem) => setError(problem.code === "command_refused" ? t("call_back.refused") : problem.fields?.number ?? errorText(problem));
  return html`
    <button type="button" class="quiet" ref=${opener} aria-expanded=${open} onClick=${() => setOpen(!open)}><${Icon} name="phone" size=${18} />${t("call_back.title")}</button>
    ${open && html`<section class="card change" aria-label=${t("call_back.title")}>
      <${Field} label=${t("call_back.number")} error=${error}>${(id, aria) => html`
        <input id=${id} ...${aria} type="tel" maxlength="64" value=${other} placeholder=${number ?? ""} autofocus list=${offered}
          onInput=${(event) => setOther(event.target.value)} />
        <datalist id=${offered}>${heard.map((one) => html`<option key=${one} value=${one}></option>`)}</datalist>`}<//>
      <footer class="change-foot">
        <button type="button" class="quiet" onClick=${close}>${t("cancel")}</button>
        <${Act} class="quiet" act=${call("contact")} onFailed=${failed}>${t("call_back.contact_first")}<//>
        <${Act} class="primary" act=${call("agent")} onFailed=${failed}><${Icon} name="phone" size=${18} />${t("call_back.agent_first")}<//>
      </footer>
    </section>`}
  `;
}
