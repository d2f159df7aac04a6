/** The wallboard: how the line stands, and how the day has gone; with the steering of agents and waiting calls. */
import { html, signal, useEffect, useRef, useState } from "../lib.js";
import { get, post } from "../api.js";
import { clock, percent, phone, secondsSince, stopped, when, words } from "../format.js";
import { t } from "../i18n.js";
import { areaName, isFree, labelText, listening, lists, me, nameOf, pauseName, pauseReasons, queues, waitingLine } from "../store.js";
import { ClosureDialog, endClosure, holding, planned } from "./closures.js";
import { Act, Badge, Dot, errorText, Icon, Loading, Menu, presenceTone, toast } from "./ui.js";

/** The figures of the day are asked for so often; who waits and what each agent does comes by itself. */
const ASK_SECONDS = 5;
const STATES = ["free", "ringing", "talking", "wrap_up", "paused", "offline"];

/** Stands still: what was on the screen when it was stopped, for who reads slowly. */
const held = signal(null);
const hold = (shown) => {
  held.value = shown;
  stopped.value = shown && Date.now();
};

export function Board() {
  const [figures, setFigures] = useState(null);
  const [failed, setFailed] = useState(null);
  const box = useRef(null);
  useEffect(() => {
    let current = true;
    const ask = () => get("/board").then(
      (found) => { if (current) { setFigures(found); setFailed(null); } }, (error) => current && setFailed(error));
    ask();
    const timer = setInterval(ask, ASK_SECONDS * 1000);
    return () => { current = false; clearInterval(timer); hold(null); };
  }, []);
  const live = { figures, line: waitingLine.value, agents: [...lists.agents.value.values()] };
  const shown = held.value ?? live;
  const enlarge = () => (document.fullscreenElement ? document.exitFullscreen() : box.current.requestFullscreen());
  return html`
    <div class="board" ref=${box}>
      <header class="board-head"><h2>${t("board.title")}</h2>
        <span class="muted" role="status">${held.value ? t("board.held") : ""}</span><span class="grow"></span>
        <button type="button" class="quiet" aria-pressed=${held.value !== null} onClick=${() => hold(held.value ? null : live)}>
          <${Icon} name=${held.value ? "play" : "pause"} size=${18} />${t(held.value ? "board.go_on" : "board.hold")}</button>
        <${CloseLine} />
        <${Act} class="quiet" act=${enlarge}><${Icon} name="up" size=${18} />${t("board.full")}<//></header>
      ${failed && html`<p class="notice bad" role="alert"><${Icon} name="alert" />${errorText(failed)}</p>`}
      <${Closures} />
      ${shown.figures ? html`<${Tiles} figures=${shown.figures} line=${shown.line} />` : !failed && html`<${Loading} />`}
      <div class="board-lists">
        <${Waiting} line=${shown.line} agents=${shown.agents} />
        <${Agents} agents=${shown.agents} />
      </div>
    </div>
  `;
}

const seconds = (value) => (value === null ? "–" : words(value));

