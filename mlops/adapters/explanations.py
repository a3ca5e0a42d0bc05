"""Which pixels an answer rests on: attributions of the trained network, by Captum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters.model_files import CARD, WEIGHTS, is_int8, read_trained
from mlops.core.preprocessing import ImagePreprocessed
from mlops.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Maps = NDArray[np.float64]

_STEPS = 32
"""Of the path integral: its sum is within a few per cent of the logit's rise (see the test)."""
_PATCH_SHARE = 0.25
"""Side of the occluding patch, of the image's; it moves by half of itself."""
_TOLERANCE, _ROUNDED = 0.02, 0.1
"""By how much an answer may differ from the network's; of a file in int8 half of the answers."""


@dataclass(frozen=True)
class Attributions:
    """What speaks for an answer, and what against it, each float64 (N, H, W), channels summed.

    Attributes:
        saliency: absolute gradient of the answer's logit, the largest of the channels (Simonyan,
            Vedaldi & Zisserman, Deep inside convolutional networks, 2014).
        integrated: gradients integrated on the way from black to the image (Sundararajan, Taly &
            Yan, Axiomatic attribution for deep networks, 2017).
        occlusion: by how much the logit falls when a patch is covered with the mean colour of
            the training rows (Zeiler & Fergus, Visualizing and understanding CNNs, 2014).
    """

    saliency: Maps
    integrated: Maps
    occlusion: Maps


def explain(
    candidate: Path,
    images_NHWC: NDArray[np.uint8],
    answer_N: NDArray[np.int64],
    probability_NK: NDArray[np.float32],
) -> Attributions:
    """Attribute each answer's logit to pixels, on the network that the model file was made from.

    Args:
        candidate: folder with `model.json` and `weights.safetensors`.
        images_NHWC: uint8, N ≥ 1.
        answer_N: int64, the class whose logit is explained.
        probability_NK: what the model file answered; a network that answers otherwise is another.

    Raises:
        DataError: if the network cannot be rebuilt, or is not the one of the model file.
    """
    import torch
    from captum.attr import IntegratedGradients, Occlusion, Saliency

    model = read_trained(candidate).eval()
    if not isinstance(model, ImagePreprocessed):
        raise DataError(f"{candidate / CARD}: describes no model of images")
    with torch.no_grad():
        again = model(torch.from_numpy(images_NHWC)).numpy()
    apart_N = np.abs(again - probability_NK).max(axis=1)
    rounded = is_int8(candidate)
    gap = float(np.median(apart_N) if rounded else apart_N.max())
    if not gap <= (_ROUNDED if rounded else _TOLERANCE):
        raise DataError(
            f"{candidate / WEIGHTS}: its network, by {CARD}, differs from the model file by "
            f"{gap:.2g} in a probability; run: mlops train"
        )
    x_NHWC = torch.from_numpy(images_NHWC).to(torch.float32)
    target = torch.from_numpy(answer_N)
    height, width, channels = images_NHWC.shape[1:]
    patch = [max(1, round(side * _PATCH_SHARE)) for side in (height, width)]
    stride = [max(1, side // 2) for side in patch]
    integrated = IntegratedGradients(model.logits).attribute(
        x_NHWC, baselines=0.0, target=target, n_steps=_STEPS
    )
    occlusion = Occlusion(model.logits).attribute(
        x_NHWC, sliding_window_shapes=(*patch, channels), strides=(*stride, channels),
        baselines=model.mean.reshape(1, 1, 1, -1).expand_as(x_NHWC[:1]), target=target,
        perturbations_per_eval=16,
    )  # fmt: skip
    saliency = Saliency(model.logits).attribute(x_NHWC.clone().requires_grad_(), target=target)
    return Attributions(
        saliency.amax(dim=3).numpy().astype(np.float64),
        integrated.detach().sum(dim=3).numpy().astype(np.float64),
        # Each channel carries the patch's whole effect.
        occlusion.detach().mean(dim=3).numpy().astype(np.float64),
    )
