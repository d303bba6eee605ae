import { html, nothing } from "./lit/lit-html.js";
import { language } from "./words.js";

const pad = (value) => String(value).padStart(2, "0");

// 0.03s, 1.2s, 3m05s, 2h07m, 3d04h: as in the terminal.
export function duration(seconds) {
  if (seconds < 1) return `${Math.max(seconds, 0).toFixed(2)}s`;
  if (seconds < 60) return `${seconds.toFixed(1)}s`;
  const whole = Math.floor(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)}m${pad(whole % 60)}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h${pad(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86400)}d${pad(Math.floor((whole % 86400) / 3600))}h`;
}

// The console's clock, for that of a browser may be wrong by minutes.
let ahead = 0; // ms
const TOLERATED = 2000;

export function clockSays(date) {
  const difference = Date.parse(date) - Date.now();
  if (Math.abs(difference) > TOLERATED || ahead) ahead = difference;
}

const now = () => Date.now() + ahead;

export function secondsSince(time, end = now()) {
  return (new Date(end) - new Date(time)) / 1000;
}

// How long a run or block took, or takes so far; "" if it has not begun.
export function took(of) {
  if (!of.start_time) return "";
  return duration(secondsSince(of.start_time, of.end_time ?? now()));
}

const clock = new Intl.DateTimeFormat(language, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const dated = new Intl.DateTimeFormat(language, {
  month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});

// In the browser's zone, in UTC beneath the pointer.
export function timeOf(text, { onlyClock = false } = {}) {
  if (!text) return nothing;
  const time = new Date(text);
  const shown = (onlyClock ? clock : dated).format(time);
  return html`<time datetime=${text} title=${time.toISOString()}>${shown}</time>`;
}
