"""The settings of a network: all that reading a model needs of recipes.

They are a module of their own, so that segmenting does not load the settings of training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=50)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class NetworkSettings(Section):
    """The network. A family uses the settings that apply to it; U-Nets use all of them."""

    architecture: Name = Field("unet", description="network family")
    inputs: Literal["film", "copies", "filters"] = Field(
        "film", description="film; copies: three times; filters: film, blurred film and edges"
    )
    attention: bool = Field(False, description="unet: attention gates on the skip connections")
    block: Literal["plain", "residual", "separable"] = Field(
        "plain", description="two convolutions; residual; depthwise separable"
    )
    norm: Literal["batch", "instance", "none"] = Field("batch", description="normalisation layer")
    width: int = Field(16, ge=1, le=512, description="channels at the first level")
    max_width: int = Field(
        256, ge=1, le=2048, description="maximum channels; they double at each level"
    )
    stem: int | None = Field(
        None,
        ge=1,
        le=8,
        description="side of patches folded into channels, px (if unset: from the films)",
    )
    levels: int | None = Field(
        None, ge=1, le=10, description="resolution levels (if unset: from the films)"
    )
    widths: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(
        None,
        min_length=1,
        max_length=10,
        description="channels at each level; overrides width and levels",
    )
    deep_supervision: bool = Field(True, description="compute the loss at every decoder level")
    depth: int | None = Field(
        None, ge=1, le=9, description="unetplusplus: prune to this depth after training"
    )

    @model_validator(mode="after")
    def _of_one_family(self) -> Self:
        if self.attention and self.architecture != "unet":
            raise ValueError("attention requires architecture unet; change one of the two")
        nested = self.architecture == "unetplusplus" and self.deep_supervision
        if self.depth is not None and not nested:
            raise ValueError("depth requires architecture unetplusplus with deep_supervision")
        return self


class SettledNetwork(NetworkSettings):
    """The settled network: what `networks.build` receives and the card of a model records.

    A card may come from another version of boneseg: unknown settings are ignored.
    """

    model_config = ConfigDict(extra="ignore")

    stem: int = Field(1, ge=1, le=8)
    levels: int = Field(ge=1, le=10)
    widths: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1, max_length=10)

    @model_validator(mode="before")
    @classmethod
    def _levels_of_widths(cls, data: object) -> object:
        """Levels follow from widths; older cards may lack them."""
        if not isinstance(data, dict) or not isinstance(data.get("widths"), Sequence):
            return data
        known = {name: value for name, value in data.items() if value is not None}
        return {"levels": len(data["widths"]), **known}
