/** Lines of a list that are chosen, for what is done with several at once: each by its box, or a range with Shift. */

/** The box ticked last, from which a range goes. */
let last = "";

/**
 * What a box does when it is clicked; the boxes of a list are those with `data-row` in the same part of the page.
 * @param {import("@preact/signals").Signal<Set<string>>} chosen
 */
export const tick = (chosen) => (/** @type {any} */ event) => {
  const box = event.currentTarget;
  /** @type {HTMLInputElement[]} */
  const boxes = [...box.closest(".master").querySelectorAll("input[data-row]")];
  const from = event.shiftKey ? boxes.findIndex((one) => one.dataset.row === last) : -1;
  const at = boxes.indexOf(box);
  const next = new Set(chosen.value);
  for (const one of from < 0 ? [box] : boxes.slice(Math.min(from, at), Math.max(from, at) + 1)) {
    if (box.checked) next.add(one.dataset.row);
    else next.delete(one.dataset.row);
  }
  last = box.dataset.row;
  chosen.value = next;
};

/** Tick the line that has the focus, or the one that is looked at, by a key. @param {boolean} range */
export function chooseByKey(range) {
  const row = document.activeElement?.closest(".master li") ?? document.querySelector(".master a.row[aria-current=true]")?.closest("li");
  row?.querySelector("input[data-row]")?.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, shiftKey: range }));
}
