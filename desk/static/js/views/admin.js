/** Administration: people, directory, areas, groups, hours, queues, menus, and the audit log. */
import { html, useEffect, useState } from "../lib.js";
import { api, get, patch, post } from "../api.js";
import { language, t } from "../i18n.js";
import { me, queues } from "../store.js";
import { Audit } from "./audit.js";
import { Confirmed, FormDialog, Input, useItems } from "./forms.js";
import { Site } from "./site.js";
import { Act, Badge, Empty, errorText, Field, Icon, Loading, toast } from "./ui.js";

const TABS = ["people", "companies", "contacts", "areas", "groups", "site", "audit"];

/** @param {{tab: string|undefined}} props */
export function Admin({ tab }) {
  const now = TABS.includes(tab) ? tab : "people";
  const views = { people: People, companies: Companies, contacts: Contacts, areas: Areas, groups: Groups, site: Site, audit: Audit };
  return html`
    <div class="wide-page">
      <header class="view-head"><h2>${t("admin.title")}</h2><p class="muted">${t("admin.lead")}</p></header>
      <ul class="tabs" aria-label=${t("admin.title")}>${TABS.map((name) => html`
        <li key=${name}><a href=${`#/admin/${name}`} aria-current=${now === name ? "page" : undefined}>${t(`admin.${name}`)}</a></li>`)}</ul>
      <${views[now]} key=${now} />
    </div>
  `;
}

/** A list with its columns; what is in the first one names the row. */
function Table({ found, columns, empty, edit }) {
  if (found.failed) return html`<p class="notice bad" role="alert"><${Icon} name="alert" />${errorText(found.failed)}</p>`;
  if (!found.items) return html`<${Loading} />`;
  if (!found.items.length) return html`<${Empty} icon="list" title=${empty}>${t("admin.empty")}<//>`;
  return html`
    <div class="table-scroll" tabindex="0" role="region" aria-label=${t("admin.list")}><table class="entries">
      <thead><tr>${columns.map(([key]) => html`<th scope="col" key=${key}>${t(`field.${key}`)}</th>`)}<td></td></tr></thead>
      <tbody>${found.items.map((item) => html`<tr key=${item.id ?? item.key ?? item.username}>
        ${columns.map(([key, cell], at) => (at ? html`<td key=${key}>${cell(item)}</td>` : html`<th scope="row" key=${key}>${cell(item)}</th>`))}
        <td><button type="button" class="quiet small" onClick=${() => edit(item)}><${Icon} name="edit" size=${16} />${t("move.edit")}
          <span class="sr-only"> ${columns[0][1](item)}</span></button></td></tr>`)}</tbody>
    </table></div>
  `;
}

const lines = (list) => (list ?? []).map((one) => one.trim()).filter(Boolean);
/** What differs between two forms; what is the same is not sent. */
const differing = (before, after) => Object.fromEntries(Object.entries(after).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(before[key])));

// ---- people -------------------------------------------------------------------------------------------------------

