// The retraining dialog: start, follow and stop a run, and adopt its model.

import * as api from "./api.js";
import { Models } from "./models.js";

const SVG = "http://www.w3.org/2000/svg";

export class Training {
  constructor(dialog, notify, onuse) {
    this.dialog = dialog;
    this.notify = notify;
    this.onuse = onuse;
    this.part = (name) => dialog.querySelector(`[data-part="${name}"]`);
    this.models = new Models(this.part("models"), notify, async () => {
      await this.refresh();
      onuse();
    });
    this.part("start").addEventListener("click", () => this.#do(() => api.startTraining(Number(this.part("minutes").value), [])));
    this.part("stop").addEventListener("click", () => this.#do(api.stopTraining));
    this.part("use").addEventListener("click", () => this.use());
    this.part("keep").addEventListener("click", () => dialog.close());
  }

  async open() {
    await this.#list(await this.refresh());
    this.dialog.showModal();
  }

  async #list(run) {
    this.listed = run?.state; // a run that ends adds a model
    await this.models.refresh();
  }

  async refresh() {
    const { accepted, drawn, needed, run } = await api.training();
    this.run = run;
    const running = run?.state === "running";
    this.part("accepted").textContent =
      accepted < needed
        ? `Accepted films: ${accepted}. Accept at least ${needed} to retrain.`
        : `${accepted} accepted films, of which ${drawn} were drawn or corrected by hand. A fifth of those is held out to compare the new model with today's; masks accepted as suggested are trained on, but never score.`;
    this.part("start").disabled = running || accepted < needed;
    this.part("minutes").disabled = running;
    this.part("stop").hidden = !running;
    this.part("run").hidden = !run;
    if (run) this.#show(run);
    if (this.dialog.open && this.listed !== run?.state) await this.#list(run);
    return run;
  }

  #show(run) {
    const last = run.checks.at(-1);
    const ended = {
      done: "Finished",
      failed: "Failed",
      stopped: "Stopped; today's model stays in use",
      interrupted: "Interrupted because the light box was closed; start it again",
    };
    const stage = run.stage[0].toUpperCase() + run.stage.slice(1);
    this.part("stage").textContent = run.error ?? ended[run.state] ?? `${stage}…`;
    this.part("stage").classList.toggle("bad", run.state === "failed" || run.state === "interrupted");
    this.part("progress").hidden = run.state !== "running";
    if (last) this.part("progress").value = last.done;
    else this.part("progress").removeAttribute("value"); // indeterminate
    this.part("detail").textContent = last && run.state === "running"
      ? `agreement with the accepted masks ${last.dice.toFixed(3)} (to follow the training, not a measure of quality), loss ${last.loss?.toFixed(3) ?? "not finite"}`
      : "";
    this.#curves(run.checks);
    this.part("offer").hidden = run.state !== "done";
    if (run.state === "done") this.#compare(run);
  }

  // The figures, and the default choice: the new model only where it is shown to be better.
  #compare(run) {
    const scored = run.outcome !== "unknown";
    this.part("figures").hidden = !scored;
    if (scored) {
      this.part("before").textContent = run.before.dice.toFixed(3);
      this.part("after").textContent = run.after.dice.toFixed(3);
    }
    this.part("verdict").textContent = scored ? verdictOf(run) : run.no_figure ?? "No figure: the models were not compared.";
    const better = run.outcome === "better";
    this.part("use").disabled = run.used;
    this.part("use").textContent = run.used ? "In use" : "Use the new model";
    this.part("use").classList.toggle("primary", better);
    this.part("use").toggleAttribute("autofocus", better);
    this.part("keep").hidden = run.used;
    this.part("keep").classList.toggle("primary", !better);
    this.part("keep").toggleAttribute("autofocus", !better);
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
    add("text", { x: edge, y: height - 4, class: "key dice" }, "agreement with the accepted masks");
    add("text", { x: edge + 215, y: height - 4, class: "key loss" }, "loss (relative to maximum)");
    chart.setAttribute("aria-label", `agreement with the accepted masks: ${checks[0].dice.toFixed(2)} first, ${checks.at(-1).dice.toFixed(2)} latest`);
  }

  async use() {
    await this.#do(() => api.useModel(this.run.number));
    await this.models.refresh();
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

function verdictOf({ before, after, p, scoring, outcome }) {
  const better = Object.keys(after.cases).filter((name) => after.cases[name] > before.cases[name]).length;
  const figures = `Mean Dice on the ${scoring} films held out whose masks a person drew or corrected; better on ${better} of ${scoring} (p ${p < 0.001 ? "< 0.001" : `= ${p.toFixed(3)}`}).`;
  const words = {
    better: "The new model is better.",
    unclear: "The new model is not shown to be better: keep today's, or correct more films.",
    worse: "The new model is worse: keep today's.",
  };
  return `${figures} ${words[outcome]}`;
}
