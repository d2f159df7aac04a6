/** Words of a search, marked where they are found. A text is never more than text: what is marked are its own parts. */
import { html } from "./lib.js";

/** Without accents and capitals, as the server compares. @param {string} text */
export const fold = (text) => text.normalize("NFD").replace(/[\u0300-\u036f]+/g, "").toLowerCase();

/**
 * The text with the beginnings of words marked that begin as one that was searched.
 * @param {string} text
 * @param {string[]} words
 */
export function marked(text, words) {
  if (!words.length || !text) return text;
  const folded = words.map(fold);
  const parts = [];
  let done = 0;
  for (const { 0: token, index } of text.matchAll(/[\p{L}\p{N}\p{M}]+/gu)) {
    const plain = fold(token);
    const most = Math.max(0, ...folded.filter((word) => plain.startsWith(word)).map((word) => word.length));
    if (!most) continue;
    const end = index + (plain.length === token.length ? most : token.length);
    parts.push(text.slice(done, index), html`<mark>${text.slice(index, end)}</mark>`);
    done = end;
  }
  return done ? [...parts, text.slice(done)] : text;
}

/** A ticket number, shown in groups, is marked whole. @param {string|null} ticket @param {string} shown @param {string[]} words */
export const markedTicket = (ticket, shown, words) =>
  words.some((word) => /^\d+$/.test(word)) && ticket?.startsWith(words.filter((word) => /^\d+$/.test(word)).join("")) ? html`<mark>${shown}</mark>` : shown;
