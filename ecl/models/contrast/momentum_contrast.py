"""The contrastive proxy task: momentum copy, queue and keys."""

from copy import deepcopy

import torch
from mmengine.dist import all_gather
from mmengine.model import BaseModule
from mmpretrain.models.heads import ContrastiveHead
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ecl.registry import MODELS
from ecl.settings import SettingError, check_numbers, check_whole


@MODELS.register_module()
class MomentumContrast(BaseModule):
    """Tell the other view of an image from past images, for every expert [lineage: MoCo v2].

    The first view's feature, projected, is the query; the key comes from the second view through
    a momentum copy of the encoder and the projection. The copy starts equal to the online network
    and follows its parameters and BatchNorm statistics by
    ``copy = m_t * copy + (1 - m_t) * online`` with m_t = min(m, t / (t + 9)) at update t = 0, 1,
    ... [the ramp is ours: short runs would otherwise compare with random weights]. It runs with
    its running statistics, so keys depend neither on the batch nor on the other processes, and a
    query cannot recognise its key by shared batch statistics [ours; MoCo shuffles the batch].

    Args:
        encoder: The online network from images to K features, copied and not kept.
        in_channels: Dimension D of a feature.
        num_experts: K.
        neck: Config of the projection; it receives ``in_channels`` and ``num_experts``.
        queue_size: Q, past keys kept for each expert; at least the batch of all processes.
        momentum: m in [0, 1].
        temperature: Positive temperature of InfoNCE.
        loss_weight: Factor of the loss.

    Raises:
        UserError: If an option is out of range, naming it.
    """

    queue: Tensor
    position: Tensor
    updates: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        in_channels: int,
        num_experts: int,
        neck: dict = {'type': 'ContrastiveNeck'},  # noqa: B006  read only
        queue_size: int = 1024,
        momentum: float = 0.999,
        temperature: float = 0.2,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_numbers(self, at_least=0, at_most=1, momentum=momentum)
        check_numbers(self, above=0, temperature=temperature)
        check_numbers(self, at_least=0, loss_weight=loss_weight)
        check_whole(self, at_least=1, queue_size=queue_size)
        self.neck = MODELS.build(
            neck, default_args=dict(in_channels=in_channels, num_experts=num_experts)
        )
        self.momentum_encoder = deepcopy(nn.Sequential(encoder, self.neck))
        self.momentum_encoder.requires_grad_(False).eval()
        self.momentum = momentum
        self.loss_weight = loss_weight
        self.info_nce = ContrastiveHead(dict(type='mmpretrain.CrossEntropyLoss'), temperature)
        queue = torch.randn(num_experts, self.neck.out_channels, queue_size)
        self.register_buffer('queue', nn.functional.normalize(queue, dim=1))
        self.register_buffer('position', torch.zeros((), dtype=torch.long))
        self.register_buffer('updates', torch.zeros((), dtype=torch.long))

    def init_weights(self) -> None:
        """Initialise the projection; the copy starts equal at the first update."""
        self.neck.init_weights()
        self._is_init = True

    def train(self, mode: bool = True) -> 'MomentumContrast':
        """Set the mode of the projection; the copy stays in evaluation mode."""
        super().train(mode)
        self.momentum_encoder.eval()
        return self

    @torch.no_grad()
    def update(self, encoder: nn.Module) -> None:
        """Let the copy follow the online encoder and projection by one step."""
        t = self.updates.item()
        online = nn.Sequential(encoder, self.neck).state_dict(keep_vars=True)
        pairs = [(copy, online[k]) for k, copy in self.momentum_encoder.state_dict().items()]
        floating = [pair for pair in pairs if pair[0].is_floating_point()]
        follow = get_ema_multi_avg_fn(min(self.momentum, t / (t + 9)))
        follow([copy for copy, _ in floating], [source.detach() for _, source in floating], t)
        for copy, source in pairs:
            if not copy.is_floating_point():
                copy.copy_(source)
        self.updates += 1

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Replace the oldest keys by new ones (K, N, d) of all processes.

        Raises:
            UserError: If there are more than the queue holds.
        """
        size = self.queue.size(-1)
        keys = torch.cat(all_gather(keys.contiguous()), dim=1)
        if keys.size(1) > size:
            needed = f'at least {keys.size(1)}, the batch of all processes'
            raise SettingError(self, 'queue_size', size, needed)
        index = (self.position + torch.arange(keys.size(1), device=keys.device)) % size
        self.queue = self.queue.index_copy(2, index, keys.transpose(1, 2))
        self.position = (self.position + keys.size(1)) % size

    def loss(self, encoder: nn.Module, feats: tuple[Tensor, ...], view: Tensor) -> Tensor:
        """Compute InfoNCE, mean over experts and images, then remember the keys.

        Args:
            encoder: The online network, to follow.
            feats: K features (N, D) of the first view.
            view: The second view of the images, (N, 3, H, W).

        Returns:
            A scalar.
        """
        self.update(encoder)
        with torch.no_grad():
            keys = torch.stack(self.momentum_encoder(view))
        queries = torch.stack(self.neck(feats))
        with torch.autocast(view.device.type, enabled=False):
            positive = (queries * keys).sum(-1)
            negative = queries @ self.queue
            loss = self.info_nce.loss(positive.reshape(-1, 1), negative.flatten(0, 1))
        self.enqueue(keys)
        return self.loss_weight * loss
