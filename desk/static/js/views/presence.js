/** The agent's own state: what it is, since when, why, and the way out of it. */
import { html } from "../lib.js";
import { post } from "../api.js";
import { clock, secondsSince, serverNow } from "../format.js";
import { t } from "../i18n.js";
import { loadedPhone } from "../phone.js";
import { labelText, me, myAgent, nameOf, outcomeCodes, pauseName, pauseReasons, wrapUpExtensions } from "../store.js";
import { Act, Dot, Icon, Menu, presenceTone } from "./ui.js";

const free = () => post("/presence/free");
/** With the phone in the browser sound is tested and the phone registered first. */
const begin = async () => (me.value?.browser_phone ? (await loadedPhone()).goOnDuty() : free());
const pause = (reason) => post("/presence/pause", { reason });

export function Presence() {
  const agent = myAgent.value;
  if (!agent) return null;
  const { presence } = agent;
  const inCall = presence === "talking" || presence === "ringing";
  return html`
    <div class="presence" role="group" aria-label=${t("presence.mine")}>
      <div class=${`presence-now ${presenceTone(presence)}`}>
        <span class="presence-word"><${Dot} tone=${presenceTone(presence)} />${t(`presence.${presence}`)}</span>
        ${agent.pause_reason && html`<span class="presence-why">${pauseName(agent.pause_reason)}</span>`}
        <span class="time">${presence === "wrap_up" ? countdown(agent) : clock(secondsSince(agent.presence_since))}</span>
      </div>
      ${(presence === "offline" || presence === "paused") && html`
        <${Act} class="primary" act=${presence === "offline" ? begin : free}>
          ${t(presence === "offline" ? "presence.go_free" : "presence.back_free")}<//>`}
      ${presence === "wrap_up" && html`
        ${agent.wrap_up_extended < wrapUpExtensions.value && html`
          <${Act} class="quiet" act=${() => post("/presence/extend-wrap-up")}><${Icon} name="clock" size=${18} />${t("presence.extend")}<//>`}
        <${Act} class="primary" act=${() => post("/presence/end-wrap-up")}>${t("presence.end_wrap_up")}<//>`}
      ${agent.pause_after_call && html`
        <${Act} class="quiet" act=${free}>${t("presence.cancel_pause", { reason: pauseName(agent.pause_after_call) })}<//>`}
      ${presence !== "ringing" && html`
        <${Menu} class="quiet" align="end"
          label=${presence === "talking" || presence === "wrap_up" ? t("presence.pause_after") : t("presence.change")}>
          ${pauseReasons.value.map((reason) => html`
            <${Act} key=${reason.code} class="menu-item" act=${() => pause(reason.code)}>
              <${Dot} tone="pause" />${t("presence.pause_for", { reason: labelText(reason) })}<//>`)}
          ${!inCall && presence !== "offline" && html`
            <${Act} class="menu-item apart" act=${() => post("/presence/offline")}>
              <${Dot} tone="off" />${t("presence.go_offline")}<//>`}
        <//>`}
    </div>
  `;
}

const countdown = (agent) =>
  agent.wrap_up_until
    ? t("presence.left", { time: clock((Date.parse(agent.wrap_up_until) - serverNow()) / 1000 + 0.9) })
    : clock(secondsSince(agent.presence_since));

/** After a call: how it went, in one click; who says nothing leaves it to the machine to say so. */
export function WrapUp() {
  const agent = myAgent.value;
  if (agent?.presence !== "wrap_up") return null;
  return html`
    <section class="banner wrap-up" aria-label=${t("wrap_up.title")}>
      <p role="status"><strong>${t("wrap_up.title")}</strong></p>
      <div class="codes">${outcomeCodes.value.map((label) => html`
        <${Act} key=${label.code} class="quiet small" aria-pressed=${agent.code === label.code}
          act=${() => post(`/calls/${agent.call_id}/code`, { code: label.code })}>
          ${agent.code === label.code && html`<${Icon} name="check" size=${16} />`}${labelText(label)}<//>`)}</div>
    </section>`;
}

/** Says why calls do not come, with the click that changes it. */
export function PresenceNotice() {
  const agent = myAgent.value;
  if (!agent) return null;
  if (agent.presence_by) {
    return html`<div class="banner warn" role="alert"><${Icon} name="user" />
      <p><strong>${t("why.steered_title")}</strong> ${t(agent.presence === "offline" ? "why.steered_offline" : agent.pause_after_call ? "why.steered_after" : "why.steered", {
        who: nameOf(agent.presence_by), reason: pauseName(agent.pause_reason ?? agent.pause_after_call ?? "") })}</p></div>`;
  }
  if (agent.presence === "paused" && agent.pause_reason === "missed_call") {
    return html`<div class="banner warn" role="alert"><${Icon} name="alert" />
      <p><strong>${t("why.missed_title")}</strong> ${t("why.missed", { n: agent.misses })}</p>
      <${Act} class="primary" act=${free}>${t("presence.back_free")}<//></div>`;
  }
  if (agent.pause_reason === "phone_unreachable" || (agent.presence === "free" && !agent.phone_reachable)) {
    return html`<div class="banner bad" role="alert"><${Icon} name="phone" />
      <p><strong>${t("why.phone_title")}</strong> ${t("why.phone")}</p>
      ${agent.presence === "paused" && html`<${Act} class="primary" act=${free}>${t("presence.back_free")}<//>`}</div>`;
  }
  return null;
}
