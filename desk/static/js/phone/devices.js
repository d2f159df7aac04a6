/** Microphone, loudspeaker and the device that rings: chosen by each person, remembered in this browser. */
import { signal } from "../lib.js";
import { me } from "../store.js";

const RING = "/static/sounds/ring.wav";
const DEFAULTS = { microphone: "", loudspeaker: "", ring: "", filter: true, answersItself: false };

const place = () => `centralino.phone.${me.peek()?.username}`;

function remembered() {
  try {
    return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(place()) ?? "{}") };
  } catch {
    return { ...DEFAULTS };
  }
}

/** Ids of devices (empty: the system's own choice) and the two switches. */
export const chosen = signal({ ...DEFAULTS });
/** @type {import("@preact/signals").Signal<{microphones: MediaDeviceInfo[], loudspeakers: MediaDeviceInfo[]}>} */
export const devices = signal({ microphones: [], loudspeakers: [] });

/** Read what the person who is logged in now has chosen here before. */
export const recall = () => (chosen.value = remembered());

/** @param {Partial<typeof DEFAULTS>} change */
export function choose(change) {
  chosen.value = { ...chosen.value, ...change };
  try {
    localStorage.setItem(place(), JSON.stringify(chosen.value));
  } catch {
    // kept for this page only
  }
}

/** Names are told by browsers only once the microphone was allowed. */
export async function lookForDevices() {
  const all = await navigator.mediaDevices.enumerateDevices();
  const of = (kind) => all.filter((one) => one.kind === kind && one.deviceId && one.deviceId !== "default" && one.deviceId !== "communications");
  devices.value = { microphones: of("audioinput"), loudspeakers: of("audiooutput") };
}

/** Open the chosen microphone, or another one when it is gone. Rejects with the browser's own error. */
export async function openMicrophone() {
  const { microphone, filter } = chosen.peek();
  const sound = { echoCancellation: filter, noiseSuppression: filter, autoGainControl: filter };
  const open = (id) => navigator.mediaDevices.getUserMedia({ audio: { ...sound, ...(id && { deviceId: { exact: id } }) } });
  try {
    return await open(microphone);
  } catch (error) {
    if (!microphone || !["OverconstrainedError", "NotFoundError"].includes(error.name)) throw error;
    return open("");
  }
}

/** @param {MediaStream|null} stream */
export const closeMicrophone = (stream) => stream?.getTracks().forEach((track) => track.stop());

/** What to say when a microphone cannot be opened: a key of the words. @param {any} error */
export const microphoneProblem = (error) =>
  ({ NotAllowedError: "phone.mic_denied", SecurityError: "phone.mic_denied", NotFoundError: "phone.mic_none", OverconstrainedError: "phone.mic_none" })[error?.name] ?? "phone.mic_busy";

/** Send an element's sound to a device; where that device is gone, or the browser cannot, it stays with the system's. */
export async function playOn(element, id) {
  if (!element.setSinkId) return;
  await element.setSinkId(id).catch(() => id && element.setSinkId("").catch(() => {}));
}

const ringer = new Audio(RING);
ringer.loop = true;

/** Ring until `stopRinging`. Rejects where the browser wants a click first. */
export async function ring() {
  await playOn(ringer, chosen.peek().ring);
  ringer.currentTime = 0;
  await ringer.play();
}

export const stopRinging = () => ringer.pause();

/** Play the ring tone once on a device, to its end. Rejects when it cannot be played. @param {string} id */
export async function tone(id) {
  const sound = new Audio(RING);
  await playOn(sound, id);
  const over = new Promise((resolve, reject) => {
    sound.addEventListener("timeupdate", () => sound.currentTime >= 1 && resolve(undefined)); // then it pauses, as phones do
    sound.addEventListener("ended", resolve);
    sound.addEventListener("error", reject);
  });
  await sound.play();
  await over;
  sound.pause();
}

/** How loud a stream is, 0 to 1, told ten times a second; returns a function that ends it. @param {MediaStream} stream */
export function level(stream, tell) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, value) => sum + value * value, 0) / samples.length;
    tell(Math.min(1, Math.sqrt(power) * 5));
  }, 100);
  return () => {
    clearInterval(timer);
    context.close();
  };
}

navigator.mediaDevices?.addEventListener("devicechange", () => lookForDevices().catch(() => {}));