function Tiles({ figures, line }) {
  const longest = line.reduce((most, call) => Math.max(most, secondsSince(call.queued_at)), 0);
  const reached = figures.answered + figures.gave_up_waiting;
  const tile = (name, value, note, tone = "") => html`
    <div key=${name} class=${`tile ${tone}`}><dt>${t(`board.${name}`)}</dt><dd>${value}</dd><dd class="tile-note">${note}</dd></div>`;
  const late = longest > figures.answered_within_seconds;
  return html`
    <dl class="tiles">
      ${tile("waiting", line.length, line.length ? t("board.longest", { time: clock(longest) }) : t("side.nobody"), late ? "bad" : line.length ? "warn" : "")}
      ${tile("service_level", figures.service_level === null ? "–" : percent(figures.service_level), t("board.service_level_formula", {
        seconds: figures.answered_within_seconds, in_time: figures.answered_in_time, reached }))}
      ${tile("answered", figures.answered, t("board.of_calls", { n: figures.calls }))}
      ${tile("abandoned", figures.gave_up_waiting, t("board.abandoned_note", {
        share: figures.abandoned_share === null ? "–" : percent(figures.abandoned_share), before: figures.gave_up_before, short: figures.gave_up_short,
        seconds: figures.short_seconds }))}
      ${tile("wait", seconds(figures.wait_nine_of_ten), t("board.wait_note", { half: seconds(figures.wait_half), worst: seconds(figures.worst_wait) }))}
      ${tile("ring", seconds(figures.ring_nine_of_ten), t("board.ring_note", { half: seconds(figures.ring_half) }))}
      ${tile("messages", figures.messages_waiting, figures.oldest_message_at
        ? t("board.oldest", { time: words(secondsSince(figures.oldest_message_at)) }) : t("board.no_messages"), figures.messages_waiting ? "warn" : "")}
      ${tile("promises", figures.promises_overdue, t("board.promises_note", { n: figures.promises_due }), figures.promises_overdue ? "bad" : "")}
    </dl>
  `;
}

