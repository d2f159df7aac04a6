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
   */
  constructor(status, code, message, fields = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.fields = fields;
  }
}

/** Counts answers that said the log-in is over; the page then shows the log-in form. */
export const loggedOut = signal(0);

/**
 * @param {"GET"|"POST"|"PUT"|"DELETE"} method
 * @param {string} path  below /api
 * @param {unknown} [body]
 * @returns {Promise<any>} the JSON answer, or null for none
 */
export async function api(method, path, body) {
  let response;
  try {
    response = await fetch(`/api${path}`, {
      method,
      credentials: "same-origin",
      headers: { "accept-language": language.value, ...(method !== "GET" && { "content-type": "application/json" }) },
      body: method === "GET" || method === "DELETE" ? undefined : JSON.stringify(body ?? {}),
    });
  } catch {
    throw new ApiError(0, "unreachable", "");
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  const problem = await response.json().catch(() => ({}));
  if (response.status === 401 && problem.error === "not_logged_in") loggedOut.value += 1;
  throw new ApiError(response.status, problem.error ?? "internal", problem.message ?? "", problem.fields ?? {});
}

export const get = (path) => api("GET", path);
export const post = (path, body) => api("POST", path, body);
export const put = (path, body) => api("PUT", path, body);
