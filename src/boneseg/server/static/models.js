// The list of models: the bundled one and every trained one, each a click away, for the page and for the API.

import * as api from "./api.js";

const PURPOSES = { page: "Page", api: "API" };

export class Models {
  // onuse: called after the page has switched to another model
  constructor(table, notify, onuse) {
    Object.assign(this, { table, notify, onuse });
  }

  async refresh() {
    const rows = (await api.models()).map((model) => this.#row(model));
    this.table.replaceChildren(...rows);
  }

  #row(model) {
    const row = document.createElement("tr");
    const cell = (content, kind = "td") => {
      const made = document.createElement(kind);
      made.append(content);
      row.append(made);
      return made;
    };
    cell(model.name, "th").scope = "row";
    cell(model.made ? new Date(model.made).toLocaleDateString() : "–").title = model.made ? new Date(model.made).toLocaleString() : "";
    cell(model.films?.toLocaleString() ?? "–");
    cell(diceOf(model)).title = model.dice === null ? "Not compared on drawn or corrected films of this folder" : "";
    for (const [purpose, label] of Object.entries(PURPOSES)) cell(this.#button(model, purpose, label));
    return row;
  }

  #button(model, purpose, label) {
    const button = document.createElement("button");
    button.type = "button";
    button.disabled = model[purpose];
    button.textContent = model[purpose] ? "in use" : "use";
    button.setAttribute("aria-label", `${label}: ${model[purpose] ? "uses" : "use"} ${model.name}`);
    button.addEventListener("click", () => this.#use(model, purpose));
    return button;
  }

  async #use({ id, name }, purpose) {
    try {
      await api.useModel(id, purpose);
      await this.refresh();
      this.notify(purpose === "page" ? `The page uses the ${name} model` : `The API uses the ${name} model`, "good");
      if (purpose === "page") await this.onuse();
    } catch (error) {
      this.notify(error.message, "error");
    }
  }
}

function diceOf({ dice, before, scoring }) {
  if (dice === null) return "–";
  const films = scoring === 1 ? "1 film" : `${scoring} films`;
  return before === null ? `${dice.toFixed(3)} on ${films}` : `${dice.toFixed(3)} (before: ${before.toFixed(3)}) on ${films}`;
}
