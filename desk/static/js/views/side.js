/** Who waits, and who else is there. */
import { html } from "../lib.js";
import { clock, phone, secondsSince } from "../format.js";
import { t } from "../i18n.js";
import { areaName, isFree, lists, me, pauseName, waitingLine } from "../store.js";
import { Badge, Dot, Icon, presenceTone } from "./ui.js";

export function Side() {
  const line = waitingLine.value;
  const agents = [...lists.agents.value.values()].filter((agent) => agent.id !== me.value?.agent_id);
  const order = ["free", "ringing", "talking", "wrap_up", "paused", "offline"];
  agents.sort((a, b) => order.indexOf(a.presence) - order.indexOf(b.presence) || a.name.localeCompare(b.name));
  return html`
    <aside class="side" aria-label=${t("side.title")}>
      <section class="card">
        <header class="card-head"><h2>${t("side.waiting")}</h2>
          <span class=${`count ${line.length ? "hot" : ""}`}>${line.length}</span></header>
        ${line.length === 0 && html`<p class="quiet-line">${t("side.nobody")}</p>`}
        <ol class="waiting">
          ${line.map((call) => html`
            <li key=${call.id} class=${call.phase}>
              <span class="who">${call.contact_name ?? call.caller_name ?? phone(call.caller_shown)}</span>
              <span class=${`time ${secondsSince(call.queued_at) > 120 ? "late" : ""}`}>${clock(secondsSince(call.queued_at ?? call.started_at))}</span>
              <span class="meta">
                ${call.phase === "ringing" ? html`<${Badge} tone="warn" icon="phone">${t("side.ringing")}<//>` : null}
                ${call.choice ? areaName(call.choice) : call.line_name}
                ${call.language !== "it" ? html` · <abbr title=${t(`lang.${call.language}`)}>${call.language.toUpperCase()}</abbr>` : null}
                ${call.priority > 0 ? html` · ${t("side.priority")}` : null}
              </span>
            </li>`)}
        </ol>
      </section>
      <section class="card">
        <header class="card-head"><h2>${t("side.colleagues")}</h2>
          <span class="count">${t("side.free_count", { n: agents.filter(isFree).length })}</span></header>
        ${agents.length === 0 && html`<p class="quiet-line">${t("side.alone")}</p>`}
        <ul class="colleagues">
          ${agents.map((agent) => html`
            <li key=${agent.id}>
              <span class=${`avatar ${presenceTone(agent.presence)}`} aria-hidden="true">${initials(agent.name)}</span>
              <span class="who">${agent.name}</span>
              <span class="meta"><span class="state"><${Dot} tone=${presenceTone(agent.presence)} />${t(`presence.${agent.presence}`)}</span>
                ${agent.pause_reason ? html` · ${pauseName(agent.pause_reason)}` : null}
                ${agent.presence === "free" && !isFree(agent)
                  ? html` · <span class="bad-text">${t("side.unreachable")}</span>` : null}</span>
              ${agent.presence !== "offline" && html`<span class="time">${clock(secondsSince(agent.presence_since))}</span>`}
            </li>`)}
        </ul>
      </section>
    </aside>
  `;
}

/** @param {string} name */
export const initials = (name) => name.split(/\s+/).filter(Boolean).slice(0, 2).map((part) => [...part][0]).join("").toUpperCase();
