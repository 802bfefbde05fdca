"""Network of a prepared configuration: the default, or by name from timm or MMPretrain."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from mmpretrain.apis.model import ModelHub, list_models

from ecl.apis.config_check import nearest
from ecl.errors import UserError

#: Network of photographs by default; see configs/_base_/models/lite0.py.
DEFAULT = 'EfficientNet-Lite0 (3.4 M parameters, 0.4 G multiply-adds per image)'


class Network(NamedTuple):
    """Backbone and the normalisation of its weights.

    Attributes:
        name: Name for the summary.
        backbone: Config of the backbone.
        mean, std: Mean and standard deviation of the RGB channels, 0 to 255.
    """

    name: str
    backbone: dict[str, Any]
    mean: list[float]
    std: list[float]


def find_network(name: str, weights: str | None = None) -> Network:
    """Find a pretrained network by name.

    Args:
        name: A model of timm or MMPretrain.
        weights: A checkpoint to use instead of the published weights; see
            :func:`ecl.checkpoint_file.read_checkpoint`.

    Raises:
        UserError: If there is no network of that name, or it has no published weights.
    """
    hub = list_models()
    timm = import_module('timm') if find_spec('timm') else None  # an extra
    known = [*hub, *(timm.list_models() if timm else ())]
    if name in hub:
        return _of_mmpretrain(name, weights)
    if timm and timm.is_model(name):
        return _of_timm(timm, name, weights)
    hint = nearest(name, known)
    if timm is None:
        hint += ". Install timm for its networks: pip install 'ecl-longtail[pretrained]'"
    raise UserError(f'--network {name}: neither MMPretrain nor timm has this network{hint}')


def _of_mmpretrain(name: str, weights: str | None) -> Network:
    found = ModelHub.get(name)
    source = weights or found.weights
    if source is None:
        raise UserError(f'--network {name}: MMPretrain has no weights for it. Give --pretrained.')
    plain = found.config.get('data_preprocessor', {})
    init = dict(type='Pretrained', checkpoint=source)
    if weights is None:
        init['prefix'] = 'backbone'
    backbone = found.config.model.backbone.to_dict()
    return Network(
        name,
        {**{k: v for k, v in backbone.items() if k != 'init_cfg'}, 'init_cfg': init},
        list(plain.get('mean', [123.675, 116.28, 103.53])),
        list(plain.get('std', [58.395, 57.12, 57.375])),
    )


def _of_timm(timm: Any, name: str, weights: str | None) -> Network:
    settings = timm.get_pretrained_cfg(name)
    source = weights or _weights_of(settings)
    if source is None:
        raise UserError(f'--network {name}: timm has no weights for it. Give --pretrained.')
    init = dict(type='Pretrained', checkpoint=source)
    mean, std = (np.round(255 * np.array(getattr(settings, key)), 3) for key in ('mean', 'std'))
    backbone = dict(type='TIMMBackbone', model_name=name, init_cfg=init)
    return Network(name, backbone, mean.tolist(), std.tolist())


def _weights_of(settings: Any) -> str | None:
    """Return the address of the weights of a network of timm."""
    if settings and settings.hf_hub_id:
        return f'https://huggingface.co/{settings.hf_hub_id}/resolve/main/model.safetensors'
    return (settings and settings.url) or None
