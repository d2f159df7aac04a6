/** The own log-ins: in which browser, from where, since when; each can be ended. */
import { html } from "../lib.js";
import { api } from "../api.js";
import { when } from "../format.js";
import { t } from "../i18n.js";
import { useItems } from "./forms.js";
import { Act, Badge, Dialog, errorText, Icon, Loading, toast } from "./ui.js";

const BROWSERS = [["Edg", "Edge"], ["OPR", "Opera"], ["Firefox", "Firefox"], ["Chrome", "Chrome"], ["Safari", "Safari"]];
const SYSTEMS = [["Windows", "Windows"], ["Android", "Android"], ["iPhone", "iPhone"], ["iPad", "iPad"], ["Mac OS", "macOS"], ["CrOS", "ChromeOS"], ["Linux", "Linux"]];

/** What a browser calls itself, in two words where it is one of those that people have. @param {string|null} text */
export function browserName(text) {
  const found = [BROWSERS, SYSTEMS].map((known) => known.find(([part]) => text?.includes(part))?.[1]);
  return found[0] ? found.filter(Boolean).join(" · ") : (text ?? t("log_ins.unknown"));
}

/** @param {{onClose: () => void, onLeave: () => Promise<void>}} props */
export function LogInsDialog({ onClose, onLeave }) {
  const found = useItems("/session/log-ins");
  const end = async (one) => {
    await api("DELETE", `/session/log-ins/${one.id}`);
    toast(t("log_ins.ended"));
    found.again();
  };
  return html`
    <${Dialog} title=${t("log_ins.title")} onClose=${onClose}>
      <p class="muted">${t("log_ins.lead")}</p>
      ${found.failed ? html`<p class="notice bad" role="alert"><${Icon} name="alert" />${errorText(found.failed)}</p>` : !found.items ? html`<${Loading} lines=${2} />` : html`
        <ul class="people">${found.items.map((one) => html`
          <li key=${one.id}><span class="who"><bdi>${browserName(one.browser)}</bdi> ${one.this && html`<${Badge} tone="ok">${t("log_ins.this")}<//>`}</span>
            <span class="meta">${[one.address, t("log_ins.since", { when: when(one.since) }), t("log_ins.used", { when: when(one.used_at) })].filter(Boolean).join(" · ")}</span>
            <${Act} class="quiet small" act=${() => (one.this ? onLeave() : end(one))}><${Icon} name="logout" size=${16} />${t("log_out")}
              <span class="sr-only"> ${browserName(one.browser)}</span><//></li>`)}</ul>`}
    <//>
  `;
}
