"""Crops, flips, rotations and cutout of a whole batch, on its device.

A batch transform maps images (N, 3, H, W), float32 in [0, 255], RGB, to images of the same kind. It
draws for every image separately, from the distribution of the transform of single images that it is
named after. The random numbers are those of torch's generators.
"""

import math
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ecl.registry import TRANSFORMS
from ecl.settings import Number, Range, Whole, validate_params

ATTEMPTS = 10


@TRANSFORMS.register_module()
class BatchRandomCrop:
    """MMPretrain's ``RandomCrop`` to a square, with a random position for each image.

    Args:
        crop_size: Side of the crop.
        padding: Pixels added on every side before.
        pad_val: Their value.
    """

    @validate_params(
        crop_size=Whole(at_least=1),
        padding=Whole(at_least=0),
        pad_val=Number(at_least=0, at_most=255),
    )
    def __init__(self, crop_size: int, padding: int = 0, pad_val: float = 0.0) -> None:
        self.crop_size = crop_size
        self.padding = padding
        self.pad_val = pad_val

    def __call__(self, images: Tensor) -> Tensor:
        """Crop images (N, 3, H, W) to (N, 3, S, S)."""
        padded = F.pad(images, [self.padding] * 4, value=self.pad_val)
        crops = padded.unfold(2, self.crop_size, 1).unfold(3, self.crop_size, 1)
        number, device = len(images), images.device
        y = torch.randint(crops.size(2), (number,), device=device)
        x = torch.randint(crops.size(3), (number,), device=device)
        return crops[torch.arange(number, device=device), :, y, x]


@TRANSFORMS.register_module()
class BatchRandomFlip:
    """Mirror each image left to right with probability ``prob``."""

    @validate_params(prob=Number(at_least=0, at_most=1))
    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def __call__(self, images: Tensor) -> Tensor:
        """Flip images (N, 3, H, W)."""
        return torch.where(draw(images, self.prob).view(-1, 1, 1, 1), images.flip(3), images)


@TRANSFORMS.register_module()
class BatchRandomRotation:
    """torchvision's ``RandomRotation`` about the centre, nearest pixel, an angle for each image.

    Args:
        degrees: Largest angle in degrees, either way, 0 to 180.
        fill: Value of the pixels that a rotation uncovers, 0 to 255.
    """

    @validate_params(degrees=Number(at_least=0, at_most=180), fill=Number(at_least=0, at_most=255))
    def __init__(self, degrees: float, fill: float = 0.0) -> None:
        self.degrees = degrees
        self.fill = fill

    def __call__(self, images: Tensor) -> Tensor:
        """Rotate images (N, 3, H, W)."""
        drawn = torch.rand(len(images), device=images.device)
        return self.rotate(images, (2 * drawn - 1) * self.degrees)

    def rotate(self, images: Tensor, angles: Tensor) -> Tensor:
        """Rotate images (N, 3, H, W) by angles (N,) in degrees, counter-clockwise."""
        height, width = images.shape[2:]
        cos, sin = torch.cos(angles.deg2rad()), torch.sin(angles.deg2rad())
        # From a place in the result to that in the image, coordinates in [-1, 1]: (N, 2, 3).
        zero = torch.zeros_like(cos)
        rows = [[cos, -sin * height / width, zero], [sin * width / height, cos, zero]]
        theta = torch.stack([torch.stack(row, 1) for row in rows], 1)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        rotated = F.grid_sample(images - self.fill, grid, mode='nearest', align_corners=False)
        return rotated + self.fill


@TRANSFORMS.register_module()
class BatchCutout:
    """MMPretrain's ``Cutout``: a square of one value, at a random position in each image.

    Args:
        shape: Side of the square, which is cut at the lower and right edge of the image.
        prob: Share of the images that get one.
        pad_val: Value inside.
    """

    @validate_params(
        shape=Whole(at_least=1),
        prob=Number(at_least=0, at_most=1),
        pad_val=Number(at_least=0, at_most=255),
    )
    def __init__(self, shape: int, prob: float = 1.0, pad_val: float = 128.0) -> None:
        self.shape = shape
        self.prob = prob
        self.pad_val = pad_val

    def __call__(self, images: Tensor) -> Tensor:
        """Cut a square out of images (N, 3, H, W)."""
        height, width, device = *images.shape[2:], images.device
        most = constant((height - 1, width - 1), device).view(2, 1, 1)
        centre = 1 + torch.rand(2, len(images), 1, device=device) * most
        start = (centre - self.shape / 2).clamp(min=0).floor()
        position = torch.arange(max(height, width), device=device)
        rows, columns = (position >= start) & (position < start + self.shape)
        some = draw(images, self.prob).view(-1, 1, 1, 1)
        hole = rows[:, None, :height, None] & columns[:, None, None, :width] & some
        return images.masked_fill(hole, self.pad_val)


