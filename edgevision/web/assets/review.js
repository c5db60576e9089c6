"use strict";

// ---- from picture to picture

const wanted = (entry, filter = byId("filter").value) =>
  filter === "all" || (filter === "left" ? WAITING.includes(entry.status) : entry.status === filter);

function load(file) {
  if (!ahead.has(file)) {
    const fresh = new Image();
    fresh.src = `/picture?file=${encodeURIComponent(file)}`;
    // Decoding before it is drawn: the page does not stand still.
    ahead.set(file, fresh.decode().then(() => fresh));
    ahead.get(file).catch(() => {});
    while (ahead.size > 8) ahead.delete(ahead.keys().next().value);
  }
  return ahead.get(file);
}

async function open(index) {
  if (index < 0 || index >= queue.length || moving) return false;
  moving = true;
  try {
    if (!(await flush())) return false;
    const file = queue[index].file;
    const ticket = ++opening;
    const waits = setTimeout(() => veil("Opening", file), 400);
    let state;
    let shown = null;
    try {
      [state, shown] = await Promise.all([ask(`/labels?file=${encodeURIComponent(file)}`), load(file).catch(() => null)]);
    } finally {
      clearTimeout(waits);
    }
    if (ticket !== opening) return false;
    at = index;
    image = shown;
    picture = unpack(state);
    queue[index].status = state.status;
    mine = null;
    drag = null;
    chosen = -1;
    warn("");
    saved("");
    if (!image) ahead.delete(file);
    veil(image ? "" : "This image cannot be shown", image ? "" : state.error || "It cannot be read. Skip it, or repair the file.");
    toggleDrawing(false);
    fit();
    choose(picture.boxes.findIndex(undecided));
    byId("spoken").textContent = `${file}, ${plural(picture.boxes.length, "box").replace(/boxs$/, "boxes")}. ${picture.doubts.join(", ")}`;
    prefetch();
    return true;
  } catch (error) {
    veil("");
    warn(error.message, error.status === 403 ? [] : ["retry"]);
    return false;
  } finally {
    moving = false;
    render();
  }
}

function prefetch() {
  const next = find(1);
  if (next >= 0) load(queue[next].file).catch(() => {});
}

// The next picture that the filter lets through; those seen in this tab stay on the way.
function find(step, around = false) {
  for (let k = 1; k <= queue.length; k += 1) {
    const index = at + k * step;
    if (!around && (index < 0 || index >= queue.length)) return -1;
    const entry = queue[((index % queue.length) + queue.length) % queue.length];
    if (wanted(entry) || (!around && entry.seen)) return queue.indexOf(entry);
  }
  return -1;
}

async function walk(step) {
  const index = find(step);
  if (index < 0) toast(step > 0 ? "This is the last image." : "This is the first image.");
  else await open(index);
}

async function forward() {
  if (!(await flush())) return;
  const index = find(1, true);
  if (index < 0 || (index === at && picture.status === "done")) {
    const left = WAITING.reduce((sum, status) => sum + folder.counts[status], 0);
    toast(left ? `None left here: ${plural(left, "image")} under another filter.` : "All images are reviewed. Ctrl-C in the terminal ends the review.");
    render();
  } else if (index === at) toast("This is the only image left.");
  else await open(index);
}

// ---- what is shown beside it

const signed = (box) => ({ tint: word(box) === "rejected" ? "var(--bad)" : tint(box.c), sign: `"${SIGNS[word(box)]}"` });

function button(label, more = {}) {
  const made = document.createElement("button");
  made.type = "button";
  made.append(...label);
  for (const [name, value] of Object.entries(more)) made.setAttribute(name, value);
  return made;
}