function People() {
  const found = useItems("/admin/people");
  const [open, setOpen] = useState(null);
  const roles = ["agent", "supervisor"].map((role) => [role, t(`role.${role}`)]);
  const shared = [
    { name: "name", longest: 120 },
    { name: "role", kind: "choice", options: roles },
    { name: "endpoint", hint: t("admin.endpoint_hint"), longest: 80 },
    { name: "browser_phone", kind: "check" },
    { name: "queues", kind: "checks", options: queues.value.map((name) => [name, name]) },
  ];
  const close = () => setOpen(null);
  const remove = async (person) => {
    await api("DELETE", `/admin/people/${encodeURIComponent(person.username)}`);
    toast(t("admin.removed", { name: person.name }));
    found.again();
    close();
  };
  return html`
    <p class="actions"><button type="button" class="primary" onClick=${() => setOpen({ new: true })}><${Icon} name="plus" size=${18} />${t("admin.new_person")}</button></p>
    <${Table} found=${found} empty=${t("admin.nobody")} edit=${setOpen} columns=${[
      ["name", (one) => one.name], ["username", (one) => one.username], ["role", (one) => t(`role.${one.role}`)],
      ["endpoint", (one) => one.endpoint ?? "–"], ["queues", (one) => one.queues.join(", ") || "–"],
      ["presence", (one) => (one.presence ? t(`presence.${one.presence}`) : "–")]]} />
    ${open?.new && html`<${FormDialog} title=${t("admin.new_person")} onClose=${close} onSaved=${found.again}
      value=${{ username: "", name: "", role: "agent", endpoint: "", browser_phone: false, queues: queues.value.slice(0, 1), password: "" }}
      fields=${[{ name: "username", longest: 64, hint: t("admin.username_hint") }, ...shared, { name: "password", kind: "password", hint: t("admin.password_hint"), longest: 1024 }]}
      save=${(form) => post("/admin/people", { ...form, endpoint: form.endpoint.trim() || null })} />`}
    ${open && !open.new && html`<${FormDialog} title=${open.name} onClose=${close} onSaved=${found.again} value=${open} fields=${shared}
      save=${(form) => patch(`/admin/people/${encodeURIComponent(open.username)}`, differing(open, {
        name: form.name, role: form.role, endpoint: form.endpoint || null, browser_phone: form.browser_phone, queues: form.queues }))}>
      <${NewPassword} person=${open} />
      ${open.username !== me.value.username && html`<${Confirmed} label=${t("admin.remove_person")} sure=${t("admin.remove_sure", { name: open.name })} act=${() => remove(open)} />`}<//>`}
  `;
}

function NewPassword({ person }) {
  const [password, setPassword] = useState("");
  const [wrong, setWrong] = useState("");
  const set = async () => {
    await post(`/admin/people/${encodeURIComponent(person.username)}/password`, { password });
    setPassword("");
    setWrong("");
    toast(t("admin.password_set", { name: person.name }));
  };
  return html`<details class="fold"><summary>${t("admin.new_password")}</summary>
    <${Input} field=${{ name: "password", kind: "password", hint: t("admin.password_hint"), longest: 1024 }} value=${password} error=${wrong} onChange=${setPassword} />
    <${Act} class="quiet" disabled=${!password} act=${set} onFailed=${(error) => { setWrong(error.fields?.password ?? ""); toast(errorText(error), "bad"); }}>
      ${t("admin.set_password")}<//></details>`;
}

// ---- directory ----------------------------------------------------------------------------------------------------

const COMPANY = ["name", "code", "level_0_email", "level_0_phone", "level_0_hours"];

function Companies() {
  const found = useItems("/admin/companies");
  const [open, setOpen] = useState(null);
  const close = () => setOpen(null);
  const form = (one) => ({ ...Object.fromEntries(COMPANY.map((key) => [key, one[key] ?? ""])), phones: one.phones ?? [] });
  const save = (one) => (now) => {
    const body = { ...now, phones: lines(now.phones) };
    return one.id ? patch(`/admin/companies/${one.id}`, differing(form(one), body)) : post("/admin/companies", body);
  };
  return html`
    <p class="actions"><button type="button" class="primary" onClick=${() => setOpen({})}><${Icon} name="plus" size=${18} />${t("admin.new_company")}</button></p>
    <${Import} what="companies" onStored=${found.again} />
    <${Table} found=${found} empty=${t("admin.no_companies")} edit=${setOpen} columns=${[
      ["name", (one) => one.name], ["code", (one) => one.code ?? "–"], ["phones", (one) => one.phones.join(", ") || "–"],
      ["level_0_email", (one) => one.level_0_email ?? "–"], ["level_0_phone", (one) => one.level_0_phone ?? "–"]]} />
    ${open && html`<${FormDialog} title=${open.name ?? t("admin.new_company")} onClose=${close} onSaved=${found.again} value=${form(open)} save=${save(open)}
      fields=${[...COMPANY.map((name) => ({ name })), { name: "phones", kind: "lines", hint: t("admin.phones_hint") }]} />`}
  `;
}

const CONTACT = ["name", "user_code", "email", "language", "role", "company_id"];

