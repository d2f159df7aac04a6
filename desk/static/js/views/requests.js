/** Service requests: the lists, and one of them beside. */
import { html, useEffect, useRef, useState } from "../lib.js";
import { get } from "../api.js";
import { tick } from "../choosing.js";
import { phone, ticketText, when } from "../format.js";
import { t } from "../i18n.js";
import { marked, markedTicket } from "../marks.js";
import { preferences } from "../preferences.js";
import { answered, answeredRequests, areaName, dueRequests, loaded, myRequests, promise, touched, untaken } from "../store.js";
import { filter, SavedFilters } from "./filters.js";
import { One } from "./request.js";
import { heldBy, heldSince, Priority, StatusBadge } from "./request_parts.js";
import { chosen, forgetChosen, Several } from "./several.js";
import { Badge, Empty, errorText, Icon, Loading } from "./ui.js";

const CHANNEL_ICON = { phone: "phone", voicemail: "voice", email: "mail", fax: "note", in_person: "user", api: "plug" };
/** `work` is what is to be done here and now; the others are asked of the server. */
const LISTS = ["work", "open", "mine", "untaken", "waiting", "closed", "all"];
const ORDERS = ["due", "newest", "oldest", "priority"];
/** Who types is answered after a pause of so long; what happens meanwhile is shown at most so often (ms). */
const PAUSE = 150;
const REFRESH = 2000;

/** What is asked of the server. Words that are typed over one's work are looked for everywhere. */
const asked = ({ which, level, q, days, order }) => {
  const query = new URLSearchParams({ which: which !== "work" ? which : q.trim() ? "all" : "open", q: q.trim(), days, order });
  if (level) query.set("level", level);
  return `/requests?${query}`;
};

export function Requests({ id }) {
  const { which, level, q } = filter.value;
  const listed = which !== "work" || level !== "" || q.trim() !== "";
  useEffect(() => forgetChosen, [which, level, q]);
  const nothing = !listed && myRequests.value.length + dueRequests.value.length + answeredRequests.value.length === 0;
  return html`
    <div class=${`split ${id ? "with-detail" : nothing ? "alone" : ""}`}>
      <section class="master" aria-labelledby="requests-title">
        <header class="view-head"><h2 id="requests-title">${t("requests.title")}</h2>
          <p class="muted">${t("requests.lead", { mine: myRequests.value.length, due: dueRequests.value.length })}</p>
          <${Search} /><${Filters} /></header>
        ${listed ? html`<${Found} id=${id} />` : html`<${Work} id=${id} />`}
      </section>
      <section class="detail" aria-label=${t("requests.one")}>
        ${id ? html`<${One} key=${id} id=${id} />` : html`
          <${Empty} icon="list" title=${t("requests.choose_title")}>${t("requests.choose")}<//>`}
      </section>
    </div>
  `;
}

/** Finds while one types; Enter opens the first, which is the one whose number was written. */
function Search() {
  const open = async (event) => {
    event.preventDefault();
    if (!filter.value.q.trim()) return;
    const { requests } = await get(asked(filter.value)).catch(() => ({ requests: [] }));
    if (requests.length) location.hash = `#/requests/${requests[0].id}`;
  };
  return html`
    <form class="find" role="search" onSubmit=${open}>
      <input id="request-search" type="search" aria-label=${t("filter.text")} placeholder=${t("filter.text_hint")} value=${filter.value.q}
        maxlength="200" autocomplete="off" spellcheck="false" onInput=${(event) => (filter.value = { ...filter.value, q: event.target.value })} />
    </form>
  `;
}

