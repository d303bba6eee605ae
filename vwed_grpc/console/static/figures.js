// How runs went: by time, by definition, and of blocks by type.
import { html, nothing } from "./lit/lit-html.js";
import { choose, chosen, definitionAddress, get } from "./api.js";
import { columns, lines } from "./chart.js";
import { drawer, head, problem, scrolled, titled } from "./drawing.js";
import { duration } from "./times.js";
import { language, number, percent, say } from "./words.js";

const DAYS = ["1", "7", "30", "92"];

export async function show(main) {
  const [days = "7"] = chosen("days").days;
  const { definition } = chosen("definition");
  let told = null;
  let error = "";
  titled(say("page.figures"));

  const draw = drawer(main, () => html`
    <h1>${say("page.figures")}</h1>
    <form class="search" @submit=${(event) => event.preventDefault()}>
      <label>${say("figures.days")}
        <select @change=${(event) => choose({ days: event.target.value, definition })}>
          ${DAYS.map((one) => html`<option value=${one} ?selected=${one === days}>
            ${one === "1" ? say("figures.last.hours") : say("figures.last.days", { days: one })}
          </option>`)}
        </select>
      </label>
    </form>
    ${problem(error)} ${told ? figures(told, Number(days)) : nothing}`);

  draw();
  try {
    const time_zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    told = await get("/figures", { days, definition, time_zone });
  } catch (failure) {
    error = failure.message;
  }
  draw();
}

function figures(told, days) {
  const [all] = told.all;
  if (!all?.count) return html`<p class="nothing">${say("figures.none")}</p>`;
  const at = new Intl.DateTimeFormat(language, told.step === "hour"
    ? { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } : { month: "2-digit", day: "2-digit" });
  const periods = filled(told, days).map((one) => ({ ...one, label: at.format(new Date(one.start)) }));
  return html`
    <dl class="facts large">
      <div><dt>${say("figures.runs")}</dt><dd>${number(all.count)}</dd></div>
      <div><dt>${say("figures.success")}</dt><dd>${rate(all.success_rate)}</dd></div>
      <div><dt>${say("figures.duration")}</dt><dd>${median(all.duration)}</dd></div>
      <div><dt>${say("figures.queue")}</dt><dd>${median(all.queue_time)}</dd></div>
    </dl>
    <div class="charts">
      ${chart("figures.outcome", columns(periods, (one) => one.counts, say("figures.outcome")))}
      ${chart("figures.rate", lines(periods, {
        success: (one) => one.success_rate,
      }, { format: percent, top: 1, label: say("figures.rate") }))}
      ${chart("figures.durations", lines(periods, {
        p50: (one) => one.duration?.p50, p95: (one) => one.duration?.p95,
      }, { format: duration, label: say("figures.durations") }))}
      ${chart("figures.queues", lines(periods, {
        p50: (one) => one.queue_time?.p50, p95: (one) => one.queue_time?.p95,
      }, { format: duration, label: say("figures.queues") }))}
    </div>
    <section aria-labelledby="by-definition">
      <h2 id="by-definition">${say("figures.by.definition")}</h2>
      ${scrolled(say("figures.by.definition"), html`<table>
        ${head("definition", "#figures.runs", "#figures.success", "#p50", "#p95", "#figures.queue")}
        <tbody>${told.definitions.map((one) => html`<tr>
          <th scope="row"><a href=${definitionAddress(one.task_def_id)}>${one.name}</a></th>
          <td class="number">${number(one.count)}</td>
          <td class="number">${rate(one.success_rate)}</td>
          <td class="number">${one.duration ? duration(one.duration.p50) : ""}</td>
          <td class="number">${one.duration ? duration(one.duration.p95) : ""}</td>
          <td class="number">${median(one.queue_time)}</td>
        </tr>`)}</tbody>
      </table>`)}
    </section>
    <section aria-labelledby="by-type">
      <h2 id="by-type">${say("figures.by.type")}</h2>
      ${scrolled(say("figures.by.type"), html`<table>
        ${head("type", "#figures.blocks", "#figures.failures", "#p50", "#p95")}
        <tbody>${told.blocks.map((one) => html`<tr>
          <th scope="row">${one.block_type || "–"}</th>
          <td class="number">${number(one.count)}</td>
          <td class="number">${percent(one.failure_rate)}</td>
          <td class="number">${duration(one.duration.p50)}</td>
          <td class="number">${duration(one.duration.p95)}</td>
        </tr>`)}</tbody>
      </table>`)}
    </section>`;
}

// With the hours or days in which no run ended, by the browser's own clock, as they were asked for.
function filled({ periods, step }, days) {
  const known = new Map(periods.map((one) => [Date.parse(one.start), one]));
  const at = new Date(Date.now() - days * 86400000);
  if (step === "hour") at.setMinutes(0, 0, 0);
  else at.setHours(0, 0, 0, 0);
  const all = [];
  for (const end = Date.now(); at <= end;) {
    all.push(known.get(at.getTime()) ?? { start: at.toISOString(), counts: {} });
    if (step === "hour") at.setTime(at.getTime() + 3600000);
    else at.setDate(at.getDate() + 1);
  }
  return all;
}

const rate = (value) => (value === null ? "–" : percent(value));
const median = (value) => (value ? duration(value.p50) : "–");

function chart(key, drawn) {
  return html`<figure><figcaption>${say(key)}</figcaption>${drawn}</figure>`;
}
