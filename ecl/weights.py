"""Match the weights of a checkpoint with a model, with or without wrappers."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper, update_init_info
from mmengine.model import PretrainedInit as EnginePretrainedInit
from torch import Tensor, nn

from ecl.checkpoint_file import read_checkpoint
from ecl.errors import UserError
from ecl.registry import WEIGHT_INITIALIZERS

#: Keys under which checkpoints hold their weights.
WRAPPINGS = ('state_dict', 'model_state_dict', 'model', 'module', 'net', 'weights')
#: Prefixes of the names of weights that frameworks and larger models add.
PREFIXES = ('module.', 'model.', 'net.', 'encoder_q.', 'encoder.', 'backbone.')
#: Names in one message.
NAMED = 3


def bare_model(model: Any) -> nn.Module:
    """Return a model without its wrappers for distributed training and test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


@dataclass
class Fit:
    """Which weights of a checkpoint a model takes.

    Args:
        matching: Weights by their names in the model.
        missing: Names in the model that the checkpoint does not have.
        unexpected: Names in the checkpoint that the model does not have.
        reshaped: Names in both whose shapes differ.
    """

    matching: dict[str, Tensor]
    missing: list[str]
    unexpected: list[str]
    reshaped: list[str]

    @property
    def complete(self) -> bool:
        """Whether model and checkpoint hold the same names and shapes."""
        return bool(self.matching) and not (self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        """Return the counts, with some names of what does not match."""
        parts = {
            'missing in the checkpoint': self.missing,
            'unexpected': self.unexpected,
            'of another shape': self.reshaped,
        }
        counts = [f'{len(v)} {k} ({_some(v)})' if v else f'0 {k}' for k, v in parts.items()]
        return f'{len(self.matching)} weights loaded, {", ".join(counts)}'


def unwrap(content: Any) -> dict[str, Tensor]:
    """Return the weights of a checkpoint by name.

    Args:
        content: What :func:`~ecl.checkpoint_file.read_checkpoint` returned. The weights are the
            content itself or under one of the keys ``WRAPPINGS``.

    Returns:
        The tensors by name. Empty if there are none.
    """
    while isinstance(content, Mapping):
        inner = [content[k] for k in WRAPPINGS if isinstance(content.get(k), Mapping)]
        if not inner:
            return {key: value for key, value in content.items() if isinstance(value, Tensor)}
        content = inner[0]
    return {}


def fit_weights(model: nn.Module, weights: Mapping[str, Tensor], source: str | Path) -> Fit:
    """Match weights with a model by name and shape.

    ``PREFIXES`` are removed, or ``backbone.`` or ``timm_model.`` is added, if more weights match
    then. The model's own load hooks rename weights first. If no name matches, weights are matched
    by their shapes and order, because other libraries use other layer names.

    Args:
        model: The model, without a wrapper. It is not changed.
        weights: Weights by name.
        source: Name of the checkpoint for the error.

    Returns:
        What fits and what does not.

    Raises:
        UserError: If no weight matches.
    """
    own = model.state_dict()
    best = Fit({}, [], [], [])
    for candidate in _candidates(weights):
        fit = _match(own, _renamed(model, candidate))
        if len(fit.matching) > len(best.matching):
            best = fit
        if best.complete:
            break
    if not best.matching:
        best = _match(own, _by_order(own, weights))
    if not best.matching:
        raise UserError(
            f'{source} holds no weight of this model: got {len(weights)} tensors '
            f'({_some(list(weights))}), expected names and shapes such as '
            + ', '.join(f'{name} {tuple(own[name].shape)}' for name in list(own)[:NAMED])
            + '. Give a checkpoint of this architecture.'
        )
    return best


def check_weights_fit(checkpoint: Mapping[str, Any], model: nn.Module, path: str | Path) -> None:
    """Check that a checkpoint holds exactly the weights of a model.

    Args:
        checkpoint: What :func:`~ecl.checkpoint_file.load_checkpoint` returned.
        model: The model, with or without a wrapper.
        path: File of the checkpoint, for the error.

    Raises:
        UserError: If a weight differs. The message names the first one.
    """
    own, saved = bare_model(model).state_dict(), checkpoint['state_dict']
    for key in {**own, **saved}:
        here, there = (
            tuple(weights[key].shape) if key in weights else 'absent' for weights in (own, saved)
        )
        if here != there:
            raise UserError(
                f'{path} is a checkpoint of another model: {key} is {there} there and {here} in '
                'the configuration'
            )


@WEIGHT_INITIALIZERS.register_module(name='Pretrained')
class PretrainedInit(EnginePretrainedInit):
    """Initialise a module from a checkpoint: ``init_cfg=dict(type='Pretrained', ...)``.

    It replaces MMEngine's initialiser of the same name in models of scope ``ecl``. It reads the
    checkpoint without running code, unwraps the weights (see :func:`fit_weights`) and logs how many
    of them fit.

    Args:
        checkpoint: See :func:`~ecl.checkpoint_file.read_checkpoint`.
        prefix: Take only the weights under this name, such as ``'backbone'``.
        map_location: Not used. Weights are read onto the CPU and copied to the module.

    Raises:
        UserError: On initialising, if the checkpoint cannot be read or no weight matches.

    Example:
        >>> init_cfg = dict(type='Pretrained', checkpoint='torchvision://resnet50')
    """

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into ``module``."""
        weights = unwrap(read_checkpoint(self.checkpoint))
        if self.prefix:
            start = self.prefix.rstrip('.') + '.'
            plain = {key.removeprefix('module.'): value for key, value in weights.items()}
            weights = {k[len(start) :]: v for k, v in plain.items() if k.startswith(start)}
        fit = fit_weights(module, weights, self.checkpoint)
        module.load_state_dict(fit.matching, strict=False)
        level = logging.INFO if fit.complete else logging.WARNING
        print_log(f'{self.checkpoint}: {fit}', logger='current', level=level)
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())


def _candidates(weights: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield the weights under possible names."""
    names = dict(weights)
    yield names
    for prefix in PREFIXES:
        names = {key.removeprefix(prefix): value for key, value in names.items()}
        yield names
    for prefix in ('backbone.', 'timm_model.'):
        yield {f'{prefix}{key}': value for key, value in weights.items()}


def _by_order(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under the names of a model whose tensors have the same shapes and order.

    There may be more weights after the last tensor of the model, such as those of a classifier.
    Empty if a shape differs.
    """
    names = [name for name in own if not _is_counter(name)]
    values = [value for name, value in weights.items() if not _is_counter(name)]
    if len(values) < len(names):
        return {}
    pairs = list(zip(names, values, strict=False))
    return dict(pairs) if all(own[name].shape == value.shape for name, value in pairs) else {}


def _is_counter(name: str) -> bool:
    """Return whether a name is that of BatchNorm's counter, which not every framework saves."""
    return name.endswith('num_batches_tracked')


def _renamed(model: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under the names that the hooks of the model give them."""
    weights = dict(weights)
    for name, module in model.named_modules():
        for hook in module._load_state_dict_pre_hooks.values():
            hook(weights, f'{name}.' if name else '', {}, True, [], [], [])
    return weights


def _match(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Fit:
    same = {key: value for key, value in weights.items() if key in own}
    return Fit(
        matching={key: value for key, value in same.items() if value.shape == own[key].shape},
        missing=[key for key in own if key not in weights and not _is_counter(key)],
        unexpected=[key for key in weights if key not in own],
        reshaped=[key for key, value in same.items() if value.shape != own[key].shape],
    )


def _some(names: list[str]) -> str:
    return ', '.join(names[:NAMED]) + (', ...' if len(names) > NAMED else '')
