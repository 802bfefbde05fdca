"""Draw the images and class sizes of the data of a configuration."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import init_default_scope

from ecl.apis.config import load_config
from ecl.apis.faults import explain_faults
from ecl.apis.models import preprocessor_config
from ecl.datasets import count_classes, gt_labels
from ecl.datasets.class_names import class_names
from ecl.errors import UserError
from ecl.registry import DATASETS, MODELS
from ecl.settings import Whole, validate_params
from ecl.visualization import class_distribution, font_families
from ecl.visualization.style import short_name

#: Height and width of a view, in inches.
_SIZE = 0.9
#: Inches between the images of a row; a third of this distance between the views of one image.
_GAP = 0.12
#: Suffixes of an output file.
_SUFFIXES = ('.png', '.pdf', '.svg')


@validate_params(
    num_classes=Whole(at_least=1),
    num_images=Whole(at_least=1),
    seed=Whole(at_least=0, at_most=2**32 - 1),
)
def browse(
    config: str | Path,
    out: str | Path | None = None,
    split: str = 'train',
    num_classes: int = 8,
    num_images: int = 4,
    seed: int = 0,
    cfg_options: Mapping[str, Any] | None = None,
) -> Path:
    """Draw a sheet of images as the network gets them, by class.

    They are drawn before normalisation, and without Mixup and CutMix. The classes are spread evenly
    from the largest to the smallest. A training image of a small class may appear several times,
    each time with new augmentation.

    Args:
        config: A configuration file.
        out: File (.png, .pdf, .svg); by default ``browse_<split>.png`` in the work dir.
        split: 'train', 'val' or 'test'.
        num_classes: Rows.
        num_images: Images in a row.
        seed: Seed of the choice and the augmentations.
        cfg_options: Values by dotted key that replace those of the file.

    Returns:
        The file.

    Raises:
        UserError: If an argument, the configuration or its data cannot be used.
    """
    _check_suffix(out)
    cfg = load_config(config, cfg_options=cfg_options)
    dataset = _dataset(cfg, split, str(config))
    counts = np.array(count_classes(dataset))
    labels = gt_labels(dataset)
    for seed_library in (random.seed, np.random.seed, torch.manual_seed):
        seed_library(seed)
    ranked = [label for label in np.argsort(-counts, kind='stable') if counts[label]]
    places = np.unique(np.linspace(0, len(ranked) - 1, num_classes).round().astype(int))
    names = class_names(dataset)
    preprocessor = _preprocessor(cfg, str(config))
    rows, titles = [], []
    for label in (ranked[place] for place in places):
        members = np.flatnonzero(labels == label)
        drawn = np.random.permutation(members)
        # A training image may repeat, because it is augmented differently each time.
        drawn = np.resize(drawn, num_images) if split == 'train' else drawn[:num_images]
        given = [dataset[int(i)]['inputs'] for i in drawn]
        rows.append([_views(inputs, preprocessor, split == 'train') for inputs in given])
        name = str(names[label]) if names else f'class {label}'
        titles.append(f'{short_name(name, 20)}\n{counts[label]} images')
    path = Path(out or Path(cfg.work_dir) / f'browse_{split}.png')
    with rc_context({'font.family': font_families()}):
        return _save(image_sheet(rows, titles), path)


def distribution(
    config: str | Path,
    out: str | Path | None = None,
    cfg_options: Mapping[str, Any] | None = None,
) -> Path:
    """Draw the class sizes of the training and test data.

    Args:
        config: A configuration file.
        out: File (.png, .pdf, .svg); by default ``distribution.png`` in the work dir.
        cfg_options: Values by dotted key that replace those of the file.

    Returns:
        The file.

    Raises:
        UserError: If an argument, the configuration or its data cannot be used.
    """
    _check_suffix(out)
    cfg = load_config(config, cfg_options=cfg_options)
    dataset = _dataset(cfg, 'train', str(config))
    counts = count_classes(dataset)
    tested = None
    if cfg.get('test_dataloader'):
        labels = gt_labels(_dataset(cfg, 'test', str(config)))
        tested = np.bincount(labels, minlength=len(counts)).tolist()
    names = class_names(dataset)
    path = Path(out or Path(cfg.work_dir) / 'distribution.png')
    with rc_context({'font.family': font_families()}):
        return _save(class_distribution(counts, tested, names), path)


def _check_suffix(out: str | Path | None) -> None:
    if out is not None and Path(out).suffix.lower() not in _SUFFIXES:
        raise UserError(f'--out {out}: the name must end in {", ".join(_SUFFIXES)}')


def _dataset(cfg: Config, split: str, source: str) -> Any:
    init_default_scope(cfg.get('default_scope') or 'ecl')
    loader = cfg.get(f'{split}_dataloader')
    if not loader:
        raise UserError(f'{source} has no {split}_dataloader')
    with explain_faults(cfg, source):
        return DATASETS.build(loader['dataset'])


def _preprocessor(cfg: Config, source: str) -> BaseDataPreprocessor:
    """Build the data preprocessor of the model, without its normalisation."""
    config = {'type': 'MultiViewDataPreprocessor', **preprocessor_config(cfg)}
    with explain_faults(cfg, source):
        return MODELS.build({**config, 'mean': None, 'std': None})


def _views(inputs: Any, preprocessor: BaseDataPreprocessor, training: bool) -> list[np.ndarray]:
    """Return the views of an image as arrays (H, W, 3) in RGB, uint8."""
    several = isinstance(inputs, list | tuple)
    batch = [view[None] for view in inputs] if several else inputs[None]
    made = preprocessor({'inputs': batch}, training)['inputs']
    views = made if isinstance(made, list) else [made]
    return [view[0].clamp(0, 255).byte().permute(1, 2, 0).numpy() for view in views]


def _save(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path


def image_sheet(rows: Sequence[Sequence[Sequence[np.ndarray]]], titles: Sequence[str]) -> Figure:
    """Draw images by class; the views of an image stand side by side.

    Args:
        rows: ``rows[r][i][v]`` is view v of image i in row r, an array (H, W, 3) of uint8 in RGB.
            All images have as many views; rows may differ in length.
        titles: Title left of each row.

    Returns:
        A figure without a window. Small images keep their pixels visible.

    Example:
        >>> white = np.full((8, 8, 3), 255, np.uint8)
        >>> len(image_sheet([[[white, white]]], ['owl']).axes)
        2
    """
    views = len(rows[0][0])
    block = views * _SIZE + (views - 1) * _GAP / 3
    left = 0.1 + max(len(line) for title in titles for line in title.split('\n')) * 0.075
    top = 0.3 if views > 1 else _GAP
    width = left + max(len(row) for row in rows) * (block + _GAP)
    height = top + len(rows) * (_SIZE + _GAP)
    figure = Figure(figsize=(width, height))

    def frame(row: int, image: int, view: int) -> tuple[float, float, float, float]:
        x = left + image * (block + _GAP) + view * (_SIZE + _GAP / 3)
        y = height - top - (row + 1) * _SIZE - row * _GAP
        return x / width, y / height, _SIZE / width, _SIZE / height

    for row, images in enumerate(rows):
        for image, shown in enumerate(images):
            for view, pixels in enumerate(shown):
                axes = figure.add_axes(frame(row, image, view))
                axes.imshow(pixels, interpolation='nearest' if max(pixels.shape) < 100 else None)
                axes.set_axis_off()
        x, y, _, tall = frame(row, 0, 0)
        figure.text(x - 0.08 / width, y + tall / 2, titles[row], ha='right', va='center', size=8)
    if views > 1:
        for view in range(views):
            x, y, wide, tall = frame(0, 0, view)
            figure.text(
                x + wide / 2, y + tall + 0.06 / height, f'view {view + 1}', ha='center', size=8
            )
    return figure
