"""What a model costs."""

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.utils.flop_counter import FlopCounterMode

from ecl.registry import DATASETS, MODELS


def model_cost(cfg: Config) -> dict[str, int]:
    """Count parameters and operations of a configuration's model, on images of its data.

    Args:
        cfg: A configuration with training and test data.

    Returns:
        - ``parameters``: those that the training updates, all experts and auxiliary layers.
        - ``multiply_adds``: of the prediction for one image by all experts together, in its
          convolutions and matrix products.
        - ``views``: augmented views of each image that a training step processes.
    """
    init_default_scope(cfg.get('default_scope', 'ecl'))
    model = MODELS.build(cfg.model).eval()
    image = DATASETS.build(cfg.test_dataloader.dataset)[0]['inputs']
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image.unsqueeze(0).float())
    views = DATASETS.build(cfg.train_dataloader.dataset)[0]['inputs']
    return {
        'parameters': sum(p.numel() for p in model.parameters() if p.requires_grad),
        'multiply_adds': counter.get_total_flops() // 2,
        'views': len(views) if isinstance(views, list) else 1,
    }
