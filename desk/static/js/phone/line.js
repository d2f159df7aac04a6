/**
 * The phone itself: registered over Asterisk's websocket in one page at a time, with at most one call. Holding,
 * transfers and hanging up are the server's (see views/calls.js); here are answering, sound and keys.
 *
 * A page that goes away in a call says so, and the server keeps the caller with music; the page that comes after it
 * registers, says that it is there, and the phone rings again.
 */
import { computed, effect, signal } from "../lib.js";
import { post } from "../api.js";
import { t } from "../i18n.js";
import { connection, lists, loaded, me, myAgent } from "../store.js";
import { toast } from "../views/ui.js";
import { chosen, closeMicrophone, lookForDevices, microphoneProblem, openMicrophone, playOn, recall, ring, stopRinging } from "./devices.js";
import { counted, Listener } from "./quality.js";

const DOMAIN = "centralino.invalid"; // Asterisk knows its phones by name alone
const REGISTER_SECONDS = 120;
const KEY_ATTEMPTS = 8;
const KEY_PAUSE = 700; // ms: the worker tells Asterisk the key a moment after we have it
const REFUSED_PAUSE = 5000; // ms
const ANSWER_PATIENCE = 5000; // ms in which Asterisk answers, if its websocket lives
const REGISTER_PATIENCE = 20000; // ms of a slow machine that goes on duty
const ICE_PATIENCE = 500; // ms
const QUALITY_PAUSE = 1000;
const FOREIGN_AFTER = 5000; // ms after which a call the server knows nothing of is over

/** Whether the phone is in this page: unknown | here | other_page | other_browser */
export const where = signal("unknown");
/** off | connecting | ready | lost (comes back by itself) | refused */
export const link = signal("off");
/** What stands in the way, as a key of the words. @type {import("@preact/signals").Signal<string|null>} */
export const problem = signal(null);
/**
 * The call on the phone: ringing | opening | up.
 * @type {import("@preact/signals").Signal<{state: string, muted: boolean, quality: import("./quality.js").Quality|null}|null>}
 */
export const current = signal(null);
/** Whether somebody has pressed *Go on duty* here. */
const duty = signal(false);
/** Whether anything was pressed since the page was loaded: before that, browsers let nothing ring. */
export const pressed = signal(navigator.userActivation?.hasBeenActive ?? true);
for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, () => (pressed.value = true), { capture: true, once: true });

/** Where the caller's voice comes out; in the page, so that it can be found there. */
const voice = document.createElement("audio");
voice.id = "phone-voice";
voice.autoplay = true;
voice.hidden = true;
document.body.append(voice);

/** @type {any} */
let agent = null; // JsSIP's
let opening = false;
/** @type {any} */
let session = null;
/** @type {RTCPeerConnection|null} */
let peer = null;
/** @type {MediaStream|null} */
let microphone = null;
let letGo = () => {};
/** The call of the server's that is or was on the phone. @type {string|null} */
let callId = null;
let waiting = new AbortController();
let answersNext = 0;
let retry = 0;
let asked = 0;
let attempts = 0;
let everReady = false;

/** The call of this agent that is on the phone, as the server has it. */
export const myPop = () => [...lists.pops.value.values()].find((pop) => ["ringing", "talking", "consulted", "returning"].includes(pop.state)) ?? null;

// ---- one page at a time -------------------------------------------------------------------------------------------

/** Whose phone it is. @type {string|null} */
let person = null;

async function hold(options) {
  try {
    return await navigator.locks.request(`centralino-phone:${person}`, options, async (lock) => {
      if (!lock) return false;
      where.value = "here";
      await new Promise((resolve) => (letGo = () => resolve(undefined)));
      return true;
    });
  } catch (error) {
    if (error.name !== "AbortError") throw error;
    return false; // taken by another page, or given up for `takeOver`
  }
}

/** Have the phone in this page if no other has it; else wait until that one is closed. @param {string} name */
async function compete(name) {
  while (person === name) {
    if (!(await hold({ ifAvailable: true })) && person === name) {
      where.value = "other_page";
      waiting = new AbortController();
      await hold({ signal: waiting.signal });
    }
    if (taking) await taking;
  }
}

/** @type {Promise<unknown>|null} */
let taking = null;

