/** The attachments of a request: saved, looked at where that is harmless, added. */
import { html, useState } from "../lib.js";
import { post } from "../api.js";
import { bytes, when } from "../format.js";
import { t } from "../i18n.js";
import { nameOf } from "../store.js";
import { errorText, Icon, toast } from "./ui.js";

export function Files({ request, onChanged }) {
  const [busy, setBusy] = useState("");
  const [failed, setFailed] = useState("");
  const add = async (event) => {
    const input = event.target;
    setFailed("");
    for (const file of [...input.files]) {
      if (file.size > request.largest_attachment) {
        setFailed(t("files.too_large", { name: file.name, size: bytes(request.largest_attachment) }));
        continue;
      }
      setBusy(file.name);
      try {
        const query = new URLSearchParams({ name: file.name, media_type: file.type || "application/octet-stream" });
        onChanged(await post(`/requests/${request.id}/attachments?${query}`, file));
        toast(t("files.added", { name: file.name }));
      } catch (error) {
        setFailed(`${file.name}: ${error.fields?.attachment ?? errorText(error)}`);
      }
    }
    setBusy("");
    input.value = "";
  };
  return html`
    <section aria-labelledby="files"><h3 id="files">${t("files.title")} ${request.attachments.length > 0 && html`<span class="count">${request.attachments.length}</span>`}</h3>
      <ul class="files">${request.attachments.map((file) => {
        const path = `/api/requests/${request.id}/attachments/${file.id}`;
        return html`<li key=${file.id}>
          ${file.preview === "image" ? html`<a href=${`${path}/preview`} target="_blank" rel="noopener"><img src=${`${path}/preview`} alt=${t("files.look_at", { name: file.name })} loading="lazy" /></a>`
            : html`<${Icon} name="file" />`}
          <a href=${path} download=${file.name}>${file.name}</a>
          <span class="meta">${[bytes(file.size), file.added_by === "system" ? t("requests.system") : nameOf(file.added_by), when(file.created_at)].join(" · ")}</span>
          ${file.preview === "pdf" && html`<a class="button quiet small" href=${`${path}/preview`} target="_blank" rel="noopener">${t("files.preview")}</a>`}</li>`;
      })}</ul>
      <label class=${`button quiet add-file ${busy ? "busy" : ""}`}><input type="file" class="sr-only" multiple disabled=${Boolean(busy)} onChange=${add} />
        <${Icon} name="up" size=${18} />${t("files.add")}</label>
      <span class="muted small" role="status">${busy && t("files.sending", { name: busy })}</span>
      ${failed && html`<p class="notice bad" role="alert"><${Icon} name="alert" />${failed}</p>`}
    </section>
  `;
}
