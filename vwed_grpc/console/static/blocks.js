// A run's blocks as a tree, each beside the bars of when it was at work. All on one axis of time,
// which can be stretched, so that bursts between long waits come apart.
import { html, nothing, svg } from "./lit/lit-html.js";
import { scrolled, status } from "./drawing.js";
import { duration } from "./times.js";
import { number, say } from "./words.js";

const narrow = matchMedia("(max-width: 640px)");
const GROWS = new Set(["RUNNING", "PAUSED"]);

export function isAtWork(table) {
  return !table.run.end_time && Boolean(table.run.start_time);
}

export function blocksTable(table, grown, view, draw) {
  const seconds = table.seconds + grown;
  const shown = windowOf(seconds, view);
  return html`
    <div class="stretch">
      <label>${say("stretch")}
        <input type="range" min="0" max="12" step="0.25" .value=${String(view.zoom)}
          @input=${(event) => { view.zoom = Number(event.target.value); draw(); }}>
      </label>
      <label ?hidden=${!view.zoom}>${say("stretch.place")}
        <input type="range" min="0" max="1" step="0.001" .value=${String(view.place)}
          @input=${(event) => { view.place = Number(event.target.value); draw(); }}>
      </label>
    </div>
    ${scrolled(say("blocks"), html`<table class="blocks">
      <thead><tr>
        <th scope="col">${say("block")}</th>
        <th scope="col">${say("status")}</th>
        <th scope="col" class="took">${say("took")}</th>
        <th scope="col" class="bars">
          <span class="hidden">${say("timeline")}</span>${axis(shown)}
        </th>
        <th scope="col" class="message">${say("message")}</th>
      </tr></thead>
      <tbody>${table.rows.map((row) => line(row, grown, shown))}</tbody>
    </table>`)}
    ${table.left_out
      ? html`<p class="note">${say("blocks.more", { count: number(table.left_out) })}</p>`
      : nothing}`;
}

// The part of the axis that is shown, in seconds.
function windowOf(seconds, view) {
  const length = seconds / 2 ** view.zoom;
  return { begin: (seconds - length) * view.place, length };
}

function line(row, grown, shown) {
  const bars = row.bars.map(([begin, end, name, title, message]) => ({
    begin, end: GROWS.has(name) ? end + grown : end, name, title, message,
  }));
  const worked = bars.reduce((sum, bar) => sum + bar.end - bar.begin, 0);
  const time = bars.length ? duration(worked) : "";
  return html`<tr data-status=${row.status}>
    <th scope="row" data-depth=${row.depth}>${row.title}
      ${row.message ? html`<span class="sub narrow">${row.message}</span>` : nothing}
    </th>
    <td>${status(row.status)}<span class="sub narrow">${time}</span></td>
    <td class="took number">${time}</td>
    <td class="bars">
      <svg class="track" aria-hidden="true">${bars.map((bar) => drawn(bar, shown))}</svg>
    </td>
    <td class="message">${row.message}</td>
  </tr>`;
}

function drawn(bar, shown) {
  const at = (time) => (100 * (time - shown.begin)) / shown.length;
  const begin = Math.max(at(bar.begin), 0);
  const end = Math.min(at(bar.end), 100);
  if (at(bar.begin) > 100 || at(bar.end) < 0) return nothing;
  const said = `${bar.title}: ${say(`status.${bar.name}`)} ${duration(bar.end - bar.begin)}`;
  const width = Math.max(end - begin, 0.4);
  return svg`<rect x="${Math.min(begin, 100 - width).toFixed(3)}%" width="${width.toFixed(3)}%"
    y="3" height="12" rx="2" data-status=${bar.name}><title>${said} ${bar.message}</title></rect>`;
}

function axis({ begin, length }) {
  const [many, last] = narrow.matches ? [3, 0.6] : [4, 0.93];
  const step = stepOf(length / many);
  const marks = [];
  for (let at = Math.ceil(begin / step) * step; at <= begin + length * last; at += step) {
    marks.push(svg`<text x="${((100 * (at - begin)) / length).toFixed(2)}%" y="12"
      >${at < step / 2 ? "0" : duration(at)}</text>`);
  }
  return html`<svg class="axis" aria-hidden="true">${marks}</svg>`;
}

// 1, 2 or 5 times a power of ten.
function stepOf(rough) {
  const ten = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((times) => ten * times).find((step) => step >= rough);
}