function Contacts() {
  const [text, setText] = useState("");
  const [asked, setAsked] = useState("");
  const found = useItems(`/admin/contacts?q=${encodeURIComponent(asked)}`);
  const companies = useItems("/companies");
  const [open, setOpen] = useState(null);
  useEffect(() => {
    const timer = setTimeout(() => setAsked(text.trim()), 200);
    return () => clearTimeout(timer);
  }, [text]);
  const close = () => setOpen(null);
  const form = (one) => ({ ...Object.fromEntries(CONTACT.map((key) => [key, String(one[key] ?? "")])), language: one.language ?? language.value,
    role: one.role ?? "user", phones: one.phones ?? [] });
  const body = (now) => ({ ...now, phones: lines(now.phones), company_id: now.company_id ? Number(now.company_id) : null });
  const save = (one) => (now) => (one.id ? patch(`/admin/contacts/${one.id}`, differing(body(form(one)), body(now))) : post("/admin/contacts", body(now)));
  const remove = async (one) => {
    await api("DELETE", `/admin/contacts/${one.id}`);
    toast(t("admin.removed", { name: one.name }));
    found.again();
    close();
  };
  const fields = [
    { name: "name" }, { name: "user_code", longest: 64 }, { name: "email" },
    { name: "phones", kind: "lines", hint: t("admin.phones_hint") },
    { name: "company_id", kind: "choice", options: [["", "–"], ...(companies.items ?? []).map((one) => [String(one.id), one.name])] },
    { name: "role", kind: "choice", options: ["user", "level_0", "referent"].map((role) => [role, t(`contact_role.${role}`)]) },
    { name: "language", kind: "choice", options: ["it", "en"].map((code) => [code, t(`lang.${code}`)]) },
  ];
  return html`
    <div class="filters"><input type="search" aria-label=${t("directory.search")} placeholder=${t("directory.search")} value=${text} maxlength="200"
      onInput=${(event) => setText(event.target.value)} />
      <button type="button" class="primary" onClick=${() => setOpen({})}><${Icon} name="plus" size=${18} />${t("directory.new")}</button></div>
    <${Import} what="contacts" onStored=${found.again} />
    ${asked ? html`<${Table} found=${found} empty=${t("directory.nobody")} edit=${setOpen} columns=${[
        ["name", (one) => one.name], ["user_code", (one) => one.user_code ?? "–"], ["email", (one) => one.email ?? "–"],
        ["phones", (one) => one.phones.join(", ") || "–"], ["company_id", (one) => one.company_name ?? "–"], ["role", (one) => t(`contact_role.${one.role}`)]]} />`
      : html`<${Empty} icon="user" title=${t("admin.search_title")}>${t("admin.search")}<//>`}
    ${open && html`<${FormDialog} title=${open.name ?? t("directory.new")} onClose=${close} onSaved=${found.again} value=${form(open)} save=${save(open)} fields=${fields}>
      ${open.id && html`<${Confirmed} label=${t("admin.remove_contact")} sure=${t("admin.remove_contact_sure", { name: open.name })} act=${() => remove(open)} />`}<//>`}
  `;
}

/** A CSV table: first what it would do, line by line; then all of it, or nothing. */
function Import({ what, onStored }) {
  const [file, setFile] = useState(null);
  const [told, setTold] = useState(null);
  const look = async (chosen) => {
    setFile(chosen);
    setTold(null);
    if (!chosen) return;
    try {
      setTold(await post(`/admin/import/${what}?dry_run=true`, chosen));
    } catch (error) {
      toast(errorText(error), "bad");
    }
  };
  const store = async () => {
    const done = await post(`/admin/import/${what}?dry_run=false`, file);
    setTold(done);
    if (!done.stored) return;
    toast(t("import.stored", { added: done.added, changed: done.changed }));
    onStored();
  };
  return html`
    <details class="fold"><summary>${t("import.title")}</summary>
      <div class="card import"><p class="muted">${t(`import.${what}`)}</p>
        <${Field} label=${t("import.file")}>${(id, aria) => html`<input id=${id} ...${aria} type="file" accept=".csv,text/csv" onChange=${(event) => look(event.target.files[0])} />`}<//>
        ${told && html`<div role="status"><p><strong>${t(told.stored ? "import.done" : told.errors.length ? "import.refused" : "import.would")}</strong>
            ${" "}${t("import.counts", { added: told.added, changed: told.changed, unchanged: told.unchanged })}
            ${told.encoding !== "UTF-8" ? ` ${t("import.encoding", { name: told.encoding })}` : ""}</p>
          <ul class="import-lines">${told.errors.map(([line, words]) => html`<li key=${`e${line}${words}`} class="bad-text"><${Icon} name="alert" size=${14} />${t("import.line", { line })} <bdi>${words}</bdi></li>`)}
            ${told.changes.map((change) => html`<li key=${`c${change.line}`}>${t("import.line", { line: change.line })} ${change.name}:
              ${change.fields ? t("import.changes", { what: change.fields.join(", ") }) : t("import.new")}</li>`)}
            ${told.left_out > 0 && html`<li class="muted">${t("import.more", { n: told.left_out })}</li>`}</ul>
          ${!told.stored && !told.errors.length && told.added + told.changed > 0 && html`<${Act} class="primary" act=${store}>${t("import.do")}<//>`}</div>`}
      </div></details>
  `;
}

// ---- areas and groups -----------------------------------------------------------------------------------------------

function Areas() {
  const found = useItems("/admin/areas");
  const [open, setOpen] = useState(null);
  const above = (found.items ?? []).filter((one) => !one.parent && one.active && one.key !== open?.key);
  const named = (one) => (language.value === "en" ? one.name_en : one.name_it);
  const fields = [
    { name: "name_it", longest: 120 }, { name: "name_en", longest: 120 },
    { name: "parent", kind: "choice", options: [["", "–"], ...above.map((one) => [one.key, named(one)])] },
    { name: "back_to_level_0", kind: "check" },
  ];
  return html`
    <p class="actions"><button type="button" class="primary" onClick=${() => setOpen({ fresh: true, key: "", name_it: "", name_en: "", parent: "", back_to_level_0: false })}>
      <${Icon} name="plus" size=${18} />${t("admin.new_area")}</button></p>
    <${Table} found=${found} empty=${t("admin.areas")} edit=${setOpen} columns=${[
      ["name_it", (one) => html`${one.parent ? "↳ " : ""}${one.name_it}`], ["name_en", (one) => one.name_en], ["key", (one) => one.key],
      ["active", (one) => html`<${Badge} tone=${one.active ? "ok" : "calm"}>${t(one.active ? "admin.in_use" : "admin.retired")}<//>`],
      ["back_to_level_0", (one) => (one.back_to_level_0 ? t("admin.yes") : "–")]]} />
    ${open && html`<${FormDialog} title=${open.fresh ? t("admin.new_area") : named(open)} onClose=${() => setOpen(null)} onSaved=${found.again} value=${{ ...open, parent: open.parent ?? "" }}
      fields=${[...(open.fresh ? [{ name: "key", longest: 40, hint: t("admin.key_hint") }] : []), ...fields, ...(open.fresh || open.built_in ? [] : [{ name: "active", kind: "check" }])]}
      save=${(form) => (open.fresh
        ? post("/admin/areas", { key: form.key, name_it: form.name_it, name_en: form.name_en, parent: form.parent || null, back_to_level_0: form.back_to_level_0 })
        : patch(`/admin/areas/${open.key}`, differing({ ...open, parent: open.parent ?? "" }, {
          name_it: form.name_it, name_en: form.name_en, parent: form.parent, back_to_level_0: form.back_to_level_0, active: form.active })))} />`}
  `;
}

function Groups() {
  const found = useItems("/admin/groups");
  const [open, setOpen] = useState(null);
  const form = (one) => ({ name: one.name ?? "", level: String(one.level ?? 2), email: one.email ?? "", active: one.active ?? true });
  const body = (now) => ({ ...now, level: Number(now.level) });
  return html`
    <p class="actions"><button type="button" class="primary" onClick=${() => setOpen({})}><${Icon} name="plus" size=${18} />${t("admin.new_group")}</button></p>
    <${Table} found=${found} empty=${t("admin.no_groups")} edit=${setOpen} columns=${[
      ["name", (one) => one.name], ["level", (one) => one.level], ["email", (one) => one.email ?? "–"],
      ["active", (one) => html`<${Badge} tone=${one.active ? "ok" : "calm"}>${t(one.active ? "admin.in_use" : "admin.retired")}<//>`]]} />
    ${open && html`<${FormDialog} title=${open.name ?? t("admin.new_group")} onClose=${() => setOpen(null)} onSaved=${found.again} value=${form(open)}
      fields=${[{ name: "name", longest: 120 }, { name: "level", kind: "choice", options: ["2", "3"].map((n) => [n, t("requests.level", { n })]) }, { name: "email", hint: t("admin.group_email_hint") },
        ...(open.id ? [{ name: "active", kind: "check" }] : [])]}
      save=${(now) => {
        const { active, ...rest } = body(now);
        return open.id ? patch(`/admin/groups/${open.id}`, differing(body(form(open)), body(now))) : post("/admin/groups", { ...rest, email: rest.email || null });
      }} />`}
  `;
}
