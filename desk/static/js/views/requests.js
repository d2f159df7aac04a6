/** Service requests: the lists, and one of them beside. */
import { html, signal, useEffect, useRef, useState } from "../lib.js";
import { get } from "../api.js";
import { phone, ticketText, when } from "../format.js";
import { t } from "../i18n.js";
import { answered, answeredRequests, areaName, dueRequests, loaded, myRequests, promise, touched, untaken } from "../store.js";
import { One } from "./request.js";
import { heldBy, heldSince, Priority, StatusBadge } from "./request_parts.js";
import { Badge, Empty, errorText, Icon, Loading } from "./ui.js";

const CHANNEL_ICON = { phone: "phone", voicemail: "voice", email: "mail", fax: "note", in_person: "user", api: "plug" };
/** `work` is what is to be done here and now; the others are asked of the server. */
const LISTS = ["work", "open", "mine", "untaken", "waiting", "closed"];
/** What is looked for; it stays while a request is looked at. */
const filter = signal({ which: "work", level: "", q: "", days: "14" });

export function Requests({ id }) {
  const { which, level, q } = filter.value;
  const asked = which !== "work" || level !== "" || q.trim() !== "";
  const nothing = !asked && myRequests.value.length + dueRequests.value.length + answeredRequests.value.length === 0;
  return html`
    <div class=${`split ${id ? "with-detail" : nothing ? "alone" : ""}`}>
      <section class="master" aria-labelledby="requests-title">
        <header class="view-head"><h2 id="requests-title">${t("requests.title")}</h2>
          <p class="muted">${t("requests.lead", { mine: myRequests.value.length, due: dueRequests.value.length })}</p>
          <${Find} /><${Filters} /></header>
        ${asked ? html`<${Found} id=${id} />` : html`<${Work} id=${id} />`}
      </section>
      <section class="detail" aria-label=${t("requests.one")}>
        ${id ? html`<${One} key=${id} id=${id} />` : html`
          <${Empty} icon="list" title=${t("requests.choose_title")}>${t("requests.choose")}<//>`}
      </section>
    </div>
  `;
}

/** Opens the request whose number a user quotes, in any phase. */
function Find() {
  const [failed, setFailed] = useState("");
  const find = async (event) => {
    event.preventDefault();
    const form = event.target;
    try {
      const request = await get(`/requests/by-ticket/${encodeURIComponent(String(new FormData(form).get("ticket")).trim())}`);
      setFailed("");
      form.reset();
      location.hash = `#/requests/${request.id}`;
    } catch (error) {
      setFailed(error.status === 404 ? t("requests.not_found") : errorText(error));
    }
  };
  return html`
    <form class="find" role="search" onSubmit=${find}>
      <input type="search" name="ticket" required inputmode="numeric" maxlength="20" autocomplete="off"
        aria-label=${t("requests.ticket")} placeholder=${t("requests.ticket")} />
      <button class="quiet">${t("requests.open")}</button>
      ${failed && html`<p class="notice bad" role="alert"><${Icon} name="alert" />${failed}</p>`}
    </form>
  `;
}

function Filters() {
  const now = filter.value;
  const set = (field) => (event) => (filter.value = { ...filter.value, [field]: event.target.value });
  const choice = (field, label, options) => html`
    <select aria-label=${t(label)} value=${now[field]} onChange=${set(field)}>
      ${options.map(([value, words]) => html`<option key=${value} value=${value} selected=${now[field] === value}>${words}</option>`)}</select>`;
  return html`
    <div class="filters" role="group" aria-label=${t("filter.title")}>
      ${choice("which", "filter.which", LISTS.map((name) => [name, t(`filter.${name}`)]))}
      ${choice("level", "filter.level", [["", t("filter.all_levels")], ...["0", "1", "2", "3"].map((n) => [n, t("requests.level", { n })])])}
      ${now.which === "closed" && choice("days", "filter.days", ["1", "7", "14", "30", "90", "366"].map((n) => [n, t("filter.last_days", { n: Number(n) })]))}
      <input type="search" aria-label=${t("filter.text")} placeholder=${t("filter.text")} value=${now.q} maxlength="200" onInput=${set("q")} />
    </div>
  `;
}

