// One stream per visible tab. It carries topic names only; whatever listens to a topic asks for itself again.
// A hidden tab closes its stream: it costs nothing, and browsers allow few connections per server.
const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 30000;

let source = null;
let retryMs = RETRY_MIN_MS;
let missed = false;

function say(state, text) {
  const status = document.getElementById("live-status");
  if (!status || status.dataset.state === state) return;
  status.dataset.state = state;
  status.querySelector("span").textContent = text;
}

function topicsOf(data) {
  try {
    const value = JSON.parse(data);
    if (Array.isArray(value)) return value;
    if (Array.isArray(value?.topics)) return value.topics;
    return [String(value?.topic ?? value)];
  } catch {
    return data.split(/[\s,]+/).filter(Boolean);
  }
}

// A topic may be as wide as "board" or as narrow as "board:early-detection"; either side may be the wide one.
function concerns(wanted, topic) {
  return wanted === topic || topic.startsWith(`${wanted}:`) || wanted.startsWith(`${topic}:`);
}

function tell(topics) {
  for (const element of document.querySelectorAll("[data-live]")) {
    const wanted = element.dataset.live.split(" ");
    if (!topics || wanted.some((name) => topics.some((topic) => concerns(name, topic)))) {
      // Never under the reader's hands: an open proof or a form being filled waits for the next reload.
      const busy = element.contains(document.activeElement) && document.activeElement.matches("input, textarea, select");
      if (!busy) element.dispatchEvent(new CustomEvent("live"));
    }
  }
}

function open() {
  if (source || document.hidden) return;
  source = new EventSource(document.body.dataset.events);
  source.onopen = () => {
    retryMs = RETRY_MIN_MS;
    say("live", "live");
    if (missed) tell(null);
    missed = false;
  };
  source.onmessage = (event) => tell(topicsOf(event.data));
  source.addEventListener("topics", (event) => tell(topicsOf(event.data)));
  source.onerror = () => {
    close();
    const at = new Date().toLocaleTimeString(undefined, { timeStyle: "short" });
    say("stale", `not live since ${at}`);
    setTimeout(open, retryMs + Math.random() * retryMs);
    retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
  };
}

function close() {
  source?.close();
  source = null;
  missed = true;
}

export function startLive() {
  if (!document.body.dataset.events) return;
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
}
