// The retraining dialog: start, follow and stop a run, and adopt its model.

import * as api from "./api.js";

const SVG = "http://www.w3.org/2000/svg";

export class Training {
  constructor(dialog, notify, onuse) {
    this.dialog = dialog;
    this.notify = notify;
    this.onuse = onuse;
    this.part = (name) => dialog.querySelector(`[data-part="${name}"]`);
    this.part("start").addEventListener("click", () => this.#do(() => api.startTraining(Number(this.part("minutes").value), [])));
    this.part("stop").addEventListener("click", () => this.#do(api.stopTraining));
    this.part("use").addEventListener("click", () => this.use());
  }

  async open() {
    await this.refresh();
    this.dialog.showModal();
  }

  async refresh() {
    const { accepted, needed, run } = await api.training();
    this.run = run;
    const running = run?.state === "running";
    this.part("accepted").textContent =
      accepted < needed
        ? `Accepted films: ${accepted}. Accept at least ${needed} to retrain.`
        : `${accepted} accepted films. About a fifth are held out to score the current and the new model.`;
    this.part("start").disabled = running || accepted < needed;
    this.part("minutes").disabled = running;
    this.part("stop").hidden = !running;
    this.part("run").hidden = !run;
    if (run) this.#show(run);
    return run;
  }

  #show(run) {
    const last = run.checks.at(-1);
    const ended = {
      done: "Finished",
      failed: "Failed",
      stopped: "Stopped; the current model stays in use",
      interrupted: "Interrupted because the light box was closed; start it again",
    };
    const stage = run.stage[0].toUpperCase() + run.stage.slice(1);
    this.part("stage").textContent = run.error ?? ended[run.state] ?? `${stage}…`;
    this.part("stage").classList.toggle("bad", run.state === "failed" || run.state === "interrupted");
    this.part("progress").hidden = run.state !== "running";
    if (last) this.part("progress").value = last.done;
    else this.part("progress").removeAttribute("value"); // indeterminate
    this.part("detail").textContent = last
      ? `validation Dice ${last.dice.toFixed(3)}, loss ${last.loss?.toFixed(3) ?? "not finite"}`
      : "";
    this.#curves(run.checks);
    const scored = run.before && run.after;
    this.part("offer").hidden = !(scored && run.state === "done");
    if (scored) this.#compare(run);
  }

  #compare(run) {
    const [before, after] = [run.before.dice, run.after.dice];
    const better = Object.keys(run.after.cases).filter((name) => run.after.cases[name] > run.before.cases[name]).length;
    const films = run.held_out === 1 ? "1 film" : `${run.held_out} films`;
    this.part("before").textContent = before.toFixed(3);
    this.part("after").textContent = after.toFixed(3);
    this.part("verdict").textContent =
      `Mean Dice on ${films} held out; better on ${better} of ${run.held_out}.` +
      (run.held_out < 10 ? " With so few films the difference is uncertain: check some films with the new model." : "");
    this.part("use").disabled = run.used;
    this.part("use").textContent = run.used ? "In use" : "Use the new model";
    this.part("report").href = `/api/train/${run.number}/report`;
  }

  #curves(checks) {
    const chart = this.part("chart");
    chart.replaceChildren();
    chart.toggleAttribute("hidden", checks.length < 2);
    if (checks.length < 2) return;
    const [width, height, edge] = [480, 150, 28];
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const add = (name, attributes, words) => {
      const element = document.createElementNS(SVG, name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      if (words) element.textContent = words;
      chart.append(element);
    };
    const x = (check) => edge + check.done * (width - 2 * edge);
    const y = (share) => height - edge + 8 - share * (height - 1.6 * edge);
    for (const share of [0, 0.5, 1]) {
      add("line", { x1: edge, x2: width - edge, y1: y(share), y2: y(share), class: "grid" });
      add("text", { x: edge - 6, y: y(share) + 4, "text-anchor": "end" }, share.toFixed(1));
    }
    const most = Math.max(...checks.map((check) => check.loss ?? 0)) || 1;
    const points = (shown, value) => shown.map((check) => `${x(check).toFixed(1)},${y(value(check)).toFixed(1)}`).join(" ");
    const finite = checks.filter((check) => check.loss !== null); // it diverges
    add("polyline", { points: points(finite, (check) => check.loss / most), class: "loss" });
    add("polyline", { points: points(checks, (check) => check.dice), class: "dice" });
    add("text", { x: edge, y: height - 4, class: "key dice" }, "validation Dice");
    add("text", { x: edge + 120, y: height - 4, class: "key loss" }, "loss (relative to maximum)");
    chart.setAttribute("aria-label", `validation Dice: ${checks[0].dice.toFixed(2)} first, ${checks.at(-1).dice.toFixed(2)} latest`);
  }

  async use() {
    await this.#do(() => api.useModel(this.run.number));
    this.onuse();
  }

  async #do(what) {
    try {
      await what();
      await this.refresh();
    } catch (error) {
      this.notify(error.message, "error");
    }
  }
}
