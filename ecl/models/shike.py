"""SHIKE: experts that fuse features of several depths, and hardest-negative distillation."""

from itertools import pairwise

import torch
from mmcv.cnn import ConvModule
from mmengine.model import ModuleList, Sequential
from torch import Tensor, nn

from ecl.errors import UserError
from ecl.models.multi_expert import MultiExpertBackbone
from ecl.models.outputs import ExpertOutputs, require_hard_targets
from ecl.models.trial_run import trial_outputs
from ecl.registry import MODELS
from ecl.settings import Number, validate_params


@MODELS.register_module()
class DepthFusionBackbone(MultiExpertBackbone):
    """K experts; each fuses the map of a different earlier stage into its last map [lineage].

    Depth-wise knowledge fusion of Jin et al., CVPR 2023 (arXiv 2304.01279), section 3: the map of
    the earlier stage is brought to the shape of the last map, and the two are multiplied element
    by element. Expert k uses entry k of ``out_indices``. If only the last entry is left, the next
    expert starts again with the first one.

    A neck has one step per stage: convolution 3 x 3 to the width and size of the next stage,
    BatchNorm and ReLU. The second step has no ReLU, as in the released code.

    Args:
        backbone: Config of one expert. It must output maps (N, D, h, w) of several stages, as the
            ResNets, ConvNeXt and Swin do with ``out_indices``; transformers that output tokens
            have no such maps.
        num_experts: K, at least 1.
        shared_stages: As in :class:`MultiExpertBackbone`; SHIKE shares all stages except the last.
        init_cfg: As in :class:`MultiExpertBackbone`.

    Raises:
        UserError: If the backbone outputs a single stage, or no maps.

    Example:
        >>> import torch
        >>> backbone = dict(type='ResNetCIFAR', depth=8, out_indices=(0, 1, 2))
        >>> net = DepthFusionBackbone(backbone, num_experts=3, shared_stages=2)
        >>> [tuple(x.shape) for x in net(torch.rand(4, 3, 16, 16))]
        [(4, 64, 4, 4), (4, 64, 4, 4), (4, 64, 4, 4)]
    """

    def __init__(
        self,
        backbone: dict,
        num_experts: int = 3,
        shared_stages: int = 0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(backbone, num_experts, shared_stages, init_cfg=init_cfg)
        stages = trial_outputs(self.experts[0])
        self._forget()
        if len(stages) < 2 or any(stage.ndim != 4 for stage in stages):
            shapes = [tuple(stage.shape[1:]) for stage in stages]
            raise UserError(
                f'backbone.backbone: got outputs of shape {shapes}, expected maps of several '
                'stages. Set out_indices of the backbone, for example to (0, 1, 2).'
            )
        self.earlier = [k % (len(stages) - 1) for k in range(num_experts)]
        self.necks = ModuleList(_fusion_neck(stages[place:]) for place in self.earlier)
        self.necks.to(memory_format=torch.channels_last)

    def output(self, k: int, stages: tuple[Tensor, ...]) -> Tensor:
        """Multiply the last map of expert k by the map of its earlier stage, (N, D, h, w)."""
        return stages[-1] * self.necks[k](stages[self.earlier[k]])

    def keep(self, k: int) -> None:
        """Remove all experts except k, and their necks, in place."""
        super().keep(k)
        self.necks = self.necks[k : k + 1]
        self.earlier = self.earlier[k : k + 1]


def _fusion_neck(stages: tuple[Tensor, ...]) -> Sequential:
    """Build the steps from the first of some stages to the last, by the shapes of their maps."""
    return Sequential(
        *(
            ConvModule(
                before.size(1),
                after.size(1),
                kernel_size=3,
                stride=before.size(-1) // after.size(-1),
                padding=1,
                norm_cfg=dict(type='BN'),
                act_cfg=None if step == 1 else dict(type='ReLU'),
            )
            for step, (before, after) in enumerate(pairwise(stages))
        )
    )


@MODELS.register_module()
class HardestNegativeLoss(nn.Module):
    """Distillation among the wrong classes, with a lower logit of the hardest one [lineage].

    Dynamic knowledge transfer of Jin et al., CVPR 2023 (arXiv 2304.01279), section 3. The hardest
    negative h of an image is the wrong class with the largest mean logit of the experts. The
    teacher's logit is that mean for h, and the largest logit of any expert for every other wrong
    class. So h is less dominant. Both distributions are softmaxes over the C - 1 wrong classes. The
    loss is the mean over experts k and images of KL(softmax(sg(t)) || softmax(z_k)).

    Args:
        loss_weight: Factor of the loss, at least 0. The released code has 10 and divides by C too.

    Raises:
        UserError: If it is negative.
    """

    needs_peers = True

    @validate_params(loss_weight=Number(at_least=0))
    def __init__(self, loss_weight: float = 0.1) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, outputs: ExpertOutputs, targets: Tensor) -> Tensor:
        """Compute the loss of logits (K, N, C), a scalar.

        Args:
            outputs: Outputs of the K experts.
            targets: Class indices (N,).

        Raises:
            UserError: If the targets are mixed.
        """
        labels = require_hard_targets(self, targets)
        logits = outputs.logits
        classes = torch.arange(logits.size(-1), device=logits.device)
        target = labels[:, None] == classes  # (N, C)
        teacher = hardest_negative_teacher(logits, target).log_softmax(-1)
        student = logits.masked_fill(target, -torch.inf).log_softmax(-1)
        gap = (teacher - student).masked_fill(target, 0)  # -inf minus -inf at the target
        return self.loss_weight * (teacher.exp() * gap).sum(-1).mean()


@torch.no_grad()
def hardest_negative_teacher(logits: Tensor, target: Tensor) -> Tensor:
    """Return the teacher's logits (N, C), -inf at the annotated class.

    Args:
        logits: (K, N, C).
        target: Whether a class is the annotated one, (N, C).
    """
    mean = logits.mean(0).masked_fill(target, -torch.inf)
    hardest = torch.zeros_like(target).scatter(1, mean.argmax(-1, keepdim=True), True)
    largest = logits.amax(0).masked_fill(target, -torch.inf)
    return torch.where(hardest, mean, largest)
