import { html, nothing } from "./lit/lit-html.js";
import { address, choose, chosen, definitionAddress, get, inTurn } from "./api.js";
import { drawer, head, problem, scrolled, status, titled } from "./drawing.js";
import { timeOf } from "./times.js";
import { say } from "./words.js";

export function show(main) {
  const [name = ""] = chosen("name").name;
  let definitions = null;
  let next = "";
  let error = "";
  titled(say("page.definitions"));

  const draw = drawer(main, () => html`
    <h1>${say("page.definitions")}</h1>
    <form role="search" class="search" @submit=${searched}>
      <label>${say("definition.name")} <input type="search" name="name" .value=${name}></label>
      <button>${say("filter.apply")}</button>
    </form>
    ${problem(error)} ${definitions ? table(definitions) : nothing}
    ${next ? html`<button @click=${load}>${say("more")}</button>` : nothing}`);

  const load = inTurn(async () => {
    if (definitions && !next) return;
    try {
      const answer = await get("/definitions", { name, page_token: next });
      definitions = [...(definitions ?? []), ...answer.task_defs];
      next = answer.next_page_token;
    } catch (failure) {
      error = failure.message;
    }
    draw();
  });
  load();
}

function searched(event) {
  event.preventDefault();
  choose({ name: new FormData(event.target).get("name") });
}

function table(definitions) {
  if (!definitions.length) return html`<p class="nothing">${say("definitions.none")}</p>`;
  return scrolled(say("page.definitions"), html`<table class="definitions">
    ${head("definition.name", "status", "#version", "type", "changed", "definition.runs")}
    <tbody>${definitions.map((one) => html`<tr>
      <th scope="row"><a href=${definitionAddress(one.id)}>${one.name}</a>
        <span class="sub">${one.description}</span></th>
      <td>${status(one.status)}</td>
      <td class="number">${one.version}</td>
      <td class="type">${one.task_type}</td>
      <td class="changed">${timeOf(one.update_time)}</td>
      <td class="definition-runs">
        <a href=${address("/", { definition: one.name })}
          aria-label="${say("page.runs")}: ${one.name}">${say("page.runs")}</a>
      </td>
    </tr>`)}</tbody>
  </table>`);
}
