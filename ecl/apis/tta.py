"""Test-time augmentation: a configuration made to average over views."""

from mmengine.config import Config

from ecl.apis.config_check import walk
from ecl.errors import UserError


def use_tta(cfg: Config, source: str) -> None:
    """Predict test images by the mean over several views; ``cfg`` is changed in place.

    The views are those of ``tta_pipeline``; without one, the image and its mirror image, provided
    that training mirrors images too. The model is wrapped by ``tta_model``, by default
    :class:`~ecl.models.AverageScoresTTA`.

    Args:
        cfg: A configuration with a test set.
        source: What to call it in the message: its file name.

    Raises:
        UserError: If there is no ``tta_pipeline``, and training does not mirror images.
    """
    dataset = cfg.test_dataloader.dataset
    while 'pipeline' not in dataset and 'dataset' in dataset:
        dataset = dataset.dataset
    dataset.pipeline = cfg.get('tta_pipeline') or _mirrored(cfg, dataset.get('pipeline'), source)
    wrapper = cfg.get('tta_model') or dict(type='AverageScoresTTA')
    cfg.model = dict(**wrapper, module=cfg.model)


def _mirrored(cfg: Config, pipeline: list[dict] | None, source: str) -> list[dict]:
    steps = [node for _, node in walk(cfg.get('train_dataloader') or {})]
    flips = [step for step in steps if step.get('type') == 'RandomFlip']
    if not pipeline or not any(
        'horizontal' in step.get('direction', 'horizontal') for step in flips
    ):
        raise UserError(
            f'{source}: training does not mirror images, so the mirror image is no view to average '
            'over; name the views in tta_pipeline'
        )
    views = [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)]
    return [*pipeline[:-1], dict(type='TestTimeAug', transforms=[views, [pipeline[-1]]])]
