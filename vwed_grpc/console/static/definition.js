// A definition at a version: its blocks as a tree, its versions, and what differs between two.
import { html, nothing } from "./lit/lit-html.js";
import { choose, chosen, definitionAddress, get } from "./api.js";
import { diffTable } from "./diff.js";
import { drawer, head, json, problem, scrolled, status, titled } from "./drawing.js";
import { timeOf } from "./times.js";
import { say } from "./words.js";

export async function show(main, id) {
  const path = `/definitions/${encodeURIComponent(id)}`;
  const asked = chosen("version", "from", "to");
  let found = null;
  let versions = [];
  let diff = null;
  let error = "";

  const draw = drawer(main, () => html`${problem(error)} ${found ? html`
    ${heading(found.task_def)}
    <section aria-labelledby="blocks">
      <h2 id="blocks">${say("blocks")}</h2>${tree(found.blocks)}
    </section>
    ${inputs(found.task_def.config)}
    <section aria-labelledby="versions">
      <h2 id="versions">${say("versions")}</h2>${versionsTable(id, versions)}
    </section>
    ${versions.length > 1 ? html`<section aria-labelledby="diff">
      <h2 id="diff">${say("diff")}</h2>
      ${diffForm(versions, asked)} ${diff ? diffTable(diff) : nothing}
    </section>` : nothing}` : nothing}`);

  try {
    const [definition, all] = await Promise.all([
      get(path, { version: asked.version }), get(`${path}/versions`),
    ]);
    found = definition;
    versions = all.task_def_versions;
    titled(found.task_def.name);
    draw();
    if (versions.length > 1) {
      // Unless told otherwise, what the version that is shown has changed.
      const to = Number(asked.to[0] ?? Math.max(found.task_def.version, 2));
      const from = Number(asked.from[0] ?? to - 1);
      [asked.from, asked.to] = [[from], [to]];
      diff = (await get(`${path}/diff`, { from, to })).changes ?? [];
    }
  } catch (failure) {
    error = failure.message;
  }
  draw();
}

function heading(definition) {
  return html`
    <h1>${definition.name} <span class="sub">v${definition.version}</span></h1>
    <p class="summary">${definition.status ? status(definition.status) : nothing}
      <span>${definition.task_type}</span> <span>${timeOf(definition.update_time)}</span>
      <span>${definition.created_by}</span></p>
    ${definition.description ? html`<p>${definition.description}</p>` : nothing}
    ${definition.change_note ? html`<p class="note">${definition.change_note}</p>` : nothing}`;
}

function tree(blocks) {
  if (!blocks.length) return html`<p class="nothing">${say("blocks.none")}</p>`;
  return scrolled(say("blocks"), html`<table class="tree">
    ${head("block", "type", "branch", "inputs")}
    <tbody>${blocks.map((block) => html`<tr>
      <th scope="row" data-depth=${block.depth}>${block.id} ${block.name}</th>
      <td>${block.type}</td>
      <td class="branch">${block.branch}</td>
      <td class="inputs">${inline(block.inputs)}</td>
    </tr>`)}</tbody>
  </table>`);
}

function inline(inputs = {}) {
  return Object.entries(inputs).map(([name, value]) => html`<code>${name}</code> ${
    typeof value === "string" ? value : JSON.stringify(value)} `);
}

function inputs(config = {}) {
  return config.inputs?.length
    ? html`<details><summary>${say("inputs.of.run")}</summary>${json(config.inputs)}</details>`
    : nothing;
}

function versionsTable(id, versions) {
  return scrolled(say("versions"), html`<table class="versions">
    ${head("version", "changed", "event.actor", "change.note")}
    <tbody>${versions.map((one) => html`<tr>
      <th scope="row"><a href=${definitionAddress(id, { version: one.version })}
        >v${one.version}</a></th>
      <td>${timeOf(one.update_time)}</td>
      <td>${one.created_by}</td>
      <td>${one.change_note}</td>
    </tr>`)}</tbody>
  </table>`);
}

function diffForm(versions, asked) {
  const select = (name) => html`<label>${say(`diff.${name}`)}
    <select name=${name}>${versions.map(({ version }) => html`
      <option value=${version} ?selected=${version === asked[name][0]}>v${version}</option>`)}
    </select></label>`;
  function compared(event) {
    event.preventDefault();
    const data = new FormData(event.target);
    choose({ version: asked.version, from: data.get("from"), to: data.get("to") });
  }
  return html`<form class="search" @submit=${compared}>
    ${select("from")} ${select("to")} <button>${say("diff.compare")}</button>
  </form>`;
}
