"""Aggregators: from the logits of K experts to those of the whole model."""

from torch import Tensor, nn

from ecl.models.outputs import ExpertOutputs
from ecl.registry import MODELS


@MODELS.register_module()
class MeanAggregator(nn.Module):
    """Mean of the experts' logits [lineage: RIDE, NCL]."""

    def forward(self, outputs: ExpertOutputs) -> Tensor:
        """Map logits (K, N, C) to (N, C)."""
        return outputs.logits.mean(0)
