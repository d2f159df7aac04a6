/** Hours, queues, and lines with their menus: as they are in force, beside what the settings file says, and new ones. */
import { html, useState } from "../lib.js";
import { api, post, put } from "../api.js";
import { when } from "../format.js";
import { language, t } from "../i18n.js";
import { areas, nameOf } from "../store.js";
import { Confirmed, Input, useItems } from "./forms.js";
import { Act, Badge, errorText, Icon, Loading, toast } from "./ui.js";

const DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

export function Site() {
  const found = useItems("/admin/site");
  const choices = useItems("/closures/choices");
  if (found.failed) return html`<p class="notice bad" role="alert"><${Icon} name="alert" />${errorText(found.failed)}</p>`;
  if (!found.items || !choices.items) return html`<${Loading} />`;
  const of = (kind) => found.items.filter((part) => part.kind === kind);
  const names = (kind) => of(kind).filter((one) => one.in_force).map((one) => one.name);
  const known = { queues: names("queue"), calendars: names("calendar"), prompts: /** @type {any} */ (choices.items).prompts };
  return html`
    <p class="muted">${t("site.lead")}</p>
    ${["calendar", "queue", "line"].map((kind) => html`<section key=${kind} class="parts"><h3>${t(`site.${kind}s`)}</h3>
      ${of(kind).map((part) => html`<${Part} key=${`${part.name} ${part.edited_at}`} part=${part} form=${FORMS[kind]} again=${found.again} ...${known} />`)}
      <${NewPart} kind=${kind} like=${of(kind)[0]?.definition} again=${found.again} ...${known} /></section>`)}
  `;
}

/** What is wrong with which field, where the field has no place of its own for it. */
const Wrong = ({ fields }) => Object.entries(fields).map(([field, words]) => html`
  <p key=${field} class="notice bad" role="alert"><${Icon} name="alert" /><span>${field}: <bdi>${words}</bdi></span></p>`);

