// One run: its blocks and when they were at work, what happened, its data, and what may be done.
import { html, nothing } from "./lit/lit-html.js";
import { actionBar } from "./actions.js";
import { definitionAddress, every, get, inTurn, runAddress } from "./api.js";
import { blocksTable, isAtWork } from "./blocks.js";
import { cacheTable } from "./cache.js";
import { drawer, json, problem, progress, status, titled } from "./drawing.js";
import { eventsTable, History } from "./history.js";
import { watch } from "./live.js";
import { timeOf, took } from "./times.js";
import { say } from "./words.js";

const CACHE_EVERY = 5000; // ms; the data cache has no events

export function show(main, id) {
  const path = `/runs/${encodeURIComponent(id)}`;
  const history = new History(path);
  const view = { zoom: 0, place: 0 };
  let table = null;
  let received = 0;
  let full = null;
  let cache = null;
  let error = "";

  const draw = drawer(main, () => html`
    ${problem(error)}
    ${table ? html`
      ${heading(table.run)} ${actionBar(table.run, (failure) => { error = failure; draw(); })}
      <section aria-labelledby="blocks">
        <h2 id="blocks">${say("blocks")}</h2>
        ${blocksTable(table, sinceReceived(), view, draw)}
      </section>` : nothing}
    <div class="columns">
      <section aria-labelledby="events">
        <h2 id="events">${say("events")}</h2>
        ${eventsTable(history, draw)}
      </section>
      <section aria-labelledby="cache">
        <h2 id="cache">${say("cache")}</h2>
        ${cache ? cacheTable(cache) : nothing}
        ${payload("input", full?.input)} ${payload("result", full?.result)}
      </section>
    </div>`);

  // What is at work grows from the moment that the table was drawn up.
  function sinceReceived() {
    return isAtWork(table) ? (performance.now() - received) / 1000 : 0;
  }

  const loadCache = inTurn(async () => {
    if (document.hidden) return;
    try {
      cache = await get(`${path}/cache`);
    } catch {
      return; // the stream says what is wrong
    }
    draw();
  });

  const loadPayload = inTurn(async () => {
    try {
      full = await get(path);
    } catch {
      return;
    }
    draw();
  });

  let known = "";
  watch(`${path}/stream`, {}, {
    table: (data) => {
      table = data;
      received = performance.now();
      titled(data.run.external_id || data.run.task_def_name || id);
      if (data.run.status !== known) {
        loadPayload();
        loadCache();
      }
      known = data.run.status;
      draw();
    },
    change: (event) => { history.add(event); draw(); },
    restart: () => { history.clear(); draw(); },
    failed: (said) => { error = said; draw(); },
  });
  every(CACHE_EVERY, async () => { if (table && isOpen(table.run)) await loadCache(); });
  setInterval(() => { if (table && isOpen(table.run)) draw(); }, 1000);
  draw();
}

const isOpen = (run) => !run.end_time;

function heading(run) {
  const name = run.task_def_name || run.task_def_id;
  const definition = definitionAddress(run.task_def_id, { version: run.task_def_version });
  return html`
    <h1>${name} <span class="sub">${run.external_id || run.id}</span></h1>
    <p class="summary">${status(run.status)} <span>${progress(run.progress)}</span>
      <span>${took(run)}</span></p>
    ${run.error_code || run.error_message ? problem(
      [run.error_code, run.error_message].filter(Boolean).join(": ")) : nothing}
    <dl class="facts">
      ${fact("run", run.id)}
      ${fact("definition", html`<a href=${definition}>${name} v${run.task_def_version}</a>`)}
      ${fact("robot", run.robot_id)} ${fact("executor", run.executor_id)}
      ${fact("created", timeOf(run.create_time))} ${fact("started", timeOf(run.start_time))}
      ${fact("ended", timeOf(run.end_time))} ${fact("priority", run.priority)}
      ${fact("message", run.message)} ${fact("reason", reason(run))}
      ${fact("labels", labels(run.labels))}
      ${fact("parent", related(run.parent_task_record_id))}
      ${fact("retry.of", related(run.retry_of))}
    </dl>`;
}

function fact(key, value) {
  if (value === undefined || value === "" || value === nothing) return nothing;
  return html`<div><dt>${say(key)}</dt><dd>${value}</dd></div>`;
}

function reason(run) {
  return [run.status_reason, run.status_reason && run.status_actor].filter(Boolean).join(" · ");
}

function labels(labels = {}) {
  return Object.entries(labels).map(([key, value]) => `${key}=${value}`).join(", ");
}

function related(id) {
  return id ? html`<a href=${runAddress(id)}>${id}</a>` : "";
}

function payload(key, value) {
  return value && Object.keys(value).length
    ? html`<details><summary>${say(key)}</summary>${json(value)}</details>` : nothing;
}
