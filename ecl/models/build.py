"""Build a part of a model from its config."""

import inspect

from torch import nn

from ecl.registry import MODELS


def build_part(cfg: dict, **known: object) -> nn.Module:
    """Build a module, with those of the known values that its constructor names.

    Args:
        cfg: Its config.
        **known: Values such as ``num_classes``.
    """
    cls = cfg['type'] if inspect.isclass(cfg['type']) else MODELS.get(cfg['type'])
    accepted = inspect.signature(cls).parameters if cls else {}
    return MODELS.build(cfg, default_args={k: v for k, v in known.items() if k in accepted})
