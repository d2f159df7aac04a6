/**
 * The live connection: a snapshot, then numbered events. A gap asks for a new snapshot; a lost connection comes back
 * by itself, waiting longer each time (with some chance in it, so that all pages do not come at once).
 */
import { get } from "./api.js";
import { applyEvent, applySnapshot, connection, forget } from "./store.js";

const PING_SECONDS = 15;
const SILENCE_SECONDS = 40;
/** A dead network neither answers nor fails for minutes. */
const ANSWER_SECONDS = 10;

let wanted = false;
let attempts = 0;
/** @type {WebSocket|null} */
let socket = null;
let lastHeard = 0;
let timer = 0;
/** What the clock of this computer was ahead of the time since the page began, at the last snapshot. */
let clock = 0;
const CLOCK_SET = 2000; // ms

export function connect() {
  if (wanted) return;
  wanted = true;
  attempts = 0;
  open();
}

export function disconnect() {
  wanted = false;
  clearTimeout(timer);
  socket?.close();
  socket = null;
}

/** Try at once, for the button in the banner. */
export function retryNow() {
  if (!wanted || connection.value === "live") return;
  clearTimeout(timer);
  open();
}

function open() {
  socket?.close();
  connection.value = "connecting";
  const mine = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/live`);
  socket = mine;
  let seq = 0;
  let asked = false;
  lastHeard = Date.now();
  mine.onopen = () => mine.send('{"type":"acknowledges"}');
  mine.onmessage = (event) => {
    if (mine !== socket) return;
    lastHeard = Date.now();
    JSON.parse(event.data).forEach(take);
  };
  const take = (message) => {
    if (message.type === "pong") return;
    if (message.type === "snapshot") {
      attempts = 0;
      asked = false;
      connection.value = "live";
      applySnapshot(message.data);
      clock = Date.now() - performance.now();
      acknowledge(mine, message.data.pops);
    } else if (message.seq === seq + 1) {
      applyEvent(message.type, message.data);
      if (message.type === "pops" && message.data.item) acknowledge(mine, [message.data.item]);
    } else {
      if (!asked) mine.send('{"type":"resync"}');
      asked = true;
      return;
    }
    seq = message.seq;
  };
  mine.onclose = () => lost(mine);
}

/**
 * The phone rings when the call is on the screen: say so after the frame that shows it. A page that nobody sees has none.
 * @param {WebSocket} mine @param {{call_id: string, state: string}[]} pops
 */
function acknowledge(mine, pops) {
  const ringing = pops.filter((pop) => pop.state === "ringing");
  const tell = () => {
    for (const pop of ringing) if (mine.readyState === WebSocket.OPEN) mine.send(JSON.stringify({ type: "shown", id: pop.call_id }));
  };
  if (document.hidden) tell();
  else requestAnimationFrame(() => setTimeout(tell));
}

/** @param {WebSocket} mine */
async function lost(mine) {
  if (mine !== socket || !wanted || connection.value === "offline") return;
  connection.value = "offline";
  const wait = Math.min(15, 0.5 * 2 ** attempts++) * (0.7 + 0.6 * Math.random());
  // A refused log-in looks to a browser like any lost connection: ask.
  const over = await Promise.race([
    get("/session").then(() => false, (error) => error.status === 401),
    new Promise((resolve) => setTimeout(resolve, ANSWER_SECONDS * 1000, false)),
  ]);
  if (over) {
    disconnect();
    forget();
  } else if (wanted && mine === socket) timer = setTimeout(open, wait * 1000);
}

setInterval(() => {
  if (!socket || socket.readyState > WebSocket.OPEN) return;
  if (Date.now() - lastHeard > SILENCE_SECONDS * 1000) {
    socket.close(); // on a dead network its own close event may take a minute more
    lost(socket);
  } else if (socket.readyState < WebSocket.OPEN) {
    return; // its handshake is not over yet
  } else if (Math.abs(Date.now() - performance.now() - clock) > CLOCK_SET) {
    socket.send('{"type":"resync"}'); // somebody has set it, or it slept: a snapshot tells how far it is off now
  } else socket.send('{"type":"ping"}');
}, PING_SECONDS * 1000);
addEventListener("online", retryNow);
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && retryNow());
