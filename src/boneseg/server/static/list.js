// The list of films: thumbnails, states and verdicts, in the selected order.

const WORDS = {
  unlabelled: "not segmented yet",
  suggested: "suggested",
  corrected: "corrected",
  accepted: "accepted",
};
const GRADES = { unsuitable: 0, review: 1, good: 2 };
const FIRST = { suggested: 0, unlabelled: 1, corrected: 2, accepted: 3 };

export class FilmList {
  constructor(element, count, onopen) {
    this.element = element;
    this.count = count;
    this.onopen = onopen;
    this.rows = [];
    this.items = new Map();
    this.order = "worst";
    this.filter = "all";
    this.current = null;
  }

  update(rows) {
    this.rows = rows;
    this.draw();
  }

  replace(row) {
    const at = this.rows.findIndex((other) => other.id === row.id);
    if (at >= 0) this.rows[at] = { place: this.rows[at].place, ...row };
    else this.rows.unshift(row);
    this.draw();
  }

  sorted() {
    const shown = this.rows.filter((row) => this.filter === "all" || (this.filter === "todo" ? row.state === "suggested" || row.state === "unlabelled" : row.state === this.filter));
    const name = (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true });
    const rank = (row) => (row.error ? 9 : FIRST[row.state]);
    const worst = (a, b) =>
      rank(a) - rank(b) || (GRADES[a.verdict] ?? 3) - (GRADES[b.verdict] ?? 3) || (a.trust ?? 2) - (b.trust ?? 2) || name(a, b);
    const informative = (a, b) => (a.place ?? 1e9) - (b.place ?? 1e9) || worst(a, b);
    const by = { worst, informative, name }[this.order];
    return shown.sort((a, b) => Number(b.inbox) - Number(a.inbox) || by(a, b));
  }

  draw() {
    const rows = this.sorted();
    const seen = new Set();
    rows.forEach((row, at) => {
      let item = this.items.get(row.id);
      if (!item) {
        item = this.#make(row.id);
        this.items.set(row.id, item);
      }
      this.#fill(item, row);
      seen.add(row.id);
      if (this.element.children[at] !== item.line) this.element.insertBefore(item.line, this.element.children[at] ?? null);
    });
    for (const [id, item] of this.items) {
      if (seen.has(id)) continue;
      item.line.remove();
      this.items.delete(id);
    }
    const done = this.rows.filter((row) => row.state === "accepted").length;
    this.count.textContent = this.rows.length ? `${done} of ${this.rows.length} accepted` : "";
  }

  mark(id) {
    this.current = id;
    for (const [other, item] of this.items) {
      if (other === id) item.button.setAttribute("aria-current", "true");
      else item.button.removeAttribute("aria-current");
    }
    this.items.get(id)?.line.scrollIntoView({ block: "nearest" });
  }

  // The film after (or before) the current one in the list.
  neighbour(step) {
    const rows = this.sorted();
    const at = rows.findIndex((row) => row.id === this.current);
    return rows[at < 0 ? 0 : at + step]?.id ?? null;
  }

  #make(id) {
    const line = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "film";
    button.addEventListener("click", () => this.onopen(id));
    const picture = document.createElement("img");
    picture.alt = "";
    picture.loading = "lazy";
    picture.width = picture.height = 52;
    const words = document.createElement("span");
    words.className = "words";
    const name = document.createElement("span");
    name.className = "name";
    const state = document.createElement("span");
    state.className = "state";
    const reason = document.createElement("span");
    reason.className = "reason";
    words.append(name, state);
    const badge = document.createElement("span");
    badge.className = "badge";
    const verdict = document.createElement("span");
    verdict.className = "verdict";
    const trust = document.createElement("span");
    trust.className = "trust";
    badge.append(verdict, trust);
    button.append(picture, words, badge, reason);
    line.append(button);
    return { line, button, picture, name, state, reason, badge, verdict, trust, shown: "" };
  }

  #fill(item, row) {
    const key = JSON.stringify([row.name, row.state, row.trust, row.verdict, row.reason, row.error, row.draft, row.stamp, row.inbox, row.id === this.current]);
    if (item.shown === key) return;
    item.shown = key;
    item.name.replaceChildren(...row.name.split(/(?<=[_.-])/).flatMap((part) => [part, document.createElement("wbr")]));
    item.name.title = row.name;
    item.button.dataset.state = row.error ? "failed" : row.state;
    const more = [row.inbox ? "not saved yet" : "", row.draft ? "draft" : ""].filter(Boolean);
    const wrong = row.clear ? "cannot be read" : "ambiguous mask";
    item.state.textContent = row.error ? wrong : [WORDS[row.state], ...more].join(" · ");
    item.button.title = row.error ?? "";
    // A person has looked at a saved mask: the verdict on the model's no longer matters.
    const judged = row.verdict && !row.error && (row.state === "suggested" || row.state === "unlabelled");
    item.reason.textContent = judged ? row.reason : "";
    item.badge.hidden = !judged;
    item.badge.dataset.verdict = judged ? row.verdict : "";
    item.verdict.textContent = judged ? row.verdict : "";
    item.trust.textContent = judged ? row.trust.toFixed(2) : "";
    item.trust.setAttribute("aria-label", judged ? `trust ${row.trust.toFixed(2)}` : "");
    item.badge.title = "The verdict, and trust: the share of bone found and of the rest left out that is expected";
    if (row.stamp && item.stamp !== row.stamp) {
      item.stamp = row.stamp;
      item.picture.src = `/api/films/${row.id}/thumbnail?of=${row.stamp}`;
    }
    if (row.id === this.current) item.button.setAttribute("aria-current", "true");
  }
}
