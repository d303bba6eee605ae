// The filters of the page of runs; they stand in its address, which can be kept and passed on.
import { html } from "./lit/lit-html.js";
import { choose } from "./api.js";
import { say } from "./words.js";

const TEXTS = ["definition", "robot", "executor", "external_id", "label"];
const STATUSES = [
  "PENDING", "RUNNING", "PAUSING", "PAUSED", "CANCELING", "INTERRUPTED",
  "SUCCEEDED", "FAILED", "CANCELED",
];
export const FILTERS = ["status", ...TEXTS, "since"];

export function filterForm(wanted) {
  const some = FILTERS.some((name) => wanted[name].length);
  return html`<details class="filters" ?open=${some}>
    <summary>${say("filters")}</summary>
    <form role="search" aria-label=${say("filters")} @submit=${submitted}>
      <fieldset>
        <legend>${say("status")}</legend>
        ${STATUSES.map((name) => html`<label class="check">
          <input type="checkbox" name="status" value=${name}
            ?checked=${wanted.status.includes(name)}> ${say(`status.${name}`)}
        </label>`)}
      </fieldset>
      ${TEXTS.map((name) => html`
        <label>${say(`filter.${name}`)}
          <input name=${name} .value=${wanted[name][0] ?? ""}
            placeholder=${name === "label" ? "key=value" : ""}>
        </label>`)}
      <label>${say("filter.since")}
        <input type="datetime-local" name="since" .value=${localTime(wanted.since[0])}>
      </label>
      <span class="buttons">
        <button>${say("filter.apply")}</button>
        <button type="button" @click=${() => choose({})}>${say("filter.clear")}</button>
      </span>
    </form>
  </details>`;
}

function submitted(event) {
  event.preventDefault();
  const data = new FormData(event.target);
  const params = Object.fromEntries(FILTERS.map((name) => [name, data.getAll(name)]));
  const [since] = params.since;
  params.since = since ? new Date(since).toISOString() : "";
  choose(params);
}

// As the field wants it: in the browser's zone, without one.
function localTime(text) {
  if (!text) return "";
  const time = new Date(text);
  return new Date(time - time.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}
