// Colours of the film and its layers, as tables from values to RGBA.

const MINE = [230, 159, 0]; // Okabe-Ito palette, safe for colour-blind readers
const THEIRS = [86, 180, 233];
const BOTH = [0, 158, 115];
export const VIRIDIS = [
  [68, 1, 84],
  [59, 82, 139],
  [33, 145, 140],
  [94, 201, 98],
  [253, 231, 37],
];
export const EDGE = 4; // flag bit of an outline pixel

// 16-bit values to 8-bit grey, through window and level.
export function greyTable({ centre, width, invert }) {
  const table = new Uint8ClampedArray(65536);
  const low = centre - width / 2;
  for (let value = 0; value < 65536; value++) {
    const share = (value / 65535 - low) / width;
    table[value] = 255 * (invert ? 1 - share : share);
  }
  return table;
}

const packed = (r, g, b) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
const mixed = (grey, colour, share) => packed(...colour.map((c) => Math.round(grey + (c - grey) * share)));

// (layer, grey) to a colour: layer 1 is mine, 2 theirs, 3 both; with EDGE an outline.
export function layerTable(show, compare) {
  const table = new Uint32Array(8 * 256);
  const colours = compare ? [null, MINE, THEIRS, BOTH] : [null, MINE, MINE, MINE];
  for (let kind = 0; kind < 8; kind++) {
    const colour = colours[kind & 3];
    const share = kind & EDGE ? 1 : show.opacity;
    for (let grey = 0; grey < 256; grey++)
      table[(kind << 8) | grey] = colour ? mixed(grey, colour, share) : packed(grey, grey, grey);
  }
  return table;
}

// (grey of 64, probability of 256) to a colour.
let heat = null;
export function heatTable() {
  if (heat) return heat;
  heat = new Uint32Array(64 * 256);
  for (let p = 0; p < 256; p++) {
    const at = (p / 255) * (VIRIDIS.length - 1);
    const low = Math.min(VIRIDIS.length - 2, Math.floor(at));
    const colour = VIRIDIS[low].map((c, i) => c + (VIRIDIS[low + 1][i] - c) * (at - low));
    for (let grey = 0; grey < 64; grey++) heat[(grey << 8) | p] = mixed(grey * 4, colour, 0.55);
  }
  return heat;
}
