/** The words of a message: heard by a click, corrected by who knows better; what was recognised stays beside. */
import { html, useEffect, useRef, useState } from "../lib.js";
import { get, put } from "../api.js";
import { clock, when } from "../format.js";
import { t } from "../i18n.js";
import { keepTyped, nameOf } from "../store.js";
import { changeText } from "./request_parts.js";
import { Act, errorText, Field, Icon, toast } from "./ui.js";

/** Below this the recogniser is often wrong: measured, it marks 61 % of the wrong words and 2 % of the right ones. */
const DOUBTFUL = 0.7;
/** A pause as long as this begins a new line, in seconds. */
const PAUSE = 0.7;

/** Corrections that are not saved yet, by message: they stay while another one is looked at. @type {Map<string, {text: string, corrections: number}>} */
const drafts = new Map();
keepTyped(() => drafts.clear());

/** @param {{message: any, at: number, seek: (seconds: number) => void, onChanged: (message: any) => void}} props */
export function Transcript({ message, at, seek, onChanged }) {
  const [original, setOriginal] = useState(false);
  const [open, setOpen] = useState(drafts.has(message.id));
  const opener = useRef(null);
  const corrected = message.corrected_by !== null;
  const close = () => {
    drafts.delete(message.id);
    setOpen(false);
    requestAnimationFrame(() => opener.current?.focus());
  };
  const begin = () => {
    drafts.set(message.id, { text: message.transcript ?? "", corrections: message.corrections });
    setOpen(true);
  };
  const lines = corrected && !original ? message.corrected_words : inLines(message.words);
  return html`
    ${lines.length > 0 ? html`<${Words} key=${`${original} ${message.corrections}`} lines=${lines} at=${at} seek=${seek} />`
      : message.transcript && html`<p class="words pre">${message.transcript}</p>`}
    <div class="transcript-foot">
      ${corrected && html`<span class="corrected">${t("transcript.corrected", { who: nameOf(message.corrected_by), when: when(message.corrected_at) })}</span>`}
      ${corrected && message.words.length > 0 && html`
        <button type="button" class="quiet small" aria-pressed=${original} onClick=${() => setOriginal(!original)}>${t("transcript.original")}</button>`}
      ${!open && html`<button type="button" class="quiet small" ref=${opener} onClick=${begin}><${Icon} name="edit" size=${16} />
        ${t(message.transcript ? "transcript.correct" : "transcript.write")}</button>`}</div>
    ${open && html`<${Correction} message=${message} draft=${drafts.get(message.id)} onChanged=${onChanged} onClose=${close} />`}
  `;
}

/** @param {{word: string, start: number, end: number, confidence: number}[]} words */
const inLines = (words) => {
  const lines = [];
  for (const [place, word] of words.entries()) {
    if (place === 0 || word.start - words[place - 1].end >= PAUSE) lines.push([]);
    lines.at(-1).push(word);
  }
  return lines;
};

function Words({ lines, at, seek }) {
  const [focused, setFocused] = useState(0);
  const box = useRef(null);
  const words = lines.flat();
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = Math.min(words.length - 1, Math.max(0, focused + step));
    setFocused(next);
    box.current.querySelectorAll("button")[next]?.focus();
  };
  const anyDoubt = words.some((word) => word.confidence < DOUBTFUL);
  let place = 0;
  return html`
    <div class="words" ref=${box} role="group" aria-label=${t("player.words")} onKeyDown=${move}>
      ${lines.map((line, number) => html`${number > 0 && html`<br />`}${line.map((word) => {
        const i = place++;
        const doubtful = word.confidence < DOUBTFUL;
        return html` <button type="button" key=${i} tabindex=${i === focused ? 0 : -1} onFocus=${() => setFocused(i)}
          class=${`word ${doubtful ? "doubtful" : ""} ${at > 0 && at >= word.start && at < word.end ? "now" : ""}`}
          title=${doubtful ? t("player.doubtful", { n: Math.round(word.confidence * 100) }) : clock(word.start)}
          onClick=${() => seek(word.start)}>${word.word}${doubtful && html`<span class="sr-only"> (${t("player.doubtful_short")})</span>`}</button>`;
      })}`)}
    </div>
    <p class="hint">${t("player.hint")}${anyDoubt && html` <span class="word doubtful">${t("player.doubtful_legend")}</span>`}</p>
  `;
}

/** The transcript as a person writes it; who is second is shown the words of the first, and says again what is meant. */
function Correction({ message, draft, onChanged, onClose }) {
  const [text, setText] = useState(draft.text);
  const [error, setError] = useState("");
  const [theirs, setTheirs] = useState(/** @type {any} */ (null));
  const begun = useRef(draft.text);
  const box = useRef(null);
  useEffect(() => box.current.querySelector("textarea").focus(), []);
  const write = (value) => {
    setText(value);
    setError("");
    draft.text = value;
  };
  const send = async (words) => {
    const saved = await put(`/messages/${encodeURIComponent(message.id)}/transcript`, { text: words, corrections: draft.corrections });
    toast(t(words === null ? "transcript.restored" : "transcript.saved"));
    onClose();
    onChanged(saved);
  };
  const save = () => (text.trim() ? send(text) : setError(t("form.needed")));
  const failed = async (problem) => {
    if (problem.code !== "conflict") {
      setError(problem.fields?.text ?? "");
      if (!problem.fields?.text) toast(errorText(problem), "bad");
      return;
    }
    // From here on it is meant in place of the words that are there now.
    const now = await get(`/messages/${encodeURIComponent(message.id)}`);
    draft.corrections = now.corrections;
    onChanged(now);
    setTheirs({ changes: problem.changes, text: now.transcript });
    requestAnimationFrame(() => box.current?.querySelector(".conflict")?.focus());
  };
  const keys = (event) => {
    if (event.key === "Escape" && text === begun.current) onClose();
    if (event.key === "Enter" && event.ctrlKey) box.current.querySelector(".primary").click();
  };
  return html`
    <section class="card change" aria-label=${t("transcript.correct")} ref=${box} onKeyDown=${keys}>
      ${theirs && html`<div class="notice bad conflict" role="alert" tabindex="-1"><${Icon} name="alert" />
        <div><strong>${t("conflict.title")}</strong><ul>${theirs.changes.map((change, index) => html`<li key=${index}>${changeText(change)}</li>`)}</ul>
          <p class="pre">${theirs.text}</p>
          <p>${t("conflict.again", { button: t("transcript.save") })}</p></div></div>`}
      <${Field} label=${t("transcript.text")} hint=${t("transcript.hint")} error=${error}>${(id, aria) => html`
        <textarea id=${id} ...${aria} rows="5" maxlength="20000" value=${text} aria-keyshortcuts="Control+Enter"
          onInput=${(event) => write(event.target.value)}></textarea>`}<//>
      <footer class="change-foot">
        ${message.corrected_by !== null && message.words.length > 0 && html`
          <${Act} class="quiet" act=${() => send(null)} onFailed=${failed}>${t("transcript.restore")}<//>`}
        <button type="button" class="quiet" onClick=${onClose}>${t("cancel")}</button>
        <${Act} class="primary" act=${save} onFailed=${failed}><${Icon} name="check" size=${18} />${t("transcript.save")}<//>
      </footer>
    </section>
  `;
}
