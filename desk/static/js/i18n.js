/** Words by key. Each language is one module with the same keys (a test compares them). */
import { signal } from "./lib.js";
import en from "./i18n/en.js";
import it from "./i18n/it.js";

/** @type {Record<string, Record<string, string>>} */
const tables = { it, en };

/** The page's language; remembered with the account. */
export const language = signal(navigator.language?.startsWith("en") ? "en" : "it");

/** @param {string} code */
export function setLanguage(code) {
  language.value = tables[code] ? code : "it";
  document.documentElement.lang = language.value;
}

/**
 * The words of a key; `{name}` is filled from `values`. With `values.n`, `key_one` is used for 1 where it exists.
 * @param {string} key
 * @param {Record<string, unknown>} [values]
 */
export function t(key, values = {}) {
  const table = tables[language.value];
  const text = (values.n === 1 ? table[`${key}_one`] : undefined) ?? table[key];
  if (text === undefined) return key.split(".").at(-1) ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}
