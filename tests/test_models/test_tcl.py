import numpy as np
import pytest
import torch

from ecl.models import ConsensusErrorLoss, ExpertOutputs

K, N, C = 3, 40, 4


def test_matches_the_reference():
    logits, labels = 2 * torch.randn(K, N, C), torch.randint(C, (N,))
    z, total, counted = logits.double().numpy(), 0.0, 0
    for n, y in enumerate(labels.tolist()):
        if all(z[k, n].argmax() != y for k in range(K)):
            mean = z[:, n].mean(0)
            total += sum(max(mean[c] - mean[y], 0) for c in range(C))
            counted += 1
    assert 0 < counted < N
    result = ConsensusErrorLoss(0.5)(ExpertOutputs((), logits), labels).item()
    assert result == pytest.approx(0.5 * total / N, rel=1e-5)


def test_only_the_classes_that_mislead_are_lowered():
    logits = torch.tensor([[[1.0, 3.0, 0.0]], [[1.0, 2.0, 0.5]]], requires_grad=True)
    ConsensusErrorLoss()(ExpertOutputs((), logits), torch.tensor([0])).backward()
    assert (logits.grad[..., 1] > 0).all()
    assert (logits.grad[..., 0] < 0).all()
    assert (logits.grad[..., 2] == 0).all()


def test_one_expert_that_is_right_ends_it():
    logits = torch.tensor([[[1.0, 3.0]], [[2.0, 1.0]]])
    assert ConsensusErrorLoss()(ExpertOutputs((), logits), torch.tensor([0])) == 0


def test_mixed_labels_count_by_their_largest_part():
    logits = torch.tensor([[[0.0, 2.0, 1.0]]])
    soft = ConsensusErrorLoss(1.0)(ExpertOutputs((), logits), torch.tensor([[0.9, 0.1, 0.0]]))
    # The target's mean logit is 0.2: classes 1 and 2 exceed it by 1.8 and 0.8.
    assert soft.item() == pytest.approx(np.float32(2.6))
