// What is said, in the page's language.
export const language = document.documentElement.lang;
const catalogue = await (await fetch(`/static/words/${language}.json`)).json();

// `{name}` in the text becomes the value of that name.
export function say(key, values = {}) {
  return (catalogue[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// The contract's names of statuses begin with their enum's: TASK_RECORD_STATUS_RUNNING.
export function statusName(value = "") {
  return value.replace(/^[A-Z_]+_STATUS_/, "");
}

export function number(value, options) {
  return value.toLocaleString(language, options);
}

export function percent(value) {
  return number(value, { style: "percent", maximumFractionDigits: 1 });
}