/** Take the phone from another page or browser. */
export async function takeOver() {
  if (where.peek() === "other_browser") {
    where.value = "here";
    return;
  }
  if (where.peek() === "here") return;
  taking = hold({ steal: true }).finally(() => (taking = null));
  waiting.abort();
}

effect(() => {
  const now = me.value?.browser_phone ? me.value.username : null;
  if (now === person) return;
  person = now;
  duty.value = everReady = false;
  close();
  letGo();
  waiting.abort();
  where.value = "unknown";
  if (!now) return;
  recall();
  if (!navigator.locks || !navigator.mediaDevices) {
    problem.value = "phone.insecure";
    return;
  }
  compete(now);
  lookForDevices().catch(() => {});
});

effect(() => {
  const presence = myAgent.value?.presence;
  if (presence === undefined) return; // not known yet, or not any more: the connection to the desk may be lost
  if (where.value === "here" && (duty.value || presence !== "offline")) open();
  else close();
});

// ---- registered ---------------------------------------------------------------------------------------------------

const address = (url) =>
  url.startsWith("/") ? `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}${url}` : url;

async function open() {
  if (agent || opening) return;
  opening = true;
  link.value = "connecting";
  try {
    const [{ default: JsSIP }, access] = await Promise.all([import("jssip"), post("/phone/key")]);
    attempts = 0;
    agent = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(address(access.url))],
      uri: `sip:${access.name}@${DOMAIN}`,
      password: access.key,
      register_expires: REGISTER_SECONDS,
      session_timers: false,
      connection_recovery_min_interval: 1,
      connection_recovery_max_interval: 20,
    });
    const mine = agent;
    agent.on("registered", () => mine === agent && ready());
    agent.on("disconnected", () => { if (mine === agent) { clearTimeout(asked); link.value = "lost"; } });
    agent.on("registrationFailed", (event) => mine === agent && refused(event.response?.status_code));
    agent.on("newRTCSession", (event) => mine === agent && take(event));
    agent.start();
    problem.value = null;
  } catch (error) {
    link.value = "lost";
    problem.value = error.code === "no_phone_address" ? "phone.not_set_up" : "phone.desk_unreachable";
    clearTimeout(retry);
    retry = setTimeout(() => link.peek() === "lost" && where.peek() === "here" && open(), 5000);
  } finally {
    opening = false;
  }
}

function close() {
  clearTimeout(retry);
  clearTimeout(asked);
  const old = agent;
  agent = null;
  if (old) {
    over();
    old.stop();
  }
  link.value = "off";
}

async function ready() {
  clearTimeout(asked);
  link.value = "ready";
  if (!problem.peek()?.startsWith("phone.mic")) problem.value = null;
  attempts = 0;
  if (!everReady) {
    everReady = true;
    await lostBefore();
  }
  await post("/phone/ready").catch(() => {});
}

/** A call that the server has on this phone, and this page does not: of a page before it, which could not say so. */
async function lostBefore() {
  if (!loaded.peek()) await new Promise((resolve) => { const stop = effect(() => { if (loaded.value) setTimeout(() => { stop(); resolve(undefined); }); }); });
  const pop = myPop();
  if (pop?.state === "talking" && !current.peek()) await post(`/calls/${pop.call_id}/phone-lost`).catch(() => {});
}

/** @param {number|undefined} status */
function refused(status) {
  clearTimeout(asked);
  if (status !== 401 && status !== 403) {
    link.value = "lost";
    clearTimeout(retry);
    retry = setTimeout(() => agent?.register(), 3000);
  } else if (++attempts < KEY_ATTEMPTS || (everReady && session)) { // who talks goes on without being registered
    link.value = "connecting";
    clearTimeout(retry);
    retry = setTimeout(() => agent?.register(), everReady ? 2 * KEY_PAUSE : KEY_PAUSE); // or Asterisk was restarted
  } else if (everReady) {
    // the key was right, and is no more: another browser has made itself another one
    close();
    where.value = "other_browser";
  } else {
    link.value = "refused";
    problem.value = "phone.refused";
    clearTimeout(retry);
    retry = setTimeout(() => agent?.register(), REFUSED_PAUSE); // a worker that is busy may tell Asterisk the key later
  }
}

/**
 * The network was away, or may have been: connect now rather than when JsSIP would. A websocket may be dead without
 * having said so: one that is not answered on is connected anew.
 */
