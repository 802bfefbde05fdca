"""CIFAR's AutoAugment for a whole batch; see :mod:`.batch_geometry`.

The operations map uint8 images (N, 3, H, W) to the same values as torchvision's. Each image takes
the parameters of its operation from tables that lie on its device.
"""

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, InterpolationMode
from torchvision.transforms.autoaugment import _apply_op
from torchvision.transforms.functional import rgb_to_grayscale

from ecl.datasets.batch_geometry import apply_where
from ecl.registry import TRANSFORMS
from ecl.settings import Whole, validate_params

#: Operations that move pixels, and those that map pixel values by one table.
MOVES = ('ShearX', 'ShearY', 'TranslateX', 'TranslateY', 'Rotate')
MAPS = ('Brightness', 'Posterize', 'Solarize', 'Invert')
#: What is computed in the same way, each beside those above by the name of its operation.
GROUPS = ('move', 'map', 'Contrast', 'AutoContrast', 'Equalize', 'Color', 'Sharpness')


@dataclass
class Tables:
    """Parameters of the operations, a row for each step, sub-policy and sign; the last is none.

    Attributes:
        probability: Probability of each step of the sub-policies, (2, 25).
        groups: Which rows belong to each of :data:`GROUPS`, (7, R), bool.
        sources: Source of each pixel in an image that an operation moves, (R, H * W); H * W stands
            for the fill value.
        values: Value for each pixel value in an image that a fixed table maps, (R, 256), uint8.
        factor: Factor of the image in a mix, (R, 1, 1).
        rest: Factor of the other image in a mix, (R, 1, 1).
    """

    probability: Tensor
    groups: Tensor
    sources: Tensor
    values: Tensor
    factor: Tensor
    rest: Tensor


@TRANSFORMS.register_module()
class BatchCIFARAutoAugment:
    """:class:`CIFARAutoAugment` with a sub-policy drawn for each image.

    Args:
        fill: Value of the pixels that a rotation or shear uncovers, 0 to 255.
    """

    @validate_params(fill=Whole(at_least=0, at_most=255))
    def __init__(self, fill: int = 128) -> None:
        self.fill = fill
        self.policies = AutoAugment(AutoAugmentPolicy.CIFAR10).policies
        self._tables: dict[tuple, Tables] = {}

    def __call__(self, images: Tensor) -> Tensor:
        """Apply the policy to images (N, 3, H, W); the result has whole numbers."""
        (height, width), device = images.shape[2:], images.device
        if (key := (height, width, device)) not in self._tables:
            self._tables[key] = build_tables(self.policies, height, width, device)
        tables, number, kinds = self._tables[key], len(images), len(self.policies)
        policy = torch.randint(kinds, (number,), device=device)
        happens = torch.rand(2, number, device=device) <= tables.probability[:, policy]
        negative = torch.rand(2, number, device=device) < 0.5
        images = images.round().clamp(0, 255).to(torch.uint8)
        for step in range(2):
            row = 2 * (step * kinds + policy) + negative[step]
            row = torch.where(happens[step], row, 4 * kinds)
            images = apply_operations(images, tables, row, self.fill)
        return images.float()


def build_tables(policies: list, height: int, width: int, device: torch.device) -> Tables:
    """Build the tables of sub-policies for images of a size."""
    space = AutoAugment()._augmentation_space(10, (height, width))
    rows = []
    for step in range(2):
        for name, _, level in (policy[step] for policy in policies):
            values, signed = space[name]
            magnitude = 0.0 if level is None else float(values[level])
            rows += [(name, magnitude), (name, -magnitude if signed else magnitude)]
    rows.append(('None', 0.0))
    apply = partial(_apply_op, interpolation=InterpolationMode.NEAREST)
    pixels = torch.arange(height * width, dtype=torch.float32).view(1, height, width)
    outside = [float(height * width)]
    sources = [apply(pixels, n if n in MOVES else 'Identity', m, fill=outside) for n, m in rows]
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 256)
    maps = [apply(values, n if n in MAPS else 'Identity', m, fill=None) for n, m in rows]
    group_of = {**dict.fromkeys(MOVES, 'move'), **dict.fromkeys(MAPS, 'map')}
    groups = [[group_of.get(n, n) == group for n, _ in rows] for group in GROUPS]
    mix = torch.tensor([[1 + m, 1 - (1 + m)] for _, m in rows], dtype=torch.float64).float()
    return Tables(
        probability=torch.tensor(
            [[policy[step][1] for policy in policies] for step in range(2)], device=device
        ),
        groups=torch.tensor(groups, device=device),
        sources=torch.stack([moved.flatten().long() for moved in sources]).to(device),
        values=torch.stack([mapped.flatten() for mapped in maps]).to(device),
        factor=mix[:, :1, None].to(device),
        rest=mix[:, 1:, None].to(device),
    )


