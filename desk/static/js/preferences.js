/** What this person likes to see, and the keys: kept by the server with the account. */
import { computed } from "./lib.js";
import { get, put } from "./api.js";
import { me } from "./store.js";

export const COLUMNS = ["company", "received", "priority", "area", "holder", "since"];
const PLAIN = { filters: [], begin_with: null, columns: COLUMNS, keys: { on: true, next: "j", previous: "k", search: "/", help: "?", choose: "x" } };

/** @type {import("@preact/signals").ReadonlySignal<typeof PLAIN>} */
export const preferences = computed(() => ({ ...PLAIN, ...me.value?.preferences }));

/** @param {(kept: typeof PLAIN) => Partial<typeof PLAIN>} changes  made to what is kept now: another page may have changed it */
export async function prefer(changes) {
  const { preferences: kept } = await get("/session");
  me.value = await put("/session/preferences", { ...kept, ...changes(kept) });
}