/** What is to be taken, and what this person has in charge. */
function Work({ id }) {
  const mine = myRequests.value;
  const due = dueRequests.value;
  const back = answeredRequests.value;
  if (!loaded.value) return html`<${Loading} />`;
  return html`
    ${mine.length + due.length + back.length === 0 && html`<${Empty} icon="list" title=${t("requests.none_title")}>${t("requests.none")}<//>`}
    ${due.length > 0 && html`<h2 class="group">${t("requests.due")} <span class="count">${due.length}</span></h2>
      <ul class="rows">${due.map((r) => html`<${RequestRow} key=${r.id} request=${r} on=${r.id === id} />`)}</ul>`}
    ${back.length > 0 && html`<h2 class="group">${t("requests.answered")} <span class="count">${back.length}</span></h2>
      <ul class="rows">${back.map((r) => html`<${RequestRow} key=${r.id} request=${r} on=${r.id === id} />`)}</ul>`}
    ${mine.length > 0 && html`<h2 class="group">${t("requests.mine")} <span class="count">${mine.length}</span></h2>
      <ul class="rows">${mine.map((r) => html`<${RequestRow} key=${r.id} request=${r} on=${r.id === id} />`)}</ul>`}
  `;
}

/** What the server found; asked again when something changes. */
function Found({ id }) {
  const [found, setFound] = useState(null);
  const [failed, setFailed] = useState(null);
  const { which, level, q, days } = filter.value;
  const { topic, count } = touched.value;
  const changed = useRef(0);
  if (topic === "" || topic === "requests") changed.current = count;
  useEffect(() => {
    let current = true;
    const query = new URLSearchParams({ which: which === "work" ? "open" : which, q: q.trim(), days });
    if (level) query.set("level", level);
    const timer = setTimeout(() => get(`/requests?${query}`).then(
      (answer) => { if (current) { setFound(answer); setFailed(null); } }, (error) => current && setFailed(error)), 200);
    return () => { current = false; clearTimeout(timer); };
  }, [which, level, q, days, changed.current]);
  if (failed) return html`<p class="notice bad" role="alert"><${Icon} name="alert" />${errorText(failed)}</p>`;
  if (!found) return html`<${Loading} />`;
  return html`
    <p class="group" role="status">${t(found.more ? "filter.more" : "filter.found", { n: found.requests.length })}</p>
    <ul class="rows">${found.requests.map((r) => html`<${RequestRow} key=${r.id} request=${r} on=${r.id === id} />`)}</ul>
  `;
}

function RequestRow({ request, on }) {
  const due = promise(request);
  const dated = !request.closed_at && (untaken(request) || request.due_at);
  return html`
    <li><a class=${`row with-icon ${on ? "on" : ""}`} href=${`#/requests/${request.id}`} aria-current=${on ? "true" : undefined}>
      <span class="row-icon" title=${t(`channel.${request.channel}`)}><${Icon} name=${CHANNEL_ICON[request.channel]} size=${18} />
        <span class="sr-only">${t(`channel.${request.channel}`)}</span></span>
      <span class="row-title"><span>${request.subject}</span></span>
      <span class="row-badge">${dated ? html`<${Badge} tone=${due.tone} icon=${due.tone === "bad" ? "alert" : "clock"}>${due.text}<//>`
        : html`<${StatusBadge} status=${request.status} />`}${answered(request) && html` <${Badge} tone="warn" icon="mail">${t("requests.answered")}<//>`}</span>
      <span class="row-sub"><span class="ticket">${ticketText(request.ticket)}</span> ${["", request.contact_name ?? phone(request.phone_shown), request.company_name].filter((part) => part !== null).join(" · ")}</span>
      <span class="row-when">${when(request.closed_at ?? request.received_at)}</span>
      <span class="row-text muted"><${Priority} n=${request.priority} /> ${[areaName(request.area), dated && !untaken(request) && t(`status.${request.status}`), heldBy(request), heldSince(request)].filter(Boolean).join(" · ")}</span>
    </a></li>
  `;
}
