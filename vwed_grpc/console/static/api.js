// What the console's server is asked for. The tenant goes along from page to page.
import { clockSays } from "./times.js";

const here = new URLSearchParams(location.search);
export const allowsActions = "actions" in document.documentElement.dataset;

export function address(path, params = {}) {
  const query = new URLSearchParams();
  const all = { tenant: here.getAll("tenant"), ...params };
  for (const [name, values] of Object.entries(all)) {
    for (const value of [values].flat()) {
      if (value !== undefined && value !== null && value !== "") query.append(name, value);
    }
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

export const runAddress = (id) => address(`/runs/${encodeURIComponent(id)}`);
export const definitionAddress = (id, params) =>
  address(`/definitions/${encodeURIComponent(id)}`, params);

// What the page's own address says: name -> its values.
export function chosen(...names) {
  return Object.fromEntries(names.map((name) => [name, here.getAll(name).filter(Boolean)]));
}

export function choose(params) {
  location.assign(address(location.pathname, params));
}

export async function get(path, params) {
  return answerOf(await fetch(address(`/api${path}`, params)));
}

export async function post(path, body) {
  return answerOf(await fetch(address(`/api${path}`), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  }));
}

// `ask`, one call after the other: so the answer that came last is what was asked last.
export function inTurn(ask) {
  let before = Promise.resolve();
  return (...given) => (before = before.then(() => ask(...given)));
}

export async function every(pause, ask) {
  for (;;) {
    await ask();
    await new Promise((done) => setTimeout(done, pause)); // ms
  }
}

async function answerOf(answer) {
  clockSays(answer.headers.get("Date"));
  if (answer.ok) return answer.json();
  const text = await answer.text();
  throw new Error(messageOf(text));
}

// What the service says no with, in a line.
export function refusal({ code, reason, message }) {
  return [reason || code, message].filter(Boolean).join(": ");
}

function messageOf(text) {
  try {
    return refusal(JSON.parse(text));
  } catch {
    return text;
  }
}
