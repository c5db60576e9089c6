"use strict";

// Another model while the loop runs: what stands in the store, how a swap goes, what was swapped before.
{
  const panel = byId("swap");
  const WORDS = { accepted: "good", passed: "good", "went back": "good", refused: "bad", reverted: "bad" };
  // The API keeps its values; the page shows these words.
  const SHOWN = { "went back": "rolled back", reverted: "rolled back" };
  let told = null; // the last status: number, doing, checks, decided
  let serving = "";
  let asking = false;
  let seen = "";
  const settings = []; // of the checks: name in JSON, and field

  async function ask(what, values = {}) {
    const answer = await fetch(`/api/${what}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(values),
    });
    const text = await answer.text();
    let found = null;
    try {
      found = JSON.parse(text);
    } catch {
      // Some refusals are plain text.
    }
    if (!answer.ok) throw new Error(found?.error || text.trim());
    return found;
  }

  function made(tag, text = "", className = "") {
    const element = document.createElement(tag);
    if (text) element.textContent = text;
    if (className) element.className = className;
    return element;
  }

  const busy = () => Boolean(told && !told.decided);
  const open = () => !panel.hidden;

  function show() {
    panel.hidden = false;
    body.dataset.swap = "";
    byId("model").setAttribute("aria-expanded", "true");
    byId("swap-title").focus();
    refresh();
  }

  function hide() {
    panel.hidden = true;
    body.removeAttribute("data-swap");
    byId("model").setAttribute("aria-expanded", "false");
    byId("model").focus();
  }

  async function refresh() {
    try {
      const [models, history, known] = await Promise.all([ask("models"), ask("history"), settings.length ? null : ask("gates")]);
      if (known) fields(known.settings);
      list(models.models);
      past(history.reports);
      if (told?.number) await follow();
    } catch (error) {
      toast(`Failed: ${error.message}`);
    }
    enable();
  }

  // "AP50 0.65 · 3.5 ms · 1.5 MB", without what was not measured.
  function measured(model) {
    const parts = [typeof model.ap50 === "number" ? `AP50 ${model.ap50.toFixed(2)}` : "accuracy not measured"];
    if (typeof model.ms === "number") parts.push(`${model.ms.toFixed(1)} ms`);
    if (typeof model.file_mb === "number") parts.push(`${model.file_mb.toFixed(1)} MB`);
    return parts.join(" · ");
  }

  function list(models) {
    const rows = models.map((model) => {
      const row = made("li");
      const words = made("div");
      words.append(made("b", model.label || model.name));
      if (model.error) words.append(made("span", model.error, "bad"));
      else {
        const first = model.classes.slice(0, 3).join(", ");
        const classes = model.classes.length > 3 ? `${first} and ${model.classes.length - 3} more` : first;
        words.append(made("span", `${classes} · ${model.input} px`));
        words.append(made("span", measured(model)));
      }
      const button = made("button", "Swap");
      button.type = "button";
      button.dataset.model = model.name;
      button.dataset.label = model.label || "";
      button.setAttribute("aria-label", `Swap in ${model.label || model.name}`);
      button.onclick = () => begin(model.name);
      row.append(words, button);
      return row;
    });
    byId("models").replaceChildren(...rows);
  }

  function past(reports) {
    const rows = reports.slice(-20).reverse().map((report) => {
      const row = made("li");
      const when = new Date(report.began_unix_s * 1000).toLocaleTimeString();
      row.value = report.number;
      row.append(made("b", SHOWN[report.verdict] || report.verdict, WORDS[report.verdict]), made("span", `${report.old} → ${report.new}, ${when}`));
      const failed = report.checks.find((check) => !check.passed && !check.forced);
      if (failed) row.append(made("span", `${failed.name}: ${failed.figure}`));
      return row;
    });
    byId("history").replaceChildren(...rows);
    byId("history-box").hidden = rows.length === 0;
    // Without an accepted swap there is no previous model.
    byId("revert").dataset.none = reports.some((report) => ["accepted", "went back"].includes(report.verdict)) ? "" : "1";
  }

  // A check that failed also shows what was expected.
  function draw(progress) {
    byId("trial").hidden = false;
    byId("trial-title").textContent = `${progress.old} → ${progress.new}`;
    const rows = progress.checks.map((check) => {
      const row = made("li", "", check.passed ? "passed" : check.forced ? "forced" : "failed");
      const words = made("div");
      words.append(made("b", check.name), made("span", check.figure));
      if (!check.passed) words.append(made("span", `${check.forced ? "forced; " : ""}expected: ${check.limit}`, "limit"));
      row.append(words);
      row.title = `expected: ${check.limit}`;
      row.setAttribute("aria-label", `${check.name} ${check.passed ? "passed" : "failed"}: ${check.figure}`);
      return row;
    });
    const report = progress.report;
    if (!report && progress.doing) {
      const row = made("li", "", "doing");
      row.append(made("div", progress.doing));
      rows.push(row);
    }
    byId("checks").replaceChildren(...rows);
    const end = byId("trial-end");
    end.className = report ? WORDS[report.verdict] : "";
    const words = report ? `${SHOWN[report.verdict] || report.verdict}: ${report.serves} serves` : "";
    const since = report && report.first_frame !== null && WORDS[report.verdict] === "good" ? ` since frame ${report.first_frame}` : "";
    if (end.textContent !== words + since) end.textContent = words + since;
  }

  async function follow() {
    if (asking) return;
    asking = true;
    try {
      const progress = await ask("progress");
      draw(progress);
      if (progress.report) past((await ask("history")).reports);
    } catch (error) {
      toast(`Failed: ${error.message}`);
    } finally {
      asking = false;
      enable();
    }
  }

  function enable() {
    for (const button of byId("models").querySelectorAll("button")) {
      const own = button.dataset.label === serving;
      button.disabled = busy() || own;
      button.textContent = own ? "Serving" : "Swap";
    }
    byId("stop-swap").hidden = !busy();
    byId("revert").hidden = busy();
    byId("revert").disabled = byId("revert").dataset.none !== "";
  }

  // A field for each setting of the gates that has a label: what the app knows of, not what this page was written with.
  function fields(known) {
    for (const { name, label, help, kind, min, max, default: usual } of known.filter((setting) => setting.label)) {
      const field = made("input");
      field.id = `gate-${name.split("_")[0]}`;
      field.type = kind === "text" ? "text" : "number";
      if (min !== null) field.min = min;
      if (max !== null) field.max = max;
      if (kind !== "text") field.step = kind === "integer" ? "1" : "any";
      field.inputMode = { text: "text", integer: "numeric", number: "decimal" }[kind];
      field.title = help;
      field.placeholder = usual === null ? "default" : "";
      field.value = usual ?? "";
      const row = made("label", `${label} `);
      row.append(field);
      byId("gates").insertBefore(row, byId("gates").lastElementChild);
      settings.push([name, field]);
    }
  }

  function gates() {
    const asked = { dry_run: byId("gate-dry").checked };
    for (const [name, field] of settings) {
      if (!field.checkValidity()) throw new Error(`${field.labels[0].textContent.trim()}: expected a number`);
      if (field.value !== "") asked[name] = field.type === "number" ? Number(field.value) : field.value;
    }
    return asked;
  }

  async function begin(model) {
    try {
      draw(await ask("swap", { model, gates: gates() }));
      byId("trial").scrollIntoView({ block: "start", behavior: "smooth" });
    } catch (error) {
      toast(error.message);
    }
  }

  async function back() {
    byId("revert").disabled = byId("stop-swap").disabled = true;
    try {
      await ask("revert");
    } catch (error) {
      toast(error.message);
    }
    byId("stop-swap").disabled = false;
    await follow();
  }

  document.addEventListener("figures", ({ detail: now }) => {
    byId("model").hidden = !now.swap;
    if (!now.swap) return;
    told = now.swap;
    byId("model").toggleAttribute("data-busy", busy());
    if (serving !== now.model) {
      serving = now.model;
      byId("serves").textContent = serving;
      if (open()) enable();
    }
    const state = `${told.number} ${told.checks} ${told.doing} ${told.decided}`;
    if (state !== seen && told.number && open()) follow();
    seen = open() ? state : "";
  });

  byId("model").onclick = () => (open() ? hide() : show());
  byId("swap-close").onclick = hide;
  byId("revert").onclick = byId("stop-swap").onclick = back;

  // Before page.js, where Escape quits.
  document.addEventListener(
    "keydown",
    (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Escape" && open()) {
        event.preventDefault();
        hide();
      } else if (event.key.toLowerCase() === "m" && !byId("model").hidden && !event.target.closest?.("input")) {
        event.preventDefault();
        if (!event.repeat) byId("model").click();
      }
    },
    true,
  );
}
