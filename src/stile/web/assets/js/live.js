// One stream per visible tab. It carries topic names only; whatever listens to a topic asks for itself again.
// A hidden tab closes its stream: it costs nothing, and browsers allow few connections per server.
const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 30000;
const SETTLE_MS = 400;

let source = null;
let retryMs = RETRY_MIN_MS;
let missed = false;

function say(state, text) {
  const status = document.getElementById("live-status");
  if (!status || status.dataset.state === state) return;
  status.dataset.state = state;
  status.querySelector("span").textContent = text;
}

// Events are named by their topic; these are the ones this page listens to.
function wantedTopics() {
  return new Set([...document.querySelectorAll("[data-live]")].flatMap((element) => element.dataset.live.split(" ")));
}

// A form somebody has begun to fill is never replaced under their hands.
function isBeingFilled(element) {
  return [...element.querySelectorAll("input:not([type=hidden]), textarea")].some((field) =>
    field === document.activeElement ||
    (field.matches("[type=checkbox], [type=radio]") ? field.checked !== field.defaultChecked : field.value !== field.defaultValue));
}

let pending = 0;

// Changes come in bursts: one question shortly after the last of them answers all.
function tell() {
  clearTimeout(pending);
  pending = setTimeout(() => {
    for (const element of document.querySelectorAll("[data-live]")) {
      if (!isBeingFilled(element)) element.dispatchEvent(new CustomEvent("live"));
    }
  }, SETTLE_MS);
}

function open() {
  if (source || document.hidden) return;
  source = new EventSource(document.body.dataset.events);
  source.onopen = () => {
    retryMs = RETRY_MIN_MS;
    say("live", "live");
    if (missed) tell();
    missed = false;
  };
  for (const topic of wantedTopics()) source.addEventListener(topic, tell);
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
