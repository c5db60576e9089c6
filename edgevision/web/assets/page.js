"use strict";

const byId = (id) => document.getElementById(id);
const body = document.body;
const view = byId("view");

const NAMES = {
  connecting: "Connecting",
  starting: "Starting",
  running: "Live",
  paused: "Paused",
  lost: "Source lost",
  stalled: "No update",
  disconnected: "Reconnecting",
  gone: "Not reachable",
  ended: "Ended",
};
// Lost and paused are drawn on the frame itself, so that a stream without this page shows them too.
const VEILS = {
  connecting: ["Connecting", () => "Waiting for the first frame."],
  starting: ["Starting", (now) => now.detail || "Waiting for the first frame."],
  disconnected: ["Connection lost", () => "Reconnecting."],
  gone: ["Not reachable", (now) => now.detail],
  ended: ["Ended", (now) => now.detail || "edgevision has quit. Start it again and open the address it prints."],
};
const GIVE_UP_AFTER_MS = 12000;

let events = null;
let over = false;
let stream = 0;
let heardAt = 0;
let retry = 0;
let shown = "connecting";
let armed = 0;
let toasted = 0;

// The token is in the cookie by now: remove it from the address and the history.
if (location.search) history.replaceState(null, "", "/");

function show(state, now = {}) {
  body.dataset.state = state;
  const name = NAMES[state] || state;
  if (byId("state").textContent !== name) byId("state").textContent = name;
  document.title = state === "running" ? "edgevision" : `${name} – edgevision`;
  const why = state === "lost" || state === "stalled" ? now.detail : "";
  if (byId("why").textContent !== why) byId("why").textContent = why;
  const veil = VEILS[state];
  if (veil) {
    byId("veil-title").textContent = veil[0];
    byId("veil-text").textContent = veil[1](now) || "";
  }
  byId("again").hidden = state !== "gone";
  shown = state;
}

function figures(now) {
  byId("fps").textContent = now.fps.toFixed(1);
  byId("infer").textContent = now.infer_ms.toFixed(1);
  byId("infer-unit").textContent = now.detect_every > 1 ? `ms every ${now.detect_every} frames` : "ms";
  const seconds = now.age_ms >= 1000;
  byId("age").textContent = seconds ? (now.age_ms / 1000).toFixed(1) : Math.round(now.age_ms);
  byId("age-unit").textContent = seconds ? "s" : "ms";
  byId("dropped").textContent = now.dropped.toLocaleString("en");
  byId("frames").textContent = now.frames.toLocaleString("en");
  const found = Object.entries(now.detections).sort((a, b) => b[1] - a[1]);
  byId("found").textContent = found.reduce((sum, [, count]) => sum + count, 0);
  byId("found-what").textContent = found.length === 1 ? found[0][0] : found.map(([name, count]) => `${count} ${name}`).join(", ");
  const what = [now.model, now.source].filter(Boolean).join("  ·  ");
  if (byId("what").textContent !== what) byId("what").textContent = byId("what").title = what;
  if (now.size) byId("stage").style.setProperty("--ratio", now.size[0] / now.size[1]);
  paused(now.paused);
  document.dispatchEvent(new CustomEvent("figures", { detail: now }));
}

function paused(is) {
  byId("pause").toggleAttribute("data-paused", is);
  byId("pause-label").textContent = is ? "Resume" : "Pause";
}

function watch() {
  view.src = `/stream.mjpg?${++stream}`;
}

function connect() {
  over = false;
  body.removeAttribute("data-over");
  clearTimeout(retry);
  events?.close();
  events = new EventSource("/events");
  events.onopen = watch;
  events.onmessage = (message) => {
    heardAt = Date.now();
    const now = JSON.parse(message.data);
    figures(now);
    show(now.state, now);
    if (now.state === "ended") finish();
  };
  events.onerror = failed;
}

async function failed() {
  if (over) return;
  events.close();
  show("disconnected");
  let answer = null;
  try {
    answer = await fetch("/status", { cache: "no-store" });
  } catch {
    // No answer: the network may come back.
  }
  if (over || document.hidden) return;
  if (answer?.status === 403) return lose("edgevision was restarted: open the address it printed.");
  if (Date.now() - heardAt > GIVE_UP_AFTER_MS) return lose("edgevision does not respond; it has probably stopped.");
  retry = setTimeout(connect, 1000);
}

function lose(detail) {
  finish();
  show("gone", { detail });
}

// No further requests; the last frame stays under the veil.
function finish() {
  over = true;
  body.dataset.over = "";
  clearTimeout(retry);
  events?.close();
}

async function act(action) {
  if (over) return;
  try {
    const answer = await fetch("/control", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ action }),
    });
    if (!answer.ok) throw new Error((await answer.text()).trim());
    paused((await answer.json()).paused);
    if (action === "snapshot") toast("Snapshot requested: it is saved on the machine that runs edgevision.");
  } catch (error) {
    if (!over) toast(`Failed: ${error.message}`);
  }
}

function toast(text) {
  byId("toast").textContent = text;
  byId("toast").dataset.shown = "";
  clearTimeout(toasted);
  toasted = setTimeout(() => byId("toast").removeAttribute("data-shown"), 3000);
}

// Quit asks twice on a tap, since a thumb may hit it by mistake; a key press does not.
function disarm() {
  clearTimeout(armed);
  armed = 0;
  byId("quit").removeAttribute("data-armed");
  byId("quit-label").textContent = "Quit";
}

byId("quit").onclick = () => {
  if (armed) {
    disarm();
    act("quit");
    return;
  }
  byId("quit").dataset.armed = "";
  byId("quit-label").textContent = "Really?";
  armed = setTimeout(disarm, 3000);
};
byId("pause").onclick = () => act("pause");
byId("snapshot").onclick = () => act("snapshot");
byId("again").onclick = () => {
  heardAt = Date.now();
  show("connecting");
  connect();
};
byId("full").onclick = () => {
  if (document.fullscreenElement) document.exitFullscreen();
  else byId("stage").requestFullscreen?.();
};
if (!document.fullscreenEnabled) byId("full").hidden = true;

view.onerror = () => {
  if (!over && view.hasAttribute("src") && shown !== "disconnected") setTimeout(() => over || document.hidden || watch(), 1000);
};

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.target.closest?.("input")) return; // Input fields keep their keys.
  const key = event.key.toLowerCase();
  if (key === " ") {
    if (event.target.closest?.("button, a, summary")) return; // Space presses the focused button.
    event.preventDefault();
    act("pause");
  } else if (key === "s") act("snapshot");
  else if (key === "f") byId("full").click();
  else if (key === "q") act("quit");
  else if (key === "escape") {
    if (armed) disarm();
    else if (!document.fullscreenElement) act("quit");
  }
});

// A hidden tab costs the loop nothing.
document.addEventListener("visibilitychange", () => {
  if (over) return;
  if (document.hidden) {
    clearTimeout(retry);
    events?.close();
    view.removeAttribute("src");
  } else {
    heardAt = Date.now();
    connect();
  }
});

heardAt = Date.now();
connect();
