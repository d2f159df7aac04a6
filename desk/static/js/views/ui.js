/** Small parts that all views share. */
import { html, signal, useEffect, useId, useLayoutEffect, useRef, useState } from "../lib.js";
import { ApiError } from "../api.js";
import { t } from "../i18n.js";

const PATHS = {
  phone: "M5 4h4l2 5-2.5 1.5a11 11 0 0 0 5 5L15 13l5 2v4a2 2 0 0 1-2 2A16 16 0 0 1 3 6a2 2 0 0 1 2-2",
  hangup: "M3 14c0-2 4-5 9-5s9 3 9 5v2l-5-1v-3a14 14 0 0 0-8 0v3l-5 1z",
  pause: "M8 5v14M16 5v14",
  play: "M8 5l11 7-11 7z",
  forward: "M4 17v-3a5 5 0 0 1 5-5h10m0 0l-4-4m4 4l-4 4",
  inbox: "M4 13l2.5-8h11L20 13v6H4zM4 13h5l1.5 2.5h3L15 13h5",
  list: "M9 6h11M9 12h11M9 18h11M4.5 6h.01M4.5 12h.01M4.5 18h.01",
  clock: "M12 7v5l3 2M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18",
  alert: "M12 9v4m0 3.5v.01M10.3 4.2L2.6 18a2 2 0 0 0 1.7 3h15.4a2 2 0 0 0 1.7-3L13.7 4.2a2 2 0 0 0-3.4 0z",
  check: "M5 12.5l4.5 4.5L19 7.5",
  close: "M6 6l12 12M18 6L6 18",
  user: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8M4.5 20a7.5 7.5 0 0 1 15 0",
  building: "M5 21V4h9v17M14 9h5v12M3 21h18M8 8h3M8 12h3M8 16h3",
  down: "M6 9.5l6 6 6-6",
  back: "M19 12H5m0 0l6-6m-6 6l6 6",
  mail: "M4 6h16v12H4zM4 7l8 6 8-6",
  note: "M5 4h14v11l-5 5H5zM14 20v-5h5M8 9h8M8 13h4",
  voice: "M12 15a3 3 0 0 0 3-3V6a3 3 0 0 0-6 0v6a3 3 0 0 0 3 3M6 11.5a6 6 0 0 0 12 0M12 18v3",
  headset: "M4 14v-2a8 8 0 0 1 16 0v2M4 14h4v6H6a2 2 0 0 1-2-2zM20 14h-4v6h2a2 2 0 0 0 2-2z",
  muted: "M9 9v3a3 3 0 0 0 4.5 2.6M15 10V6a3 3 0 0 0-5.6-1.5M6 11.5a6 6 0 0 0 9.5 4.9M18 11.5a6 6 0 0 1-.4 2.1M12 18v3M4 3l16 18",
  keypad: "M6 5h.01M12 5h.01M18 5h.01M6 10.5h.01M12 10.5h.01M18 10.5h.01M6 16h.01M12 16h.01M18 16h.01M12 20.5h.01",
  swap: "M7 4v14m0 0l-3.5-3.5M7 18l3.5-3.5M17 20V6m0 0l-3.5 3.5M17 6l3.5 3.5",
  queue: "M4 7h10M4 12h7M4 17h10M20 8v8m0 0l-2.5-2.5M20 16l2.5-2.5",
  plug: "M9 3v5M15 3v5M6 8h12v3a6 6 0 0 1-12 0zM12 17v4",
  keyboard: "M3 6h18v12H3zM7 10h.01M11 10h.01M15 10h.01M18 10h.01M8 14h8",
  logout: "M14 4H5v16h9M10 12h10m0 0l-3.5-3.5M20 12l-3.5 3.5",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  plus: "M12 5v14M5 12h14",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  up: "M12 19V6m0 0l-5 5m5-5l5 5",
  edit: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  hand: "M8 12V6a1.5 1.5 0 0 1 3 0v5m0-1V4.5a1.5 1.5 0 0 1 3 0V11m0-3.5a1.5 1.5 0 0 1 3 0V15a6 6 0 0 1-6 6h-1c-2 0-3.5-1-4.5-2.5L4 15c-.8-1.3 1-2.7 2-1.5l2 2",
};

