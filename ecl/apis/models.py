"""Build models from configurations and from checkpoints."""

from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmpretrain.models import BaseClassifier

from ecl.apis.checkpoint import find_checkpoint, read_config
from ecl.apis.config import ConfigLike, config_name, load_config, shipped_configs
from ecl.apis.config_check import walk
from ecl.checkpoint_file import SHIPPED, load_checkpoint, read_checkpoint
from ecl.errors import UserError
from ecl.registry import MODELS, TRANSFORMS, quiet_console, type_name
from ecl.weights import check_weights_fit, unwrap

#: Prefix of the weights that only training uses: momentum encoder, queue, projection.
CONTRAST = 'contrast.'
#: Transforms that read a file.
READERS = ('LoadImage', 'LoadImageFromFile')
#: Sizes (height, width) of two images; only a pipeline that resizes gives both the same size.
_PROBES = ((620, 490), (530, 710))


def list_models(pattern: str = '*') -> list[str]:
    """Return the names of the configurations that come with the package.

    Args:
        pattern: Names to return, with ``*`` and ``?`` as in file names.

    Example:
        >>> list_models('ecl_r8_dig*')
        ['ecl_r8_digits-lt']
    """
    return [path.stem for path in shipped_configs() if fnmatch(path.stem, pattern)]


def get_model(
    name: ConfigLike, pretrained: str | Path | bool | None = None, device: str | None = None
) -> BaseClassifier:
    """Build the model of a configuration, to train or to fine-tune.

    To predict with a checkpoint, :func:`~ecl.apis.load_model` needs no configuration.

    Args:
        name: The name of a configuration; also a file or its content, see
            :func:`~ecl.apis.config.load_config`.
        pretrained: File or URL of weights: a checkpoint, or a published ``.pth`` or
            ``.safetensors``; a work dir; or the name of a shipped model. True uses the weights that
            come with the package.
        device: Such as 'cpu' or 'cuda:1'. Default: the CPU.

    Returns:
        The model, in training mode. Without ``pretrained``, a Runner initialises it as ``init_cfg``
        says. Its attribute ``_config`` is the configuration.

    Raises:
        UserError: If there is no such configuration, if no weights of it come with the package, or
            if the weights are those of another model.

    Example:
        >>> get_model('ecl_r8_digits-lt', pretrained=True).head.num_classes
        10
    """
    if pretrained is True:
        if not isinstance(name, str) or name not in SHIPPED:
            raise UserError(
                f'pretrained=True: no weights of {config_name(name)} come with the package, only '
                f'those of {", ".join(SHIPPED)}. Give one of these names, a file or a URL.'
            )
        pretrained = str(name)
    cfg = load_config(name)
    model = build_untrained(cfg.model, cfg)
    if pretrained:
        pretrained = find_checkpoint(pretrained)
        weights = unwrap(read_checkpoint(pretrained))
        # A published file has no contrastive branch; the model keeps the one it was built with.
        own = {k: v for k, v in model.state_dict().items() if k.startswith(CONTRAST)}
        complete = {**own, **weights} if hasattr(model, 'contrast') else weights
        _load_weights(model, complete, pretrained)
    model._config = cfg
    return model.to(device or 'cpu')


def build_untrained(network: Mapping[str, Any], cfg: Config) -> BaseClassifier:
    """Build a model with the data preprocessor of its configuration; show warnings only."""
    with (
        DefaultScope.overwrite_default_scope('ecl'),
        quiet_console(MMLogger.get_current_instance()),
    ):
        return MODELS.build({'data_preprocessor': cfg.get('data_preprocessor'), **network})


def build_model(
    content: dict[str, Any], cfg: Config, source: str | Path, device: str | None = None
) -> BaseClassifier:
    """Build the model of a checkpoint with its weights, without its contrastive branch.

    Args:
        content: Result of :func:`~ecl.checkpoint_file.load_checkpoint`.
        cfg: Result of :func:`read_config`.
        source: File of the checkpoint, for error messages.
        device: Such as 'cpu' or 'cuda:1'. Default: a GPU if there is one.

    Returns:
        The model, in evaluation mode.

    Raises:
        UserError: If the weights do not fit the model, or the device does not exist.
    """
    network = cfg.model.copy()
    network.pop('contrast', None)
    network.pop('train_cfg', None)
    for _, part in walk(network):
        if type_name(part) == 'TIMMBackbone':
            part['pretrained'] = False  # timm would load weights on building
            part.pop('checkpoint_path', None)
    model = build_untrained(network, cfg)
    weights = {k: v for k, v in content['state_dict'].items() if not k.startswith(CONTRAST)}
    _load_weights(model, weights, source)
    try:
        return model.to(device or get_device()).eval()
    except (RuntimeError, AssertionError) as error:
        if device is None or isinstance(error, torch.OutOfMemoryError):
            raise
        reason = str(error).splitlines()[0]
        raise UserError(f'device {device!r} cannot be used: {reason}') from error


