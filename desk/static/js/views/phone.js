/** The phone in the browser as the agent sees it: its state, going on duty with a test of sound, and its part of a call. */
import { html, signal, useEffect, useState } from "../lib.js";
import { post } from "../api.js";
import { t } from "../i18n.js";
import { answer, changeLoudspeaker, changeMicrophone, current, drop, link, microphoneFound, mute, myPop, press, pressed, problem, reconnect, register, takeOver, where } from "../phone/line.js";
import { choose, chosen, closeMicrophone, devices, level, lookForDevices, microphoneProblem, openMicrophone, tone } from "../phone/devices.js";
import { Act, Dialog, Dot, errorText, Icon } from "./ui.js";

export { answer, drop, register };

/** Which window is open: null | "duty" | "setup" */
const open = signal(null);
/** *Go on duty*: test, register, be free. */
export const goOnDuty = () => (open.value = "duty");

/** The state of the phone in one word, with its colour. */
function state() {
  if (where.value === "other_page" || where.value === "other_browser") return ["elsewhere", "off"];
  if (problem.value && link.value !== "ready") return ["trouble", "bad"];
  return { off: ["off", "off"], connecting: ["connecting", "warn"], lost: ["lost", "bad"], refused: ["trouble", "bad"], ready: ["ready", "ok"] }[link.value];
}

/** At the top of every page. */
export function PhoneButton() {
  const [word, tone_] = state();
  return html`
    <button type="button" class="quiet phone-button" aria-haspopup="dialog" onClick=${() => (open.value = "setup")}>
      <${Icon} name="headset" size=${18} /><${Dot} tone=${tone_} />
      <span class="phone-word"><span class="sr-only">${t("phone.title")}: </span>${t(`phone.${word}`)}</span></button>
    ${open.value && html`<${PhoneDialog} duty=${open.value === "duty"} onClose=${() => (open.value = null)} />`}
  `;
}

/** What keeps calls from coming, or from being heard, with the way out of it. */
export function PhoneNotice() {
  const call = current.value;
  if (call?.quality?.silent) {
    return html`<div class="banner bad" role="alert"><${Icon} name="headset" />
      <p><strong>${t("phone.silent_title")}</strong> ${t("phone.silent")}</p>
      <${Act} class="primary" act=${reconnect}>${t("phone.reconnect")}<//>
      <${Act} class="quiet" act=${hangUpSilent}>${t("call.hang_up")}<//></div>`;
  }
  if (where.value === "other_page" || where.value === "other_browser") {
    return html`<div class="banner info" role="status"><${Icon} name="headset" />
      <p>${t(where.value === "other_page" ? "phone.in_other_page" : "phone.in_other_browser")}</p>
      <button type="button" class="quiet" onClick=${takeOver}>${t("phone.take_over")}</button></div>`;
  }
  if (problem.value) {
    return html`<div class="banner bad" role="alert"><${Icon} name="headset" />
      <p><strong>${t("phone.problem_title")}</strong> ${t(problem.value)}${call && myPop()?.on_hold ? ` ${t("phone.mic_in_call")}` : ""}</p>
      <button type="button" class="quiet" onClick=${() => (open.value = "setup")}>${t("phone.check")}</button></div>`;
  }
  if (link.value === "lost") {
    return html`<div class="banner bad" role="alert"><${Icon} name="plug" />
      <p><strong>${t("phone.lost_title")}</strong> ${t(call ? "phone.lost_in_call" : "phone.lost_why")}</p></div>`;
  }
  if (link.value === "ready" && !pressed.value) {
    return html`<div class="banner info" role="status"><${Icon} name="headset" /><p>${t("phone.press_once")}</p></div>`;
  }
  return null;
}

const hangUpSilent = () => post(`/calls/${myPop()?.call_id}/hang-up`);

// ---- in a call ----------------------------------------------------------------------------------------------------

const GRADES = { good: ["ok", "check"], weak: ["warn", "alert"], bad: ["bad", "alert"] };
const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];

