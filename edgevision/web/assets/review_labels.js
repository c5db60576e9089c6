"use strict";

const byId = (id) => document.getElementById(id);
const canvas = byId("canvas");
const pen = canvas.getContext("2d");
const TINTS = ["#56b4e9", "#f0a202", "#2fd39a", "#f27fc4", "#f0e442", "#ff8a5c", "#b79bff", "#a9dd6b", "#e6e6e6", "#7fd6e0"];
const SIGNS = { confident: "●", uncertain: "?", accepted: "✓", "cannot tell": "~", rejected: "✕", faint: "·" };
const KINDS = ["boxes", "faint", "rejected"];
const WAITING = ["review", "labelled", "new"];
const FILTERS = { left: "To review", review: "Uncertain", labelled: "Labelled, certain", new: "Unlabelled", done: "Reviewed", failed: "Unreadable", all: "All images" };
const PERSON = "person";
const LEAST_PX = 2;
const REACH = { mouse: 7, pen: 10, touch: 20 };

let folder = null; // classes, thresholds, counts
let queue = []; // {file, status, seen}, in the order that a look is worth most
let at = -1;
let picture = null; // what the server knows of it, with its boxes in one list; `dirty` where it does not know yet
let image = null;
let chosen = -1;
let drawClass = 0;
let drawing = false;
let showFaint = false;
let hideBoxes = false;
let moving = false; // on the way to another picture: keys pressed now are not meant for it
let opening = 0;
let pushing = null;
let mine = null;
let past = [];
let future = [];
let view = { scale: 1, x: 0, y: 0 };
let drag = null;
let toasted = 0;
const pointers = new Map();
const ahead = new Map(); // pictures fetched before they are asked for

// The token is in the cookie by now: it need not stay in the history or be seen over a shoulder.
if (location.search) history.replaceState(null, "", "/");

const tint = (k) => TINTS[k % TINTS.length];
const className = (k) => folder.classes[k] ?? `class ${k}`;
const plural = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
const round = (v) => Math.round(v * 100) / 100;

function word(box) {
  if (box.kind !== "boxes") return box.kind;
  if (box.by === PERSON) return box.weight > 0 ? "accepted" : "cannot tell";
  return box.weight > 0 ? "confident" : "uncertain";
}
const undecided = (box) => ["confident", "uncertain"].includes(word(box));
const visible = (box) => box.kind !== "faint" || showFaint;

// ---- what is said, and what goes wrong

function toast(text) {
  byId("toast").textContent = text;
  byId("toast").dataset.shown = "";
  clearTimeout(toasted);
  toasted = setTimeout(() => byId("toast").removeAttribute("data-shown"), 3500);
}

function warn(text, acts = []) {
  byId("alert-text").textContent = text;
  for (const id of ["mine", "retry", "dismiss"]) byId(id).hidden = !acts.includes(id);
  byId("alert").hidden = !text;
}

function saved(text, bad = false) {
  byId("saved").textContent = text;
  byId("saved").toggleAttribute("data-bad", bad);
}

function veil(title, text = "") {
  byId("veil-title").textContent = title;
  byId("veil-text").textContent = text;
  byId("veil").hidden = !title;
}

class Wrong extends Error {
  constructor(status, text, found) {
    super(text);
    Object.assign(this, { status, found });
  }
}

async function ask(path, values) {
  let answer;
  const asked = values && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(values) };
  try {
    answer = await fetch(path, asked);
  } catch {
    throw new Wrong(0, "edgevision does not answer: it has probably been stopped.");
  }
  if (answer.status === 403) throw new Wrong(403, "edgevision was started anew: open the address that it printed.");
  const found = await answer.json().catch(() => null);
  if (!answer.ok) throw new Wrong(answer.status, found?.error || `The server answered ${answer.status}.`, found);
  return found;
}

// ---- a picture's state, its way to the disk, undo

const packed = (box) => [box.c, box.x1, box.y1, box.x2, box.y2, box.score, box.weight, box.by];
const unpacked = (kind) => ([c, x1, y1, x2, y2, score, weight, by]) => ({ kind, c, x1, y1, x2, y2, score, weight, by });
const snap = () => JSON.stringify({ status: picture.status, boxes: picture.boxes });
const sorted = (text) => {
  const { status, boxes } = JSON.parse(text);
  return status + boxes.map((b) => b.kind + JSON.stringify(packed(b))).sort().join();
};

function restore(text) {
  Object.assign(picture, JSON.parse(text));
  if (chosen >= picture.boxes.length) chosen = -1;
}

