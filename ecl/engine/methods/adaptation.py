"""Test-time adaptation: find weights of the experts for the given test images."""

import copy
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.models import BaseClassifier
from torch import Tensor
from torch.utils.data import DataLoader, SequentialSampler

from ecl.engine.resume.processes import prepare_workers
from ecl.engine.resume.rank_state import seed_generators
from ecl.errors import UserError
from ecl.models.adjustment import first_view
from ecl.models.expert_head import MeanAggregator
from ecl.models.sade import WeightedAggregator, agreement, find_weights
from ecl.registry import DATASETS

#: Smallest number of test images for an adaptation.
FEWEST = 200
#: Smallest growth of the agreement that changes a model.
LEAST_GAIN = 0.01


def adapt_model(model: BaseClassifier, cfg: Config) -> dict[str, Any]:
    """Adapt the weights of the experts to the test images, in place, and return the result.

    The test images are augmented as in training, twice. Labels are not used. The weights stay equal
    if they are not reliable [ours]: with fewer than ``FEWEST`` images, or if the agreement of the
    two views grows by less than ``LEAST_GAIN`` or two standard errors. If the test images have few
    classes, the weights may suit only these classes.

    Args:
        model: A trained model of several experts, without wrapper, whose logits are averaged.
        cfg: Its configuration.

    Returns:
        ``images``, ``weights``, ``agreement`` with equal and with adapted weights, and ``adapted``:
        whether the model was changed.

    Raises:
        UserError: If one expert predicts, or the aggregator is of another kind.
    """
    head: Any = model.head
    if getattr(head, 'expert', None) is not None:
        raise UserError(
            f'model.head.expert: got {head.expert}, expected None: one expert alone has no weights '
            'to adapt.'
        )
    if getattr(head, 'num_experts', 1) < 2 or not isinstance(
        head.aggregator, MeanAggregator | WeightedAggregator
    ):
        raise UserError(
            'model.head.aggregator: got a model without weights of experts, expected several '
            'experts with MeanAggregator or WeightedAggregator for the adaptation'
        )
    loader = _augmented_test_data(cfg)
    first, second = (_expert_logits(model, loader, seed) for seed in (0, 1))
    images = first.size(1)
    equal = torch.full((head.num_experts,), 1 / head.num_experts, dtype=torch.float64)
    weights = find_weights(first, second) if images >= FEWEST else equal
    before, after = (agreement(w, first, second) for w in (equal, weights))
    gain = (after - before).numpy()
    adapted = bool(gain.mean() > max(LEAST_GAIN, 2 * gain.std() / np.sqrt(images)))
    if adapted:
        device = next(model.parameters()).device
        head.aggregator = WeightedAggregator(head.num_experts).to(device)
        head.aggregator.weights.copy_(weights)
    return {
        'images': images,
        'weights': [round(float(w), 4) for w in (weights if adapted else equal)],
        'agreement': [float(before.mean()), float(after.mean())],
        'adapted': adapted,
    }


def describe(told: dict[str, Any]) -> str:
    """Describe in one line how a model was adapted; see :func:`adapt_model`."""
    weights = ' '.join(f'{weight:.2f}' for weight in told['weights'])
    before, after = told['agreement']
    seen = f'{told["images"]} unlabelled test images'
    if told['adapted']:
        return (
            f'adapted to {seen}: weights of the experts {weights}, '
            f'agreement {before:.3f} -> {after:.3f}'
        )
    return f'not adapted: the experts differ too little on {seen}; their weights stay equal'


def _augmented_test_data(cfg: Config) -> DataLoader:
    """Build the loader of the test images with the transforms of training."""
    dataset = copy.deepcopy(cfg.test_dataloader.dataset)
    training = cfg.train_dataloader.dataset
    inner = dataset
    while 'pipeline' not in inner and 'dataset' in inner:
        inner = inner.dataset
    while 'pipeline' not in training and 'dataset' in training:
        training = training.dataset
    if 'pipeline' in inner and 'pipeline' in training:
        inner.pipeline = training.pipeline
    with DefaultScope.overwrite_default_scope('ecl'):
        built = DATASETS.build(dataset)
        loader = Runner.build_dataloader(
            ConfigDict(
                batch_size=cfg.test_dataloader.get('batch_size', 1),
                num_workers=cfg.test_dataloader.get('num_workers', 0),
                dataset=built,
                # Every process looks at all images.
                sampler=SequentialSampler(built),
                collate_fn=cfg.test_dataloader.get('collate_fn', dict(type='default_collate')),
            ),
            seed=0,
        )
    prepare_workers(loader)  # otherwise both views would use the same random numbers
    return loader


@torch.inference_mode()
def _expert_logits(model: BaseClassifier, loader: DataLoader, seed: int) -> Tensor:
    """Return the logits (K, N, C) of one view of each image, on the CPU."""
    seed_generators(seed)
    model.eval()
    head: Any = model.head
    found = []
    for batch in loader:
        outputs = head.outputs(model.extract_feat(first_view(model, batch, True)['inputs']))
        found.append(head.expert_logits(outputs).float().cpu())
    return torch.cat(found, dim=1)
