import torch

from ecl.models import ContrastiveNeck


def test_projects_each_expert_by_its_own_perceptron_to_unit_length():
    neck = ContrastiveNeck(8, num_experts=2, hid_channels=6, out_channels=4)
    feat = torch.randn(3, 8)
    first, second = neck((feat, feat))
    assert first.shape == (3, 4)
    torch.testing.assert_close(first.norm(dim=1), torch.ones(3))
    assert not torch.allclose(first, second)
    expected = neck.projections[0].mlp(feat)
    torch.testing.assert_close(first, expected / expected.norm(dim=1, keepdim=True))