/** A line icon; decoration only, the words beside it say the same. @param {{name: keyof typeof PATHS, size?: number}} props */
export const Icon = ({ name, size = 20 }) => html`
  <svg class="icon" width=${size} height=${size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
    <path d=${PATHS[name]} />
  </svg>
`;

/** @param {{tone?: string, icon?: string, title?: string, children?: any}} props */
export const Badge = ({ tone = "calm", icon, title, children }) => html`
  <span class=${`badge ${tone}`} title=${title}>${icon && html`<${Icon} name=${icon} size=${14} />`}${children}</span>
`;

/** An empty list says why it is empty. */
export const Empty = ({ icon, title, children }) => html`
  <div class="empty"><span class="empty-icon"><${Icon} name=${icon} size=${28} /></span>
    <p class="empty-title">${title}</p><p>${children}</p></div>
`;

export const Loading = ({ lines = 5 }) => html`
  <div class="loading" role="status"><span class="sr-only">${t("loading")}</span>
    ${Array.from({ length: lines }, (_, i) => html`<div class="bone" key=${i}></div>`)}</div>
`;

/** @type {import("@preact/signals").Signal<{id: number, tone: string, text: string}[]>} */
const toasts = signal([]);
let lastToast = 0;

/** Say what happened, for some seconds. @param {string} text @param {"ok"|"bad"} tone */
export function toast(text, tone = "ok") {
  const id = ++lastToast;
  toasts.value = [...toasts.value, { id, tone, text }];
  setTimeout(() => (toasts.value = toasts.value.filter((one) => one.id !== id)), tone === "bad" ? 12000 : 6000);
}

/** @param {unknown} error */
export const errorText = (error) =>
  error instanceof ApiError ? error.message || t(error.status ? "error.internal" : "error.unreachable") : String(error);

export const Toasts = () => html`
  <div class="toasts" role="status" aria-live="polite">
    ${toasts.value.map((one) => html`
      <div class=${`toast ${one.tone}`} key=${one.id}>
        <${Icon} name=${one.tone === "bad" ? "alert" : "check"} /><span>${one.text}</span>
        <button class="bare" onClick=${() => (toasts.value = toasts.value.filter((t2) => t2.id !== one.id))}>
          <${Icon} name="close" size=${16} /><span class="sr-only">${t("close_it")}</span></button>
      </div>`)}
  </div>
`;

/** Whether nothing has the focus any more: what had it is gone, or (see `Act`) the page as a whole has it since. */
export const focusIsLost = () => ["body", "main"].includes(document.activeElement?.localName);

/**
 * A button that runs something and cannot be pressed twice meanwhile; a failure becomes a toast.
 * @param {{act: () => Promise<unknown>|unknown, onFailed?: (error: unknown) => void, children?: any, class?: string,
 *   disabled?: boolean, [attribute: string]: any}} props
 */
export function Act({ act, onFailed, children, class: kind = "", disabled = false, ...rest }) {
  const [busy, setBusy] = useState(false);
  const alive = useRef(true);
  const button = useRef(null);
  // A button that goes with what it did leaves the keyboard in the page, not at its very beginning.
  useLayoutEffect(() => () => {
    alive.current = false;
    if (document.activeElement !== button.current) return;
    setTimeout(() => { // what takes its place comes first
      if (document.activeElement === document.body) document.getElementById("main")?.focus({ preventScroll: true });
    }, 100);
  }, []);
  const run = async () => {
    if (busy) return;
    setBusy(true);
    try {
      await act();
    } catch (error) {
      if (onFailed) onFailed(error);
      else toast(errorText(error), "bad");
    } finally {
      if (alive.current) setBusy(false);
    }
  };
  return html`<button type="button" class=${kind} ref=${button} disabled=${disabled} aria-busy=${busy} onClick=${run} ...${rest}>
    ${children}</button>`;
}

