/** The log-in form. */
import { html, useEffect, useRef, useState } from "../lib.js";
import { post, put } from "../api.js";
import { language, setLanguage, t } from "../i18n.js";
import { me } from "../store.js";
import { errorText, Field, Icon } from "./ui.js";

export function Login() {
  const [failed, setFailed] = useState("");
  const [busy, setBusy] = useState(false);
  const [chosen, setChosen] = useState("");
  const name = useRef(null);
  useEffect(() => name.current?.focus(), []);
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    setBusy(true);
    setFailed("");
    try {
      let person = await post("/session", { username: form.get("username"), password: form.get("password") });
      if (chosen && chosen !== person.language) {
        person = await put("/session/language", { language: chosen }).catch(() => person); // in all the same
      }
      await setLanguage(person.language);
      me.value = person;
    } catch (error) {
      setFailed(errorText(error));
      setBusy(false);
    }
  };
  return html`
    <main class="login">
      <form class="login-card" onSubmit=${submit}>
        <img src="/static/icon.svg" alt="" width="56" height="56" />
        <h1>Centralino</h1>
        <p class="muted">${t("login.lead")}</p>
        ${failed && html`<p class="notice bad" role="alert"><${Icon} name="alert" />${failed}</p>`}
        <${Field} label=${t("login.username")}>${(id) => html`
          <input id=${id} ref=${name} name="username" autocomplete="username" autocapitalize="none" required maxlength="64" />`}<//>
        <${Field} label=${t("login.password")}>${(id) => html`
          <input id=${id} name="password" type="password" autocomplete="current-password" required maxlength="500" />`}<//>
        <button class="primary large" aria-busy=${busy} disabled=${busy}>${t("login.enter")}</button>
        <div class="languages" role="group" aria-label=${t("language")}>
          ${["it", "en"].map((code) => html`
            <button type="button" key=${code} class="bare" lang=${code} aria-pressed=${language.value === code}
              onClick=${() => (setChosen(code), setLanguage(code))}>${code === "it" ? "Italiano" : "English"}</button>`)}
        </div>
      </form>
    </main>
  `;
}
