/** Words by key. Each language is one module with the same keys (a test compares them), loaded when it is wanted. */
import { signal } from "./lib.js";

const modules = { it: () => import("./i18n/it.js"), en: () => import("./i18n/en.js") };
/** @type {Record<string, Record<string, string>>} */
const tables = {};

/** The page's language; remembered with the account. */
export const language = signal(navigator.language?.startsWith("en") ? "en" : "it");

/**
 * Show the page in a language, once its words are there; without them it stays as it is.
 * @param {string} code
 */
export async function setLanguage(code) {
  const known = Object.hasOwn(modules, code) ? code : "it";
  tables[known] ??= (await modules[known]()).default;
  language.value = document.documentElement.lang = known;
}

/**
 * The words of a key; `{name}` is filled from `values`. With `values.n`, `key_one` is used for 1 where it exists.
 * @param {string} key
 * @param {Record<string, unknown>} [values]
 */
export function t(key, values = {}) {
  const table = tables[language.value] ?? {};
  const text = (values.n === 1 ? table[`${key}_one`] : undefined) ?? table[key];
  if (text === undefined) return key.split(".").at(-1) ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}