function Filters() {
  const now = filter.value;
  const set = (field) => (event) => (filter.value = { ...filter.value, [field]: event.target.value });
  const choice = (field, label, options) => html`
    <select aria-label=${t(label)} value=${now[field]} onChange=${set(field)}>
      ${options.map(([value, words]) => html`<option key=${value} value=${value} selected=${now[field] === value}>${words}</option>`)}</select>`;
  const ordered = now.which !== "work" || (now.level !== "" && !now.q.trim());
  return html`
    <div class="filters" role="group" aria-label=${t("filter.title")}>
      ${choice("which", "filter.which", LISTS.map((name) => [name, t(`filter.${name}`)]))}
      ${choice("level", "filter.level", [["", t("filter.all_levels")], ...["0", "1", "2", "3"].map((n) => [n, t("requests.level", { n })])])}
      ${now.which === "closed" && choice("days", "filter.days", ["1", "7", "14", "30", "90", "366"].map((n) => [n, t("filter.last_days", { n: Number(n) })]))}
      ${ordered && !(now.which === "all" && now.q.trim()) && choice("order", "filter.order", ORDERS.map((name) => [name, t(`order.${name}`)]))}
      <${SavedFilters} />
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
    <${Several} shown=${[...due, ...back, ...mine]} />
    ${mine.length + due.length + back.length === 0 && html`<${Empty} icon="list" title=${t("requests.none_title")}>${t("requests.none")}<//>`}
    ${due.length > 0 && html`<h2 class="group">${t("requests.due")} <span class="count">${due.length}</span></h2>
      <ul class="rows">${due.map((r) => html`<${RequestRow} key=${r.id} request=${r} on=${r.id === id} />`)}</ul>`}
    ${back.length > 0 && html`<h2 class="group">${t("requests.answered")} <span class="count">${back.length}</span></h2>
      <ul class="rows">${back.map((r) => html`<${RequestRow} key=${r.id} request=${r} on=${r.id === id} />`)}</ul>`}
    ${mine.length > 0 && html`<h2 class="group">${t("requests.mine")} <span class="count">${mine.length}</span></h2>
      <ul class="rows">${mine.map((r) => html`<${RequestRow} key=${r.id} request=${r} on=${r.id === id} />`)}</ul>`}
  `;
}

/** What the server found; asked again when something changes. An answer to what is not asked any more is dropped. */
function Found({ id }) {
  const [found, setFound] = useState(null);
  const [failed, setFailed] = useState(null);
  const question = asked(filter.value);
  const { topic, count } = touched.value;
  const changed = useRef(0);
  const wanted = useRef("");
  const last = useRef({ question: "", at: 0 });
  wanted.current = question;
  if (topic === "" || topic === "requests") changed.current = count;
  useEffect(() => {
    const wait = question === last.current.question ? Math.max(0, last.current.at + REFRESH - Date.now()) : PAUSE;
    const timer = setTimeout(() => {
      last.current = { question, at: Date.now() };
      get(question).then(
        (answer) => { if (wanted.current === question) { setFound(answer); setFailed(null); } },
        (error) => wanted.current === question && setFailed(error));
    }, wait);
    return () => clearTimeout(timer);
  }, [question, changed.current]);
  if (failed) return html`<p class="notice bad" role="alert"><${Icon} name="alert" />${errorText(failed)}</p>`;
  if (!found) return html`<${Loading} />`;
  const { requests, more, words } = found;
  const none = words.length === 0 ? "" : words.every((word) => /^\d+$/.test(word)) ? t("requests.not_found") : t("filter.nothing");
  return html`
    <${Several} shown=${requests} />
    <p class="group" role="status">${t(more ? "filter.more" : "filter.found", { n: requests.length })}</p>
    ${requests.length === 0 && none && html`<${Empty} icon="list" title=${t("filter.nothing_title")}>${none}<//>`}
    <ul class="rows">${requests.map((r) => html`<${RequestRow} key=${r.id} request=${r} words=${words} on=${r.id === id} />`)}</ul>
  `;
}

function RequestRow({ request, on, words = [] }) {
  const due = promise(request);
  const dated = !request.closed_at && (untaken(request) || request.due_at);
  const shows = (column, value) => (preferences.value.columns.includes(column) ? value : null);
  const who = [request.contact_name ?? phone(request.phone_shown), shows("company", request.company_name)].filter((part) => part !== null).join(" · ");
  const about = [shows("area", areaName(request.area)), dated && !untaken(request) && t(`status.${request.status}`),
    shows("holder", heldBy(request)), shows("since", heldSince(request))].filter(Boolean).join(" · ");
  return html`
    <li class="ticking"><input type="checkbox" data-row=${request.id} aria-label=${t("several.tick", { name: `${ticketText(request.ticket)} ${request.subject}` })}
        checked=${chosen.value.has(String(request.id))} onClick=${tick(chosen)} />
      <a class=${`row with-icon ${on ? "on" : ""}`} href=${`#/requests/${request.id}`} aria-current=${on ? "true" : undefined}>
      <span class="row-icon" title=${t(`channel.${request.channel}`)}><${Icon} name=${CHANNEL_ICON[request.channel]} size=${18} />
        <span class="sr-only">${t(`channel.${request.channel}`)}</span></span>
      <span class="row-title"><span>${marked(request.subject, words)}</span></span>
      <span class="row-badge">${dated ? html`<${Badge} tone=${due.tone} icon=${due.tone === "bad" ? "alert" : "clock"}>${due.text}<//>`
        : html`<${StatusBadge} status=${request.status} />`}${answered(request) && html` <${Badge} tone="warn" icon="mail">${t("requests.answered")}<//>`}</span>
      <span class="row-sub"><span class="ticket">${markedTicket(request.ticket, ticketText(request.ticket), words)}</span> · ${marked(who, words)}</span>
      <span class="row-when">${shows("received", when(request.closed_at ?? request.received_at))}</span>
      <span class="row-text muted">${shows("priority", html`<${Priority} n=${request.priority} /> `)}${about}</span>
      ${request.extract && html`<span class="row-extract"><span class="muted">${t(`extract.${request.extract.where}`)}:</span> <bdi>${marked(request.extract.text, words)}</bdi></span>`}
    </a></li>
  `;
}
