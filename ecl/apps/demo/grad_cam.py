"""Where the experts look: Grad-CAM on their last feature maps."""

from typing import Any

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam
from matplotlib import colormaps
from PIL import Image

from ecl.apis.predictor import Predictor

#: Shortest side of a picture for the page; smaller ones are enlarged, their pixels kept visible.
SIDE = 224


def expert_maps(predictor: Predictor, prepared: dict[str, Any], label: int) -> np.ndarray:
    """What speaks for a class in an image, by the last feature map of each expert.

    The logit of the whole model is the mean over the experts, and an expert's map reaches it
    through that expert alone; so one backward pass tells them apart.

    Args:
        predictor: Of the model.
        prepared: An image that its ``prepare`` made ready.
        label: The class.

    Returns:
        Grad-CAM (Selvaraju et al., 2017), shape (K, h, w) as large as the network's input, each
        0 to 1; all 0 for a backbone that ends in vectors instead of maps.
    """
    data = predictor.model.data_preprocessor({'inputs': prepared['inputs'][None]}, training=False)
    with torch.enable_grad():
        found = LayerGradCam(predictor.model, predictor.model.backbone).attribute(
            data['inputs'], target=label, relu_attributions=True
        )
    maps = found if isinstance(found, tuple) else (found,)
    size = tuple(data['inputs'].shape[-2:])
    if maps[0].ndim != 4:
        return np.zeros((len(maps), *size))
    large = [LayerAttribution.interpolate(map, size, 'bilinear')[0, 0] for map in maps]
    return np.stack([(map / map.max().clamp_min(1e-12)).detach().cpu().numpy() for map in large])


def network_input(predictor: Predictor, prepared: dict[str, Any]) -> np.ndarray:
    """An image as the network gets it: (h, w, 3), uint8, RGB."""
    pixels = prepared['inputs'].numpy().transpose(1, 2, 0)
    to_rgb = getattr(predictor.model.data_preprocessor, 'to_rgb', False)
    return np.ascontiguousarray(pixels[..., ::-1] if to_rgb else pixels)


def overlay(pixels: np.ndarray, heat: np.ndarray) -> Image.Image:
    """Lay a map over an image.

    Args:
        pixels: (h, w, 3), uint8, RGB.
        heat: (h, w), 0 to 1. Where it is 0 the image stays as it is, but darker.

    Returns:
        A picture of at least 224 pixels at its shortest side.
    """
    colours = 255 * colormaps['inferno'](heat)[..., :3]
    mixed = (0.5 * pixels + 0.5 * colours).astype(np.uint8)
    factor = -(-SIDE // min(heat.shape))
    picture = Image.fromarray(mixed)
    return picture.resize(
        (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
    )
