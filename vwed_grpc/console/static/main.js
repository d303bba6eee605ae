// Which module draws this page. Each is loaded when its page is, and nothing else is.
const PAGES = [
  [/^\/$/, "./runs.js"],
  [/^\/runs\/([^/]+)$/, "./run.js"],
  [/^\/definitions$/, "./definitions.js"],
  [/^\/definitions\/([^/]+)$/, "./definition.js"],
  [/^\/figures$/, "./figures.js"],
];

for (const [path, module] of PAGES) {
  const found = location.pathname.match(path);
  if (found) {
    const { show } = await import(module);
    show(document.querySelector("main"), ...found.slice(1).map(decodeURIComponent));
  }
}
