/** Calls, messages and requests over time: bars, with the table behind them, and the same as a file. */
import { html, useEffect, useState } from "../lib.js";
import { get } from "../api.js";
import { dayText, hourText, percent, siteDay, words } from "../format.js";
import { t } from "../i18n.js";
import { Empty, errorText, Icon, Loading } from "./ui.js";

const CHARTS = [
  ["calls", [["answered", "ok"], ["gave_up_waiting", "bad"], ["left_a_message", "info"]], (n) => String(n)],
  ["of_service_level", [["service_level", "ok"]], (n) => percent(n), 1],
  ["abandoned", [["gave_up_waiting", "bad"], ["gave_up_before", "warn"], ["gave_up_short", "off"]], (n) => String(n)],
  ["of_messages", [["messages", "info"]], (n) => String(n)],
  ["requests", [["requests_received", "info"], ["requests_closed", "ok"]], (n) => String(n)],
];
const COLUMNS = [
  "calls", "answered", "answered_in_time", "service_level", "gave_up_waiting", "gave_up_before", "gave_up_short", "left_a_message",
  "wait_nine_of_ten", "longest_wait", "messages", "requests_received", "requests_closed",
];

export function History() {
  const [range, setRange] = useState({ first: siteDay(-6), last: siteDay(0), by: "day" });
  const [found, setFound] = useState(null);
  const [failed, setFailed] = useState(null);
  const query = new URLSearchParams(range).toString();
  useEffect(() => {
    let current = true;
    get(`/history?${query}`).then(
      (answer) => { if (current) { setFound(answer); setFailed(null); } }, (error) => current && setFailed(error));
    return () => { current = false; };
  }, [query]);
  const set = (field) => (event) => event.target.value && setRange({ ...range, [field]: event.target.value });
  return html`
    <div class="wide-page">
      <header class="view-head"><h2>${t("history.title")}</h2><p class="muted">${t("history.lead")}</p></header>
      <form class="filters" role="group" aria-label=${t("filter.days")} onSubmit=${(event) => event.preventDefault()}>
        <label>${t("history.first")}<input type="date" value=${range.first} max=${range.last} onChange=${set("first")} /></label>
        <label>${t("history.last")}<input type="date" value=${range.last} min=${range.first} onChange=${set("last")} /></label>
        <label>${t("history.by")}<select value=${range.by} onChange=${set("by")}>
          ${["day", "hour"].map((by) => html`<option key=${by} value=${by} selected=${range.by === by}>${t(`history.by_${by}`)}</option>`)}</select></label>
        <a class="button quiet" href=${`/api/history.csv?${query}`} download><${Icon} name="file" size=${18} />${t("csv")}</a>
      </form>
      ${failed && html`<p class="notice bad" role="alert"><${Icon} name="alert" />${failed.fields?.last ? t("history.too_long") : errorText(failed)}</p>`}
      ${!failed && !found && html`<${Loading} />`}
      ${!failed && found && (found.total.calls + found.total.messages + found.total.requests_received + found.total.requests_closed === 0
        ? html`<${Empty} icon="list" title=${t("history.none_title")}>${t("history.none")}<//>` : html`<${Charts} view=${found} />`)}
    </div>
  `;
}

const shown = (key, value) => {
  if (value === null) return "–";
  if (key === "service_level") return percent(value);
  return key === "wait_nine_of_ten" || key === "longest_wait" ? words(value) : String(value);
};

function Charts({ view }) {
  const label = (row) => (view.by === "hour" ? hourText(row.begin) : dayText(row.begin));
  return html`
    <div class="charts">${CHARTS.map(([name, series, text, most]) => html`
      <${Bars} key=${name} title=${t(`history.${name}`)} rows=${view.rows} series=${series} text=${text} most=${most} label=${label} />`)}</div>
    <p class="muted">${t("history.formula", { within: view.answered_within_seconds, short: view.short_seconds })}</p>
    <details class="fold"><summary>${t("history.table")}</summary>
      <div class="table-scroll" tabindex="0" role="region" aria-label=${t("history.table")}><table class="figures">
        <thead><tr><th scope="col">${t(`history.by_${view.by}`)}</th>${COLUMNS.map((key) => html`<th scope="col" key=${key}>${t(`history.${key}`)}</th>`)}</tr></thead>
        <tbody>${view.rows.map((row) => html`<tr key=${row.begin}><th scope="row">${label(row)}</th>
          ${COLUMNS.map((key) => html`<td key=${key}>${shown(key, row[key])}</td>`)}</tr>`)}</tbody>
        <tfoot><tr><th scope="row">${t("history.total")}</th>${COLUMNS.map((key) => html`<td key=${key}>${shown(key, view.total[key])}</td>`)}</tr></tfoot>
      </table></div></details>
  `;
}

const HEIGHT = 120;
const WIDTH = 640;

/** Bars, one group for each row; what they show is in the table as well. */
function Bars({ title, rows, series, text, most, label }) {
  const top = most ?? Math.max(1, ...rows.flatMap((row) => series.map(([key]) => row[key] ?? 0)));
  const step = WIDTH / rows.length;
  const bar = Math.max(1, (step * 0.82) / series.length);
  const every = Math.ceil(rows.length / 8);
  return html`
    <figure class="card chart"><figcaption><h3>${title}</h3>
      ${series.length > 1 && html`<ul class="legend">${series.map(([key, tone]) => html`<li key=${key}><i class=${`key ${tone}`}></i>${t(`history.${key}`)}</li>`)}</ul>`}</figcaption>
      <svg viewBox=${`0 0 ${WIDTH} ${HEIGHT + 34}`} role="img" aria-label=${`${title}: ${t("history.see_table")}`}>
        <line class="axis" x1="0" x2=${WIDTH} y1=${HEIGHT + 12} y2=${HEIGHT + 12} />
        <text class="tick" x="0" y="9">${text(top)}</text>
        ${rows.map((row, at) => html`
          <g key=${row.begin}>${series.map(([key, tone], place) => {
            const value = row[key] ?? 0;
            const tall = (value / top) * HEIGHT;
            return html`<rect key=${key} class=${`bar ${tone}`} x=${at * step + place * bar} y=${HEIGHT + 12 - tall} width=${bar} height=${tall}>
              <title>${`${label(row)}, ${t(`history.${key}`)}: ${row[key] === null ? "–" : text(value)}`}</title></rect>`;
          })}
          ${at % every === 0 && html`<text class="tick" x=${at * step} y=${HEIGHT + 28}>${label(row)}</text>`}</g>`)}
      </svg></figure>
  `;
}
