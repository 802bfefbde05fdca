"""A trained model out of its checkpoint alone."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from mmpretrain.models import BaseClassifier

from ecl.apis.config_check import walk
from ecl.apis.config_text import parse_config, restrict_types
from ecl.checkpoint_file import load_checkpoint
from ecl.errors import UserError
from ecl.registry import MODELS, TRANSFORMS
from ecl.weights import check_weights_fit

#: Parameters that training alone uses: momentum copy, queue, projection.
CONTRAST = 'contrast.'
#: Transforms that read a file.
READERS = ('LoadImage', 'LoadImageFromFile')
#: Sizes of two images that only a resizing pipeline brings to the same.
_PROBES = ((620, 490), (530, 710))


def load_model(checkpoint: str | Path, device: str | None = None) -> BaseClassifier:
    """Build the model of a checkpoint, ready to predict; the contrastive branch is left out.

    Neither a configuration file nor data are needed, and the file runs no code. The model also
    suits MMPretrain's ``ImageClassificationInferencer(model)``.

    Args:
        checkpoint: A file that a training or ``tools/publish.py`` wrote.
        device: Such as 'cpu' or 'cuda:1'. By default a GPU if there is one.

    Returns:
        The model, in evaluation mode. Under ``_config`` it has its configuration, whose test
        pipeline is that of :func:`array_pipeline`; under ``_dataset_meta`` the class names
        (``classes``, None where the data had none) and training counts (``class_counts``, or None).

    Raises:
        UserError: If the file cannot be loaded, or lacks what a model needs.
    """
    content = load_checkpoint(checkpoint)
    cfg = read_config(content, checkpoint)
    model = build_model(content, cfg, checkpoint, device)
    meta = content['meta']
    cfg.test_dataloader = dict(dataset=dict(pipeline=array_pipeline(cfg, str(checkpoint))))
    model._config = cfg
    model._dataset_meta = {
        'classes': (meta.get('dataset_meta') or {}).get('classes'),
        'class_counts': meta.get('class_counts'),
    }
    return model


def build_model(
    content: dict[str, Any], cfg: Config, source: str | Path, device: str | None = None
) -> BaseClassifier:
    """Build the model of a checkpoint without its contrastive branch, weights included.

    Args:
        content: What :func:`~ecl.checkpoint_file.load_checkpoint` returned.
        cfg: What :func:`read_config` returned.
        source: File of the checkpoint, for the message.
        device: Such as 'cpu' or 'cuda:1'. By default a GPU if there is one.

    Returns:
        The model, in evaluation mode.

    Raises:
        UserError: If the weights are not those of the configuration's model, or there is no such
            device.
    """
    network = cfg.model.copy()
    network.pop('contrast', None)
    network.pop('train_cfg', None)
    network.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
    with DefaultScope.overwrite_default_scope('ecl'):
        model = MODELS.build(network)
    weights = {k: v for k, v in content['state_dict'].items() if not k.startswith(CONTRAST)}
    check_weights_fit({'state_dict': weights}, model, source)
    model.load_state_dict(weights)
    try:
        return model.to(device or get_device()).eval()
    except (RuntimeError, AssertionError) as error:
        if device is None or isinstance(error, torch.OutOfMemoryError):
            raise
        reason = str(error).splitlines()[0]
        raise UserError(f'device {device!r} cannot be used: {reason}') from error


def read_config(content: dict[str, Any], source: str | Path) -> Config:
    """Read the configuration in a checkpoint, made safe to build model and pipelines from.

    Args:
        content: What :func:`~ecl.checkpoint_file.load_checkpoint` returned.
        source: File of the checkpoint, for the message.

    Raises:
        UserError: If there is none, or it asks for more than registered classes.
    """
    text = content.get('meta', {}).get('cfg')
    if not isinstance(text, str):
        raise UserError(f'{source} holds no configuration: it was not written by a training')
    cfg = parse_config(text, str(source))
    for key in ('model', 'test_dataloader'):
        if not isinstance(cfg.get(key), dict):
            raise UserError(f'{source}: the configuration in it has no {key}')
    parts = {
        key: cfg[key]
        for key in ('model', 'data_preprocessor', 'test_dataloader', 'tta_pipeline', 'tta_model')
        if cfg.get(key)
    }
    restrict_types(parts, cfg.get('custom_imports'), str(source))
    return cfg


def array_pipeline(cfg: Config, source: str) -> list[ConfigDict]:
    """The steps from an image, as an array in BGR, to the input of the model.

    They are those of the test pipeline but for reading the file. Where that pipeline shows images
    in the size they come in, such as the arrays of CIFAR, an image is resized and cropped to the
    size that the training crops to.

    Args:
        cfg: A configuration.
        source: What to call it in the message: its file name.

    Raises:
        UserError: If the configuration does not tell the size of an image.
    """
    steps = test_pipeline(cfg)
    preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    if steps and steps[0]['type'].rpartition('.')[2] in READERS:
        steps = steps[1:]
    elif not preprocessor.get('to_rgb'):  # the dataset's arrays are in RGB, and stay so
        steps = [dict(type='NumpyToPIL', to_rgb=True), dict(type='PILToNumpy'), *steps]
    if len({image_size(steps, probe) for probe in _PROBES}) > 1:
        size = _training_size(cfg, source)
        steps = [
            dict(type='ResizeEdge', scale=size, edge='short', backend='pillow'),
            dict(type='CenterCrop', crop_size=size),
            *steps,
        ]
    return [ConfigDict(step) for step in steps]


def test_pipeline(cfg: Config) -> list[dict]:
    """The test pipeline of a configuration, whatever wraps the dataset."""
    node = cfg.test_dataloader.dataset
    while 'pipeline' not in node and node.get('dataset', node.get('datasets')):
        inner = node.get('dataset', node.get('datasets'))
        node = inner[0] if isinstance(inner, list) else inner
    return list(node.get('pipeline', ()))


def image_size(steps: list[dict], size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of what a pipeline makes of an image of ``size`` (height, width)."""
    blank = np.zeros((*size, 3), dtype=np.uint8)
    height, width = build_pipeline(steps)({'img': blank})['inputs'].shape[-2:]
    return height, width


def build_pipeline(steps: list[dict]) -> Compose:
    """Build a pipeline of transforms that takes and gives a dict of results."""
    with DefaultScope.overwrite_default_scope('ecl'):
        return Compose([TRANSFORMS.build(dict(step)) for step in steps])


def _training_size(cfg: Config, source: str) -> int:
    nodes = [node for _, node in walk(cfg.get('train_dataloader') or {})]
    for key in ('crop_size', 'scale'):
        for node in nodes:
            size = node.get(key)
            if isinstance(size, int | list | tuple) and 'type' in node:
                return size if isinstance(size, int) else min(size)
    raise UserError(
        f'{source}: neither test nor training pipeline says how large an image is; '
        'put a Resize into the test pipeline of the configuration and train again'
    )
