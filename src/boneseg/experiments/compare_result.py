"""The result of a comparison: one row per recipe, over the films that all of them scored."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from boneseg._util.documents import Document
from boneseg._util.drawing.html import frame, table
from boneseg._util.text import counted
from boneseg.evaluation.statistics import format_p


@dataclass(frozen=True)
class Row:
    """The results of one recipe over all films."""

    recipe: str
    dice: float
    dice_ci95: tuple[float, float]
    hd95_px: float
    seconds: float  # of training, mean over folds
    parameters: int
    restarts: int
    failed_folds: int
    p_dice: float | None  # against the first recipe; None for the first itself
    p_hd95: float | None
    seconds_to_first: float | None  # to the best validation Dice of the first; None: never
    parts: dict[str, float]  # Dice of each body part


class CompareDocument(Document):
    """The content of compare.json."""

    films: int
    units: int
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Comparison:
    """The rows in the order of the recipes given, over the films that all of them scored."""

    films: int  # scored by all recipes
    units: int  # resampling units: patients where known, else films
    rows: tuple[Row, ...]  # one a recipe

    def __repr__(self) -> str:
        found = ", ".join(f"{row.recipe} {row.dice:.4f}" for row in self.rows)
        return f"Comparison({counted(self.films, 'film')}: {found})"

    def _repr_html_(self) -> str:
        heads = ("recipe", "Dice", "95 %", "p", "HD95, px", "minutes", "weights")
        rows = [
            (
                escape(row.recipe),
                f"{row.dice:.4f}",
                f"{row.dice_ci95[0]:.4f} to {row.dice_ci95[1]:.4f}",
                escape(format_p(row.p_dice)),
                f"{row.hd95_px:.2f}",
                f"{row.seconds / 60:.1f}",
                f"{row.parameters:,}",
            )
            for row in self.rows
        ]
        return frame(table(heads, rows))

    def document(self) -> CompareDocument:
        """The content of compare.json."""
        return CompareDocument(films=self.films, units=self.units, rows=self.rows)

    def table(self) -> str:
        """Format the rows, and those of body parts, for a terminal."""
        lines = [
            f"{'':<26}{'Dice':>8}{'95 %':>18}{'HD95 px':>9}{'seconds':>9}{'weights':>12}"
            f"{'p Dice':>9}{'p HD95':>9}"
        ]
        for row in self.rows:
            low, high = row.dice_ci95
            lines.append(
                f"{row.recipe:<26}{row.dice:>8.4f}{f'{low:.4f} to {high:.4f}':>18}"
                f"{row.hd95_px:>9.2f}{row.seconds:>9.0f}{row.parameters:>12,}"
                f"{format_p(row.p_dice):>9}{format_p(row.p_hd95):>9}"
            )
        parts = sorted({part for row in self.rows for part in row.parts})
        if parts:
            lines += ["", f"{'Dice of':<26}" + "".join(f"{part[:12]:>13}" for part in parts)]
            for row in self.rows:
                values = "".join(f"{row.parts[part]:>13.4f}" for part in parts)
                lines.append(f"{row.recipe:<26}{values}")
        return "\n".join(lines)
