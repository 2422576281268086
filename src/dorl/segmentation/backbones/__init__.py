"""Backbones of a segmenter: SAM, SAM 2, the tiny network; and DinoBloom, which makes tokens alone."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from torch import Tensor


class Backbone(Protocol):
    """The shape of a network that makes tokens and masks, and how it is run; a frozen dataclass.

    Attributes
    ----------
    family : str
        Name in a checkpoint's header.
    channels_last : bool
        Whether inference keeps grids with their channels last in memory.
    width, grid, image_size : int
        Channels D of a token, tokens G on a side, and the side S of the input in pixels.
    """

    family: ClassVar[str]
    channels_last: ClassVar[bool]

    @property
    def width(self) -> int: ...

    @property
    def grid(self) -> int: ...

    @property
    def image_size(self) -> int: ...

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as written into a checkpoint's header."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Any:
        """Inverse of `to_dict`."""

    def build(self, *, masks: int = 2) -> Any:
        """A network of this shape with freshly drawn weights (torch's global generator)."""

    def shallow(self) -> Any:
        """The same prompt encoder and mask decoder above an encoder without blocks."""

    def encode(self, model: Any, pixels: Tensor) -> Any:
        """From normalised float pixels (B, 3, S, S) to what `decode`, `tokens` and `grids` read."""

    def decode(self, model: Any, hidden: Any) -> Tensor:
        """Mask logits (B, 2, 4·G, 4·G), background and cell."""

    def tokens(self, hidden: Any) -> Tensor:
        """Tokens (B, D, G, G)."""

    def grids(self, hidden: Any) -> tuple[Tensor, ...]:
        """Every grid of features, (B, C, H, W) each: the tokens, then finer ones."""

    def for_inference(self, model: Any) -> None:
        """Change a network that is not trained any more so that it computes the same faster."""