/** The phone's part of the call panel. @param {{pop: any}} props */
export function PhoneControls({ pop }) {
  const call = current.value;
  const [keypad, setKeypad] = useState(false);
  if (pop.state === "returning") {
    return html`<div class="controls" role="status"><p class="grow">${t("phone.returning")}</p></div>`;
  }
  if (!call || pop.state === "ended") return null;
  if (call.state !== "up") {
    return html`
      <div class="controls" role="group" aria-label=${t("phone.title")}>
        <${Act} class="primary grow" aria-keyshortcuts="Alt+A" disabled=${call.state === "opening"} act=${answer}>
          <${Icon} name="phone" size=${18} />${t("phone.answer")}<//>
        <button type="button" class="danger" onClick=${drop}><${Icon} name="hangup" size=${18} />${t("phone.reject")}</button>
      </div>`;
  }
  return html`
    <div class="controls" role="group" aria-label=${t("phone.title")}>
      <button type="button" class="quiet" aria-pressed=${call.muted} onClick=${() => mute(!call.muted)}>
        <${Icon} name=${call.muted ? "muted" : "voice"} size=${18} />${t(call.muted ? "phone.unmute" : "phone.mute")}</button>
      <button type="button" class="quiet" aria-expanded=${keypad} onClick=${() => setKeypad(!keypad)}>
        <${Icon} name="keypad" size=${18} />${t("phone.keypad")}</button>
      ${pop.state === "consulted" && html`<button type="button" class="danger" onClick=${drop}>
        <${Icon} name="hangup" size=${18} />${t("call.hang_up")}</button>`}
      <span class="grow"></span>
      <${QualityShown} quality=${call.quality} />
      ${keypad && html`<${Keypad} />`}
    </div>`;
}

function QualityShown({ quality }) {
  if (!quality) return null;
  const [tone_, icon] = GRADES[quality.grade];
  const numbers = t("phone.quality_numbers", {
    loss: Math.round(quality.loss * 100), jitter: Math.round(quality.jitter * 1000),
    trip: quality.roundTrip === null ? "–" : Math.round(quality.roundTrip * 1000),
  });
  return html`<span class=${`badge ${tone_} quality`} title=${numbers}><${Icon} name=${icon} size=${14} />${t(`phone.quality_${quality.grade}`)}
    <span class="sr-only">${numbers}</span></span>`;
}

