// What happened in a run: the newest first, and older events where they are asked for.
import { html, nothing } from "./lit/lit-html.js";
import { repeat } from "./lit/directives/repeat.js";
import { get } from "./api.js";
import { head, scrolled, status } from "./drawing.js";
import { timeOf } from "./times.js";
import { say } from "./words.js";

const MOST = 1000; // that are kept without being asked for

export class History {
  constructor(path) {
    this.path = path;
    this.clear();
  }

  clear() {
    this.events = []; // the oldest first, without a gap
    this.isWhole = false; // there are none before the first
    this.most = MOST;
  }

  get first() {
    return this.events[0]?.seq ?? 1;
  }

  get hasEarlier() {
    return this.first > 1 && !this.isWhole;
  }

  add(event) {
    if (event.seq <= (this.events.at(-1)?.seq ?? 0)) return;
    this.events.push(event);
    if (this.events.length > this.most) this.events.shift();
  }

  async loadEarlier() {
    const { events } = await get(`${this.path}/events`, { before: this.first });
    this.isWhole = !events.length;
    this.events = [...events.filter((event) => event.seq < this.first), ...this.events];
    this.most = Math.max(this.most, this.events.length);
  }
}

export function eventsTable(history, draw) {
  const newest = history.events.toReversed();
  return html`
    ${scrolled(say("events"), html`<table class="events">
      ${head("event.time", "#event.seq", "status", "event.what", "event.actor")}
      <tbody>${repeat(newest, (event) => event.seq, row)}</tbody>
    </table>`)}
    ${history.hasEarlier
      ? html`<button @click=${() => history.loadEarlier().then(draw, draw)}>
          ${say("events.earlier")}</button>`
      : nothing}`;
}

function row(event) {
  const what = event.kind === "task_record" ? say("run") : event.subject;
  const by = event.kind === "task_record" ? event.subject : "";
  return html`<tr data-seq=${event.seq}>
    <td>${timeOf(event.time, { onlyClock: true })}</td>
    <td class="number">${event.seq}</td>
    <td>${event.status ? status(event.status) : say(`kind.${event.kind}`)}</td>
    <th scope="row">${what}
      ${[by, event.text].filter(Boolean).map((text) => html`<span class="sub">${text}</span>`)}
    </th>
    <td>${event.actor}${event.reason ? html`<span class="sub">${event.reason}</span>` : nothing}</td>
  </tr>`;
}
