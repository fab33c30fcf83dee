"""Train the verdict network that ships with boneseg: body part, projection, quality of the mask.

    python -m scripts.train_verdict --pools films/body films/chest --models bones candidates/a \\
        --poor generations/1 generations/2 --work runs/verdict

Everything is simulated: no real radiograph is used, neither for the weights nor for the
thresholds. Films of pools that `boneseg simulate --organs` wrote are segmented by the given models
(`scripts/verdict_films.py`), seen from many sides (`scripts/verdict_views.py`) and learnt. One film
in ten is held out, and the thresholds of the verdict are set on these. An interrupted call is
resumed by repeating it; what lies in the work folder is used again. For a new generation of the
bundled model repeat it with that as the first of --models. With `--keep` the weights stay, and only
the offset and slope of certainty and the limits are fitted anew.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.random import default_rng
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from scipy.optimize import minimize
from scipy.special import logit as scipy_logit
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn import functional

from boneseg._util.files import whole_file
from boneseg.bundle.shipped import bundled, verdict_weights
from boneseg.inference.verdict.evidence import FACTS, MAPS, certainty
from boneseg.inference.verdict.judge import trust_of
from boneseg.inference.verdict.network import (
    LOCAL,
    PARTS,
    PROJECTIONS,
    QUALITIES,
    STRIDES,
    VerdictNetwork,
    verdict_network,
)
from scripts.steps import keep_checkpoint, resumed
from scripts.verdict_films import Source, keep, sources
from scripts.verdict_views import Example, example, read_maps

SEED = 0
CHANNELS = (24, 32, 56, 80, 80, 96)  # of the layers
WIDE = 48  # hidden units of the quality's head
BATCH = 64
VIEWS = 4  # random views of each film and model
HELD = 10  # one film in so many is held out
MOST = 300  # films of a part
RATE = 3e-3
AVERAGE = 0.998  # decay of the average of the weights
EVERY = 250  # steps between checkpoints
GOOD, POOR, BAD = 0.97, 0.9, 0.8  # balanced scores of masks that are to be told apart
FALSE_ALARMS = 0.1  # share of the good masks that may be flagged


class Network(nn.Module):
    """`VerdictNetwork`, with batch norms."""

    def __init__(self) -> None:
        super().__init__()
        layers, inputs = [], len(MAPS)
        for outputs, stride in zip(CHANNELS, STRIDES, strict=True):
            convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            layers.append(nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU()))
            inputs = outputs
        facts = len(FACTS) + 1
        self.layers = nn.ModuleList(layers)
        self.drop = nn.Dropout(0.25)
        self.errors = nn.Linear(CHANNELS[LOCAL - 1] + facts, 2)
        self.hidden = nn.Linear(2 * inputs + facts + 3, WIDE)
        self.quality = nn.Linear(WIDE, len(QUALITIES))
        self.part = nn.Linear(2 * inputs + facts, len(PARTS))
        self.projection = nn.Linear(2 * inputs + facts, len(PROJECTIONS))

    def forward(self, maps: Tensor, facts: Tensor) -> dict[str, Tensor]:
        """N x MAPS x SIDE x SIDE and N x FACTS + 1 to logits."""
        features = maps
        for index, layer in enumerate(self.layers):
            features = layer(features)
            if index + 1 == LOCAL:
                local = features
        cells = facts[:, None, None].expand(-1, *local.shape[2:], -1)
        errors = self.errors(torch.cat([local.permute(0, 2, 3, 1).float(), cells], -1))
        errors = errors.permute(0, 3, 1, 2)
        features = features.float()
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3)), facts], 1)
        mask = functional.adaptive_avg_pool2d((maps[:, 3:4] + 1) / 2, errors.shape[2:])[:, 0]
        implied = totals(errors.float().sigmoid(), mask.float())
        hidden = self.hidden(torch.cat([self.drop(pooled), implied], 1)).relu()
        seen = self.drop(pooled)
        return {
            "errors": errors, "quality": self.quality(hidden),
            "part": self.part(seen), "projection": self.projection(seen),
        }  # fmt: skip


def totals(errors: Tensor, mask: Tensor) -> Tensor:
    """As `boneseg.inference.verdict.network.totals`."""
    found, wrong, missed = (
        mask.sum((1, 2)) + 0.1,
        errors[:, 0].sum((1, 2)),
        errors[:, 1].sum((1, 2)),
    )
    right = (found - wrong).clamp(min=0.05)
    ratios = torch.stack(
        [right / (right + missed), right / found, 2 * right / (found + right + missed)], 1
    )
    return torch.logit(ratios.clamp(0.02, 0.998))


@dataclass(frozen=True)
class Examples:
    """Many examples, with the number of their part and projection; -1 where it is unknown."""

    maps: Tensor  # N x MAPS x SIDE x SIDE, float16
    facts: Tensor
    qualities: Tensor
    errors: Tensor
    labels: Tensor  # N x 2
    names: list[str]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--pools", type=Path, nargs="+", required=True, help="simulated films")
    words.add_argument("--models", type=Path, nargs="+", default=[bundled()], help="good bundles")
    words.add_argument("--poor", type=Path, nargs="+", default=[bundled()], help="worse bundles")
    words.add_argument("--work", type=Path, default=Path("runs/verdict"))
    words.add_argument("--most", type=int, default=MOST, help="films of a part")
    words.add_argument("--views", type=int, default=VIEWS)
    words.add_argument("--steps", type=int, default=3000)
    words.add_argument("--init", type=Path, help="checkpoint of an earlier call to start from")
    words.add_argument("--rate", type=float, default=RATE, help="of learning, at its highest")
    words.add_argument("--no-masks", action="store_true", help="use only masks that are there")
    words.add_argument("--keep", action="store_true", help="keep the weights of --out")
    words.add_argument("--out", type=Path, default=verdict_weights())
    asked = words.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    films = sources(asked.pools, asked.most)
    if not asked.no_masks:
        keep(films, asked.models, asked.poor, asked.work / "maps")
    pairs = [(film, model) for film in films for model in sorted({*asked.models, *asked.poor})
             if kept(asked.work, film, model).exists()]  # fmt: skip
    held = [pair for pair in pairs if is_held(pair[0])]
    learnt = [pair for pair in pairs if not is_held(pair[0])]
    print(f"{len(learnt)} masks to learn from, {len(held)} held out", flush=True)
    if not asked.keep:
        examples = views(asked.work, "learnt", learnt, asked.views)
        save(weights_of(trained(examples, asked)), asked.out)
    fitted = fitted_certainty(asked.work, learnt)
    print(f"certainty: offset {fitted[0]:.3f}, slope {fitted[1]:.3f}")
    weights = load_file(asked.out) | {"certainty": np.array(fitted, np.float32)}
    save(weights, asked.out)
    verdict_network.cache_clear()
    limits = judged(verdict_network(asked.out), asked.work, held)
    save(weights | {"thresholds": np.array(limits, np.float32)}, asked.out)


def is_held(film: Source) -> bool:
    """Whether a film is held out."""
    return film.choice("held", HELD) == 0


def kept(work: Path, film: Source, model: Path) -> Path:
    return work / "maps" / model.name / f"{film.key}.npz"


def label(film: Source) -> tuple[int, int]:
    part = PARTS.index(film.part) if film.part in PARTS else -1
    known = film.projection in PROJECTIONS
    return part, PROJECTIONS.index(film.projection) if known else -1


def views(work: Path, name: str, pairs: list[tuple[Source, Path]], count: int) -> Examples:
    """Random views of each film and model, from the work folder where they are there already."""
    path = work / f"{name}-{len(pairs)}-{count}.pt"
    if not path.exists():
        found: list[Example] = []
        names, labels = [], []
        for number, (film, model) in enumerate(pairs):
            chance = default_rng([SEED, film.choice(model.name, 1 << 32)])
            maps = read_maps(work / "maps" / f"{film.key}.npz", kept(work, film, model))
            for _ in range(count):
                found.append(example(*maps, chance))
                names.append(film.part)
                labels.append(label(film))
            if number % 500 == 0:
                print(f"views of {number} of {len(pairs)} masks", flush=True)
        torch.save(vars(gathered(found, labels, names)), path)
    return Examples(**torch.load(path, weights_only=True))


def gathered(found: list[Example], labels: list[tuple[int, int]], names: list[str]) -> Examples:
    facts = [np.append(one.seen.facts, np.float32(one.every)) for one in found]
    return Examples(
        torch.from_numpy(np.stack([one.seen.maps.astype(np.float16) for one in found])),
        torch.from_numpy(np.stack(facts)),
        torch.from_numpy(np.stack([one.quality for one in found])),
        torch.from_numpy(np.stack([one.errors for one in found])),
        torch.tensor(labels),
        names,
    )


def trained(examples: Examples, asked: argparse.Namespace) -> Network:
    """The average of the weights of a network that has learnt the examples."""
    steps: int = asked.steps
    torch.manual_seed(SEED)
    network, average = Network().to(memory_format=torch.channels_last), Network()  # type: ignore[call-overload]
    average.load_state_dict(network.state_dict())
    optimiser = torch.optim.AdamW(network.parameters(), asked.rate, weight_decay=0.03, fused=True)
    saved = asked.work / f"checkpoint-{asked.out.stem}-{steps}.pt"
    if asked.init is not None:
        begun = torch.load(asked.init, weights_only=True)["average"]
        network.load_state_dict(begun)
        average.load_state_dict(begun)
    first = resumed(saved, network, average, optimiser)
    counts = Counter(examples.names)
    weights = np.array([counts[name] ** -0.6 for name in examples.names])
    weights /= weights.sum()
    mean_loss = 0.0
    for step in range(first, steps):
        chance = default_rng([SEED, step])
        torch.manual_seed(step)
        chosen = torch.from_numpy(chance.choice(len(weights), BATCH, p=weights))
        rate = (
            asked.rate
            * min(1.0, (step + 1) / 100)
            * (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))
        )
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = loss_of(network, examples, chosen, chance)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        keep_average(average, network, min(AVERAGE, (step + 1) / (step + 10)))
        mean_loss += max(0.01, 1 / (step - first + 1)) * (loss.item() - mean_loss)
        if (step + 1) % EVERY == 0 or step + 1 == steps:
            print(f"{step + 1} of {steps} steps, loss {mean_loss:.4f}", flush=True)
            keep_checkpoint(saved, step + 1, network, average, optimiser)
    return average.eval()


@torch.no_grad()
def keep_average(average: Network, network: Network, decay: float) -> None:
    for mean, now in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(now, 1 - decay)
        else:
            mean.copy_(now)


def loss_of(
    network: Network, examples: Examples, chosen: Tensor, chance: np.random.Generator
) -> Tensor:
    maps, errors = examples.maps[chosen].float(), examples.errors[chosen]
    facts, labels = examples.facts[chosen], examples.labels[chosen]
    mirrored = torch.from_numpy(chance.random(len(chosen)) < 0.5)
    maps[mirrored], errors[mirrored] = maps[mirrored].flip(3), errors[mirrored].flip(3)
    scale = torch.from_numpy(chance.normal(1, 0.1, (len(chosen), 2, 1, 1))).float()
    shift = torch.from_numpy(chance.normal(0, 0.1, (len(chosen), 2, 1, 1))).float()
    maps[:, :2] = maps[:, :2] * scale + shift
    facts = facts + 0.03 * torch.randn_like(facts) * (torch.arange(facts.shape[1]) < 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = network(maps.contiguous(memory_format=torch.channels_last), facts)
    entropy, classes = functional.binary_cross_entropy_with_logits, functional.cross_entropy
    quality = examples.qualities[chosen]
    known = quality.isfinite()
    base = _entropy(quality.nan_to_num(0.5))
    qualities = entropy(found["quality"].float(), quality.nan_to_num(0.5), reduction="none") - base
    part, projection = (found[name].float() for name in ("part", "projection"))
    return (
        classes(part, labels[:, 0], ignore_index=-1, label_smoothing=0.05)
        + 0.5 * classes(projection, labels[:, 1], ignore_index=-1, label_smoothing=0.05)
        + 8 * (entropy(found["errors"].float(), errors) - _entropy(errors).mean())
        + 8 * (qualities * known).sum() / known.sum()
    )  # fmt: skip


def _entropy(share: Tensor) -> Tensor:
    return functional.binary_cross_entropy(share, share, reduction="none")


def fitted_certainty(work: Path, pairs: list[tuple[Source, Path]]) -> tuple[float, float]:
    """Offset and slope of the logit of the balanced score over that of certainty (Platt, 1999)."""
    sure, scores = [], []
    for film, model in pairs:
        one = example(*read_maps(work / "maps" / f"{film.key}.npz", kept(work, film, model)))
        if np.isfinite(score := one.quality[QUALITIES.index("balanced")]):
            sure.append(certainty(one.seen))
            scores.append(float(score))
    logit, truth = scipy_logit(np.clip(sure, 0.005, 0.995)), np.array(scores)

    def loss(fit: NDArray[np.float64]) -> float:
        logits = fit[0] + fit[1] * logit
        return float((np.logaddexp(0, logits) - truth * logits).mean())

    offset, slope = minimize(loss, np.array([0.0, 1.0])).x
    return float(offset), float(slope)


def judged(
    network: VerdictNetwork, work: Path, pairs: list[tuple[Source, Path]]
) -> tuple[float, float]:
    """Print how the network does on held-out films; return the thresholds of trust."""
    rows = []
    for film, model in pairs:
        one = example(*read_maps(work / "maps" / f"{film.key}.npz", kept(work, film, model)))
        answer = network.answer(one.seen, every=True)
        part, projection = label(film)
        found = answer.qualities.copy()
        found[QUALITIES.index("balanced")] = trust_of(answer, every=True)
        rows.append((
            *one.quality, *found,
            np.nan if part < 0 else float(answer.parts.argmax() == part),
            np.nan if projection < 0 else float(answer.projections.argmax() == projection),
        ))  # fmt: skip
    table = np.array(rows)
    print(f"part right {np.nanmean(table[:, 8]):.3f}, projection {np.nanmean(table[:, 9]):.3f}")
    for index, name in enumerate(QUALITIES):
        true, trust = table[:, index], table[:, 4 + index]
        ok = np.isfinite(true)
        error = np.abs(true - trust)[ok]
        print(f"{name}: rank correlation {spearmanr(true[ok], trust[ok]).statistic:.3f}, "
              f"mean error {error.mean():.3f}, bias {(trust - true)[ok].mean():+.3f}")  # fmt: skip
    balanced, trust = table[:, 1], table[:, 5]
    review = float(np.quantile(trust[balanced > GOOD], FALSE_ALARMS))
    unsuitable = float(np.quantile(trust[balanced < BAD], 0.5))
    for limit, name in ((review, "review"), (unsuitable, "unsuitable")):
        bad, worst, good = (
            np.mean(trust[chosen] < limit)
            for chosen in (balanced < POOR, balanced < BAD, balanced > GOOD)
        )
        print(f"{name} below {limit:.3f}: {bad:.0%} of balanced scores below {POOR}, "
              f"{worst:.0%} of those below {BAD}, {good:.0%} of those above {GOOD}")  # fmt: skip
    return review, min(unsuitable, review)


def weights_of(network: Network) -> dict[str, NDArray[np.floating]]:
    """The weights as `boneseg.inference.verdict.network` reads them, without limits."""
    values: dict[str, Tensor] = {}
    for number, layer in enumerate(network.layers):
        convolution, norm, _ = layer
        folded = nn.utils.fuse_conv_bn_eval(convolution, norm)
        values |= {f"{number}.weight": folded.weight, f"{number}.bias": folded.bias}
    for name in ("errors", "hidden", "quality", "part", "projection"):
        head = getattr(network, name)
        values |= {f"{name}.weight": head.weight, f"{name}.bias": head.bias}
    return {name: value.detach().numpy() for name, value in values.items()}


def save(weights: Mapping[str, NDArray[np.floating]], out: Path) -> None:
    """Write weights in float16, complete or not at all; limits and a fit of 0 where they lack."""
    values = {"thresholds": np.zeros(2), "certainty": np.zeros(2), **weights}
    halves = {name: np.ascontiguousarray(v.astype(np.float16)) for name, v in values.items()}
    with whole_file(out) as temporary:
        save_file(halves, temporary)


if __name__ == "__main__":
    main()
