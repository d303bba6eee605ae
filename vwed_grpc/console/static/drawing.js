// What several pages draw alike.
import { html, nothing, render } from "./lit/lit-html.js";
import { say, statusName } from "./words.js";

// Draws once for all that changes before the next frame.
export function drawer(into, template) {
  let asked = false;
  return function draw() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      render(template(), into);
    });
  };
}

export function titled(text) {
  document.title = `${text} · VWED`;
}

export function status(value) {
  const name = statusName(value);
  return html`<span class="status" data-status=${name}>${say(`status.${name || "NONE"}`)}</span>`;
}

export function progress(value = 0) {
  const said = `${Math.floor(value * 100)}%`;
  return html`<progress max="1" .value=${value} aria-label=${said}></progress> ${said}`;
}

export function problem(text) {
  return text ? html`<p class="problem" role="alert">${text}</p>` : nothing;
}

// A table that may be wider than the page scrolls within itself, by keyboard too.
export function scrolled(label, table) {
  return html`<div class="scrolled" role="region" aria-label=${label} tabindex="0">${table}</div>`;
}

// The titles of columns; those of numbers, which stand on the right, are marked `#`.
export function head(...keys) {
  return html`<thead><tr>${keys.map((marked) => {
    const key = marked.replace("#", "");
    const kinds = [key.replace(".", "-"), marked === key ? "" : "number"].join(" ");
    return html`<th scope="col" class=${kinds}>${say(key)}</th>`;
  })}</tr></thead>`;
}

export function json(value) {
  return html`<pre tabindex="0">${JSON.stringify(value, null, 2)}</pre>`;
}
