"""A batch transform never makes the host wait for the device: its steps can be captured."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ecl.datasets import (
    BatchCIFARAutoAugment,
    BatchColorJitter,
    BatchCutout,
    BatchGaussianBlur,
    BatchRandomCrop,
    BatchRandomFlip,
    BatchRandomGrayscale,
    BatchRandomResizedCrop,
    BatchRandomRotation,
)

TRANSFORMS = [
    BatchCIFARAutoAugment(),
    BatchColorJitter(0.4, 0.4, 0.4, 0.1, prob=0.8),
    BatchCutout(8),
    BatchGaussianBlur(),
    BatchRandomCrop(32, padding=4),
    BatchRandomFlip(),
    BatchRandomGrayscale(),
    BatchRandomResizedCrop(32),
    BatchRandomRotation(15),
]
#: Those that choose the images of each operation.
SELECTIVE = [t for t in TRANSFORMS if isinstance(t, BatchCIFARAutoAugment | BatchColorJitter)]
#: Reading a value, selecting by value, and making a tensor of Python numbers.
FORBIDDEN = ('_local_scalar_dense', 'nonzero', 'masked_select', 'lift_fresh', 'unique')


class Recorder(TorchDispatchMode):
    """Records the operations and refuses copies between devices."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        tensors = [x for x in torch.utils._pytree.tree_leaves((args, kwargs)) if torch.is_tensor(x)]
        assert {x.device.type for x in tensors} <= {'meta'}, f'{func} has a tensor of the host'
        if func.overloadpacket.__name__ in ('index', 'index_put', 'index_put_'):
            assert all(x.dtype != torch.bool for x in tensors[1:]), 'selects by a mask'
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize('transform', TRANSFORMS, ids=lambda t: type(t).__name__)
def test_no_value_leaves_the_device_and_none_comes_from_the_host(transform):
    # A meta tensor has no values at all, so that any step that needs one fails.
    images = torch.empty(16, 3, 32, 32, device='meta')
    transform(images)  # builds what is kept for each device
    with Recorder() as recorder:
        result = transform(images)
    assert (result.shape, result.dtype) == (images.shape, torch.float32)
    assert not set(recorder.names) & set(FORBIDDEN)
    assert 0 < len(recorder.names) < 450


@pytest.mark.parametrize('transform', SELECTIVE, ids=lambda t: type(t).__name__)
def test_all_images_at_once_give_the_pixels_of_the_chosen_ones(transform, monkeypatch):
    images = torch.randint(0, 256, (40, 3, 32, 32)).float()
    kept = images.clone()
    torch.manual_seed(3)
    chosen = transform(images)
    assert torch.equal(images, kept), 'the batch that came in was changed'
    for module in ('color', 'auto_augment'):
        monkeypatch.setattr(f'ecl.datasets.batch_{module}.apply_where', on_the_device)
    torch.manual_seed(3)
    torch.testing.assert_close(transform(images), chosen, rtol=0, atol=1e-3)


def on_the_device(chosen, function, images, *parameters):
    chosen = chosen.view(-1, *[1] * (images.ndim - 1))
    return torch.where(chosen, function(images, *parameters), images)
