import numpy as np
import pytest
import torch

from ecl.errors import UserError
from ecl.models import CosineLinear


def test_logits_are_scaled_cosines_plus_bias():
    layer = CosineLinear(4, 3, scale=16.0, bias=True)
    x = torch.randn(5, 4)
    w, b, f = (t.detach().double().numpy() for t in (layer.weight, layer.bias, x))
    expected = [[16 * v @ c / np.linalg.norm(v) / np.linalg.norm(c) for c in w] for v in f] + b
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_norms_do_not_matter():
    layer = CosineLinear(4, 3)
    x = torch.randn(5, 4)
    before = layer(x)
    layer.weight.data *= torch.tensor([[1.0], [10.0], [0.1]])
    torch.testing.assert_close(layer(7 * x), before)


def test_scale_must_be_positive():
    with pytest.raises(UserError, match='scale'):
        CosineLinear(4, 3, scale=0)
