"use strict";

// ---- seeing

function fit() {
  const { width, height } = canvas.getBoundingClientRect();
  const [w, h] = size();
  view.scale = Math.min(8, (width - 16) / w, (height - 16) / h);
  if (!(view.scale > 0)) view.scale = 1;
  view.x = (width - w * view.scale) / 2;
  view.y = (height - h * view.scale) / 2;
  view.whole = true;
  draw();
}
const size = () => [picture?.width_px || image?.naturalWidth || 1, picture?.height_px || image?.naturalHeight || 1];
const toPicture = (x, y) => [(x - view.x) / view.scale, (y - view.y) / view.scale];

function zoom(factor, x, y) {
  const { width, height } = canvas.getBoundingClientRect();
  const scale = clamp(view.scale * factor, 0.02, 60);
  const [px, py] = toPicture((x ??= width / 2), (y ??= height / 2));
  view = { scale, x: x - px * scale, y: y - py * scale, whole: false };
  draw();
}

function zoomToBox() {
  const box = picture?.boxes[chosen];
  if (!box) return;
  const { width, height } = canvas.getBoundingClientRect();
  const scale = clamp(0.5 * Math.min(width / (box.x2 - box.x1), height / (box.y2 - box.y1)), 0.02, 60);
  view = { scale, x: width / 2 - ((box.x1 + box.x2) / 2) * scale, y: height / 2 - ((box.y1 + box.y2) / 2) * scale, whole: false };
  draw();
}

function draw() {
  requestAnimationFrame(() => paint());
}

function paint() {
  const { width, height } = canvas.getBoundingClientRect();
  const dots = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * dots) || canvas.height !== Math.round(height * dots)) {
    canvas.width = Math.round(width * dots);
    canvas.height = Math.round(height * dots);
  }
  pen.setTransform(dots, 0, 0, dots, 0, 0);
  pen.clearRect(0, 0, width, height);
  Object.assign(canvas.dataset, { scale: view.scale, x: view.x, y: view.y });
  if (!image || !picture) return;
  pen.imageSmoothingEnabled = view.scale < 3;
  const [w, h] = size();
  pen.drawImage(image, view.x, view.y, w * view.scale, h * view.scale);
  if (hideBoxes) return;
  const order = picture.boxes.map((b, k) => k).filter((k) => visible(picture.boxes[k]) && k !== chosen);
  for (const k of order) paintBox(picture.boxes[k], false);
  if (picture.boxes[chosen]) paintBox(picture.boxes[chosen], true);
}

function paintBox(box, isChosen) {
  const what = word(box);
  const [x, y] = [box.x1 * view.scale + view.x, box.y1 * view.scale + view.y];
  const [w, h] = [(box.x2 - box.x1) * view.scale, (box.y2 - box.y1) * view.scale];
  const colour = what === "rejected" ? "#ff6b6b" : tint(box.c);
  const dashes = { uncertain: [7, 5], "cannot tell": [2, 4], rejected: [3, 5], faint: [2, 6] }[what] ?? [];
  pen.globalAlpha = what === "rejected" && !isChosen ? 0.6 : 1;
  if (isChosen) {
    pen.fillStyle = `${colour}2e`;
    pen.fillRect(x, y, w, h);
  }
  // A dark line under the coloured one keeps it visible on any ground.
  for (const [style, wide] of [["rgb(0 0 0 / 65%)", 4], [colour, what === "accepted" ? 2.6 : 2]]) {
    pen.setLineDash(style === colour ? dashes : []);
    pen.strokeStyle = style;
    pen.lineWidth = (what === "rejected" ? wide - 0.8 : wide) + (isChosen ? 1 : 0);
    pen.strokeRect(x, y, w, h);
  }
  pen.setLineDash([]);
  const text = `${SIGNS[what] === "●" ? "" : `${SIGNS[what]} `}${className(box.c)}${box.score < 1 ? ` ${box.score.toFixed(2)}` : ""}`;
  pen.font = `${isChosen ? 700 : 600} 12px system-ui, sans-serif`;
  const wide = pen.measureText(text).width + 10;
  const [tx, ty] = [clamp(x - 1, 0, Math.max(0, canvas.clientWidth - wide)), y >= 20 ? y - 19 : Math.max(y, 0) + 1];
  const inView = x < canvas.clientWidth && x + w > 0 && y < canvas.clientHeight && y + h > 0;
  if (inView && (isChosen || w > 24 || what === "uncertain")) {
    pen.fillStyle = colour;
    pen.fillRect(tx, ty, wide, 18);
    pen.fillStyle = "#0b0e13";
    pen.fillText(text, tx + 5, ty + 13);
  }
  pen.globalAlpha = 1;
  if (!isChosen) return;
  for (const [hx, hy] of grips(box)) {
    pen.fillStyle = "#ffffff";
    pen.strokeStyle = "#0b0e13";
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.rect(hx - 4.5, hy - 4.5, 9, 9);
    pen.fill();
    pen.stroke();
  }
}

