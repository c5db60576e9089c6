"use strict";

const byId = (id) => document.getElementById(id);

const WORDS = {
  connecting: ["Connecting", ""],
  look: ["Point the camera at this page", "In a few seconds the whole page flashes at uneven intervals, up to three times a second, for half a minute. Keep it in view."],
  over: ["Finished", "The results are in the terminal. You can close this page."],
  elsewhere: ["Open elsewhere", "A newer tab or another device shows this page now. Reload to use this one."],
  gone: ["Not reachable", "edgevision has stopped, or the network is down. Start it again and open the address it prints."],
};

let events = null;
let over = false;

// The token is in the cookie by now: it need not stay in the history or be seen over a shoulder.
if (location.search) history.replaceState(null, "", "/");

function show(state) {
  document.body.dataset.state = state;
  const [title, text] = WORDS[state] || ["", ""];
  byId("title").textContent = title;
  byId("text").textContent = text;
  byId("full").hidden = state !== "look" || !document.fullscreenEnabled;
}

// The first callback changes the frame that is about to be drawn. The second runs as the next one begins: by then the
// first has left the page. A browser says no more than that.
function present(now) {
  requestAnimationFrame(() => {
    if (over) return;
    show(now.state);
    requestAnimationFrame(() => answer(now));
  });
}

function answer({ tab, number }) {
  fetch("/shown", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ tab, number }),
  }).catch(() => {}); // The server misses it, and says so at the terminal.
}

function connect() {
  events?.close();
  events = new EventSource("/states");
  events.onmessage = (message) => {
    const now = JSON.parse(message.data);
    if (now.state !== "over" && now.state !== "elsewhere") return present(now);
    over = true;
    events.close();
    show(now.state);
  };
  events.onerror = () => show("gone"); // It tries again by itself.
  navigator.wakeLock?.request("screen").catch(() => {}); // A phone's screen goes dark within the run; not every browser can help it.
}

byId("full").onclick = () => document.documentElement.requestFullscreen();

// A hidden page draws nothing, so it must not pass for open.
document.addEventListener("visibilitychange", () => {
  if (over) return;
  if (document.hidden) events?.close();
  else connect();
});

if (!document.hidden) connect();