function made(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

function render() {
  draw();
  if (!folder) return;
  const entry = queue[at];
  byId("name").textContent = `Review · ${folder.name}`;
  byId("file").textContent = byId("file").title = picture ? picture.file : "";
  const among = queue.filter((q, k) => wanted(q) || k === at || q.seen);
  byId("place").textContent = entry ? `${(among.indexOf(entry) + 1).toLocaleString("en")} / ${among.length.toLocaleString("en")}` : "–";
  const doubts = picture ? (picture.status === "done" ? [] : picture.doubts) : [];
  byId("doubts").replaceChildren(...doubts.map((d) => made("li", d)));
  renderClasses();
  renderBoxes();
  const box = picture?.boxes[chosen];
  for (const id of ["accept", "reject", "untold", "delete"]) byId(id).disabled = !image || !box;
  for (const id of ["finish", "nothing", "draw"]) byId(id).disabled = !image;
  byId("undo").disabled = !past.length;
  byId("redo").disabled = !future.length;
  const faint = picture?.boxes.filter((b) => b.kind === "faint").length ?? 0;
  byId("faint-label").textContent = faint ? `Low ${faint}` : "Low";
  byId("faint").disabled = !faint;
  byId("faint").setAttribute("aria-pressed", showFaint);
  byId("finish").firstElementChild.textContent = picture?.status === "done" ? "Reviewed ✓ next" : "Done, next";
}

function renderClasses() {
  const current = picture?.boxes[chosen]?.c ?? drawClass;
  const place = byId("classes");
  if (folder.classes.length > 9) {
    if (!place.firstChild) {
      const list = document.createElement("select");
      list.setAttribute("aria-label", "Class");
      list.append(...folder.classes.map((name, k) => new Option(name, k)));
      list.onchange = () => { setClass(Number(list.value)); canvas.focus(); };
      place.append(list);
    }
    place.firstChild.value = current;
    return;
  }
  if (!place.firstChild) {
    place.append(...folder.classes.map((name, k) => {
      const chip = button([made("span", name), made("kbd", k + 1)], { "aria-keyshortcuts": k + 1 });
      chip.style.setProperty("--tint", tint(k));
      chip.onclick = () => setClass(k);
      return chip;
    }));
  }
  [...place.children].forEach((chip, k) => chip.setAttribute("aria-pressed", k === current));
}

function renderBoxes() {
  const list = byId("boxes");
  const held = list.contains(document.activeElement) ? [...list.querySelectorAll("button")].indexOf(document.activeElement) : -1;
  const rows = (picture?.boxes ?? []).map((box, k) => {
    if (!visible(box)) return null;
    const what = word(box);
    const score = box.score < 1 ? ` ${box.score.toFixed(2)}` : "";
    const row = button([made("b", className(box.c)), made("span", `${what}${score}`)], { "data-word": what });
    if (k === chosen) row.setAttribute("aria-current", "true");
    if (box.by !== PERSON) row.title = `seen by ${box.by}`;
    for (const [name, value] of Object.entries(signed(box))) row.style.setProperty(`--${name}`, value);
    row.onclick = () => choose(k);
    const item = document.createElement("li");
    item.append(row);
    return item;
  });
  list.replaceChildren(...rows.filter(Boolean));
  if (held >= 0) list.querySelectorAll("button")[held]?.focus();
  list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  byId("none").hidden = !image || rows.some(Boolean);
}

function progress() {
  const total = Object.values(folder.counts).reduce((a, b) => a + b, 0);
  byId("done").textContent = folder.counts.done.toLocaleString("en");
  byId("total").textContent = total.toLocaleString("en");
  byId("bar").max = total || 1;
  byId("bar").value = folder.counts.done;
  for (const option of byId("filter").options) {
    const k = option.value;
    const count = k === "all" ? total : k === "left" ? WAITING.reduce((sum, s) => sum + folder.counts[s], 0) : folder.counts[k];
    option.textContent = `${FILTERS[k]} (${count.toLocaleString("en")})`;
  }
}

// ---- keys and buttons

const KEYS = {
  a: accept, r: reject, t: untold, x: nothing, s: forward, u: undo, y: redo,
  A: () => finish(true),
  " ": () => finish(),
  d: () => toggleDrawing(!drawing),
  c: () => byId("classes").querySelector("select, [aria-pressed='true']")?.focus(),
  g: jump, h: help, "?": help,
  f: () => faintly(),
  v: () => { hideBoxes = !hideBoxes; draw(); },
  z: zoomToBox, 0: fit, "+": () => zoom(1.3), "=": () => zoom(1.3), "-": () => zoom(1 / 1.3),
  Delete: remove, Backspace: remove,
  ArrowLeft: () => walk(-1), ArrowRight: () => walk(1), PageUp: () => walk(-1), PageDown: () => walk(1),
  ArrowUp: () => picture && step(-1), ArrowDown: () => picture && step(1),
  Enter: () => drawing && able() && drawInTheMiddle(),
  Escape: () => cancel() || (drawing ? toggleDrawing(false) : choose(-1)),
};
const REPEATED = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "+", "=", "-", "PageUp", "PageDown"];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function faintly() {
  showFaint = !showFaint;
  if (chosen >= 0 && !visible(picture.boxes[chosen])) chosen = -1;
  render();
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || document.querySelector("dialog[open]") || event.target.closest?.("input, select, textarea")) return;
  const { key } = event;
  const arrow = ARROWS[key];
  if (arrow && (event.shiftKey || event.altKey)) {
    event.preventDefault();
    return nudge(...arrow, event.altKey, event.repeat ? 3 : 1);
  }
  if ((event.ctrlKey || event.metaKey) && !event.altKey) {
    const low = key.toLowerCase();
    if (low !== "z" && low !== "y") return;
    event.preventDefault();
    return low === "y" || event.shiftKey ? redo() : undo();
  }
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if ((key === " " || key === "Enter") && event.target.closest?.("button, a")) return; // It presses what has the focus.
  const act = /^[1-9]$/.test(key) ? () => setClass(Number(key) - 1) : KEYS[key] ?? (key.length === 1 && key !== "A" ? KEYS[key.toLowerCase()] : undefined);
  if (!act || (event.repeat && !REPEATED.includes(key))) return;
  event.preventDefault();
  act();
});

