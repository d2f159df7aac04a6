/** The call panel: the pops of this agent's calls, stacked, each with who calls, their requests, and the form. */
import { effect, html, signal, useEffect, useRef, useState } from "../lib.js";
import { post, put } from "../api.js";
import { clock, phone, secondsSince, serverNow, ticketText, when, words } from "../format.js";
import { language, t } from "../i18n.js";
import { phone as browserPhone } from "../phone.js";
import { activeAreas, areaName, isFree, lists, nameOf, queues } from "../store.js";
import { ContactPicker } from "./directory.js";
import { AreaSelect, StatusBadge, Weight } from "./request_parts.js";
import { Act, Badge, Dialog, Dot, errorText, Field, focusIsLost, Icon, Menu, Segments, toast } from "./ui.js";

/**
 * Which call is in front. It changes by itself only when nobody could lose anything: a new call comes to the front
 * when there was none. Decided the moment the list changes; decided after painting, it could undo the agent's choice.
 */
const front = signal(null);
effect(() => {
  if (!lists.pops.value.has(front.peek())) front.value = lists.pops.value.keys().next().value ?? null;
});
/** What the agent has typed, by call: the page's copy counts, the server keeps it for a reload. */
const drafts = new Map();

const TONE = { ringing: "warn", talking: "talk", consulted: "talk", returning: "warn", ended: "off" };
const KINDS = ["question", "request", "problem"];

/** @param {any} pop  the caller's name as far as it is known */
export function callerName(pop) {
  if (pop.confidence === "several" && pop.contacts.length > 1) return t("caller.several", { n: pop.contacts.length });
  return pop.contacts[0]?.name ?? pop.company?.name ?? pop.caller_name ?? phone(pop.caller_shown);
}

export function CallPanel() {
  const pops = [...lists.pops.value.values()];
  const shown = lists.pops.value.get(front.value);
  for (const id of drafts.keys()) if (!lists.pops.value.has(id)) drafts.delete(id);
  if (!shown) return null;
  return html`
    <section class="call-panel" aria-label=${t("call.panel")} id="call-panel">
      ${pops.length > 1 && html`
        <div class="call-tabs" role="group" aria-label=${t("call.several", { n: pops.length })}>
          ${pops.map((pop) => html`
            <button type="button" key=${pop.call_id} class=${`call-tab ${pop.state}`} aria-pressed=${pop === shown}
              onClick=${() => (front.value = pop.call_id)}>
              <${Dot} tone=${TONE[pop.state]} /><span>${callerName(pop)}</span>
              <span class="sr-only">${t(`call.${pop.state}`)}</span></button>`)}
        </div>`}
      <${Call} key=${shown.call_id} pop=${shown} />
    </section>
  `;
}

function Call({ pop }) {
  return html`
    <div class=${`call ${pop.state}`}>
      <${Head} pop=${pop} />
      ${browserPhone.value && html`<${browserPhone.value.PhoneControls} pop=${pop} />`}
      ${pop.state === "talking" && html`<${Controls} pop=${pop} />`}
      <div class="call-body">
        ${pop.request ? html`<${Registered} pop=${pop} />` : html`
          <${Identity} pop=${pop} />
          <${History} pop=${pop} />
          <${Form} pop=${pop} />`}
      </div>
    </div>
  `;
}

