"""Registries of scope ``ecl``.

They are children of MMPretrain's registries, so a config names a module of ECL, MMPretrain or
MMEngine without a prefix. A lookup that fails here continues in the parents but does not import
their modules. So each location below imports the MMPretrain package that it extends.

MMPretrain's own functions, such as ``get_model``, look names up in MMPretrain's registries. Models,
datasets and transforms are therefore registered there too, under names that are free.
"""

import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmengine.registry import Registry
from torch import nn

with warnings.catch_warnings():
    # mmcv warns at import that it comes without compiled operators, which nothing here uses.
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
    import mmcv.cnn.bricks.transformer  # noqa: F401
    from mmpretrain import registry as parent


class _SharedRegistry(Registry):
    """A registry whose modules MMPretrain finds too, if it has none of their names itself."""

    def _register_module(
        self, module: type, module_name: str | list[str] | None = None, force: bool = False
    ) -> None:
        super()._register_module(module, module_name, force)
        names = [module_name] if isinstance(module_name, str) else module_name or [module.__name__]
        for name in names:
            known = self.parent.module_dict.get(name)
            if known is None or self._shared.get(name) is known:
                self._shared[name] = module
                self.parent._register_module(module, name, force=True)

    @property
    def _shared(self) -> dict[str, type]:
        return self.__dict__.setdefault('_shared_modules', {})


def _child(
    name: str, parent_registry: Registry, location: str, kind: type[Registry] = Registry
) -> Registry:
    return kind(name, parent=parent_registry, scope='ecl', locations=[location])


MODELS = _child('model', parent.MODELS, 'ecl.models', _SharedRegistry)
MODEL_WRAPPERS = _child('model_wrapper', parent.MODEL_WRAPPERS, 'ecl.models')
WEIGHT_INITIALIZERS = _child('weight initializer', parent.WEIGHT_INITIALIZERS, 'ecl.weights')
BATCH_AUGMENTS = _child('batch augment', parent.BATCH_AUGMENTS, 'ecl.models', _SharedRegistry)
TASK_UTILS = _child('task util', parent.TASK_UTILS, 'ecl.models')

DATASETS = _child('dataset', parent.DATASETS, 'ecl.datasets', _SharedRegistry)
DATA_SAMPLERS = _child('data sampler', parent.DATA_SAMPLERS, 'ecl.datasets')
TRANSFORMS = _child('transform', parent.TRANSFORMS, 'ecl.datasets', _SharedRegistry)

RUNNERS = _child('runner', parent.RUNNERS, 'ecl.engine')
RUNNER_CONSTRUCTORS = _child('runner constructor', parent.RUNNER_CONSTRUCTORS, 'ecl.engine')
LOOPS = _child('loop', parent.LOOPS, 'ecl.engine')
HOOKS = _child('hook', parent.HOOKS, 'ecl.engine')
LOG_PROCESSORS = _child('log processor', parent.LOG_PROCESSORS, 'ecl.engine')
OPTIMIZERS = _child('optimizer', parent.OPTIMIZERS, 'ecl.engine')
OPTIM_WRAPPERS = _child('optimizer_wrapper', parent.OPTIM_WRAPPERS, 'ecl.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'optimizer wrapper constructor', parent.OPTIM_WRAPPER_CONSTRUCTORS, 'ecl.engine'
)
PARAM_SCHEDULERS = _child('parameter scheduler', parent.PARAM_SCHEDULERS, 'ecl.engine')

METRICS = _child('metric', parent.METRICS, 'ecl.evaluation')
EVALUATORS = _child('evaluator', parent.EVALUATORS, 'ecl.evaluation')

VISUALIZERS = _child('visualizer', parent.VISUALIZERS, 'ecl.visualization')
VISBACKENDS = _child('vis_backend', parent.VISBACKENDS, 'ecl.visualization')


def part_class(cfg: dict) -> type | None:
    """Return the class of a module, None if no class of this name is registered.

    Args:
        cfg: Its config.
    """
    return cfg['type'] if inspect.isclass(cfg['type']) else MODELS.get(cfg['type'])


def build_part(cfg: dict, **known: object) -> nn.Module:
    """Build a module; pass the known values that its constructor accepts.

    Args:
        cfg: Its config.
        **known: Values such as ``num_classes``.
    """
    cls = part_class(cfg)
    accepted = inspect.signature(cls).parameters if cls else {}
    return MODELS.build(cfg, default_args={k: v for k, v in known.items() if k in accepted})


def type_name(node: Mapping[str, Any]) -> str:
    """Return the name of the class of a config, without scope or module; '' if it names none.

    Args:
        node: A config, whose ``type`` is a string or, as in pure Python configs, the class itself.

    Example:
        >>> type_name({'type': 'ecl.Digits'}), type_name({'type': Registry})
        ('Digits', 'Registry')
    """
    kind = node.get('type') or ''
    return str(getattr(kind, '__name__', kind)).rpartition('.')[2]


@contextmanager
def quiet_console(logger: logging.Logger) -> Iterator[None]:
    """Show only warnings on the console. The log file keeps all lines."""
    consoles = [one for one in logger.handlers if not isinstance(one, logging.FileHandler)]
    levels = [console.level for console in consoles]
    for console in consoles:
        console.setLevel(max(console.level, logging.WARNING))
    try:
        yield
    finally:
        for console, level in zip(consoles, levels, strict=True):
            console.setLevel(level)
