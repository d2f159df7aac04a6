/**
 * What the page knows. The server's lists arrive as one snapshot, then item by item (see live.js); each is a signal
 * holding a Map by id, replaced whole on change.
 */
import { batch, computed, effect, signal } from "./lib.js";
import { clockOffset, serverNow, timezone, words } from "./format.js";
import { language, t } from "./i18n.js";

/**
 * @typedef {{username: string, name: string, role: string, language: string, agent_id: number|null,
 *   browser_phone: boolean, preferences: any}} Me
 * @typedef {{id: number, name: string, username: string, presence: string, pause_reason: string|null,
 *   pause_after_call: string|null, presence_since: string, wrap_up_until: string|null, wrap_up_extended: number,
 *   code: string|null, misses: number,
 *   desk_connected: boolean, phone_reachable: boolean, call_id: string|null, queues: string[]}} Agent
 * @typedef {{id: number, ticket: string, kind: string, area: string, channel: string, status: string, subject: string,
 *   contact_name: string|null, company_name: string|null, phone_shown: string|null, holder: string|null,
 *   received_at: string, pickup_due_at: string|null, picked_up_at: string|null, version: number}} Request
 */

/** undefined: not known yet; null: nobody is logged in. @type {import("@preact/signals").Signal<Me|null|undefined>} */
export const me = signal(undefined);

/** offline | connecting | live */
export const connection = signal("connecting");
/** Whether a snapshot was ever received since log-in. */
export const loaded = signal(false);
/** Whether a colleague would be rung now. @param {Agent} agent */
export const isFree = (agent) => agent.presence === "free" && agent.phone_reachable && agent.desk_connected;
/** @type {import("@preact/signals").Signal<string[]>} */
export const queues = signal([]);
/** What a site lets agents choose, in both languages. @typedef {{code: string, it: string, en: string}} Label */
/** How a call went. @type {import("@preact/signals").Signal<Label[]>} */
export const outcomeCodes = signal([]);
/** Why an agent pauses. @type {import("@preact/signals").Signal<Label[]>} */
export const pauseReasons = signal([]);
/** So often a wrap-up may be made longer. */
export const wrapUpExtensions = signal(0);
/** @param {Label} label */
export const labelText = (label) => label[language.value === "en" ? "en" : "it"];
const named = (labels, code) => labels.filter((label) => label.code === code).map(labelText)[0];
/** Those that the machine sets have words here; a code that the site has given up shows as it is. @param {string} code */
export const codeName = (code) => named(outcomeCodes.value, code) ?? (code === "timed_out" ? t("code.timed_out") : code);
/** @param {string} code */
export const pauseName = (code) =>
  named(pauseReasons.value, code) ?? (["missed_call", "phone_unreachable"].includes(code) ? t(`pause.${code}`) : code);
/** Whether this person may listen to talks. */
export const listening = signal(false);

/** The version of the pages that this one is of: the start page names it in the address of every file. */
const VERSION = /\/static\/(v-[^/]+)\//.exec(import.meta.url)?.[1];
/** Whether the server has another one by now. */
export const outdated = signal(false);

/** @type {Record<string, import("@preact/signals").Signal<Map<any, any>>>} */
export const lists = {
  agents: signal(new Map()),
  waiting: signal(new Map()),
  messages: signal(new Map()),
  requests: signal(new Map()),
  pops: signal(new Map()),
  alarms: signal(new Map()),
  missed: signal(new Map()),
  closures: signal(new Map()),
};
/** What requests may be about, in this person's language; the built-in ones until the server has told.
 * @type {import("@preact/signals").Signal<{key: string, name: string, parent: string|null, active: boolean}[]>} */
export const areas = signal([]);
const BUILT_IN_AREAS = ["application", "use", "training", "credentials", "change", "network"];
/** Those that may be chosen. */
export const activeAreas = computed(() =>
  areas.value.length ? areas.value.filter((area) => area.active)
    : BUILT_IN_AREAS.map((key) => ({ key, name: t(`area.${key}`), parent: null, active: true })),
);
/** @param {string} key */
export const areaName = (key) => areas.value.find((area) => area.key === key)?.name ?? t(`area.${key}`);

/** Counts events of a request, for pages that show one of them. */
export const touched = signal({ topic: "", id: null, count: 0 });

const keyOf = { pops: "call_id" };

/** @param {any} data */
export function applySnapshot(data) {
  batch(() => {
    // What was changed since this connection began is newer than what it knows.
    const { language, preferences } = me.value?.username === data.me.username ? me.value : data.me;
    me.value = { ...data.me, language, preferences };
    queues.value = data.queues;
    outcomeCodes.value = data.outcome_codes;
    pauseReasons.value = data.pause_reasons;
    wrapUpExtensions.value = data.wrap_up_extensions;
    listening.value = data.listening;
    outdated.value = VERSION !== undefined && data.pages !== VERSION;
    timezone.value = data.timezone;
    clockOffset.value = Date.parse(data.now) - Date.now();
    for (const [topic, list] of Object.entries(lists)) {
      list.value = new Map(data[topic].map((item) => [item[keyOf[topic] ?? "id"], item]));
    }
    loaded.value = true;
    touched.value = { topic: "", id: null, count: touched.value.count + 1 };
  });
}

