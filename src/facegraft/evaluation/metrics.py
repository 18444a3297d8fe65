"""PSNR, SSIM and GMSD, whole or inside a region. Images are (B, 3, H, W) in [-1, 1].

The other metrics: the judge's (`judge_*`, `second_judge_*`), L_id and L_att in `benchmark`;
sharpness, and openings, expression and pose by the landmark reader, in `reading_errors`; the errors
of attributes in `attribute_probes`; the patent's four losses on held-out pairs in `heldout`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

RANGE = 2.0
"""Peak-to-peak of a picture in [-1, 1]."""


def psnr(image: Tensor, truth: Tensor, region: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio in dB per image, over a (B, 1, H, W) region in {0, 1} if given.

    Infinite where the images are equal; NaN where the region is empty (nothing was measured).
    """
    error = (image - truth).square().mean(dim=1, keepdim=True)
    weight = torch.ones_like(error) if region is None else region
    mse = (error * weight).sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3))
    return 10.0 * torch.log10(RANGE**2 / mse)


def ssim(image: Tensor, truth: Tensor, region: Tensor | None = None) -> Tensor:
    """Structural similarity per image in [-1, 1] (Wang et al. 2004): 11 px Gaussian, sigma 1.5.

    Computed per colour channel on the valid area and averaged there, over a region if given.
    """
    kernel = _gaussian(image.device, image.dtype)
    mean_x, mean_y = _blur(image, kernel), _blur(truth, kernel)
    variance_x = _blur(image * image, kernel) - mean_x**2
    variance_y = _blur(truth * truth, kernel) - mean_y**2
    covariance = _blur(image * truth, kernel) - mean_x * mean_y
    c1, c2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    )
    values = similarity.mean(dim=1, keepdim=True)  # (B, 1, H-10, W-10)
    weight = torch.ones_like(values) if region is None else region[..., 5:-5, 5:-5]
    return (values * weight).sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3))


GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luminance (ITU-R BT.601)."""

GRADIENT_STABILITY = 170.0 / (255.0 / RANGE) ** 2
"""The paper's constant c = 170 for 8-bit levels, here for levels in [-1, 1]."""


def gmsd(image: Tensor, truth: Tensor, region: Tensor | None = None) -> Tensor:
    """Gradient magnitude similarity deviation per image, >= 0; 0 where the gradients agree.

    A perceptual distance without a trained network (Xue, Zhang, Mou, Bovik: "Gradient Magnitude
    Similarity Deviation", IEEE Trans. Image Processing 23(2), 2014): the standard deviation, over
    the picture or a region, of the similarity of Prewitt gradients of the luminance. Blur and
    doubled edges raise it; a shift of brightness does not. The paper halves its pictures of 512 px
    first; by SSIM's rule (side / 256, rounded) crops of 256 px and less stay as they are.
    """
    one, other = _gradient(image), _gradient(truth)
    similarity = (2 * one * other + GRADIENT_STABILITY) / (
        one.square() + other.square() + GRADIENT_STABILITY
    )  # (B, 1, H-2, W-2)
    weight = torch.ones_like(similarity) if region is None else region[..., 1:-1, 1:-1]
    total = weight.sum(dim=(1, 2, 3), keepdim=True)
    mean = (similarity * weight).sum(dim=(1, 2, 3), keepdim=True) / total
    variance = ((similarity - mean).square() * weight).sum(dim=(1, 2, 3), keepdim=True) / total
    return variance.sqrt().flatten()


def _gradient(image: Tensor) -> Tensor:
    """Prewitt gradient magnitude of the luminance: (B, 3, H, W) -> (B, 1, H-2, W-2)."""
    grey = (image * image.new_tensor(GREY).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    across = image.new_tensor([[1, 0, -1]] * 3).view(1, 1, 3, 3) / 3
    return (F.conv2d(grey, across).square() + F.conv2d(grey, across.mT).square()).sqrt()


def _gaussian(device: torch.device, dtype: torch.dtype) -> Tensor:
    offset = torch.arange(-5, 6, device=device, dtype=dtype)
    weights = torch.exp(-(offset**2) / (2 * 1.5**2))
    return weights / weights.sum()


def _blur(x: Tensor, kernel: Tensor) -> Tensor:
    """Separable Gaussian of each channel, valid area: (B, C, H, W) -> (B, C, H-10, W-10)."""
    channels = x.shape[1]
    across = kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    return F.conv2d(F.conv2d(x, across, groups=channels), across.mT, groups=channels)
