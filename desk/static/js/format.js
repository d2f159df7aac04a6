/** Times and lengths as people read them. */
import { computed, signal } from "./lib.js";
import { language, t } from "./i18n.js";

/** Ticks once a second; reading it makes a view follow the clock. */
export const tick = signal(Date.now());
setInterval(() => (tick.value = Date.now()), 1000);

/** Milliseconds the server's clock is ahead of this machine's. */
export const clockOffset = signal(0);

/** The moment at which somebody stopped the clock of the page, to read in peace. @type {import("@preact/signals").Signal<number|null>} */
export const stopped = signal(null);

/** The server's time, in milliseconds, following the clock. */
export const serverNow = () => (stopped.value ?? tick.value) + clockOffset.value;

/** @param {string|null|undefined} iso  @returns {number} seconds since then */
export const secondsSince = (iso) => (iso ? Math.max(0, (serverNow() - Date.parse(iso)) / 1000) : 0);

/** 75 -> "1:15"; 3675 -> "1:01:15" @param {number} seconds */
export function clock(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60];
  if (!parts[0]) parts.shift();
  return parts.map((part, i) => (i ? String(part).padStart(2, "0") : String(part))).join(":");
}

/** A length in words: "40 s", "12 min", "1 h 20 min", "3 giorni". @param {number} seconds */
export function words(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return t("time.s", { n: s });
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return t("time.min", { n: minutes });
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? t("time.h_min", { h: hours, m: minutes % 60 }) : t("time.h", { n: hours });
  return t("time.days", { n: Math.floor(hours / 24) });
}

/** The site's time zone, told by the server: callers were told times in it, wherever this browser is. */
export const timezone = signal("");

const formats = computed(() => {
  const format = (parts) => new Intl.DateTimeFormat(language.value === "en" ? "en-GB" : "it-IT", { ...parts, timeZone: timezone.value });
  return {
    time: format({ hour: "2-digit", minute: "2-digit" }),
    day: format({ weekday: "short", day: "numeric", month: "short" }),
    date: format({ dateStyle: "short" }),
  };
});

/** Today "14:05", else "lun 23 nov, 14:05". @param {string|null|undefined} iso */
export function when(iso) {
  if (!iso || !timezone.value) return "";
  const { time, day, date } = formats.value;
  const at = new Date(iso);
  if (date.format(at) === date.format(serverNow())) return time.format(at);
  return `${day.format(at)}, ${time.format(at)}`;
}

/** @param {string|null|undefined} shown  a number as the server writes it for people */
export const phone = (shown) => shown ?? t("caller.withheld");

/** "1234567" -> "123 4567", easier to read aloud. @param {string|null} ticket */
export const ticketText = (ticket) => (ticket ?? "").replace(/(\d{3})(?=\d)/, "$1\u2009");

/** 1500000 -> "1.5 MB" @param {number} size */
export function bytes(size) {
  if (size < 1000) return `${size} B`;
  const [value, unit] = size < 1e6 ? [size / 1000, "kB"] : [size / 1e6, "MB"];
  return `${new Intl.NumberFormat(language.value === "en" ? "en-GB" : "it-IT", { maximumFractionDigits: 1 }).format(value)} ${unit}`;
}

/** 0.853 -> "85.3%" @param {number} share */
export const percent = (share) =>
  new Intl.NumberFormat(language.value === "en" ? "en-GB" : "it-IT", { style: "percent", maximumFractionDigits: 1 }).format(share);

const inZone = (at, parts) =>
  Object.fromEntries(new Intl.DateTimeFormat("en-GB", { ...parts, hourCycle: "h23", timeZone: timezone.value || "UTC" })
    .formatToParts(at).map(({ type, value }) => [type, value]));

/** The site's day, as a date field writes it. @param {number} days  from today on */
export function siteDay(days) {
  const { year, month, day } = inZone(serverNow() + days * 86_400_000, { year: "numeric", month: "2-digit", day: "2-digit" });
  return `${year}-${month}-${day}`;
}

/** A time of the site's wall clock, as a field writes it ("2026-11-30T17:00"), for the server. @param {string} local */
export function siteTime(local) {
  const wall = Date.parse(`${local}Z`);
  const ahead = (at) => {
    const p = inZone(at, { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" });
    return Date.UTC(+p.year, +p.month - 1, +p.day, +p.hour, +p.minute) - Math.floor(at / 60_000) * 60_000;
  };
  return new Date(wall - ahead(wall - ahead(wall))).toISOString();
}

const shortest = (iso, parts) =>
  new Intl.DateTimeFormat(language.value === "en" ? "en-GB" : "it-IT", { ...parts, timeZone: timezone.value || "UTC" }).format(new Date(iso));
/** "lun 30" @param {string} iso */
export const dayText = (iso) => shortest(iso, { weekday: "short", day: "numeric", month: "numeric" });
/** "lun 14:00" @param {string} iso */
export const hourText = (iso) => shortest(iso, { weekday: "short", hour: "2-digit", minute: "2-digit" });