function ask() {
  const mine = agent;
  if (!mine?.isConnected()) {
    mine?.transport?.connect();
    return;
  }
  clearTimeout(asked);
  asked = setTimeout(() => {
    if (mine !== agent) return;
    mine.transport.disconnect();
    mine.transport.connect();
  }, ANSWER_PATIENCE);
  mine.register();
}

addEventListener("online", ask);
let wasLive = false;
effect(() => {
  const isLive = connection.value === "live";
  if (isLive && !wasLive) ask();
  wasLive = isLive;
});

/** Register, when *Go on duty* is pressed; resolves when the phone is ready. Rejects with a key of the words. */
export function register() {
  duty.value = true;
  takeOver();
  if (link.peek() === "refused") close();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => { stop(); reject(problem.peek() ?? "phone.not_registered"); }, REGISTER_PATIENCE);
    const stop = effect(() => {
      if (link.value === "ready") { clearTimeout(timer); setTimeout(() => stop()); resolve(undefined); }
      else if (link.value === "refused") { clearTimeout(timer); setTimeout(() => stop()); reject(problem.peek()); }
    });
    if (!agent && !opening && where.peek() === "here") open();
  });
}

// A page that was asleep may have lost its registration without having been told.
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && agent?.isConnected() && !agent.isRegistered() && agent.register());

// ---- a call -------------------------------------------------------------------------------------------------------

/**
 * A call that rings. The server rings only a phone that has none: one that is still here has ended there, and no goodbye
 * came through. If it was the same, its agent talks on, muted as before.
 */
function take({ session: incoming, originator }) {
  if (originator !== "remote") {
    incoming.terminate();
    return;
  }
  const before = current.peek();
  const goesOn = before?.state === "up" && callId !== null && callId === myPop()?.call_id;
  if (session) over();
  session = incoming;
  let patience = 0;
  incoming.on("icecandidate", (event) => { clearTimeout(patience); patience = setTimeout(event.ready, ICE_PATIENCE); });
  incoming.on("peerconnection", ({ peerconnection }) => {
    peer = peerconnection;
    peerconnection.addEventListener("track", (event) => {
      voice.srcObject = event.streams[0] ?? new MediaStream([event.track]);
      playOn(voice, chosen.peek().loudspeaker).then(() => voice.play()).catch(() => {});
    });
  });
  incoming.on("confirmed", () => incoming === session && up());
  for (const end of ["ended", "failed"]) incoming.on(end, () => incoming === session && over());
  current.value = { state: "ringing", muted: goesOn && before.muted, quality: null };
  if (goesOn || chosen.peek().answersItself || Date.now() < answersNext) {
    answersNext = 0;
    answer();
    return;
  }
  ring().catch(() => {}); // the page shows the call all the same
  notify();
}

/** @type {Notification|null} */
let notice = null;

/** Outside the page, only if the person has allowed it. */
function notify() {
  if (document.visibilityState === "visible" || !window.Notification || Notification.permission !== "granted") return;
  notice = new Notification(t("phone.rings"), { body: document.title, tag: "centralino-call", requireInteraction: true });
  notice.onclick = () => { window.focus(); notice?.close(); };
}

/** Pick up. */
export async function answer() {
  const mine = session;
  if (!mine || current.peek()?.state !== "ringing") return;
  current.value = { ...current.peek(), state: "opening" };
  stopRinging();
  notice?.close();
  try {
    const stream = await openMicrophone();
    if (mine !== session) return closeMicrophone(stream);
    if (hasNoMicrophone()) problem.value = null;
    useMicrophone(stream);
    mine.answer({ mediaStream: stream, pcConfig: { iceServers: [] } });
  } catch (error) {
    if (mine !== session) return;
    problem.value = microphoneProblem(error);
    toast(t(problem.value), "bad");
    current.value = { ...current.peek(), state: "ringing" };
  }
}

/** Refuse a call that rings; also end one of which the server does not dispose: a colleague's question. */
export const drop = () => session?.terminate(current.peek()?.state === "up" ? {} : { status_code: 486 });