// Undecided boxes first, of those the doubtful, of those the nearest to the threshold.
function urgency(box) {
  const sure = folder.sure_of[className(box.c)] ?? folder.sure;
  const group = { uncertain: 0, confident: 1, accepted: 2, "cannot tell": 2, faint: 3, rejected: 4 }[word(box)];
  return group * 10 + Math.min(Math.abs(box.score - sure), 9);
}

function unpack(state) {
  const boxes = KINDS.flatMap((kind) => state[kind].map(unpacked(kind)));
  return { ...state, boxes: boxes.sort((a, b) => urgency(a) - urgency(b)), dirty: false };
}

function commit(before, merge = "") {
  const after = snap();
  if (after === before) return false;
  const last = past.at(-1);
  const when = Date.now();
  if (merge && last?.merge === merge && last.file === picture.file && when - last.when < 800) Object.assign(last, { after, when });
  else past.push({ file: picture.file, before, after, merge, when });
  future = [];
  picture.dirty = true;
  render();
  flush();
  return true;
}

function edit(change, merge = "") {
  const before = snap();
  change(picture);
  return commit(before, merge);
}

// True once all that was done to the picture is on the server's disk.
function flush() {
  pushing ??= push().finally(() => { pushing = null; });
  return pushing;
}

async function push() {
  while (picture?.dirty) {
    const target = picture;
    const sent = { file: target.file, revision: target.revision, status: target.status };
    for (const kind of KINDS) sent[kind] = target.boxes.filter((b) => b.kind === kind).map(packed);
    target.dirty = false;
    saved("saving…");
    try {
      const { state, counts } = await ask("/labels", sent);
      Object.assign(target, { revision: state.revision, width_px: state.width_px, height_px: state.height_px });
      folder.counts = counts;
      const entry = queue.find((q) => q.file === target.file);
      if (entry) Object.assign(entry, { status: state.status, seen: true });
      saved("saved");
      if (!mine) warn("");
      progress();
    } catch (error) {
      if (error.status === 409) {
        newer(target, error.found.state);
        return false;
      }
      saved("not saved", true);
      if (error.status >= 400 && error.status < 500 && error.status !== 403) {
        await refused(target, error.message);
        return false;
      }
      target.dirty = true;
      warn(`The last change is not saved. ${error.message}`, error.status === 403 ? [] : ["retry"]);
      return false;
    }
  }
  return true;
}

// What the server will never take must not keep the page from going on.
async function refused(target, why) {
  const state = await ask(`/labels?file=${encodeURIComponent(target.file)}`).catch(() => null);
  target.dirty = !state;
  if (state) {
    past = past.filter((step) => step.file !== target.file);
    picture = unpack(state);
    choose(-1);
  }
  warn(`The last change was refused. ${why}`, ["dismiss"]);
}

// Somebody else's word is newer: it is shown, and ours is kept at hand, never put over it unasked.
function newer(target, state) {
  mine = { file: target.file, text: snap() };
  past = past.filter((step) => step.file !== target.file);
  future = future.filter((step) => step.file !== target.file);
  drag = null;
  picture = unpack(state);
  choose(picture.boxes.findIndex(undecided));
  saved("not saved", true);
  warn("This image was changed elsewhere after this page showed it. These are the newer labels; your last change was not saved.", ["mine", "dismiss"]);
}

async function turnBack(from, to, key) {
  if (moving || !picture) return;
  const step = from.pop();
  if (!step) return toast(key === "before" ? "There is nothing to undo." : "There is nothing to redo.");
  if (step.file !== picture.file && !(await open(queue.findIndex((q) => q.file === step.file)))) return from.push(step);
  if (sorted(snap()) !== sorted(key === "before" ? step.after : step.before)) {
    return toast("This image was changed elsewhere: that step cannot be undone.");
  }
  restore(step[key]);
  to.push(step);
  picture.dirty = true;
  render();
  if (await flush()) toast(key === "before" ? "Undone." : "Redone.");
}
const undo = () => turnBack(past, future, "before");
const redo = () => turnBack(future, past, "after");

// ---- what a person says

const able = () => picture && image && !moving && !drag;

function claim(box) {
  Object.assign(box, { kind: "boxes", by: PERSON, weight: 1 });
}

function decide(change, next = true) {
  if (!able() || chosen < 0) return toast("Select a box first: click it, or press ↓.");
  const box = picture.boxes[chosen];
  const was = chosen;
  edit(() => change(box));
  if (next) {
    const open = picture.boxes.map((b, k) => [b, k]).filter(([b]) => undecided(b));
    choose((open.find(([, k]) => k > was) ?? open[0] ?? [null, clamp(was, -1, picture.boxes.length - 1)])[1]);
  }
}
const accept = () => decide(claim);
const untold = () => decide((box) => Object.assign(box, { kind: "boxes", by: PERSON, weight: 0 }));
const remove = () => decide((box) => picture.boxes.splice(picture.boxes.indexOf(box), 1));
// What a teacher saw is remembered as a false alarm; what a person drew is simply gone.
const reject = () => decide((box) => turnDown(box));