for (const [id, act] of Object.entries({
  accept, reject, untold, delete: remove, nothing, skip: forward, undo, redo,
  finish: () => finish(), draw: () => toggleDrawing(!drawing), faint: faintly,
  previous: () => walk(-1), following: () => walk(1), "jump-open": jump, "help-open": help,
  "zoom-in": () => zoom(1.4), "zoom-out": () => zoom(1 / 1.4), "zoom-fit": fit,
})) {
  byId(id).onclick = (event) => {
    act();
    // A mouse leaves no focus behind: space is to mean "done", not this button again. Keys keep theirs.
    if (event.detail && !document.querySelector("dialog[open]")) canvas.focus();
  };
}

byId("retry").onclick = async () => {
  warn("");
  if (!picture) return begin();
  await pushing; // one that is still failing is not the new try
  if (picture.dirty) await flush();
  else await open(at);
};
byId("dismiss").onclick = () => { mine = null; warn(""); saved(""); };
byId("mine").onclick = () => {
  const kept = mine;
  mine = null;
  warn("");
  if (kept?.file === picture.file) edit(() => restore(kept.text));
};
byId("filter").onchange = async () => {
  progress();
  canvas.focus();
  if (queue[at] && wanted(queue[at])) return render();
  at = -1;
  const index = find(1);
  if (index >= 0) return open(index);
  at = queue.findIndex((q) => q.file === picture?.file);
  toast("No image matches this filter.");
  render();
};

function help() {
  byId("help").showModal();
}

function jump() {
  byId("jump-text").value = "";
  listed();
  byId("jump").showModal();
  byId("jump-text").focus();
}

function listed() {
  const text = byId("jump-text").value.trim().toLowerCase();
  const number = /^\d+$/.test(text) ? Number(text) - 1 : -1;
  const found = [];
  queue.some((q, k) => (!text || k === number || q.file.toLowerCase().includes(text)) && found.push(k) > 99);
  if (number >= 0 && queue[number] && !found.includes(number)) found.unshift(number);
  const rows = found.map((k) => {
    const row = button([made("b", queue[k].file), made("span", queue[k].status === "done" ? "reviewed" : queue[k].status === "review" ? "uncertain" : queue[k].status)]);
    row.onclick = () => { byId("jump").close(); open(k); };
    const item = document.createElement("li");
    item.append(row);
    return item;
  });
  byId("jump-list").replaceChildren(...(rows.length ? rows : [made("li", "No image name contains this.")]));
}
byId("jump-text").oninput = listed;
byId("jump-text").onkeydown = (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  byId("jump-list").querySelector("button")?.click();
};
for (const dialog of document.querySelectorAll("dialog")) dialog.onclose = () => canvas.focus();

// ---- keeping true

// A tab that comes back may show what another has changed since.
document.addEventListener("visibilitychange", async () => {
  if (document.hidden || !picture || picture.dirty || pushing || moving || drag) return;
  const { file, revision } = picture;
  try {
    const state = await ask(`/labels?file=${encodeURIComponent(file)}`);
    if (state.revision === revision || picture.file !== file || picture.revision !== revision || picture.dirty || drag) return;
    picture = unpack(state);
    choose(picture.boxes.findIndex(undecided));
    toast("This image was changed elsewhere: these are the newer labels.");
  } catch {
    // It is said as soon as something is to be saved.
  }
});
window.addEventListener("beforeunload", (event) => {
  if (picture?.dirty || pushing) event.preventDefault();
});

async function begin() {
  try {
    folder = await ask("/queue");
  } catch (error) {
    return warn(error.message, error.status === 403 ? [] : ["retry"]);
  }
  queue = folder.pictures.map(([file, status]) => ({ file, status, seen: false }));
  byId("filter").replaceChildren(...Object.keys(FILTERS).map((k) => new Option(FILTERS[k], k)));
  byId("filter").value = queue.some((q) => wanted(q, "left")) ? "left" : "all";
  progress();
  at = -1;
  const first = find(1);
  canvas.focus();
  await open(first);
}
begin();
