"""Corruptions of images at five severities: shifted traffic for the demo and for simulations.

Blur, noise, contrast, brightness and fog follow D. Hendrycks and T. Dietterich, "Benchmarking
Neural Network Robustness to Common Corruptions and Perturbations" (ICLR 2019); rotation is ours.
Lengths are shares of the image's side, so that a severity means the same for 8 and 224 pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Images = NDArray[np.float64]

CorruptionName = Literal["blur", "noise", "contrast", "rotation", "brightness", "fog"]
NAMES: tuple[CorruptionName, ...] = get_args(CorruptionName)
"""Every corruption."""
SEVERITIES = (1, 2, 3, 4, 5)
"""From hardly visible to hardly readable."""

_SIGMA_SHARE = (0.05, 0.07, 0.09, 0.12, 0.16)  # of the shorter side
_NOISE = (0.08, 0.12, 0.18, 0.26, 0.38)  # standard deviation, of the full range
_CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)  # factor on the distance from the mean
_DEGREES = (12.0, 22.0, 34.0, 48.0, 65.0)  # either way
_BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)  # added, of the full range
_FOG = (0.4, 0.7, 1.1, 1.6, 2.3)  # weight of the cloud against the image
_FOG_DECAY = 2.0  # of the cloud's amplitude spectrum with frequency


def corrupt(
    images_NHWC: NDArray[np.uint8], name: CorruptionName, severity: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return corrupted copies of images; equal generators give equal copies.

    Args:
        images_NHWC: uint8.
        name: one of `NAMES`.
        severity: 1 to 5.
        rng: the only source of chance.

    Returns:
        uint8, same shape.

    Raises:
        ValueError: naming the unknown corruption or severity.
    """
    if name not in NAMES:
        raise ValueError(f"corruption {name!r} is unknown; one of {', '.join(NAMES)}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity {severity!r} is none; write a whole number from 1 to 5")
    if len(images_NHWC) == 0:
        return images_NHWC.copy()
    level = severity - 1
    unit = images_NHWC.astype(np.float64) / 255.0
    if name == "blur":
        changed = _blur(unit, _SIGMA_SHARE[level])
    elif name == "noise":
        changed = unit + rng.normal(0.0, _NOISE[level], unit.shape)
    elif name == "contrast":
        changed = _contrast(unit, _CONTRAST[level])
    elif name == "rotation":
        changed = _rotate(unit, _DEGREES[level], rng)
    elif name == "brightness":
        changed = unit + _BRIGHTNESS[level]
    else:
        changed = _fog(unit, _FOG[level], rng)
    return np.rint(np.clip(changed, 0.0, 1.0) * 255.0).astype(np.uint8)


def corrupt_mix(
    images_NHWC: NDArray[np.uint8],
    names: tuple[CorruptionName, ...],
    severity: int,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Return copies of which each has one corruption, drawn from `names` with equal chances.

    Args:
        images_NHWC: uint8.
        names: what to draw from, at least one.
        severity: 1 to 5.
        rng: the only source of chance.

    Raises:
        ValueError: as `corrupt` does.
    """
    drawn = rng.integers(len(names), size=len(images_NHWC))
    changed = images_NHWC.copy()
    for index, name in enumerate(names):
        rows = drawn == index
        changed[rows] = corrupt(images_NHWC[rows], name, severity, rng)
    return changed


def _blur(unit_NHWC: Images, share: float) -> Images:
    sigma = share * min(unit_NHWC.shape[1:3])
    # Zero along N and C: neither images nor colours may run into each other.
    return np.asarray(ndimage.gaussian_filter(unit_NHWC, (0.0, sigma, sigma, 0.0), mode="nearest"))


def _contrast(unit_NHWC: Images, factor: float) -> Images:
    mean = unit_NHWC.mean(axis=(1, 2), keepdims=True)
    return np.asarray(mean + (unit_NHWC - mean) * factor)


def _rotate(unit_NHWC: Images, degrees: float, rng: np.random.Generator) -> Images:
    signs = rng.choice([-1.0, 1.0], size=len(unit_NHWC))
    turned = np.empty_like(unit_NHWC)
    for sign in (-1.0, 1.0):
        rows = signs == sign
        turned[rows] = ndimage.rotate(
            unit_NHWC[rows], sign * degrees, axes=(1, 2), reshape=False, order=1, mode="nearest"
        )
    return turned


def _fog(unit_NHWC: Images, strength: float, rng: np.random.Generator) -> Images:
    """Add a cloud with a power-law spectrum, then bring the range back, as the paper does.

    Weights are below the paper's, whose lightest fog halves the accuracy on 8 × 8 pixels.
    Its diamond-square fractal has the same spectrum; in the Fourier domain it needs no
    power-of-two canvas and no loop.
    """
    count, height, width = unit_NHWC.shape[:3]
    across = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    across[0, 0] = np.inf  # the mean is set below
    spectrum = np.fft.rfft2(rng.normal(size=(count, height, width))) * across**-_FOG_DECAY
    cloud = np.fft.irfft2(spectrum, s=(height, width))
    cloud -= cloud.min(axis=(1, 2), keepdims=True)
    cloud /= np.maximum(cloud.max(axis=(1, 2), keepdims=True), 1e-12)
    brightest = unit_NHWC.max(axis=(1, 2, 3), keepdims=True)
    fogged = unit_NHWC + strength * cloud[..., None]
    scale = np.maximum(brightest, 0.5)
    return np.asarray(fogged * scale / (scale + strength))
