/**
 * The phone in the browser, for people who have one. Its parts are loaded only for them, so that the first view stays
 * small; until then, and for everybody else, `phone.value` is null.
 */
import { effect, signal } from "./lib.js";
import { me } from "./store.js";

/** What views/phone.js exports, once it is loaded. @type {import("@preact/signals").Signal<any>} */
export const phone = signal(null);
let asked = false;

effect(() => {
  if (!me.value?.browser_phone || asked) return;
  asked = true;
  load();
});

/** Without its parts there is no phone: tried until they come. */
function load() {
  import("./views/phone.js").then((parts) => (phone.value = parts), () => setTimeout(load, 5000));
}

/** The parts, as soon as they are there. */
export const loadedPhone = () =>
  new Promise((resolve) => {
    const stop = effect(() => { if (phone.value) setTimeout(() => { stop(); resolve(phone.peek()); }); });
  });
