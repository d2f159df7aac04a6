/** The pages of supervisors; loaded when the first of them is opened. */
import { html } from "../lib.js";
import { Admin } from "./admin.js";
import { Board } from "./board.js";
import { History } from "./history.js";

/** @param {{view: string, tab: string|undefined}} props */
export function Supervision({ view, tab }) {
  if (view === "board") return html`<${Board} />`;
  if (view === "history") return html`<${History} />`;
  return html`<${Admin} tab=${tab} />`;
}
