"""How a laboratory's pictures look: stain, illumination, optics and camera."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageFilter

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class LabStyle:
    """One laboratory.

    Parameters
    ----------
    eosin, azure, blue, haemoglobin : (float, float, float)
        Optical density in red, green and blue of one unit of each stain: eosin (acid granules), azure
        (chromatin), methylene blue (basophilic cytoplasm) and stained haemoglobin.
    background : (float, float, float)
        Colour of the empty field, 0–255.
    strength : float
        Factor on all stain.
    plasma : float
        Stain left in the plasma between the cells, in units of eosin.
    gradient, vignette : float
        Share (0–1) by which the light falls from one side to the other, and from the middle to the corners.
    blur : float
        Sigma of the blur in pixels of a 224-pixel picture.
    sharpen : float
        Strength of the camera's edge enhancement; 0 is none, 1 doubles the edges.
    noise : float
        Sigma of the sensor's noise in grey levels (0–255).
    jpeg : int or None
        JPEG quality (1–95) the picture has been through.
    magnification : float
        Diameter of a red cell as a share of the picture's side.
    density : float
        Share (0–1) of the field covered by red cells.
    pallor : float
        How much paler (0–1) the middle of a red cell is.
    debris : float
        Platelets per 16 red-cell diameters squared.
    gamma, contrast, saturation : float
        Of the camera; 1 leaves the picture as it is.
    variation : float
        How much its pictures differ among themselves, 0 (not at all) to 1.
    """

    eosin: Triple = (0.10, 0.62, 0.50)
    azure: Triple = (1.10, 1.55, 0.60)
    blue: Triple = (0.75, 0.60, 0.14)
    haemoglobin: Triple = (0.28, 0.46, 0.42)
    background: Triple = (248.0, 228.0, 202.0)
    strength: float = 1.0
    plasma: float = 0.02
    gradient: float = 0.03
    vignette: float = 0.03
    blur: float = 0.6
    sharpen: float = 0.0
    noise: float = 2.0
    jpeg: int | None = None
    magnification: float = 0.24
    density: float = 0.4
    pallor: float = 0.75
    debris: float = 0.6
    gamma: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    variation: float = 0.3

    def varied(self, rng: np.random.Generator, amount: float | None = None) -> LabStyle:
        """The same laboratory on another day: stain, light and scale shifted by `amount` (or `variation`)."""
        amount = self.variation if amount is None else amount

        def shifted(colour: Triple, spread: float) -> Triple:
            factors = np.exp(spread * amount * rng.standard_normal(3))
            return (colour[0] * factors[0], colour[1] * factors[1], colour[2] * factors[2])

        light = shifted(self.background, 0.035)
        return replace(
            self,
            eosin=shifted(self.eosin, 0.2),
            azure=shifted(self.azure, 0.15),
            blue=shifted(self.blue, 0.2),
            haemoglobin=shifted(self.haemoglobin, 0.12),
            background=(min(light[0], 255.0), min(light[1], 255.0), min(light[2], 255.0)),
            strength=self.strength * float(np.exp(0.25 * amount * rng.standard_normal())),
            blur=self.blur * float(np.exp(0.5 * amount * rng.standard_normal())),
            magnification=self.magnification * float(np.exp(0.12 * amount * rng.standard_normal())),
            density=float(np.clip(self.density * np.exp(0.6 * amount * rng.standard_normal()), 0, 0.75)),
            pallor=float(np.clip(self.pallor + 0.3 * amount * rng.standard_normal(), 0, 1)),
        )


#: Laboratories to render by name. None copies a real one; each stands for a way that real ones differ.
STYLES: dict[str, LabStyle] = {
    # An automated slide scanner: even bright beige light, sharp, pinkish-grey red cells, violet nuclei.
    "harbour": LabStyle(),
    # A rapid stain photographed on an old camera: yellow light, red-brown nuclei, nearly unstained red cells.
    "valley": LabStyle(
        eosin=(0.12, 0.60, 0.50),
        azure=(0.80, 1.75, 0.80),
        blue=(0.36, 0.50, 0.30),
        haemoglobin=(0.05, 0.12, 0.30),
        background=(252.0, 232.0, 120.0),
        blur=1.3,
        sharpen=0.7,
        noise=4.0,
        magnification=0.36,
        density=0.25,
        pallor=0.75,
        debris=0.2,
        contrast=1.15,
        variation=0.5,
    ),
    # A telephone held to the eyepiece: bluish, pale, soft, little contrast, lavender nuclei.
    "summit": LabStyle(
        eosin=(0.06, 0.36, 0.22),
        azure=(0.62, 0.85, 0.10),
        blue=(0.42, 0.24, 0.00),
        haemoglobin=(0.06, 0.26, 0.28),
        background=(205.0, 214.0, 222.0),
        gradient=0.10,
        vignette=0.12,
        blur=1.8,
        noise=3.0,
        jpeg=50,
        magnification=0.33,
        pallor=0.25,
        contrast=0.9,
        plasma=0.05,
        variation=0.45,
    ),
    # An alkaline buffer: greenish-grey field, blue-black nuclei, khaki red cells lying close together.
    "forest": LabStyle(
        eosin=(0.18, 0.50, 0.42),
        azure=(1.70, 1.35, 0.62),
        blue=(0.90, 0.50, 0.20),
        haemoglobin=(0.42, 0.34, 0.52),
        background=(206.0, 224.0, 198.0),
        vignette=0.15,
        blur=0.9,
        noise=4.0,
        magnification=0.21,
        density=0.55,
        pallor=0.35,
        variation=0.35,
    ),
    # An acid buffer under warm uneven light: crimson nuclei, plum-grey red cells.
    "dune": LabStyle(
        eosin=(0.05, 0.55, 0.35),
        azure=(0.50, 1.90, 0.85),
        blue=(0.40, 0.62, 0.30),
        haemoglobin=(0.40, 0.62, 0.40),
        background=(232.0, 205.0, 192.0),
        gradient=0.15,
        vignette=0.30,
        blur=0.9,
        noise=3.0,
        jpeg=70,
        magnification=0.25,
        density=0.4,
        pallor=0.45,
        debris=0.3,
        variation=0.35,
    ),
    # A scanning microscope at high power: lilac-white field, strong violet stain, mauve red cells.
    "slate": LabStyle(
        eosin=(0.14, 0.52, 0.22),
        azure=(1.35, 1.75, 0.42),
        blue=(0.95, 0.80, 0.12),
        haemoglobin=(0.22, 0.36, 0.16),
        background=(236.0, 228.0, 240.0),
        strength=1.1,
        blur=0.7,
        sharpen=0.4,
        noise=5.0,
        magnification=0.28,
        density=0.5,
        pallor=0.5,
        variation=0.3,
    ),
}


def random_style(rng: np.random.Generator) -> LabStyle:
    """A laboratory that need not exist, from ranges wider than those of `STYLES` (domain randomisation)."""

    def colour(low: Triple, high: Triple) -> Triple:
        r, g, b = rng.uniform(low, high)
        return (float(r), float(g), float(b))

    # A white lamp tinted at random: independent channels would make fields of colours no lamp has.
    tint = np.array([1.0, rng.uniform(0.82, 1.05), rng.uniform(0.4, 1.15)])
    light = np.clip(rng.uniform(165, 262) * tint / max(tint.max(), 1.0), 60, 255)
    # Haemoglobin absorbs green most whatever the stain.
    green = float(rng.uniform(0.1, 0.7))
    return LabStyle(
        eosin=colour((0.02, 0.25, 0.1), (0.3, 0.8, 0.7)),
        azure=colour((0.45, 0.75, 0.08), (1.8, 2.1, 1.0)),
        blue=colour((0.3, 0.2, 0.0), (1.0, 0.85, 0.4)),
        haemoglobin=(float(green * rng.uniform(0.2, 1.1)), green, float(green * rng.uniform(0.3, 1.6))),
        background=(float(light[0]), float(light[1]), float(light[2])),
        strength=float(rng.uniform(0.65, 1.35)),
        plasma=float(rng.uniform(0, 0.12)),
        gradient=float(rng.uniform(0, 0.25)),
        vignette=float(rng.uniform(0, 0.4) * (rng.random() < 0.6)),
        blur=float(rng.uniform(0.2, 2.4)),
        sharpen=float(rng.uniform(0, 1.2) * (rng.random() < 0.4)),
        noise=float(rng.uniform(0, 9)),
        jpeg=int(rng.integers(30, 95)) if rng.random() < 0.3 else None,
        magnification=float(np.exp(rng.uniform(np.log(0.15), np.log(0.5)))),
        density=float(rng.uniform(0, 0.7)),
        pallor=float(rng.uniform(0, 0.95)),
        debris=float(rng.uniform(0, 2.5) * (rng.random() < 0.7)),
        gamma=float(np.exp(rng.normal(0, 0.15))),
        contrast=float(rng.uniform(0.75, 1.25)),
        saturation=float(rng.uniform(0.6, 1.4)),
        variation=float(rng.uniform(0, 0.4)),
    )


def develop(
    stains: np.ndarray, style: LabStyle, rng: np.random.Generator, *, lamp: np.ndarray | None = None
) -> np.ndarray:
    """Turn stain into a photograph.

    Parameters
    ----------
    stains : ndarray, float32, (4, H, W)
        Concentrations of eosin, azure, blue and haemoglobin.
    style : LabStyle
        Its lengths in pixels are for a width of 224 pixels.
    rng : numpy.random.Generator
        Draws the direction of the light and the noise.
    lamp : ndarray, float32, (H, W, 3), optional
        The light of the empty field, 1 being white, in place of the style's background, gradient and vignette.

    Returns
    -------
    ndarray, uint8, (H, W, 3)
        0–255, RGB.
    """
    height, size = stains.shape[1:]
    vectors = np.array([style.eosin, style.azure, style.blue, style.haemoglobin], np.float32)
    density = np.tensordot(stains, np.float32(style.strength) * vectors, axes=(0, 0))
    light = np.exp(np.negative(density, out=density), out=density)
    if lamp is None:
        across, down = (np.linspace(-1, 1, side, dtype=np.float32) for side in (size, height))
        way = rng.uniform(0, 2 * np.pi)
        fall = 1 + np.float32(0.5 * style.gradient) * (
            np.float32(np.cos(way)) * across[None] + np.float32(np.sin(way)) * down[:, None]
        )
        fall -= np.float32(0.5 * style.vignette) * (across[None] ** 2 + down[:, None] ** 2)
        lamp = fall[..., None] * (np.array(style.background, np.float32) / 255)
    light *= lamp
    if style.gamma != 1:
        light = np.maximum(light, 0) ** np.float32(style.gamma)
    if style.saturation != 1:
        grey = light.mean(axis=2, keepdims=True)
        light = grey + np.float32(style.saturation) * (light - grey)
    if style.contrast != 1:
        light = 0.6 + np.float32(style.contrast) * (light - 0.6)
    light *= 255
    light += 0.5
    picture = Image.fromarray(np.clip(light, 0, 255, out=light).astype(np.uint8))
    # Blur is stated for 224 pixels, so that a style keeps its look at any size.
    blur = style.blur * size / 224
    if blur > 0.1:
        picture = picture.filter(ImageFilter.GaussianBlur(blur))
    if style.sharpen:
        picture = picture.filter(ImageFilter.UnsharpMask(2.0 * size / 224, int(100 * style.sharpen), 0))
    if style.noise:
        grain = rng.standard_normal((height, size, 3), dtype=np.float32)
        grain *= np.float32(style.noise)
        grain += np.asarray(picture)
        picture = Image.fromarray(np.clip(grain, 0, 255, out=grain).astype(np.uint8))
    if style.jpeg is not None:
        packed = io.BytesIO()
        picture.save(packed, format="JPEG", quality=style.jpeg)
        picture = Image.open(packed)
    return np.array(picture)