function up() {
  current.value = { ...current.peek(), state: "up" };
  callId = myPop()?.call_id ?? null;
  const mine = session;
  const listener = new Listener(performance.now());
  let foreignSince = 0;
  const timer = setInterval(async () => {
    if (mine !== session || !peer) return clearInterval(timer);
    const report = await peer.getStats();
    if (mine !== session) return;
    const pop = myPop();
    const expected = Boolean(pop) && pop.state !== "returning" && !pop.on_hold && !pop.consulting;
    const quality = listener.next(counted(report.values()), performance.now(), expected);
    if (quality.silent && !current.peek().quality?.silent) ask(); // perhaps it is not the sound alone
    current.value = { ...current.peek(), quality };
    // Its goodbye may have gone to a websocket that was lost meanwhile.
    if (pop || connection.peek() !== "live") foreignSince = 0;
    else if (!foreignSince) foreignSince = performance.now();
    else if (performance.now() - foreignSince > FOREIGN_AFTER) mine.terminate();
  }, QUALITY_PAUSE);
}

function over() {
  const old = session;
  session = peer = null;
  current.value = null;
  stopRinging();
  notice?.close();
  closeMicrophone(microphone);
  microphone = null;
  unheard.value = false;
  voice.srcObject = null;
  if (old && !old.isEnded()) old.terminate();
}

/** @param {boolean} muted */
export function mute(muted) {
  microphone?.getAudioTracks().forEach((track) => (track.enabled = !muted));
  if (current.peek()) current.value = { ...current.peek(), muted };
}

/** @param {string} key  0-9, * or # */
export const press = (key) => session?.sendDTMF(key, { transportType: "RFC2833" });

/** Nothing is heard: let the server keep the caller, and ring again, which is answered at once. */
export async function reconnect() {
  const pop = myPop();
  if (!pop) return;
  await post(`/calls/${pop.call_id}/phone-lost`);
  answersNext = Date.now() + 15000;
  await post("/phone/ready");
}

function useMicrophone(stream) {
  closeMicrophone(microphone);
  microphone = stream;
  for (const track of stream.getAudioTracks()) {
    track.enabled = !current.peek()?.muted;
    track.addEventListener("ended", () => stream === microphone && microphoneLost());
  }
}

/** Whether the other side hears nothing of this agent, and has not been given music yet. */
const unheard = signal(false);

/** Unplugged, or not allowed any more: another one, if there is; else the caller hears music rather than nothing. */
async function microphoneLost() {
  await changeMicrophone();
  unheard.value = hasNoMicrophone();
}

effect(() => {
  const pop = unheard.value && myPop();
  if (!pop || pop.state !== "talking") return; // a talk that has just begun may not be known yet
  unheard.value = false;
  if (!pop.on_hold) post(`/calls/${pop.call_id}/hold`).catch(() => {});
});

const hasNoMicrophone = () => problem.peek()?.startsWith("phone.mic") ?? false;

/** A microphone can be opened (again): a call that has none gets it. */
export async function microphoneFound() {
  if (!hasNoMicrophone()) return;
  problem.value = null;
  await changeMicrophone();
}

navigator.mediaDevices?.addEventListener("devicechange", () => peer && microphoneFound());

/** Use the microphone that is chosen now, also in the middle of a call. */
export async function changeMicrophone() {
  if (!peer) return;
  const mine = session;
  try {
    const stream = await openMicrophone();
    if (mine !== session) return closeMicrophone(stream);
    const sender = peer.getSenders().find((one) => one.track?.kind === "audio" || one.track === null);
    await sender?.replaceTrack(stream.getAudioTracks()[0]);
    useMicrophone(stream);
    problem.value = null;
  } catch (error) {
    problem.value = microphoneProblem(error);
    toast(t(problem.value), "bad");
  }
}

/** The call that waits for this phone, as when no sound came from it for a while: it is here, and may ring. */
const awaited = computed(() => { const pop = myPop(); return pop?.state === "returning" ? pop.call_id : null; });
effect(() => {
  if (awaited.value && link.value === "ready") post("/phone/ready").catch(() => {});
});

/** Use the loudspeaker that is chosen now. */
export const changeLoudspeaker = () => playOn(voice, chosen.peek().loudspeaker);

// ---- leaving the page ---------------------------------------------------------------------------------------------

addEventListener("beforeunload", (event) => {
  if (session) event.preventDefault(); // the browser asks whether to leave
});

addEventListener("pagehide", () => {
  const pop = current.peek()?.state === "up" ? myPop() : null;
  // a talk that has just begun may not be known yet
  if (pop?.state === "talking" || pop?.state === "ringing") navigator.sendBeacon(`/api/calls/${pop.call_id}/phone-lost`, new Blob(["{}"], { type: "application/json" }));
});
