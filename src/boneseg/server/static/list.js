// The list of films: thumbnails, states and verdicts, in the selected order.

const WORDS = {
  unlabelled: "not segmented yet",
  suggested: "suggested",
  corrected: "corrected",
  accepted: "accepted",
};
const GRADES = { unsuitable: 0, review: 1, good: 2 };
const FIRST = { suggested: 0, unlabelled: 1, corrected: 2, accepted: 3 };

const isToDo = ({ state }) => state === "suggested" || state === "unlabelled";

function shows(row, { text, state, part, verdict }) {
  return (
    row.name.toLowerCase().includes(text.trim().toLowerCase()) &&
    (state === "all" || (state === "todo" ? isToDo(row) : row.state === state)) &&
    (part === "all" || row.part === part) &&
    (verdict === "all" || row.verdict === verdict)
  );
}

export class FilmList {
  constructor(element, count, onopen) {
    this.element = element;
    this.count = count;
    this.onopen = onopen;
    this.rows = [];
    this.items = new Map();
    this.order = "worst";
    this.filters = { text: "", state: "all", part: "all", verdict: "all" };
    this.current = null;
    this.before = new Map(); // films saved since the list was sorted, as they were: they keep their place
  }

  update(rows) {
    for (const row of rows) this.#keepPlace(row);
    this.rows = rows;
    this.draw();
  }

  replace(row) {
    this.#keepPlace(row);
    const at = this.rows.findIndex((other) => other.id === row.id);
    if (at >= 0) this.rows[at] = { place: this.rows[at].place, ...row };
    else this.rows.unshift(row);
    this.draw();
  }

  #keepPlace(row) {
    const known = this.rows.find((other) => other.id === row.id);
    if (known && known.revision !== row.revision && !this.before.has(row.id)) this.before.set(row.id, known);
  }

  // Sort and filter anew, by these settings.
  choose(settings) {
    const { order, ...filters } = settings;
    this.order = order;
    this.filters = filters;
    this.before.clear();
    this.draw();
  }

  sorted() {
    const as = new Map(this.rows.map((row) => [row, this.before.get(row.id) ?? row]));
    const name = (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true });
    const rank = (row) => (row.error ? 9 : FIRST[row.state]);
    const worst = (a, b) =>
      rank(a) - rank(b) || (GRADES[a.verdict] ?? 3) - (GRADES[b.verdict] ?? 3) || (a.trust ?? 2) - (b.trust ?? 2) || name(a, b);
    const informative = (a, b) => (a.place ?? 1e9) - (b.place ?? 1e9) || worst(a, b);
    const by = { worst, informative, name }[this.order];
    const order = (a, b) => Number(b.inbox) - Number(a.inbox) || by(a, b);
    return this.rows.filter((row) => shows(as.get(row), this.filters)).sort((a, b) => order(as.get(a), as.get(b)));
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
    const shown = rows.length < this.rows.length ? `${rows.length} shown · ` : "";
    this.count.textContent = this.rows.length ? `${shown}${done} of ${this.rows.length} accepted` : "";
  }

  // The body parts on the films.
  parts() {
    return [...new Set(this.rows.map((row) => row.part).filter(Boolean))].sort();
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

  // The next film without a saved mask after the current one, or else from the top; null where there is none.
  nextToDo() {
    const rows = this.sorted();
    const at = rows.findIndex((row) => row.id === this.current);
    const following = [...rows.slice(at + 1), ...rows.slice(0, Math.max(0, at))];
    return following.find((row) => isToDo(row) && !row.error)?.id ?? null;
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
