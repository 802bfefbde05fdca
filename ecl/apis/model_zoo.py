"""Models by the names of the configurations that come with the package."""

from fnmatch import fnmatch
from pathlib import Path

from mmengine.registry import DefaultScope
from mmpretrain.models import BaseClassifier

from ecl.apis.config import ConfigLike, load_config, shipped_configs
from ecl.apis.inference import CONTRAST
from ecl.checkpoint_file import read_checkpoint
from ecl.registry import MODELS
from ecl.weights import check_weights_fit, unwrap


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
    name: ConfigLike, pretrained: str | Path | None = None, device: str | None = None
) -> BaseClassifier:
    """Build the model of a configuration, to train or to fine-tune.

    To predict with a checkpoint, :func:`~ecl.apis.load_model` needs no configuration.

    Args:
        name: The name of a configuration; also a file or its content, see
            :func:`~ecl.apis.config.load_config`.
        pretrained: File or URL of weights: a checkpoint, or a published ``.pth`` or
            ``.safetensors``.
        device: Such as 'cpu' or 'cuda:1'. Default: the CPU.

    Returns:
        The model, in training mode; a Runner initialises it as ``init_cfg`` says. Its attribute
        ``_config`` is the configuration.

    Raises:
        UserError: If there is no such configuration, or the weights are those of another model.

    Example:
        >>> get_model('ecl_r8_digits-lt').head.num_classes
        10
    """
    cfg = load_config(name)
    with DefaultScope.overwrite_default_scope('ecl'):
        model = MODELS.build({'data_preprocessor': cfg.get('data_preprocessor'), **cfg.model})
    if pretrained is not None:
        weights = unwrap(read_checkpoint(pretrained))
        # A published file has no contrastive branch; the model keeps the one it was built with.
        own = {k: v for k, v in model.state_dict().items() if k.startswith(CONTRAST)}
        complete = {**own, **weights} if hasattr(model, 'contrast') else weights
        check_weights_fit({'state_dict': complete}, model, pretrained)
        model.load_state_dict(complete)
    model._config = cfg
    return model.to(device or 'cpu')