function Keypad() {
  const [keys, setKeys] = useState("");
  const hit = (key) => { press(key); setKeys((before) => `${before}${key}`.slice(-24)); };
  const typed = (event) => {
    if (!KEYS.includes(event.key) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    hit(event.key);
  };
  return html`
    <div class="keypad" role="group" aria-label=${t("phone.keypad")} onKeyDown=${typed}>
      <output class="keys-pressed" aria-live="polite">${keys || t("phone.keypad_hint")}</output>
      ${KEYS.map((key) => html`<button type="button" key=${key} class="quiet" onClick=${() => hit(key)}>${key}</button>`)}
    </div>`;
}

// ---- the window with devices and test -----------------------------------------------------------------------------

const STEPS = ["microphone", "loudspeaker", "ring", "register", "free"];
const STEP_ICON = { waiting: "clock", busy: "clock", ok: "check", failed: "alert" };

/** The five steps of going on duty (or four, when the person is at work already). */
function PhoneDialog({ duty, onClose }) {
  const [steps, setSteps] = useState({});
  const [loud, setLoud] = useState(0);
  const [stream, setStream] = useState(null);
  const [run, setRun] = useState(0);
  const wanted = duty ? STEPS : STEPS.slice(0, 3);

  useEffect(() => {
    if (!run && !duty) return undefined;
    let gone = false;
    const begun = async (step, act, words) => {
      setSteps((before) => ({ ...before, [step]: { state: "busy" } }));
      try {
        await act();
        if (!gone) setSteps((before) => ({ ...before, [step]: { state: "ok" } }));
        return !gone;
      } catch (error) {
        if (!gone) setSteps((before) => ({ ...before, [step]: { state: "failed", why: words(error) } }));
        return false;
      }
    };
    (async () => {
      setSteps({});
      const heard = await begun("microphone", async () => {
        const opened = await openMicrophone();
        if (gone) closeMicrophone(opened);
        else setStream(opened);
        await microphoneFound();
        await lookForDevices();
      }, (error) => t(microphoneProblem(error)));
      if (!heard) return;
      if (!(await begun("loudspeaker", () => tone(chosen.peek().loudspeaker), () => t("phone.no_sound")))) return;
      if (!(await begun("ring", () => tone(chosen.peek().ring), () => t("phone.no_sound")))) return;
      if (!duty) return;
      if (!(await begun("register", register, (why) => t(typeof why === "string" ? why : "phone.not_registered")))) return;
      await begun("free", () => post("/presence/free"), errorText);
    })();
    return () => (gone = true);
  }, [run]);

  useEffect(() => {
    if (!stream) return undefined;
    const stop = level(stream, setLoud);
    return () => { stop(); closeMicrophone(stream); };
  }, [stream]);

  const last = wanted.at(-1);
  const done = steps[last]?.state === "ok";
  const failed = wanted.some((step) => steps[step]?.state === "failed");
  const busy = wanted.some((step) => steps[step]?.state === "busy");
  return html`
    <${Dialog} title=${t(duty ? "phone.duty_title" : "phone.title")} onClose=${onClose}>
      ${(duty || run > 0) && html`<ol class="steps">
        ${wanted.map((step) => {
          const { state: how = "waiting", why } = steps[step] ?? {};
          return html`<li key=${step} class=${how}><${Icon} name=${STEP_ICON[how]} size=${18} />
            <span class="grow"><span>${t(`phone.step_${step}`)}</span><span class="sr-only"> ${t(`phone.step_${how}`)}</span>
              ${why && html`<span class="field-error" role="alert">${why}</span>`}
              ${step === "microphone" && stream && html`<span class="level"><meter min="0" max="1" value=${loud}
                aria-label=${t("phone.level")}></meter><span class="hint">${t("phone.speak")}</span></span>`}</span></li>`;
        })}
      </ol>
      <p role="status" class="steps-end">${done ? t(duty ? "phone.on_duty" : "phone.test_done") : ""}</p>
      ${failed && duty && html`<p class="hint">${t("phone.other_way")}</p>`}`}
      <div class="devices">
        <${Device} label=${t("phone.microphone")} kind="microphones" name="microphone" then=${changeMicrophone} />
        <${Device} label=${t("phone.loudspeaker")} kind="loudspeakers" name="loudspeaker" then=${changeLoudspeaker} />
        <${Device} label=${t("phone.ring_device")} kind="loudspeakers" name="ring" />
      </div>
      <${Switch} name="filter" then=${changeMicrophone} />
      <${Switch} name="answersItself" />
      ${window.Notification && Notification.permission === "default" && html`
        <p><${Act} class="quiet small" act=${() => Notification.requestPermission()}>${t("phone.allow_notices")}<//></p>`}
      <footer class="dialog-foot">
        <button type="button" class=${failed || !duty ? "primary" : "quiet"} aria-busy=${busy} disabled=${busy} onClick=${() => setRun(run + 1)}>
          ${t(failed || run > 0 || duty ? "phone.test_again" : "phone.test")}</button>
        ${done && html`<button type="button" class="primary" onClick=${onClose}>${t("phone.done")}</button>`}
      </footer>
    <//>
  `;
}

function Device({ label, kind, name, then }) {
  const found = devices.value[kind];
  const now = found.some((one) => one.deviceId === chosen.value[name]) ? chosen.value[name] : "";
  return html`
    <label class="field"><span>${label}</span>
      <select value=${now} onChange=${(event) => { choose({ [name]: event.target.value }); then?.(); }}>
        <option value="">${t("phone.system_device")}</option>
        ${found.map((one, index) => html`<option key=${one.deviceId} value=${one.deviceId}>${one.label || t("phone.device", { n: index + 1 })}</option>`)}
      </select></label>`;
}

const Switch = ({ name, then }) => html`
  <label class="switch"><input type="checkbox" checked=${chosen.value[name]}
      onChange=${(event) => { choose({ [name]: event.target.checked }); then?.(); }} />
    <span>${t(`phone.${name}`)}</span></label>`;