@TRANSFORMS.register_module()
class BatchRandomResizedCrop:
    """MMPretrain's ``RandomResizedCrop`` to a square: a random box for each image, bilinear.

    Args:
        scale: Side of the result.
        crop_ratio_range: Share of the area that a box covers.
        aspect_ratio_range: Width of a box over its height.
    """

    @validate_params(
        scale=Whole(at_least=1),
        crop_ratio_range=Range(above=0, at_most=1),
        aspect_ratio_range=Range(above=0),
    )
    def __init__(
        self,
        scale: int,
        crop_ratio_range: tuple[float, float] = (0.08, 1.0),
        aspect_ratio_range: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        self.scale = scale
        self.crop_ratio_range = crop_ratio_range
        self.aspect_ratio_range = aspect_ratio_range

    def __call__(self, images: Tensor) -> Tensor:
        """Crop and resize images (N, 3, H, W) to (N, 3, S, S)."""
        height, width, device = *images.shape[2:], images.device
        start, length = self.boxes(len(images), height, width, device).view(2, 2, -1, 1)
        steps = constant(tuple((i + 0.5) / self.scale for i in range(self.scale)), device)
        # Only within the box, as if it had been cut out first.
        pixel = (start + steps * length - 0.5).clamp(start, start + length - 1)
        sides = constant((height, width), device).view(2, 1, 1)
        rows, columns = (pixel + 0.5) / (sides / 2) - 1
        shape = (len(images), self.scale, self.scale)
        grid = torch.stack([columns.unsqueeze(1).expand(shape), rows.unsqueeze(2).expand(shape)], 3)
        return F.grid_sample(images, grid, padding_mode='border', align_corners=False)

    def boxes(self, number: int, height: int, width: int, device: torch.device) -> Tensor:
        """Draw boxes: top, left, height and width in pixels, (4, N).

        A box that would not fit is drawn again, up to ten times; then the largest central box of
        an allowed shape is taken.
        """
        low, high = self.aspect_ratio_range
        ranges = self.crop_ratio_range, (math.log(low), math.log(high))
        least, most = constant(ranges, device).T.view(2, 2, 1, 1)
        drawn = least + (most - least) * torch.rand(2, number, ATTEMPTS, device=device)
        area, aspect = height * width * drawn[0], drawn[1].exp()
        lengths = torch.stack([area / aspect, area * aspect]).sqrt().round()
        sides = constant((height, width), device).view(2, 1)
        fits = ((lengths > 0) & (lengths <= sides.unsqueeze(2))).all(0)  # (N, attempts)
        first, fitting = fits.int().argmax(1, keepdim=True), fits.any(1)
        largest = min(height, round(width / low)), min(width, round(height * high))
        length = lengths.gather(2, first.expand(2, -1, -1)).squeeze(2)
        length = torch.where(fitting, length, constant(largest, device).view(2, 1))
        room = sides - length
        at_random = torch.rand(2, number, device=device) * (room + 1)
        place = torch.where(fitting, at_random, room / 2).floor()
        return torch.cat([place, length])


def apply_where(
    chosen: Tensor, function: Callable[..., Tensor], images: Tensor, *parameters: Tensor
) -> Tensor:
    """Apply a function to some images of a batch.

    On a CPU the function gets only the chosen images. On other devices it gets all images, and its
    results are used only for the chosen images. Selecting images by value would make the host wait
    for the device, and a captured step needs fixed shapes. The result is the same.

    Args:
        chosen: Which images to change, (N,), bool.
        function: From images and parameters to images of the same shape, each by itself.
        images: (N, ...).
        parameters: Parameters of each image, (N, ...).

    Returns:
        The images with those changed that were chosen, (N, ...).
    """
    if images.device.type != 'cpu':
        chosen = chosen.view(-1, *[1] * (images.ndim - 1))
        return torch.where(chosen, function(images, *parameters), images)
    (places,) = chosen.nonzero(as_tuple=True)
    if not len(places):
        return images
    changed = function(images[places], *(parameter[places] for parameter in parameters))
    return images.index_copy(0, places, changed)


@cache
def constant(values: tuple, device: torch.device) -> Tensor:
    """Return numbers as a tensor on a device, made once; nothing may change it."""
    return torch.tensor(values, device=device)


def draw(images: Tensor, prob: float) -> Tensor:
    """Draw which images change, each with probability ``prob``: (N,), bool."""
    return torch.rand(len(images), device=images.device) < prob
