import { html, nothing } from "./lit/lit-html.js";
import { address } from "./api.js";
import { head, scrolled } from "./drawing.js";
import { duration, secondsSince } from "./times.js";
import { number, say } from "./words.js";

export function executorsTable({ executors, more }) {
  if (!executors.length) return html`<p class="nothing">${say("executors.none")}</p>`;
  return html`
    ${scrolled(say("executors"), html`<table class="executors">
      ${head("executor", "#executor.runs", "#executor.heard", "#executor.lease")}
      <tbody>${executors.map(row)}</tbody>
    </table>`)}
    <p class="note">${say("executor.note")}</p>
    ${more ? html`<p class="note">${say("executor.more")}</p>` : nothing}`;
}

function row(executor) {
  return html`<tr>
    <th scope="row">${executor.executor_id}
      ${executor.robots.length && executor.robots.join() !== executor.executor_id
        ? html`<span class="sub">${executor.robots.join(", ")}</span>` : nothing}
    </th>
    <td class="number">
      <a href=${address("/", { executor: executor.executor_id })}
        aria-label="${say("executor.runs")}: ${executor.runs.length}, ${executor.executor_id}"
        >${number(executor.runs.length)}</a>
    </td>
    <td class="number">${duration(Math.max(secondsSince(executor.heard), 0))}</td>
    <td class="number">${lease(executor)}</td>
  </tr>`;
}

// An interrupted run is one whose lease ran out, and says no more when that was.
function lease({ lease_end, runs }) {
  const left = lease_end ? -secondsSince(lease_end) : Infinity;
  if (left <= 0 || runs.some((run) => run.status === "INTERRUPTED")) {
    return html`<strong>${say("executor.lease.over")}</strong>`;
  }
  return lease_end ? duration(left) : say("executor.no.lease");
}