/** A button with a list below it. @param {{label: any, children: any, class?: string, align?: string}} props */
export function Menu({ label, children, class: kind = "", align = "start" }) {
  const [open, setOpen] = useState(false);
  const [turned, setTurned] = useState("");
  const box = useRef(null);
  const id = useId();
  useLayoutEffect(() => {
    if (!open) return setTurned("");
    const [around, list, column] = [box.current, box.current.lastElementChild, box.current.closest(".master") ?? document.body]
      .map((one) => one.getBoundingClientRect());
    return setTurned(`${list.bottom > innerHeight && around.top > list.height ? "up" : ""} ${list.right > column.right ? "end" : ""}`);
  }, [open]);
  useEffect(() => {
    if (!open) return undefined;
    const away = (event) => {
      if (!box.current?.contains(event.target)) setOpen(false);
    };
    document.addEventListener("pointerdown", away);
    document.addEventListener("focusin", away);
    return () => {
      document.removeEventListener("pointerdown", away);
      document.removeEventListener("focusin", away);
    };
  }, [open]);
  const keys = (event) => {
    if (event.key === "Escape" && open) {
      event.stopPropagation();
      setOpen(false);
      box.current.querySelector("button").focus();
    } else if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const items = [...box.current.querySelectorAll(".menu-list button:not(:disabled)")];
      const at = items.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
      items[(at + items.length) % items.length]?.focus();
    }
  };
  const chosen = () => {
    setOpen(false);
    box.current.querySelector("button").focus(); // what was chosen is hidden now
  };
  return html`
    <div class="menu" ref=${box} onKeyDown=${keys}>
      <button type="button" class=${kind} aria-expanded=${open} aria-controls=${id} onClick=${() => setOpen(!open)}>
        ${label}<${Icon} name="down" size=${16} /></button>
      <div class=${`menu-list ${align} ${turned}`} id=${id} hidden=${!open} onClick=${chosen}>${children}</div>
    </div>
  `;
}

/** A window over the page; the keyboard begins at what is marked `autofocus`. @param {{title: string, onClose: () => void, children: any}} props */
export function Dialog({ title, onClose, children }) {
  const ref = useRef(null);
  const id = useId();
  useLayoutEffect(() => ref.current.showModal(), []);
  return html`
    <dialog ref=${ref} aria-labelledby=${id} onClose=${onClose}>
      <header><h2 id=${id}>${title}</h2>
        <button type="button" class="bare" onClick=${() => ref.current.close()}>
          <${Icon} name="close" /><span class="sr-only">${t("close_it")}</span></button></header>
      ${children}
    </dialog>
  `;
}

/**
 * A labelled field; `aria` ties what is said about it to the input.
 * @param {{label: string, error?: string, hint?: string, children: (id: string, aria: any) => any, class?: string}} props
 */
export function Field({ label, error, hint, children, class: kind = "" }) {
  const id = useId();
  const about = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ") || undefined;
  return html`
    <div class=${`field ${kind} ${error ? "wrong" : ""}`}>
      <label for=${id}>${label}</label>
      ${children(id, { "aria-invalid": error ? "true" : undefined, "aria-describedby": about })}
      ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
      ${error && html`<p class="field-error" role="alert" id=${`${id}-error`}><${Icon} name="alert" size=${14} />${error}</p>`}
    </div>
  `;
}

/** A choice of few, as a row of radio buttons. */
export function Segments({ label, name, value, options, onChange, error }) {
  return html`
    <fieldset class=${`segments ${error ? "wrong" : ""}`}>
      <legend>${label}</legend>
      <div class="segment-row">
        ${options.map(([key, words]) => html`
          <label key=${key} class=${value === key ? "on" : ""}>
            <input type="radio" name=${name} value=${key} checked=${value === key} onChange=${() => onChange(key)} />
            ${words}</label>`)}
      </div>
      ${error && html`<p class="field-error" role="alert"><${Icon} name="alert" size=${14} />${error}</p>`}
    </fieldset>
  `;
}

const PRESENCE_TONE = {
  free: "ok", ringing: "warn", talking: "talk", wrap_up: "info", paused: "pause", offline: "off",
};
/** @param {string} presence */
export const presenceTone = (presence) => PRESENCE_TONE[presence] ?? "off";
export const Dot = ({ tone }) => html`<span class=${`dot ${tone}`} aria-hidden="true"></span>`;