/** Who waits; a call can be moved to the head, into another queue, or to a free agent. */
function Waiting({ line, agents }) {
  const free = agents.filter(isFree);
  const move = (call, target) => async () => {
    await post(`/steering/calls/${call.id}/move`, { target });
    toast(t("steer.moved"));
  };
  return html`
    <section class="card" aria-labelledby="board-waiting">
      <header class="card-head"><h2 id="board-waiting">${t("side.waiting")}</h2><span class=${`count ${line.length ? "hot" : ""}`}>${line.length}</span></header>
      ${line.length === 0 && html`<p class="quiet-line">${t("side.nobody")}</p>`}
      <ol class="board-rows">${line.map((call) => html`
        <li key=${call.id}><span class="who">${call.contact_name ?? call.caller_name ?? phone(call.caller_shown)}</span>
          <span class="meta">${call.phase === "ringing" ? html`<${Badge} tone="warn" icon="phone">${t("side.ringing")}<//> ` : ""}
            ${[call.choice && areaName(call.choice), call.queue, call.priority > 0 && t("side.priority")].filter(Boolean).join(" · ")}</span>
          <span class="time">${clock(secondsSince(call.queued_at ?? call.started_at))}</span>
          ${call.phase === "waiting" && html`<${Menu} class="quiet small steer" align="end" label=${t("steer.move")}>
            <${Act} class="menu-item" act=${move(call, "head")}><${Icon} name="up" size=${18} />${t("steer.head")}<//>
            ${queues.value.filter((name) => name !== call.queue).map((name) => html`
              <${Act} key=${name} class="menu-item" act=${move(call, `queue:${name}`)}><${Icon} name="queue" size=${18} />${t("call.queue", { name })}<//>`)}
            ${free.map((agent) => html`<${Act} key=${agent.id} class="menu-item" act=${move(call, `agent:${agent.id}`)}>
              <${Dot} tone="ok" />${agent.name}<//>`)}<//>`}
        </li>`)}</ol>
    </section>
  `;
}

/** Every agent by state, since when; a supervisor may pause one, or take one off duty. */
function Agents({ agents }) {
  const sorted = [...agents].sort((a, b) => STATES.indexOf(a.presence) - STATES.indexOf(b.presence) || a.name.localeCompare(b.name));
  const set = (agent, body) => async () => {
    await post(`/steering/agents/${agent.id}/presence`, body);
    toast(t("steer.done", { name: agent.name }));
  };
  const listen = (agent, mode) => async () => {
    await post(`/steering/calls/${agent.call_id}/listen`, { mode });
    toast(t("listen.rings"));
  };
  return html`
    <section class="card" aria-labelledby="board-agents">
      <header class="card-head"><h2 id="board-agents">${t("board.agents")}</h2>
        <p class="states">${STATES.map((state) => html`<span key=${state}><${Dot} tone=${presenceTone(state)} />${t(`presence.${state}`)}
          <b>${agents.filter((agent) => agent.presence === state).length}</b></span>`)}</p></header>
      ${agents.length === 0 && html`<p class="quiet-line">${t("side.alone")}</p>`}
      <ul class="board-rows">${sorted.map((agent) => html`
        <li key=${agent.id}><span class="who">${agent.name}</span>
          <span class="meta"><span class="state"><${Dot} tone=${presenceTone(agent.presence)} />${t(`presence.${agent.presence}`)}</span>
            ${agent.pause_reason ? ` · ${pauseName(agent.pause_reason)}` : ""}
            ${agent.pause_after_call ? ` · ${t("presence.pause_after")} (${pauseName(agent.pause_after_call)})` : ""}
            ${agent.presence_by ? ` · ${t("steer.by", { who: nameOf(agent.presence_by) })}` : ""}
            ${agent.presence !== "offline" && agent.pause_reason !== "phone_unreachable" && !(agent.phone_reachable && agent.desk_connected)
              ? html` · <span class="bad-text">${t("side.unreachable")}</span>` : ""}</span>
          <span class="time" title=${when(agent.presence_since)}>${agent.presence === "offline" ? "" : clock(secondsSince(agent.presence_since))}</span>
          <${Menu} class="quiet small steer" align="end" label=${t("presence.change")}>
            ${pauseReasons.value.map((label) => html`<${Act} key=${label.code} class="menu-item" act=${set(agent, { presence: "paused", reason: label.code })}>
              <${Dot} tone="pause" />${t("presence.pause_for", { reason: labelText(label) })}<//>`)}
            ${listening.value && me.value.agent_id && agent.id !== me.value.agent_id && agent.presence === "talking" && html`
              ${["hear", "whisper", "join"].map((mode) => html`<${Act} key=${mode} class="menu-item" act=${listen(agent, mode)}>
                <${Icon} name="voice" size=${18} />${t(`listen.${mode}`)}<//>`)}`}
            ${agent.presence !== "offline" && html`<${Act} class="menu-item apart" act=${set(agent, { presence: "offline" })}>
              <${Dot} tone="off" />${t("steer.offline")}<//>`}
            ${agent.presence_by && html`<${Act} class="menu-item apart" act=${set(agent, { presence: "free" })}>
              <${Dot} tone="ok" />${t("steer.free")}<//>`}<//>
        </li>`)}</ul>
    </section>
  `;
}

/** The way to close at once. */
function CloseLine() {
  const [asking, setAsking] = useState(false);
  return html`
    <button type="button" class="danger steer" onClick=${() => setAsking(true)}><${Icon} name="pause" size=${18} />${t("closure.begin")}</button>
    ${asking && html`<${ClosureDialog} onClose=${() => setAsking(false)} />`}
  `;
}

/** What is closed now or will be. */
function Closures() {
  const now = holding.value;
  const later = planned.value;
  if (now.length + later.length === 0) return null;
  return html`
    <section class="board-closures" aria-label=${t("closure.title")}>
      ${[...now, ...later].map((closure) => html`
        <div key=${closure.id} class=${`banner ${now.includes(closure) ? "warn" : ""}`}><${Icon} name="clock" />
          <p><strong>${t(now.includes(closure) ? "closure.now" : "closure.later")}</strong> ${closure.words}
            <span class="small"> ${closure.calendar ?? t("closure.everything")} · ${now.includes(closure) ? "" : `${t("closure.from", { when: when(closure.begins_at) })} · `}
              ${closure.ends_at ? t("closure.until", { when: when(closure.ends_at) }) : t("closure.until_ended")} · ${nameOf(closure.opened_by)}</span></p>
          <${Act} class="quiet" act=${() => endClosure(closure)}>${t(now.includes(closure) ? "closure.end" : "closure.drop")}<//></div>`)}
    </section>
  `;
}