// Corners and middles of the sides on the screen, each with the sides that it moves.
function grips(box) {
  const [l, r] = [box.x1 * view.scale + view.x, box.x2 * view.scale + view.x];
  const [t, b] = [box.y1 * view.scale + view.y, box.y2 * view.scale + view.y];
  const [mx, my] = [(l + r) / 2, (t + b) / 2];
  const corners = [[l, t, "x1", "y1"], [r, t, "x2", "y1"], [r, b, "x2", "y2"], [l, b, "x1", "y2"]];
  const sides = [[mx, t, "", "y1"], [r, my, "x2", ""], [mx, b, "", "y2"], [l, my, "x1", ""]];
  return r - l > 40 && b - t > 40 ? [...corners, ...sides] : corners;
}

// ---- mouse, pen, finger

const placeOf = (event) => {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

function hit(x, y) {
  const [px, py] = toPicture(x, y);
  const slack = 3 / view.scale;
  const under = picture.boxes.map((b, k) => [b, k]).filter(([b]) => visible(b)
    && px >= b.x1 - slack && px <= b.x2 + slack && py >= b.y1 - slack && py <= b.y2 + slack);
  const area = ([b]) => (b.x2 - b.x1) * (b.y2 - b.y1) * (b.kind === "rejected" ? 1e6 : 1);
  return under.sort((a, b) => area(a) - area(b))[0]?.[1] ?? -1;
}

function gripAt(x, y, reach) {
  const box = picture.boxes[chosen];
  if (!box || hideBoxes) return null;
  const near = grips(box).map((g) => [Math.hypot(g[0] - x, g[1] - y), g]).sort((a, b) => a[0] - b[0])[0];
  return near[0] <= reach ? near[1] : null;
}

canvas.onpointerdown = (event) => {
  canvas.focus();
  const [x, y] = placeOf(event);
  pointers.set(event.pointerId, [x, y]);
  if (pointers.size === 2 && (!drag || drag.kind !== "pinch")) {
    cancel();
    drag = { kind: "pinch" };
    return;
  }
  if (!able() || event.button > 1) return;
  canvas.setPointerCapture(event.pointerId);
  const common = { x, y, before: snap(), moved: false };
  if (event.button === 1) drag = { ...common, kind: "pan", view };
  else if (drawing || event.shiftKey) drag = { ...common, kind: "draw" };
  else {
    const grip = gripAt(x, y, REACH[event.pointerType] ?? 10);
    const index = hideBoxes ? -1 : hit(x, y);
    if (grip) drag = { ...common, kind: "resize", grip };
    else if (index >= 0 && (event.pointerType !== "touch" || index === chosen)) {
      choose(index);
      drag = { ...common, kind: "move", from: { ...picture.boxes[index] } };
    } else if (index >= 0) drag = { ...common, kind: "tap", index };
    else drag = { ...common, kind: event.pointerType === "touch" ? "pan" : "draw", view, empty: true };
  }
  event.preventDefault();
};

canvas.onpointermove = (event) => {
  const [x, y] = placeOf(event);
  if (drag?.kind === "pinch" && pointers.has(event.pointerId) && pointers.size === 2) {
    const [a, b] = [...pointers.values()];
    pointers.set(event.pointerId, [x, y]);
    const [c, d] = [...pointers.values()];
    const middle = (p, q) => [(p[0] + q[0]) / 2, (p[1] + q[1]) / 2];
    const apart = (p, q) => Math.hypot(p[0] - q[0], p[1] - q[1]) || 1;
    const [from, to] = [middle(a, b), middle(c, d)];
    view = { ...view, x: view.x + to[0] - from[0], y: view.y + to[1] - from[1], whole: false };
    zoom(apart(c, d) / apart(a, b), ...to);
    return;
  }
  if (!drag) {
    if (picture && !drawing && event.pointerType === "mouse") {
      const grip = gripAt(x, y, REACH.mouse);
      const slants = grip && (grip[2] === "x1") === (grip[3] === "y1") ? "nwse-resize" : "nesw-resize";
      canvas.style.cursor = grip ? (grip[2] && grip[3] ? slants : grip[2] ? "ew-resize" : "ns-resize") : hit(x, y) >= 0 ? "move" : "crosshair";
    }
    return;
  }
  if (!drag.moved && Math.hypot(x - drag.x, y - drag.y) < 4) return;
  drag.moved = true;
  const [w, h] = size();
  const inside = ([px, py]) => [clamp(px, 0, w), clamp(py, 0, h)];
  if (drag.kind === "pan") view = { ...drag.view, x: drag.view.x + x - drag.x, y: drag.view.y + y - drag.y, whole: false };
  else if (drag.kind === "draw") {
    const [x1, y1] = inside(toPicture(drag.x, drag.y));
    const [x2, y2] = inside(toPicture(x, y));
    if (!drag.box) {
      drag.box = drawn(x1, y1, x2, y2);
      picture.boxes.push(drag.box);
      chosen = picture.boxes.length - 1;
    }
    Object.assign(drag.box, { x1, y1, x2, y2 });
  } else if (drag.kind === "move") {
    const box = picture.boxes[chosen];
    shift(box, drag.from, (x - drag.x) / view.scale, (y - drag.y) / view.scale);
  } else if (drag.kind === "resize") {
    const box = picture.boxes[chosen];
    const [px, py] = inside(toPicture(x, y));
    if (drag.grip[2]) box[drag.grip[2]] = px;
    if (drag.grip[3]) box[drag.grip[3]] = py;
  }
  draw();
};

canvas.onpointerup = (event) => {
  pointers.delete(event.pointerId);
  if (!drag) return;
  const { kind, before, moved, index, empty } = drag;
  if (kind === "pinch") {
    if (!pointers.size) drag = null;
    return;
  }
  drag = null;
  if (kind === "tap") choose(index);
  if (!moved) {
    if (empty) choose(-1);
    return;
  }
  if (!["draw", "move", "resize"].includes(kind)) return;
  const box = picture.boxes[chosen];
  tidy(box);
  if (box.x2 - box.x1 < LEAST_PX || box.y2 - box.y1 < LEAST_PX) {
    restore(before);
    return render();
  }
  claim(box);
  commit(before);
  if (kind === "draw") toggleDrawing(false);
  render();
};

function cancel() {
  if (!drag) return false;
  if (drag.before && drag.moved && drag.kind !== "pan") restore(drag.before);
  drag = null;
  render();
  return true;
}

canvas.onpointercancel = (event) => {
  pointers.delete(event.pointerId);
  cancel();
};
canvas.onwheel = (event) => {
  event.preventDefault();
  if (!drag) zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), ...placeOf(event));
};
canvas.onauxclick = (event) => event.preventDefault();
canvas.oncontextmenu = (event) => event.preventDefault();
new ResizeObserver(() => (view.whole !== false ? fit() : draw())).observe(canvas);
