import { html } from "./lit/lit-html.js";
import { head, scrolled } from "./drawing.js";
import { say } from "./words.js";

export function diffTable(changes) {
  if (!changes.length) return html`<p class="nothing">${say("diff.none")}</p>`;
  return scrolled(say("diff"), html`<table class="diff">
    ${head("diff.path", "diff.kind", "diff.before", "diff.after")}
    <tbody>${changes.map((change) => html`<tr data-kind=${change.kind}>
      <th scope="row"><code>${change.path}</code></th>
      <td>${say(`diff.${change.kind}`)}</td>
      <td class="before">${shown(change.before)}</td>
      <td class="after">${shown(change.after)}</td>
    </tr>`)}</tbody>
  </table>`);
}

function shown(value) {
  if (value === undefined) return "";
  return html`<code>${typeof value === "string" ? value : JSON.stringify(value, null, 1)}</code>`;
}
