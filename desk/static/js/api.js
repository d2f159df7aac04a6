/** The JSON API: one function, one error. */
import { signal } from "./lib.js";
import { language } from "./i18n.js";

/** An answer that is not what was asked for; `message` is for the person, in their language. */
export class ApiError extends Error {
  /**
   * @param {number} status  0 when the server was not reached
   * @param {string} code
   * @param {string} message
   * @param {Record<string, string>} fields  what is wrong with which field
   * @param {{at: string, actor: string, kind: string, fields: string[]}[]} changes  what others changed meanwhile
   */
  constructor(status, code, message, fields = {}, changes = []) {
    super(message);
    this.status = status;
    this.code = code;
    this.fields = fields;
    this.changes = changes;
  }
}

/** Counts answers that said the log-in is over; the page then shows the log-in form. */
export const loggedOut = signal(0);

/**
 * @param {"GET"|"POST"|"PUT"|"PATCH"|"DELETE"} method
 * @param {string} path  below /api
 * @param {unknown} [body]  a file is sent as it is, anything else as JSON
 * @param {string} [key]  sent again with the same key (`newKey`), it is not done twice
 * @returns {Promise<any>} the JSON answer, or null for none
 */
export async function api(method, path, body, key) {
  const file = body instanceof Blob;
  let response;
  try {
    response = await fetch(`/api${path}`, {
      method,
      credentials: "same-origin",
      headers: { "accept-language": language.value, ...(method !== "GET" && { "content-type": file ? "application/octet-stream" : "application/json" }),
        ...(key && { "idempotency-key": key }) },
      body: method === "GET" || method === "DELETE" ? undefined : file ? body : JSON.stringify(body ?? {}),
    });
  } catch {
    throw new ApiError(0, "unreachable", "");
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  const problem = await response.json().catch(() => ({}));
  if (response.status === 401 && problem.error === "not_logged_in") loggedOut.value += 1;
  throw new ApiError(response.status, problem.error ?? "internal", problem.message ?? "", problem.fields ?? {}, problem.changes ?? []);
}

/** A key for one new thing; without `crypto.randomUUID`, which pages have over HTTPS only. */
export const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export const get = (path) => api("GET", path);
export const post = (path, body, key) => api("POST", path, body, key);
export const put = (path, body) => api("PUT", path, body);
export const patch = (path, body) => api("PATCH", path, body);
