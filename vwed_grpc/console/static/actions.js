// What may be done to a run by its status, each asked for once more in a dialog, with a reason.
import { html, nothing, render } from "./lit/lit-html.js";
import { allowsActions, post, runAddress } from "./api.js";
import { say, statusName } from "./words.js";

const OPEN = ["PENDING", "RUNNING", "PAUSING", "PAUSED", "CANCELING", "INTERRUPTED"];
const ACTIONS = [
  { verb: "pause", from: ["RUNNING"] },
  { verb: "resume", from: ["PAUSING", "PAUSED"] },
  { verb: "cancel", from: OPEN, options: ["force", "cascade"] },
  { verb: "signal", from: OPEN, named: true },
  { verb: "retry", from: ["FAILED", "CANCELED"], options: ["from_failure"] },
];

export function actionBar(run, failed) {
  if (!allowsActions) return nothing;
  const possible = ACTIONS.filter(({ from }) => from.includes(statusName(run.status)));
  return html`<p class="buttons">${possible.map((action) => html`
    <button @click=${() => ask(run, action, failed)}>${say(`action.${action.verb}`)}</button>`)}
  </p>`;
}

function ask(run, action, failed) {
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "asked");
  const { verb, options = [], named } = action;
  render(html`
    <form method="dialog" @submit=${() => act(run, verb, dialog, failed)}>
      <h2 id="asked">${say(`action.${verb}`)}: ${run.external_id || run.id}</h2>
      ${named ? html`<label>${say("signal.name")}
        <input name="name" list="signals" required maxlength="128"></label>
        <datalist id="signals">
          <option>retry_block</option><option>skip_block</option><option>complete_block</option>
        </datalist>` : nothing}
      <label>${say("reason")} <input name="reason" maxlength="512"></label>
      ${options.map((name) => html`
        <label class="check"><input type="checkbox" name=${name}> ${say(`action.${name}`)}</label>`)}
      <p class="buttons">
        <button>${say(`action.${verb}`)}</button>
        <button type="button" @click=${() => dialog.close()}>${say("back")}</button>
      </p>
    </form>`, dialog);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

async function act(run, verb, dialog, failed) {
  const { from_failure, ...body } = Object.fromEntries(new FormData(dialog.querySelector("form")));
  for (const name of ["force", "cascade"]) if (name in body) body[name] = true;
  if (from_failure) body.mode = "MODE_FROM_FAILURE";
  try {
    const now = await post(`/runs/${encodeURIComponent(run.id)}/${verb}`, body);
    failed("");
    if (now.id !== run.id) location.assign(runAddress(now.id));
  } catch (error) {
    failed(error.message);
  }
}