function turnDown(box) {
  if (box.by === PERSON && box.score === 1) picture.boxes.splice(picture.boxes.indexOf(box), 1);
  else box.kind = "rejected";
}

// A person has looked: sure boxes are right, doubtful ones that were passed over teach neither way.
function confirm(all = false) {
  for (const box of picture.boxes) {
    if (box.kind !== "boxes") continue;
    box.weight = box.weight > 0 || (all && undecided(box)) ? 1 : 0;
    box.by = PERSON;
  }
  picture.status = "done";
}

async function finish(all = false) {
  if (!able()) return;
  const left = all ? 0 : picture.boxes.filter((b) => word(b) === "uncertain").length;
  edit(() => confirm(all));
  if (left) toast(left === 1 ? "Done; one uncertain box stays “cannot tell”." : `Done; ${left} uncertain boxes stay “cannot tell”.`);
  await forward();
}

async function nothing() {
  if (!able()) return;
  edit(() => {
    for (const box of [...picture.boxes]) if (box.kind === "boxes") turnDown(box);
    picture.status = "done";
  });
  await forward();
}

function setClass(k) {
  if (k < 0 || k >= folder.classes.length || !picture || moving) return;
  drawClass = k;
  if (chosen >= 0) edit(() => {
    const box = picture.boxes[chosen];
    if (box.c === k) return;
    claim(box);
    box.c = k;
  });
  render();
}

function nudge(dx, dy, resize, step) {
  if (!able() || chosen < 0) return;
  edit(() => {
    const box = picture.boxes[chosen];
    const [x, y] = [dx * step, dy * step];
    if (resize) {
      box.x2 = clamp(box.x2 + x, box.x1 + LEAST_PX, picture.width_px);
      box.y2 = clamp(box.y2 + y, box.y1 + LEAST_PX, picture.height_px);
    } else shift(box, box, x, y);
    claim(box);
    tidy(box);
  }, `${resize}${chosen}`);
}

function shift(box, from, dx, dy) {
  const x = clamp(dx, -from.x1, picture.width_px - from.x2);
  const y = clamp(dy, -from.y1, picture.height_px - from.y2);
  [box.x1, box.x2, box.y1, box.y2] = [from.x1 + x, from.x2 + x, from.y1 + y, from.y2 + y];
}

function tidy(box) {
  const [x1, x2] = [box.x1, box.x2].sort((a, b) => a - b);
  const [y1, y2] = [box.y1, box.y2].sort((a, b) => a - b);
  Object.assign(box, { x1: round(x1), x2: round(x2), y1: round(y1), y2: round(y2) });
}

const drawn = (x1, y1, x2, y2) => ({ kind: "boxes", c: drawClass, x1, y1, x2, y2, score: 1, weight: 1, by: PERSON });

function drawInTheMiddle() {
  const box = canvas.getBoundingClientRect();
  const [x, y] = toPicture(box.width / 2, box.height / 2);
  const half = Math.min(box.width, box.height) / view.scale / 8;
  edit(() => {
    const fresh = drawn(x - half, y - half, x + half, y + half);
    for (const [k, most] of [["x1", picture.width_px], ["x2", picture.width_px], ["y1", picture.height_px], ["y2", picture.height_px]]) fresh[k] = clamp(fresh[k], 0, most);
    tidy(fresh);
    picture.boxes.push(fresh);
  });
  toggleDrawing(false);
  choose(picture.boxes.length - 1);
}

function choose(index) {
  chosen = picture?.boxes[index] ? index : -1;
  if (chosen >= 0) {
    const box = picture.boxes[chosen];
    drawClass = box.c;
    byId("spoken").textContent = `Box ${chosen + 1} of ${picture.boxes.length}: ${className(box.c)}, ${word(box)}`;
  }
  render();
}

function step(by) {
  const seen = picture.boxes.map((b, k) => k).filter((k) => visible(picture.boxes[k]));
  if (!seen.length) return;
  const place = seen.indexOf(chosen);
  choose(seen[(place + by + (place < 0 && by < 0 ? 1 : 0) + seen.length) % seen.length]);
}

function toggleDrawing(on) {
  drawing = on;
  byId("draw").setAttribute("aria-pressed", on);
  canvas.style.cursor = on ? "crosshair" : "";
  if (on) toast(matchMedia("(hover: none)").matches ? "Drag over an object." : "Drag over an object, or press Enter for a box in the middle.");
}