def _load_weights(model: BaseClassifier, weights: dict[str, Any], source: str | Path) -> None:
    """Load exactly the weights of a model, and prevent a Runner from initialising it again."""
    check_weights_fit({'state_dict': weights}, model, source)
    model.load_state_dict(weights)
    model._is_init = True


def load_model(checkpoint: str | Path, device: str | None = None) -> BaseClassifier:
    """Build the model of a checkpoint to predict with, without its contrastive branch.

    Neither a configuration file nor data are needed, and the file runs no code.

    Args:
        checkpoint: A file of a training or of ``ecl publish``, the work dir of a training, or the
            name of a shipped model.
        device: Such as 'cpu' or 'cuda:1'. Default: a GPU if there is one.

    Returns:
        The model, in evaluation mode. Its attribute ``_config`` is the configuration, with the test
        pipeline of :func:`array_pipeline`. Its attribute ``_dataset_meta`` holds the class names
        (``classes``, or None) and the training images of each class (``class_counts``, or None).

    Raises:
        UserError: If the file cannot be loaded, or lacks what a model needs.
    """
    checkpoint = find_checkpoint(checkpoint)
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


def array_pipeline(cfg: Config, source: str) -> list[ConfigDict]:
    """Return the transforms from an image, as an array in BGR, to the input of the model.

    They are the test pipeline without the transform that reads a file. If this pipeline does not
    resize, as for the arrays of CIFAR, the image is resized and cropped to the training size.

    Args:
        cfg: A configuration.
        source: Its file name, for error messages.

    Raises:
        UserError: If the configuration does not give the size of an image.
    """
    steps = test_pipeline(cfg)
    if steps and type_name(steps[0]) in READERS:
        steps = steps[1:]
    elif not preprocessor_config(cfg).get('to_rgb'):  # the dataset's arrays are already in RGB
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
    """Return the test pipeline of a configuration, also from inside dataset wrappers."""
    node = cfg.test_dataloader.dataset
    while 'pipeline' not in node and node.get('dataset', node.get('datasets')):
        inner = node.get('dataset', node.get('datasets'))
        node = inner[0] if isinstance(inner, list) else inner
    return list(node.get('pipeline', ()))


def image_size(steps: list[dict], size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of the output of a pipeline for an image of ``size`` (h, w)."""
    blank = np.zeros((*size, 3), dtype=np.uint8)
    height, width = build_pipeline(steps)({'img': blank})['inputs'].shape[-2:]
    return height, width


def build_pipeline(steps: list[dict]) -> Compose:
    """Build a pipeline of transforms, from a dict of results to a dict of results."""
    with DefaultScope.overwrite_default_scope('ecl'):
        return Compose([TRANSFORMS.build(dict(step)) for step in steps])


def preprocessor_config(cfg: Config) -> dict:
    """Return the config of the data preprocessor: that of the model, else the top-level one."""
    own = (cfg.get('model') or {}).get('data_preprocessor')
    return own or cfg.get('data_preprocessor') or {}


def _training_size(cfg: Config, source: str) -> int:
    views = preprocessor_config(cfg).get('views') or []  # transforms of whole batches
    nodes = [node for part in (cfg.get('train_dataloader') or {}, views) for _, node in walk(part)]
    for key in ('crop_size', 'scale'):
        for node in nodes:
            size = node.get(key)
            if isinstance(size, int | list | tuple) and 'type' in node:
                return size if isinstance(size, int) else min(size)
    raise UserError(
        f'{source}: neither test nor training pipeline gives the size of an image. '
        'Put a Resize into the test pipeline of the configuration and train again.'
    )