function Head({ pop }) {
  const timer = pop.state === "ringing" ? pop.queued_at ?? pop.started_at : pop.answered_at ?? pop.started_at;
  const waited = ((pop.answered_at ? Date.parse(pop.answered_at) : serverNow()) - Date.parse(pop.queued_at ?? pop.started_at)) / 1000;
  return html`
    <header class="call-head">
      <p class="call-state"><span class="call-icon"><${Icon} name=${pop.state === "ended" ? "hangup" : "phone"} size=${18} /></span>
        ${t(`call.${pop.state}`)}
        <span class="time">${pop.state === "ended" ? when(pop.ended_at) : clock(secondsSince(timer))}</span></p>
      <h2 class="caller">${callerName(pop)}</h2>
      <p class="caller-sub">${[pop.contacts.length === 1 ? pop.contacts[0].company?.name ?? pop.company?.name : pop.company?.name, phone(pop.caller_shown)].filter((part) => part && part !== callerName(pop)).join(" · ")}</p>
      <ul class="chips">
        <li class=${`chip confidence ${pop.confidence}`} title=${t("caller.confidence")}>${t(`confidence.${pop.confidence}`)}${
          pop.reason && pop.confidence !== "unknown" && pop.confidence !== "withheld" ? html` <span>· ${t(`reason.${pop.reason}`)}</span>` : ""}</li>
        ${pop.listened_by && html`<li class="chip hot" role="status"><${Icon} name="voice" size=${14} />${t("call.listened", { who: nameOf(pop.listened_by) })}</li>`}
        <li class="chip"><${Icon} name="clock" size=${14} />${t("call.waited", { time: words(waited) })}</li>
        ${pop.attempts_today > 1 && html`<li class="chip hot"><${Icon} name="phone" size=${14} />${t("call.attempts", { n: pop.attempts_today })}</li>`}
        ${pop.choice && html`<li class="chip"><${Icon} name="list" size=${14} />${areaName(pop.choice)}</li>`}
        <li class=${`chip ${pop.language !== language.value ? "hot" : ""}`}>${pop.line_name} · ${t(`lang.${pop.language}`)}</li>
      </ul>
    </header>
  `;
}

