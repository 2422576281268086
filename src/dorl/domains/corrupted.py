"""Images made worse on purpose, at five strengths: how a lab's images may come out of another microscope or camera.

Noise, blur, defocus, JPEG, light and resolution have the strengths of ImageNet-C (Hendrycks and Dietterich,
*Benchmarking neural network robustness to common corruptions and perturbations*, arXiv 1903.12261), lengths in
proportion to the image's side over its 224 pixels. White balance, stain and turn, which it lacks, have strengths of our
own. WBCBench 2026 (arXiv 2604.10797) perturbs noise, blur and light.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from dorl.domains.sources import ImageSource
from dorl.errors import InputError

#: side of the images that ImageNet-C's lengths are for
SIDE = 224
STRENGTHS = (1, 2, 3, 4, 5)

_Picture = np.ndarray
_Change = Callable[[_Picture, int, np.random.Generator], _Picture]


def _noise(image: _Picture, strength: int, rng: np.random.Generator) -> _Picture:
    return image + rng.normal(scale=(0.08, 0.12, 0.18, 0.26, 0.38)[strength - 1], size=image.shape)


def _blur(image: _Picture, strength: int, rng: np.random.Generator) -> _Picture:
    sigma = (1, 2, 3, 4, 6)[strength - 1] * _scale(image)
    return ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest")


def _defocus(image: _Picture, strength: int, rng: np.random.Generator) -> _Picture:
    radius = (3, 4, 6, 8, 10)[strength - 1] * _scale(image)
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    disk /= disk.sum()
    return np.stack([ndimage.convolve(image[..., channel], disk, mode="nearest") for channel in range(3)], axis=-1)


def _jpeg(image: _Picture, strength: int, rng: np.random.Generator) -> _Picture:
    file = io.BytesIO()
    Image.fromarray(_bytes(image)).save(file, "JPEG", quality=(25, 18, 15, 10, 7)[strength - 1])
    return np.asarray(Image.open(file), np.float64) / 255


def _light(image: _Picture, strength: int, rng: np.random.Generator) -> _Picture:
    """Brighter or darker, by chance."""
    return image + rng.choice((-1, 1)) * 0.1 * strength


def _white_balance(image: _Picture, strength: int, rng: np.random.Generator) -> _Picture:
    """Red and blue are gained and lost, or the other way round."""
    gain = 1 + 0.08 * strength * rng.choice((-1, 1))
    return image * np.array([gain, 1.0, 1 / gain])


def _stain(image: _Picture, strength: int, rng: np.random.Generator) -> _Picture:
    """The optical density of each channel is scaled, as by a longer or shorter time in another stain."""
    density = -np.log(np.clip(image, 1 / 255, 1))
    return np.exp(-density * np.exp(rng.uniform(-0.15, 0.15, 3) * strength))


def _resolution(image: _Picture, strength: int, rng: np.random.Generator) -> _Picture:
    share = (0.6, 0.5, 0.4, 0.3, 0.25)[strength - 1]
    height, width = image.shape[:2]
    small = (max(1, round(width * share)), max(1, round(height * share)))
    shown = Image.fromarray(_bytes(image)).resize(small, Image.Resampling.BOX)
    return np.asarray(shown.resize((width, height), Image.Resampling.BOX), np.float64) / 255


def _turn(image: _Picture, strength: int, rng: np.random.Generator) -> _Picture:
    """Turned about its middle by up to 36 degrees a strength, either way."""
    angle = 36 * strength * rng.uniform(0.5, 1) * rng.choice((-1, 1))
    return ndimage.rotate(image, angle, axes=(1, 0), reshape=False, order=1, mode="nearest")


KINDS: dict[str, _Change] = {
    "noise": _noise,
    "blur": _blur,
    "defocus": _defocus,
    "jpeg": _jpeg,
    "light": _light,
    "white balance": _white_balance,
    "stain": _stain,
    "resolution": _resolution,
    "turn": _turn,
}


def corrupt(image: np.ndarray, kind: str, strength: int, seed: int = 0) -> np.ndarray:
    """Make an image worse.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
        RGB, 0-255.
    kind : str
        One of `KINDS`.
    strength : int
        1 to 5; 0 leaves the image as it is.
    seed : int
        Of what is drawn.

    Returns
    -------
    uint8 array of shape (H, W, 3)

    Raises
    ------
    InputError
        If `kind` or `strength` is none of these.
    """
    if kind not in KINDS or strength not in (0, *STRENGTHS):
        raise InputError(f"{kind!r} at {strength}: give one of {', '.join(KINDS)}, at 0 to 5")
    if strength == 0:
        return image
    return _bytes(KINDS[kind](image.astype(np.float64) / 255, strength, np.random.default_rng(seed)))


@dataclass(frozen=True)
class CorruptedSource:
    """Images of another source, made worse as they are read; each draws by its own path.

    Parameters
    ----------
    source : ImageSource
    kind, strength
        As for `corrupt`.
    """

    source: ImageSource
    kind: str
    strength: int

    def size(self, path: str) -> tuple[int, int]:
        return self.source.size(path)

    def read(self, path: str) -> np.ndarray:
        seed = int.from_bytes(hashlib.sha256(path.encode()).digest()[:4], "big")
        return corrupt(self.source.read(path), self.kind, self.strength, seed)

    def read_mask(self, mask: str, shape: tuple[int, int]) -> np.ndarray:
        return self.source.read_mask(mask, shape)

    def digest(self, path: str, mask: str | None = None) -> str:
        return f"{self.source.digest(path, mask)} {self.kind} {self.strength}"


def _scale(image: np.ndarray) -> float:
    return min(image.shape[:2]) / SIDE


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(255 * image), 0, 255).astype(np.uint8)
