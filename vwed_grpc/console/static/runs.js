// The runs that the page's address asks for, the newest first, live; and who drives open ones.
import { html, nothing } from "./lit/lit-html.js";
import { repeat } from "./lit/directives/repeat.js";
import { chosen, every, get, inTurn, runAddress } from "./api.js";
import { drawer, head, problem, progress, scrolled, status, titled } from "./drawing.js";
import { executorsTable } from "./executors.js";
import { FILTERS, filterForm } from "./filters.js";
import { watch } from "./live.js";
import { timeOf, took } from "./times.js";
import { say, statusName } from "./words.js";

const MOST = 500; // rows that stay, however long the page is open
const EXECUTORS_EVERY = 5000; // ms

export function show(main) {
  const wanted = chosen(...FILTERS);
  const runs = new Map();
  let told = null; // while the list is read: the runs that changed since it was asked for
  let next = "";
  let error = "";
  let executors = null;
  titled(say("page.runs"));

  const draw = drawer(main, () => html`
    <h1>${say("page.runs")}</h1>
    ${filterForm(wanted)} ${problem(error)}
    <div class="columns">
      <section aria-labelledby="runs">
        <h2 id="runs">${say("runs.listed")}</h2>
        ${scrolled(say("page.runs"), runsTable([...runs.values()]))}
        ${next ? html`<button @click=${() => load({ more: true })}>${say("more")}</button>` : nothing}
      </section>
      <section aria-labelledby="executors">
        <h2 id="executors">${say("executors")}</h2>
        ${executors ? executorsTable(executors) : nothing}
      </section>
    </div>`);

  const load = inTurn(async ({ more = false } = {}) => {
    if (more && !next) return;
    told = new Map();
    try {
      const answer = await get("/runs", { ...wanted, page_token: more ? next : "" });
      if (!more) runs.clear();
      for (const run of answer.task_records) runs.set(run.id, run);
      next = answer.next_page_token;
      error = "";
    } catch (failure) {
      error = failure.message;
    }
    const newer = told;
    told = null;
    for (const run of newer.values()) take(run);
    draw();
  });

  async function loadExecutors() {
    if (document.hidden) return;
    try {
      executors = await get("/executors");
    } catch {
      return; // the page's state says so
    }
    draw();
  }

  // A run that is new stands first; one that is known and no longer of the wanted statuses goes.
  function take(run) {
    told?.set(run.id, run);
    if (Number(runs.get(run.id)?.seq) > Number(run.seq)) return;
    const fits = !wanted.status.length || wanted.status.includes(statusName(run.status));
    if (run.deleted || !fits) {
      runs.delete(run.id);
    } else if (runs.has(run.id)) {
      runs.set(run.id, run);
    } else if (isNew(run)) {
      const others = [...runs].slice(0, MOST - 1);
      runs.clear();
      for (const [id, one] of [[run.id, run], ...others]) runs.set(id, one);
    }
    draw();
  }

  function isNew(run) {
    const [first] = runs.values();
    const after = wanted.since[0];
    if (after && new Date(run.create_time) < new Date(after)) return false;
    return !first || new Date(run.create_time) >= new Date(first.create_time) || !next;
  }

  const { status: _, ...watched } = wanted;
  watch("/runs/stream", watched, {
    ready: () => load(),
    run: take,
    failed: (said) => { error = said; draw(); },
  });
  load();
  every(EXECUTORS_EVERY, loadExecutors);
  setInterval(draw, 1000); // how long they take
}

function runsTable(runs) {
  if (!runs.length) return html`<p class="nothing">${say("runs.none")}</p>`;
  return html`<table class="runs">
    ${head("run", "status", "done", "robot", "created", "#took", "message")}
    <tbody>${repeat(runs, (run) => run.id, row)}</tbody>
  </table>`;
}

function row(run) {
  const said = [run.error_code, run.error_message].filter(Boolean).join(": ") || run.message;
  return html`<tr data-run=${run.id}>
    <th scope="row">
      <a href=${runAddress(run.id)}>${run.task_def_name || run.id}</a>
      <span class="sub">${run.external_id || run.id}</span>
    </th>
    <td>${status(run.status)}<span class="sub narrow">${took(run)}</span></td>
    <td class="done">${progress(run.progress)}</td>
    <td class="robot">${run.robot_id || run.executor_id}</td>
    <td class="created">${timeOf(run.create_time)}</td>
    <td class="took number">${took(run)}</td>
    <td class="message">${said}</td>
  </tr>`;
}
