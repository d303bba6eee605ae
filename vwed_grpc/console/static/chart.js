// Small charts: columns of counts by status, and lines of figures. What they show stands in a table
// beneath as well, for whoever cannot see them.
import { html, nothing, svg } from "./lit/lit-html.js";
import { number, say } from "./words.js";

const isNarrow = matchMedia("(max-width: 640px)").matches;
const WIDTH = isNarrow ? 330 : 560;
const HEIGHT = 170;
const LEFT = 56;
const BOTTOM = 22;
const TOP = 8;
const PLOT = { width: WIDTH - LEFT - 8, height: HEIGHT - BOTTOM - TOP };
const STATUSES = ["SUCCEEDED", "FAILED", "CANCELED"];

// `of`: a period -> counts by status.
export function columns(periods, of, label) {
  const top = Math.max(1, ...periods.map((one) => sum(STATUSES.map((name) => of(one)[name] ?? 0))));
  const step = PLOT.width / periods.length;
  const width = Math.min(step * 0.7, 40);
  const bars = periods.map((one, n) => {
    let y = TOP + PLOT.height;
    return STATUSES.map((name) => {
      const count = of(one)[name] ?? 0;
      if (!count) return nothing;
      const height = (PLOT.height * count) / top;
      y -= height;
      return svg`<rect x=${LEFT + step * (n + 0.5) - width / 2} y=${y} width=${width} height=${height}
        data-status=${name}><title>${one.label}: ${say(`status.${name}`)} ${count}</title></rect>`;
    });
  });
  return html`
    ${frame(label, periods, top, number, bars)}
    ${legend(STATUSES.map((name) => [name, say(`status.${name}`)]), "status")}
    ${table(label, periods, STATUSES, (name) => say(`status.${name}`),
      (one, name) => number(of(one)[name] ?? 0))}`;
}

// `series`: name -> the figure of a period, null where it has none.
export function lines(periods, series, { format, top, label }) {
  const names = Object.keys(series);
  const values = names.flatMap((name) => periods.map(series[name])).filter(isFigure);
  const highest = top ?? (Math.max(0, ...values) * 1.05 || 1);
  const step = PLOT.width / periods.length;
  const drawn = names.map((name, order) => {
    const points = periods.map((one, n) => [one, LEFT + step * (n + 0.5), series[name](one)])
      .filter(([, , value]) => isFigure(value))
      .map(([one, x, value]) => ({ one, x, y: TOP + PLOT.height * (1 - value / highest), value }));
    return svg`
      <polyline data-series=${order} points=${points.map(({ x, y }) => `${x},${y}`).join(" ")} />
      ${points.map(({ one, x, y, value }) => svg`<circle data-series=${order} cx=${x} cy=${y} r="3"
        ><title>${one.label}: ${said(name)} ${format(value)}</title></circle>`)}`;
  });
  return html`
    ${frame(label, periods, highest, format, drawn)}
    ${names.length > 1 ? legend(names.map((name, n) => [n, said(name)]), "series") : nothing}
    ${table(label, periods, names, said, (one, name) => {
      const value = series[name](one);
      return isFigure(value) ? format(value) : "–";
    })}`;
}

const isFigure = (value) => value !== null && value !== undefined;
const sum = (values) => values.reduce((total, value) => total + value, 0);
const said = (name) => say(`figures.${name}`);

function frame(label, periods, top, format, drawn) {
  const step = PLOT.width / periods.length;
  const every = Math.ceil(periods.length / (isNarrow ? 4 : 8));
  return html`<svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label=${label}>
    ${[0, 0.5, 1].map((part) => svg`
      <line x1=${LEFT} x2=${WIDTH - 8} y1=${TOP + PLOT.height * (1 - part)}
        y2=${TOP + PLOT.height * (1 - part)} />
      <text class="end" x=${LEFT - 6} y=${TOP + PLOT.height * (1 - part) + 4}
        >${part ? format(top * part) : "0"}</text>`)}
    ${drawn}
    ${periods.map((one, n) => (n % every ? nothing : svg`<text class="middle"
      x=${LEFT + step * (n + 0.5)} y=${HEIGHT - 6}>${one.label}</text>`))}
  </svg>`;
}

function legend(entries, kind) {
  return html`<p class="legend">${entries.map(([value, text]) => html`
    <span><i data-status=${kind === "status" ? value : nothing}
      data-series=${kind === "series" ? value : nothing}></i>${text}</span>`)}</p>`;
}

function table(label, periods, names, title, value) {
  return html`<details><summary>${say("figures.as.table")}</summary>
    <table><caption class="hidden">${label}</caption>
      <thead><tr><th scope="col">${say("figures.period")}</th>
        ${names.map((name) => html`<th scope="col">${title(name)}</th>`)}</tr></thead>
      <tbody>${periods.map((one) => html`<tr><th scope="row">${one.label}</th>
        ${names.map((name) => html`<td class="number">${value(one, name)}</td>`)}</tr>`)}</tbody>
    </table></details>`;
}
