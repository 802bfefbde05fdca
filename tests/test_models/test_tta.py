import torch
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample

from ecl.registry import MODELS


class _Views(torch.nn.Module):
    """A model whose score for an image is its pixels."""

    def test_step(self, data):
        samples = []
        for image, sample in zip(data['inputs'], data['data_samples'], strict=True):
            sample = sample.clone()
            sample.set_pred_score(image).set_pred_label(image.argmax(0, keepdim=True))
            sample.set_field(torch.stack([image, 1 - image]), 'expert_scores')
            sample.set_field(1 - image, 'distill_score')
            sample.set_field(image / 2, 'label_score')
            samples.append(sample)
        return samples


def test_views_are_averaged_for_ensemble_experts_and_classifiers():
    init_default_scope('ecl')
    model = MODELS.build(dict(type='AverageScoresTTA', module=_Views()))
    views = [torch.tensor([[0.6, 0.4]]), torch.tensor([[0.1, 0.9]])]
    samples = [[DataSample().set_gt_label(1)], [DataSample().set_gt_label(1)]]
    (merged,) = model.test_step({'inputs': views, 'data_samples': samples})
    torch.testing.assert_close(merged.pred_score, torch.tensor([0.35, 0.65]))
    expected = torch.tensor([[0.35, 0.65], [0.65, 0.35]])
    torch.testing.assert_close(merged.expert_scores, expected)
    torch.testing.assert_close(merged.distill_score, torch.tensor([0.65, 0.35]))
    torch.testing.assert_close(merged.label_score, torch.tensor([0.175, 0.325]))
    # The first view alone would have said 0.
    assert (merged.pred_label.item(), merged.gt_label.item()) == (1, 1)