/** One of them, folded until somebody looks. */
function Part({ part, form: Form, again, ...known }) {
  const [value, setValue] = useState(part.definition);
  const [wrong, setWrong] = useState(/** @type {Record<string, string>} */ ({}));
  const [refused, setRefused] = useState({ code: "", words: "" });
  const path = `/admin/site/${part.kind}/${encodeURIComponent(part.name)}`;
  const name = part.kind === "line" ? `${part.definition.name} (${part.name})` : part.name;
  const done = (words) => { setWrong({}); toast(words); again(); };
  const save = async () => { await put(path, { definition: value, edited_at: part.edited_at }); done(t("site.in_force")); };
  const forget = async () => { await api("DELETE", path); done(t("site.in_force")); };
  const remove = async () => { await api("DELETE", path); done(t("admin.removed", { name })); };
  const failed = (error) => {
    setWrong(error.fields ?? {});
    setRefused({ code: error.code ?? "", words: errorText(error) });
    if (error.code !== "conflict" && error.code !== "still_used") toast(errorText(error), "bad");
  };
  const added = part.of_file === null;
  return html`
    <details class="fold card"><summary><strong><bdi>${name}</bdi></strong>
        ${part.edited_by && html`<${Badge} tone="info">${t(added ? "site.added" : "site.edited", { who: nameOf(part.edited_by), when: when(part.edited_at) })}<//>`}
        ${!part.in_force && html` <${Badge} tone="bad" icon="alert">${t("site.not_in_force")}<//>`}</summary>
      <div class="part-form">
        <${Form} value=${value} set=${(change) => setValue({ ...value, ...change })} ...${known} />
        <${Wrong} fields=${wrong} />
        ${["conflict", "still_used"].includes(refused.code) && html`<div class="notice bad" role="alert"><${Icon} name="alert" /><p>${refused.words}</p>
          ${refused.code === "conflict" && html`<button type="button" class="quiet" onClick=${again}>${t("site.look")}</button>`}</div>`}
        <p class="actions"><${Act} class="primary" act=${save} onFailed=${failed}>${t("edit.save")}<//>
          ${part.edited_by && !added && html`<${Act} class="quiet" act=${forget} onFailed=${failed}>${t("site.forget")}<//>`}</p>
        ${added && html`<${Confirmed} label=${t(`site.remove_${part.kind}`)} sure=${t("site.remove_sure", { name })} act=${remove} onFailed=${failed} />`}
      </div></details>
  `;
}

/** A new one, begun like the first there is. */
function NewPart({ kind, like, again, ...known }) {
  const Form = FORMS[kind];
  const blank = {
    calendar: { weekly: {}, holidays: true, patron_saint: null, closures: [], timezone: like?.timezone ?? "Europe/Rome" },
    queue: like ?? {},
    line: { name: "", calendar: known.calendars[0], queue: known.queues[0], greeting: "welcome", closed_greeting: "welcome-closed", notice: "notice", menu: null, language: "it" },
  }[kind];
  const [open, setOpen] = useState(false);
  const [name, setName] = useState("");
  const [value, setValue] = useState(blank);
  const [wrong, setWrong] = useState(/** @type {Record<string, string>} */ ({}));
  const field = kind === "line" ? "number" : "name";
  const own = wrong.name && kind !== "line" ? "name" : wrong.number ? "number" : "";
  const begin = () => { setName(""); setValue(blank); setWrong({}); setOpen(true); };
  const save = async () => {
    if (!name.trim()) return setWrong({ [field]: t("form.needed") });
    await post(`/admin/site/${kind}`, { name, definition: value });
    toast(t(kind === "line" ? "site.line_added" : "site.in_force"));
    setOpen(false);
    return again();
  };
  const failed = (error) => { setWrong(error.fields ?? {}); toast(errorText(error), "bad"); };
  if (!open) return html`<p class="actions"><button type="button" class="quiet" onClick=${begin}><${Icon} name="plus" size=${18} />${t(`site.new_${kind}`)}</button></p>`;
  return html`
    <section class="card part-form" aria-label=${t(`site.new_${kind}`)}>
      <h4>${t(`site.new_${kind}`)}</h4>
      <${Input} first field=${{ name: kind === "line" ? "dialled" : "name", longest: 40, hint: t(`site.new_${kind}_hint`) }} value=${name} error=${own && wrong[own]} onChange=${setName} />
      ${kind === "line" && html`<${Input} field=${{ name: "language", kind: "choice", options: ["it", "en"].map((code) => [code, t(`lang.${code}`)]) }} value=${value.language}
        error=${wrong.language} onChange=${(language) => setValue({ ...value, language })} />`}
      <${Form} value=${value} set=${(change) => setValue({ ...value, ...change })} ...${known} />
      <${Wrong} fields=${Object.fromEntries(Object.entries(wrong).filter(([one]) => one !== own && one !== "language"))} />
      <p class="actions"><${Act} class="primary" act=${save} onFailed=${failed}>${t("site.add")}<//>
        <button type="button" class="quiet" onClick=${() => setOpen(false)}>${t("cancel")}</button></p>
    </section>
  `;
}

const spans = (text) => text.split(",").map((one) => one.trim()).filter(Boolean);

function CalendarForm({ value, set, prompts }) {
  const day = (name) => (text) => {
    const weekly = { ...value.weekly, [name]: spans(text) };
    if (!weekly[name].length) delete weekly[name];
    set({ weekly });
  };
  return html`
    <div class="week">${DAYS.map((name) => html`<${Typed} key=${name} label=${t(`day.${name}`)} value=${(value.weekly[name] ?? []).join(", ")} onChange=${day(name)} />`)}</div>
    <p class="hint">${t("site.hours_hint")}</p>
    <${Input} field=${{ name: "holidays", kind: "check" }} value=${value.holidays} onChange=${(holidays) => set({ holidays })} />
    <${Input} field=${{ name: "patron_saint", hint: t("site.saint_hint") }} value=${value.patron_saint} onChange=${(text) => set({ patron_saint: text.trim() || null })} />
    <${List} title=${t("site.closures")} items=${value.closures} blank=${{ name: "", first: "", last: "", prompt: null }} onChange=${(closures) => set({ closures })}
      row=${(one, change) => html`
        <${Input} field=${{ name: "name" }} value=${one.name} onChange=${(name) => change({ name })} />
        <${Input} field=${{ name: "first", kind: "date" }} value=${one.first} onChange=${(first) => change({ first, last: one.last || first })} />
        <${Input} field=${{ name: "last", kind: "date" }} value=${one.last} onChange=${(last) => change({ last })} />
        <${Prompt} name="prompt" none=${t("site.holiday_prompt")} value=${one.prompt} prompts=${prompts} onChange=${(prompt) => change({ prompt })} />`} />
  `;
}

const NUMBERS = [
  ["ring_seconds", 1], ["ring_agents", 1], ["max_wait_seconds", 1], ["max_waiting", 1], ["announce_seconds", 1], ["wrap_up_seconds", 1],
  ["misses_before_pause", 1], ["call_backs_per_agent", 0.5], ["call_back_hours", 0.5],
];

function QueueForm({ value, set }) {
  const number = (name) => (text) => set({ [name]: text === "" ? null : Number(text) });
  return html`
    <div class="numbers">${NUMBERS.map(([name, step]) => html`<${Input} key=${name} field=${{ name, kind: "number", step, min: 0 }} value=${value[name]} onChange=${number(name)} />`)}</div>
    <${Input} field=${{ name: "when_no_agents", kind: "choice", options: ["message", "wait"].map((one) => [one, t(`site.no_agents_${one}`)]) }} value=${value.when_no_agents}
      onChange=${(to) => set({ when_no_agents: to })} />
    <${Input} field=${{ name: "call_back", kind: "check" }} value=${value.call_back} onChange=${(call_back) => set({ call_back })} />
  `;
}

function LineForm({ value, set, queues, calendars, prompts }) {
  const names = (list) => list.map((name) => [name, name]);
  const menu = value.menu;
  const choices = Object.entries(menu?.choices ?? {}).map(([key, choice]) => ({ key, ...choice }));
  const setChoices = (list) => set({ menu: { ...menu, choices: Object.fromEntries(list.map(({ key, ...choice }) => [key, choice])) } });
  const builtIn = ["application", "use", "training", "credentials", "change", "network"];
  const areaName = (key) => areas.value.find((area) => area.key === key)?.name ?? t(`area.${key}`);
  return html`
    <${Input} field=${{ name: "name" }} value=${value.name} onChange=${(name) => set({ name })} />
    <div class="pair"><${Input} field=${{ name: "calendar", kind: "choice", options: names(calendars) }} value=${value.calendar} onChange=${(calendar) => set({ calendar })} />
      <${Input} field=${{ name: "queue", kind: "choice", options: names(queues) }} value=${value.queue} onChange=${(queue) => set({ queue })} /></div>
    ${["greeting", "closed_greeting", "notice"].map((name) => html`<${Prompt} key=${name} name=${name} value=${value[name]} prompts=${prompts} onChange=${(to) => set({ [name]: to ?? "" })} />`)}
    <${Input} field=${{ name: "with_menu", kind: "check" }} value=${menu !== null} onChange=${(on) => set({ menu: on ? { prompt: "menu-main", timeout_seconds: 5, choices: { 1: { area: "application", queue: null, priority: 0, ticket: false } } } : null })} />
    ${menu && html`
      <${Prompt} name="menu_prompt" value=${menu.prompt} prompts=${prompts} onChange=${(prompt) => set({ menu: { ...menu, prompt: prompt ?? "" } })} />
      <p class="hint">${t("site.menu_hint")}</p>
      <${List} title=${t("site.keys")} items=${choices} blank=${{ key: "", area: null, queue: null, priority: 0, ticket: false }} onChange=${setChoices}
        row=${(one, change) => html`
          <${Input} field=${{ name: "key_pressed", longest: 1 }} value=${one.key} onChange=${(key) => change({ key: key.trim() })} />
          <${Input} field=${{ name: "area", kind: "choice", options: [["", "–"], ...builtIn.map((key) => [key, areaName(key)])] }} value=${one.area} onChange=${(area) => change({ area: area || null })} />
          <${Input} field=${{ name: "queue", kind: "choice", options: [["", t("site.the_lines")], ...names(queues)] }} value=${one.queue} onChange=${(queue) => change({ queue: queue || null })} />
          <${Input} field=${{ name: "priority", kind: "number" }} value=${one.priority} onChange=${(text) => change({ priority: Number(text) })} />
          <${Input} field=${{ name: "ticket", kind: "check" }} value=${one.ticket} onChange=${(ticket) => change({ ticket })} />`} />`}
  `;
}

const FORMS = { calendar: CalendarForm, queue: QueueForm, line: LineForm };

/** A text that is read as a whole when it is left, so that a comma may be typed. */
function Typed({ label, value, onChange }) {
  const [text, setText] = useState(value);
  return html`<${Input} field=${{ name: label, label }} value=${text} onChange=${(to) => { setText(to); onChange(to); }} />`;
}

/** One of the prompts, or a sound of the site's own by its name. */
function Prompt({ name, value, prompts, onChange, none }) {
  const known = prompts.some((prompt) => prompt.name === value);
  const options = [["", none ?? "–"], ...prompts.map((prompt) => [prompt.name, `${prompt.name}: ${(prompt[language.value] ?? "").slice(0, 60)}`])];
  return html`<${Input} field=${{ name, kind: "choice", options: known || !value ? options : [...options, [value, value]] }} value=${value ?? ""}
    onChange=${(to) => onChange(to || null)} />`;
}

/** Rows that can be added and taken away. */
function List({ title, items, blank, row, onChange }) {
  const change = (at) => (some) => onChange(items.map((one, place) => (place === at ? { ...one, ...some } : one)));
  return html`<fieldset class="list"><legend>${title}</legend>
    ${items.map((one, at) => html`<div key=${at} class="list-row">${row(one, change(at))}
      <button type="button" class="quiet small" onClick=${() => onChange(items.filter((_, place) => place !== at))}><${Icon} name="close" size=${16} />${t("site.remove_row")}</button></div>`)}
    <button type="button" class="quiet small" onClick=${() => onChange([...items, blank])}><${Icon} name="plus" size=${16} />${t("site.add_row")}</button></fieldset>`;
}
