"""A network of any architecture trains, predicts and is exported by its configuration alone."""

import numpy as np
import pytest

from ecl.apis import Predictor, train
from ecl.apps.export import TOLERANCE, export

SIZE = 64
NETWORKS = {
    'ConvNeXt': (
        "dict(_delete_=True, type='ConvNeXt', arch=dict(depths=[1, 1, 1, 1], "
        'channels=[8, 12, 16, 20]))',
        2,
    ),
    'EfficientNet': ("dict(_delete_=True, type='EfficientNet', arch='b0')", 3),
    'SwinTransformer': (
        "dict(_delete_=True, type='SwinTransformer', img_size=64, window_size=2, "
        'arch=dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2]))',
        2,
    ),
    'VisionTransformer': (
        "dict(_delete_=True, type='VisionTransformer', img_size=64, arch=dict(embed_dims=16, "
        'num_layers=3, num_heads=2, feedforward_channels=16))',
        2,
    ),
    'TIMMBackbone': ("dict(_delete_=True, type='TIMMBackbone', model_name='test_resnet')", 2),
}
CONFIG = """
_base_ = {base!r}

resize = dict(type='Resize', scale={size})
model = dict(
    backbone=dict(num_experts={experts}, shared_stages={shared}, backbone={network}),
    contrast=None,
)
train_dataloader = dict(
    dataset=dict(
        imbalance_factor=2,
        max_per_class=4,
        dataset=dict(pipeline=[resize, dict(type='PackInputs')]),
    )
)
val_dataloader = dict(dataset=dict(pipeline=[resize, dict(type='PackInputs')]))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1, val_interval=1)
"""


@pytest.mark.parametrize('kind', NETWORKS)
def test_experts_on_a_shared_network(kind, digits_config, tmp_path):
    network, shared = NETWORKS[kind]
    config = tmp_path / 'config.py'
    config.write_text(
        CONFIG.format(base=str(digits_config), size=SIZE, experts=2, shared=shared, network=network)
    )
    metrics = train(config, work_dir=tmp_path / 'run')['metrics']
    assert 0 <= metrics['shot/expert1/overall'] <= 100
    checkpoint = tmp_path / 'run' / 'epoch_1.pth'
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    for prediction in Predictor(checkpoint, 'cpu')(images):
        assert np.isclose(sum(prediction.scores), 1, atol=1e-4)
        assert len(prediction.expert_scores) == 2
    assert export(checkpoint, tmp_path / 'ensemble.onnx').difference <= TOLERANCE
    assert (tmp_path / 'ensemble.onnx').is_file()
