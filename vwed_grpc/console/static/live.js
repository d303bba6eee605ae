// A stream that is taken up where it broke, and let go of while nobody looks at the page.
import { address, refusal } from "./api.js";
import { say } from "./words.js";

const PAUSE = 1000; // ms before it is asked for again
const PASSING = new Set(["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"]);

// `handlers`: kind of event -> what is done with its data. Ends with the event `end`, or with what
// the service refuses for good; what it says goes to `handlers.failed`.
export function watch(path, params, handlers) {
  let source = null;
  let timer = 0;
  let after = "";
  let over = false;

  function open() {
    clearTimeout(timer);
    if (over || source || document.hidden) return;
    source = new EventSource(address(`/api${path}`, { ...params, after }));
    source.onerror = () => {
      close();
      tell("lost");
      timer = setTimeout(open, PAUSE);
    };
    for (const kind of Object.keys(handlers)) {
      if (kind !== "failed") source.addEventListener(kind, (event) => take(event, handlers[kind]));
    }
    source.addEventListener("mark", (event) => take(event));
    source.addEventListener("end", () => stop("ended"));
    source.addEventListener("failed", (event) => {
      const error = JSON.parse(event.data);
      if (PASSING.has(error.code)) return; // and then the stream ends, as with any break
      stop("failed");
      handlers.failed(refusal(error));
    });
  }

  function take(event, handler) {
    tell("live");
    after = event.lastEventId || after;
    handler?.(JSON.parse(event.data));
  }

  function close() {
    source?.close();
    source = null;
  }

  function stop(state) {
    over = true;
    close();
    tell(state);
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else open();
  });
  open();
}

function tell(state) {
  const shown = document.querySelector("#state");
  if (shown.dataset.state === state) return;
  shown.dataset.state = state;
  shown.textContent = say(`state.${state}`);
}
