import { html, nothing } from "./lit/lit-html.js";
import { head, scrolled } from "./drawing.js";
import { timeOf } from "./times.js";
import { say } from "./words.js";

export function cacheTable({ data_caches: entries, more }) {
  if (!entries.length) return html`<p class="nothing">${say("cache.none")}</p>`;
  return html`
    ${scrolled(say("cache"), html`<table class="cache">
      ${head("cache.key", "cache.value", "cache.expires")}
      <tbody>${entries.map((entry) => html`<tr>
        <th scope="row">${entry.key}</th>
        <td class="value">${entry.text}</td>
        <td>${timeOf(entry.expire_time)}</td>
      </tr>`)}</tbody>
    </table>`)}
    ${more ? html`<p class="note">${say("cache.more")}</p>` : nothing}`;
}
