// Earlier versions of the open film's mask: when they were saved, as what and by whom, and restoring them.

import * as api from "./api.js";
import { attempt } from "./notify.js";
import { unpackBits } from "./raster.js";

export class Versions {
  constructor(select, editor) {
    Object.assign(this, { select, editor });
    select.addEventListener("change", () => select.value && this.#restore(select.value));
  }

  async show() {
    const { row } = this.editor;
    const versions = (await attempt(() => api.history(row.id))) ?? [];
    if (this.editor.row !== row) return;
    this.select.replaceChildren(new Option(versions.length ? "choose a version to restore…" : "none yet", ""));
    for (const version of versions) this.select.append(new Option(wordsOf(version), version.revision));
  }

  async #restore(revision) {
    const { mask, row } = this.editor;
    const bits = await attempt(() => api.earlier(row.id, revision));
    if (bits && this.editor.mask === mask) this.editor.replaceBy(unpackBits(bits, mask.values.length), "earlier version");
  }
}

const wordsOf = ({ saved, state, by }) =>
  [new Date(saved).toLocaleString(), state && (by ? `${state} by ${by}` : state)].filter(Boolean).join(" · ");
