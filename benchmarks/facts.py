"""Facts of what ships that the documentation states: `python -m benchmarks.facts`.

Counted, not measured: the same on every machine.
"""

from __future__ import annotations

from safetensors.numpy import load_file

from boneseg.bundle.card import NAMES_WEIGHTS, OUTLINE_WEIGHTS, WEIGHTS
from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle
from boneseg.inference.verdict.network import verdict_network
from boneseg.masks.formats import FORMATS


def main() -> None:
    folder = bundled()
    models, card = folder.parent, load_bundle(folder).card
    for name, path in {
        "the bundled model": folder / WEIGHTS,
        "the network that names bones": folder / NAMES_WEIGHTS,
        "the network that finds outlines": folder / OUTLINE_WEIGHTS,
        "the film check": models / "film-check.safetensors",
        "the verdict": models / "verdict.safetensors",
    }.items():
        print(f"weights of {name}: {sum(one.size for one in load_file(path).values()):,}")
    assert card.bones is not None and card.outlines is not None
    print(f"channels at the first level: {card.architecture['widths'][0]}")
    print(f"side of the patches that are one pixel: {card.architecture['stem']}")
    print(f"side of the working grid: {(card.height * card.width) ** 0.5:.0f}")
    print(f"scales of further grids: {', '.join(f'{scale:g}' for scale in card.scales)}")
    print(f"width of thin bone: {card.thin:g}")
    print(f"scale of the grid along the outline: {card.outlines.scale:g}")
    review, unsuitable = verdict_network().thresholds
    print(f"limits of trust: {review:.3f}, {unsuitable:.3f}")
    print(f"names of bones: {len(card.bones.names)}")
    print(f"output formats: {len(FORMATS)}")
    size = sum(path.stat().st_size for path in models.rglob("*") if path.is_file())
    print(f"MB of all models and sample films: {size / 1e6:.1f}")


if __name__ == "__main__":
    main()