def apply_operations(images: Tensor, tables: Tables, row: Tensor, fill: int) -> Tensor:
    """Apply to each uint8 image (N, 3, H, W) the operation of its row (N,) of the tables."""
    of = dict(zip(GROUPS, tables.groups[:, row], strict=True))
    images = apply_where(of['map'], map_values, images, tables.values[row].unsqueeze(1))
    mix = tables.factor[row], tables.rest[row]
    images = apply_where(of['Contrast'], adjust_contrast, images, *mix)
    images = apply_where(of['AutoContrast'], auto_contrast, images)
    images = apply_where(of['Equalize'], equalize, images)
    move = partial(move_pixels, sources=tables.sources, fill=fill)
    images = apply_where(of['move'], move, images, row)
    images = apply_where(of['Color'], adjust_saturation, images, *mix)
    return apply_where(of['Sharpness'], adjust_sharpness, images, *mix)


def map_values(images: Tensor, table: Tensor) -> Tensor:
    """Replace pixel values by tables (N, 1 or 3, 256) of each image."""
    values = images.flatten(2).long()
    return table.expand(-1, 3, -1).gather(2, values).view_as(images)


def move_pixels(images: Tensor, row: Tensor, sources: Tensor, fill: int) -> Tensor:
    """Replace each pixel by that at its source in a row (N,) of the table, or the fill value."""
    padded = F.pad(images.flatten(2), [0, 1], value=fill)
    return padded.gather(2, sources[row].unsqueeze(1).expand(-1, 3, -1)).view_as(images)


def mix(images: Tensor, others: Tensor, factor: Tensor, rest: Tensor) -> Tensor:
    """Compute ``factor * images + rest * others`` as uint8."""
    mixed = factor.unsqueeze(3) * images + rest.unsqueeze(3) * others
    return mixed.clamp(0, 255).to(torch.uint8)


def adjust_contrast(images: Tensor, factor: Tensor, rest: Tensor) -> Tensor:
    """Mix each image with the mean of its grey values."""
    grey = rgb_to_grayscale(images).float().mean((1, 2, 3), keepdim=True)
    return mix(images, grey, factor, rest)


def adjust_saturation(images: Tensor, factor: Tensor, rest: Tensor) -> Tensor:
    """Mix each image with its grey values."""
    return mix(images, rgb_to_grayscale(images), factor, rest)


def adjust_sharpness(images: Tensor, factor: Tensor, rest: Tensor) -> Tensor:
    """Mix each image with its smoothed version; edge pixels are kept."""
    sharp = images.float()
    rows = sharp[:, :, :-2] + sharp[:, :, 1:-1] + sharp[:, :, 2:]
    box = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    smooth = sharp.clone()
    smooth[:, :, 1:-1, 1:-1] = ((box + 4 * sharp[:, :, 1:-1, 1:-1]) / 13).round()
    return mix(sharp, smooth, factor, rest)


def auto_contrast(images: Tensor) -> Tensor:
    """Stretch the values of each channel of each image to 0 and 255."""
    low = images.amin((2, 3), keepdim=True).float()
    high = images.amax((2, 3), keepdim=True).float()
    flat = high == low
    scale = torch.where(flat, 1.0, 255 / (high - low))
    low = torch.where(flat, 0.0, low)
    return ((images - low) * scale).clamp(0, 255).to(torch.uint8)


def equalize(images: Tensor) -> Tensor:
    """Make the histogram of each channel of each image flat."""
    values = images.flatten(2).long()
    counts = values.new_zeros(*values.shape[:2], 256)
    counts.scatter_add_(2, values, torch.ones_like(values))
    of_largest = counts.gather(2, values.amax(2, keepdim=True))
    step = (values.size(2) - of_largest) // 255
    below = counts.cumsum(2) - counts
    table = ((below + step // 2) // step.clamp(min=1)).clamp(max=255)
    equal = table.gather(2, values)
    return torch.where(step > 0, equal, values).to(torch.uint8).view_as(images)
