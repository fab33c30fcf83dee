// What the list of films shows, and in which order: search by name, state, body part and verdict.

const $ = (id) => document.getElementById(id);

export class Filters {
  constructor(list) {
    this.list = list;
    for (const id of ["order", "filter", "part", "verdict"]) $(id).addEventListener("change", () => this.apply());
    $("search").addEventListener("input", () => this.apply());
  }

  apply() {
    const { value: order } = $("order");
    this.list.choose({ order, state: $("filter").value, part: $("part").value, verdict: $("verdict").value, text: $("search").value });
  }

  // Offer the body parts on the films; the chosen one stays.
  showParts() {
    const parts = this.list.parts();
    const select = $("part");
    if (parts.join() === [...select.options].slice(1).map((option) => option.value).join()) return;
    const { value } = select;
    select.replaceChildren(select.options[0], ...parts.map((part) => new Option(part)));
    select.value = parts.includes(value) ? value : "all";
    if (select.value !== value) this.apply();
  }
}