function Controls({ pop }) {
  const held = pop.on_hold;
  /** Which window is open. @type {[null|"transfer"|"second", any]} */
  const [asking, setAsking] = useState(null);
  /** How the second call stands: null | rings | second | caller | all (whom the agent talks with). */
  const second = !pop.consulting ? null : held ? (pop.third_away ? "rings" : "second") : pop.third_away ? "caller" : "all";
  const group = useRef(null);
  const before = useRef(second);
  useEffect(() => { // the button that had the focus is gone with what it did
    if (before.current !== second && focusIsLost()) group.current?.querySelector("button")?.focus();
    before.current = second;
  }, [second]);
  const steer = (path, body) => post(`/calls/${pop.call_id}/${path}`, body);
  const hangUp = () => steer("hang-up").catch((error) => {
    if (error.status === 0) browserPhone.value?.drop(); // the desk is away: the phone in the browser can still end it
    throw error;
  });
  if (second) {
    return html`
      <div class="controls" role="group" aria-label=${t("call.controls")} ref=${group}>
        <p class="grow" role="status">${t(`second.${second}`)}</p>
        ${second === "rings" ? html`<${Act} class="quiet" act=${() => steer("transfer/cancel")}>${t("second.give_up")}<//>` : html`
          <${Act} class="quiet" act=${() => steer("transfer/swap")}><${Icon} name="swap" size=${18} />${t(second === "all" ? "second.apart" : "second.swap")}<//>
          ${second !== "all" && html`<${Act} class="quiet" act=${() => steer("transfer/join")}>${t("second.join")}<//>`}
          <${Act} class="quiet" act=${() => steer("transfer/cancel")}>${t("second.end")}<//>
          <${Act} class="primary" act=${() => steer("transfer/complete")}>${t("call.transfer_complete")}<//>`}
      </div>`;
  }
  return html`
    <div class="controls" role="group" aria-label=${t("call.controls")} ref=${group}>
      <${Act} class="quiet" aria-pressed=${held} act=${() => steer(held ? "unhold" : "hold")}>
        <${Icon} name=${held ? "play" : "pause"} size=${18} />${t(held ? "call.unhold" : "call.hold")}<//>
      <button type="button" class="quiet" onClick=${() => setAsking("transfer")}><${Icon} name="forward" size=${18} />${t("call.transfer")}</button>
      <button type="button" class="quiet" onClick=${() => setAsking("second")}>${t("second.short")}</button>
      <${Act} class="danger" act=${hangUp}><${Icon} name="hangup" size=${18} />${t("call.hang_up")}<//>
      ${asking && html`<${Transfer} second=${asking === "second"} onClose=${() => setAsking(null)}
        act=${(target, attended) => { setAsking(null); return steer("transfer", { target, attended }); }} />`}
    </div>
  `;
}

/** Whom to call: to send the caller there, at once or after a word with them, or as a second call. */
function Transfer({ second, onClose, act }) {
  const [target, setTarget] = useState("");
  const [number, setNumber] = useState("");
  const box = useRef(null);
  useEffect(() => box.current.querySelector("input").focus(), []);
  const free = [...lists.agents.value.values()].filter(isFree);
  const chosen = target === "number" ? `number:${number.replace(/[\s./-]/g, "")}` : target;
  const ready = target === "number" ? number.trim() !== "" : target !== "";
  const option = (value, label, icon) => html`
    <label class=${`option ${target === value ? "on" : ""}`} key=${value}>
      <input type="radio" name="target" value=${value} checked=${target === value} onChange=${() => setTarget(value)} />
      <${Icon} name=${icon} size=${18} /><span>${label}</span></label>`;
  return html`
    <${Dialog} title=${t(second ? "second.title" : "call.transfer")} onClose=${onClose}>
      <fieldset class="options" ref=${box}><legend>${t("call.transfer_to")}</legend>
        ${free.map((agent) => option(`agent:${agent.id}`, agent.name, "user"))}
        ${free.length === 0 && html`<p class="muted">${t("call.nobody_free")}</p>`}
        ${!second && queues.value.map((queue) => option(`queue:${queue}`, t("call.queue", { name: queue }), "queue"))}
        ${option("number", t("call.number"), "phone")}
        ${target === "number" && html`<input type="tel" aria-label=${t("call.number")} value=${number} maxlength="32"
          onInput=${(event) => setNumber(event.target.value)} />`}
      </fieldset>
      <footer class="dialog-foot">
        ${second ? html`<${Act} class="primary" disabled=${!ready} act=${() => act(chosen, true)}>${t("second.call")}<//>` : html`
          <${Act} class="quiet" disabled=${!ready || target.startsWith("queue:")} act=${() => act(chosen, true)}>${t("call.attended")}<//>
          <${Act} class="primary" disabled=${!ready} act=${() => act(chosen, false)}>${t("call.blind")}<//>`}
      </footer>
    <//>
  `;
}

/** Who it is, where that is not certain: one click puts it right for the next time as well. */
function Identity({ pop }) {
  const [open, setOpen] = useState(false);
  const assign = async (body) => {
    const contact = await post(`/calls/${pop.call_id}/contact`, body);
    edit(pop, { contact_id: contact.id, email: draftOf(pop).value.email || contact.email || "" });
    toast(pop.caller ? t("caller.assigned", { name: contact.name, number: pop.caller_shown }) : t("caller.noted", { name: contact.name }));
    setOpen(false);
  };
  const sure = pop.confidence === "known";
  return html`
    <section class="identity" aria-label=${t("caller.who")}>
      ${!sure && pop.contacts.length > 0 && html`
        <p class="section-label">${t("caller.is_it")}</p>
        <ul class="people">${pop.contacts.map((contact) => html`
          <li key=${contact.id}><span class="who">${contact.name}</span>
            <span class="meta">${[contact.company?.name, contact.user_code].filter(Boolean).join(" · ")}</span>
            <${Act} class="quiet small" act=${() => assign({ contact_id: contact.id })}><${Icon} name="check" size=${16} />${t("caller.yes")}<//></li>`)}</ul>`}
      ${sure && pop.contacts.length === 1 && html`<p class="known"><${Icon} name="user" size=${16} />
        ${[pop.contacts[0].user_code, pop.contacts[0].email ?? t("caller.no_email")].filter(Boolean).join(" · ")}
        <button type="button" class="link" onClick=${() => setOpen(true)}>${t("caller.someone_else")}</button></p>`}
      ${!sure && html`<button type="button" class="quiet small" onClick=${() => setOpen(true)}><${Icon} name="user" size=${16} />
        ${t(pop.contacts.length ? "caller.someone_else" : "caller.assign")}</button>`}
      ${open && html`<${ContactPicker} number=${pop.caller_shown} onClose=${() => setOpen(false)} onChosen=${assign} />`}
    </section>
  `;
}

function History({ pop }) {
  const open = pop.open_requests;
  const attach = async (request) => {
    await post(`/calls/${pop.call_id}/attach`, { request_id: request.id, note: draftOf(pop).value.description });
    toast(t("call.attached", { ticket: ticketText(request.ticket) }));
  };
  if (open.length + pop.recent_requests.length === 0) return html`<p class="section-label none">${t("call.no_requests")}</p>`;
  return html`
    <section class="past" aria-label=${t("call.requests")}>
      ${open.length > 0 && html`<p class="section-label">${t("call.open_requests", { n: open.length })}</p>
        <ul class="past-list">${open.map((request) => html`
          <li key=${request.id}><a href=${`#/requests/${request.id}`} title=${`${request.subject} · ${when(request.opened_at)}`}>
              <span class="ticket">${ticketText(request.ticket)}</span>${request.subject}${request.contact_name && pop.contacts.length !== 1 ? ` · ${request.contact_name}` : ""}</a>
            <span class="past-end"><${StatusBadge} status=${request.status} />
              <${Act} class="quiet small" act=${() => attach(request)}><${Icon} name="link" size=${16} />${t("call.about_this")}<//></span></li>`)}</ul>`}
      ${pop.recent_requests.length > 0 && html`<details class="fold"><summary>${t("call.recent", { n: pop.recent_requests.length })}</summary>
        <ul class="past-list">${pop.recent_requests.map((request) => html`
          <li key=${request.id}><a href=${`#/requests/${request.id}`}><span class="ticket">${ticketText(request.ticket)}</span>${request.subject}</a>
            <span class="meta">${when(request.closed_at)}</span></li>`)}</ul></details>`}
    </section>
  `;
}

/** The draft of a call, begun from what the server kept and what is known of the caller. */
function draftOf(pop) {
  if (!drafts.has(pop.call_id)) {
    const contact = pop.confidence === "known" || pop.confidence === "probable" ? pop.contacts.length === 1 && pop.contacts[0] : null;
    drafts.set(pop.call_id, signal({
      kind: pop.draft.kind ?? null,
      area: pop.draft.area ?? (activeAreas.value.some((area) => area.key === pop.choice) ? pop.choice : null),
      impact: pop.draft.impact ?? 2,
      urgency: pop.draft.urgency ?? 2,
      subject: pop.draft.subject ?? "",
      description: pop.draft.description ?? "",
      solution: pop.draft.solution ?? "",
      email: pop.draft.email || (contact?.email ?? ""),
      contact_id: pop.draft.contact_id ?? (pop.confidence === "known" && contact ? contact.id : null),
      language: pop.draft.language ?? pop.language,
    }));
  }
  return drafts.get(pop.call_id);
}

const saving = new Map();
/** 'saving' | 'saved' | 'failed' by call */
const saveState = signal({});

/** Change the draft, and keep it at the server half a second after the last key. */
function edit(pop, change) {
  const draft = draftOf(pop);
  draft.value = { ...draft.value, ...change };
  clearTimeout(saving.get(pop.call_id));
  saveState.value = { ...saveState.value, [pop.call_id]: "saving" };
  saving.set(pop.call_id, setTimeout(() => {
    put(`/calls/${pop.call_id}/draft`, draft.value).then(
      () => (saveState.value = { ...saveState.value, [pop.call_id]: "saved" }),
      () => (saveState.value = { ...saveState.value, [pop.call_id]: "failed" }),
    );
  }, 500));
}

function Form({ pop }) {
  const draft = draftOf(pop).value;
  const [fields, setFields] = useState(/** @type {Record<string, string>} */ ({}));
  const [solve, setSolve] = useState(draft.solution ? "before" : "");
  const solution = useRef(null);
  useEffect(() => { if (solve === "now") solution.current?.focus(); }, [solve]); // ticked just now: go on typing there
  const set = (field) => (event) => {
    edit(pop, { [field]: event.target ? event.target.value : event });
    if (fields[field]) setFields({ ...fields, [field]: undefined });
  };
  const save = async (solved) => {
    const missing = {};
    for (const field of ["kind", "area", "subject"]) if (!draft[field]?.trim()) missing[field] = t("form.needed");
    if (solved && !draft.solution.trim()) missing.solution = t("form.needed");
    setFields(missing);
    if (Object.keys(missing).length) {
      requestAnimationFrame(() => /** @type {HTMLElement} */ (document.querySelector("#call-panel .wrong :is(input, select, textarea)"))?.focus());
      return;
    }
    clearTimeout(saving.get(pop.call_id));
    await post(`/calls/${pop.call_id}/request`, {
      ...draft, email: draft.email.trim() || null, solution: solved ? draft.solution : null,
    });
  };
  const failed = (error) => {
    setFields(error.fields ?? {});
    toast(errorText(error), "bad");
  };
  const kept = saveState.value[pop.call_id];
  return html`
    <form class="call-form" onSubmit=${(event) => event.preventDefault()} aria-label=${t("form.title")}>
      <div class="form-head"><h3>${t("form.title")}</h3>
        ${kept && html`<span class=${`kept ${kept}`} role="status">${t(`form.${kept}`)}</span>`}</div>
      <${Segments} label=${t("form.kind")} name="kind" value=${draft.kind} onChange=${set("kind")} error=${fields.kind}
        options=${KINDS.map((kind) => [kind, t(`kind.${kind}`)])} />
      <div class="pair">
        <${Field} label=${t("form.area")} error=${fields.area}>${(id) => html`
          <${AreaSelect} id=${id} value=${draft.area} onChange=${set("area")} />`}<//>
        <${Field} label=${t("form.email")} error=${fields.email}>${(id) => html`
          <input id=${id} type="email" value=${draft.email} maxlength="254" onInput=${set("email")} placeholder=${t("form.email_none")} />`}<//>
      </div>
      <${Field} label=${t("form.subject")} error=${fields.subject}>${(id) => html`
        <input id=${id} value=${draft.subject} maxlength="200" autocomplete="off" onInput=${set("subject")} />`}<//>
      <${Field} label=${t("form.description")} error=${fields.description}>${(id) => html`
        <textarea id=${id} rows="3" value=${draft.description} onInput=${set("description")}></textarea>`}<//>
      <${Weight} prefix="call-" values=${draft} fields=${fields} onChange=${(change) => edit(pop, change)} />
      <label class="switch"><input type="checkbox" checked=${Boolean(solve)}
          onChange=${(event) => setSolve(event.target.checked ? "now" : "")} />
        <span>${t("form.solve_now")}</span></label>
      ${solve && html`<${Field} label=${t("form.solution")} error=${fields.solution} hint=${t("form.solution_hint")}>${(id) => html`
        <textarea id=${id} rows="2" ref=${solution} value=${draft.solution} onInput=${set("solution")}></textarea>`}<//>`}
      <footer class="call-foot">
        <${Menu} class="quiet" label=${t("call.dismiss")}>
          ${["no_request", "wrong_number", "other_desk", "test"].map((reason) => html`
            <${Act} key=${reason} class="menu-item" disabled=${pop.state !== "ended" && pop.state !== "talking"}
              act=${() => post(`/calls/${pop.call_id}/dismiss`, { reason })}>${t(`dismiss.${reason}`)}<//>`)}
        <//>
        <${Act} class="primary large" act=${() => save(Boolean(solve))} onFailed=${failed}>
          <${Icon} name="check" size=${18} />${t(solve ? "form.save_solved" : "form.save")}<//>
      </footer>
    </form>
  `;
}

/** The ticket, to be told to the caller at once. */
function Registered({ pop }) {
  const { request } = pop;
  const box = useRef(null);
  // The button that was pressed is gone: the keyboard goes on from here. Where it is somewhere else, it stays there.
  useEffect(() => { if (document.activeElement === document.body) box.current.focus(); }, []);
  return html`
    <section class="registered" role="status" tabindex="-1" ref=${box}>
      <span class="done"><${Icon} name="check" size=${28} /></span>
      <p>${t("call.tell_ticket")}</p>
      <p class="big-ticket" aria-label=${(request.ticket ?? "").split("").join(" ")}>${ticketText(request.ticket)}</p>
      <p class="muted">${request.subject}</p>
      <p><${StatusBadge} status=${request.status} /></p>
      <a class="button quiet" href=${`#/requests/${request.id}`}>${t("call.open_request")}</a>
    </section>
  `;
}
