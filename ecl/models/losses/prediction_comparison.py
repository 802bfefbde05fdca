"""Distillation weights: how far the peers' teaching lags behind the labels'."""

from collections.abc import Callable

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn

from ecl.settings import check_choice, check_numbers, check_whole


def probability_ratio(by_labels: Tensor, by_peers: Tensor, eps: float) -> Tensor:
    """(p_label + eps) / (p_distill + eps) [ours]."""
    return (by_labels.exp() + eps) / (by_peers.exp() + eps)


def probability_difference(by_labels: Tensor, by_peers: Tensor, eps: float) -> Tensor:
    """1 + p_label - p_distill, at least eps [ours]."""
    return (1 + by_labels.exp() - by_peers.exp()).clamp(min=eps)


def loss_ratio(by_labels: Tensor, by_peers: Tensor, eps: float) -> Tensor:
    """(eps - log p_distill) / (eps - log p_label): of cross-entropies [ours].

    Unlike the probabilities, it does not tend to 1 as both classifiers fit the training images.
    """
    return (eps - by_peers) / (eps - by_labels)


#: Each compares the log-probabilities of the annotated class, (K, N).
COMPARISONS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    'ratio': probability_ratio,
    'difference': probability_difference,
    'loss_ratio': loss_ratio,
}


class PredictionComparison(nn.Module):
    """Weight each image by comparing what labels and what peers taught [abstract; form ours].

    With p[y] the probability that a classifier of expert k gives to the annotated class,
    r = comparison(p_label[y], p_distill[y]) and w = clip(r ** gamma, 1 / w_max, w_max), scaled to
    mean 1 over the batch (of all processes) for each expert. Where the transfer lags behind the
    labels the weight is above 1. No gradient passes.

    Args:
        num_experts: K.
        num_classes: C.
        comparison: ``'ratio'`` or ``'difference'`` of the two probabilities, or ``'loss_ratio'`` of
            the two cross-entropies.
        granularity: ``'sample'`` compares on each image; ``'class'`` uses an exponential moving
            average of r for each expert and class, a buffer of the checkpoint.
        gamma: Exponent, at least 0; 0 makes all weights 1.
        eps: Positive constant that bounds the ratio.
        w_max: Largest weight before scaling, at least 1.
        class_momentum: Share of the old average that an update keeps, in [0, 1).

    Raises:
        UserError: If an option is out of range, naming it.
    """

    class_average: Tensor | None

    def __init__(
        self,
        num_experts: int,
        num_classes: int,
        comparison: str = 'ratio',
        granularity: str = 'sample',
        gamma: float = 1.0,
        eps: float = 1e-3,
        w_max: float = 5.0,
        class_momentum: float = 0.9,
    ) -> None:
        super().__init__()
        check_whole(self, at_least=1, num_experts=num_experts, num_classes=num_classes)
        check_choice(self, COMPARISONS, comparison=comparison)
        check_choice(self, ('sample', 'class'), granularity=granularity)
        check_numbers(self, at_least=0, gamma=gamma)
        check_numbers(self, above=0, eps=eps)
        check_numbers(self, at_least=1, w_max=w_max)
        check_numbers(self, at_least=0, below=1, class_momentum=class_momentum)
        self.compare = COMPARISONS[comparison]
        self.gamma = gamma
        self.eps = eps
        self.w_max = w_max
        self.class_momentum = class_momentum
        average = torch.ones(num_experts, num_classes) if granularity == 'class' else None
        self.register_buffer('class_average', average)

    @torch.no_grad()
    def forward(self, label_logits: Tensor, distill_logits: Tensor, labels: Tensor) -> Tensor:
        """Compare the two classifiers of every expert.

        Args:
            label_logits: (K, N, C), of the classifiers that labels supervise.
            distill_logits: (K, N, C), of those that peers supervise.
            labels: (N,) class indices.

        Returns:
            Weights (K, N) in float32, of mean 1 for each expert.
        """
        index = labels.expand(len(label_logits), -1).unsqueeze(-1)
        by_labels, by_peers = (
            logits.float().log_softmax(-1).gather(-1, index).squeeze(-1)
            for logits in (label_logits, distill_logits)
        )
        r = self.compare(by_labels, by_peers, self.eps)
        if self.class_average is not None:
            r = self._follow(self.class_average, r, labels)[:, labels]
        weights = r.pow(self.gamma).clamp(1 / self.w_max, self.w_max)
        total = torch.cat([weights.sum(1), weights.new_tensor([weights.size(1)])])
        all_reduce(total)
        return weights * (total[-1] / total[:-1]).unsqueeze(1)

    def _follow(self, average: Tensor, r: Tensor, labels: Tensor) -> Tensor:
        sums = torch.zeros(len(r) + 1, average.size(1), device=r.device)
        sums.index_add_(1, labels, torch.cat([r, torch.ones_like(r[:1])]))
        all_reduce(sums)
        counts = sums[-1]
        mean = sums[:-1] / counts.clamp(min=1)
        step = (1 - self.class_momentum) * (counts > 0)
        average += step * (mean - average)
        return average