/** @param {string} topic @param {{id: any, item: any}} change */
export function applyEvent(topic, change) {
  const list = lists[topic];
  if (!list) return;
  batch(() => {
    const next = new Map(list.value);
    if (change.item === null) next.delete(change.id);
    else if (topic === "pops" && !next.has(change.id)) {
      next.clear();
      next.set(change.id, change.item);
      for (const [id, item] of list.value) next.set(id, item);
    } else next.set(change.id, change.item);
    list.value = next;
    touched.value = { topic, id: change.id, count: touched.value.count + 1 };
  });
}

/** What empties the forms that keep what is typed while other things are looked at. @type {(() => void)[]} */
const forms = [];
/** What is typed there also stays through a log-in that has expired, for the same person. @param {() => void} empty */
export const keepTyped = (empty) => forms.push(empty);
/** Who logs out leaves nothing behind. */
export const forgetTyped = () => { for (const empty of forms) empty(); };
let owner = "";
effect(() => {
  if (!me.value || me.value.username === owner) return;
  owner = me.value.username;
  forgetTyped();
});

export function forget() {
  batch(() => {
    me.value = null;
    loaded.value = false;
    areas.value = [];
    for (const list of Object.values(lists)) list.value = new Map();
  });
}

/** The agent behind this page, if the account has one. */
export const myAgent = computed(() => lists.agents.value.get(me.value?.agent_id) ?? null);

/** The name of a colleague, by user name; the user name itself of one who has left. @param {string} username */
export const nameOf = (username) => username === "level_0" ? t("held.level_0_desk") :
  [...lists.agents.value.values()].find((agent) => agent.username === username)?.name ?? username;

const dueFirst = (a, b) => (a?.pickup_due_at ?? "9") < (b?.pickup_due_at ?? "9") ? -1 : 1;

/** Messages that wait for someone, those promised first on top. */
export const dueMessages = computed(() =>
  [...lists.messages.value.values()].filter((m) => m.request).sort((a, b) => dueFirst(order(a), order(b))),
);
const order = (message) => ({
  pickup_due_at: `${untaken(message.request) ? 0 : 1}${message.request.pickup_due_at ?? message.started_at}`,
});
/** Messages without speech. */
export const emptyMessages = computed(() => [...lists.messages.value.values()].filter((m) => !m.request));
/** Whether a request waits for somebody to take it; also one that was put back or came back from another level. */
export const untaken = (request) => request.status === "new" || request.status === "queued";
/** Requests this person has in charge. */
export const myRequests = computed(() =>
  [...lists.requests.value.values()].filter((r) => r.holder && r.holder === me.value?.username && !untaken(r)),
);
/** Requests of this desk that nobody has in charge; those of the specialists are theirs to take. */
export const dueRequests = computed(() =>
  [...lists.requests.value.values()].filter((r) => untaken(r) && r.level === 1).sort(dueFirst),
);
/** Whether the level-0 desk that has a request has answered, and nobody has looked after that since. */
export const answered = (request) => request.level === 0 && request.level_0_answered_at !== null && !request.closed_at;
export const answeredRequests = computed(() => [...lists.requests.value.values()].filter(answered));
/** The waiting line in the order it is served. */
export const waitingLine = computed(() =>
  [...lists.waiting.value.values()].sort(
    (a, b) => b.priority - a.priority || ((a.queued_at ?? "") < (b.queued_at ?? "") ? -1 : 1),
  ),
);

/**
 * Where a promise stands: its colour, and words that say the same without colour.
 * @param {{status: string, pickup_due_at: string|null, picked_up_at: string|null, holder: string|null,
 *   due_at?: string|null}} request  `due_at`: what is due next, where it is known
 * @returns {{tone: "ok"|"warn"|"bad"|"calm", text: string}}
 */
export function promise(request) {
  const due = request.due_at ?? (request.picked_up_at ? null : request.pickup_due_at);
  if (!due) {
    if (untaken(request)) return { tone: request.picked_up_at ? "warn" : "calm", text: t(request.picked_up_at ? "promise.again" : "promise.none") };
    return { tone: "calm", text: request.holder ? t("promise.taken", { who: nameOf(request.holder) }) : t(`status.${request.status}`) };
  }
  const left = (Date.parse(due) - serverNow()) / 1000;
  if (left < 0) return { tone: "bad", text: t("promise.over", { time: words(-left) }) };
  if (left < 15 * 60) return { tone: "warn", text: t("promise.soon", { time: words(left) }) };
  return { tone: "ok", text: t("promise.left", { time: words(left) }) };
}
