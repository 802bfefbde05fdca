"""Contrastive branch: projections, momentum encoder, queue of keys, InfoNCE."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, get_rank, get_world_size
from mmengine.model import BaseModule, ModuleList
from mmpretrain.models.necks import MoCoV2Neck
from torch import Tensor, nn

from ecl.errors import UserError
from ecl.models.folded import FoldedNorms
from ecl.models.outputs import ExpertOutputs
from ecl.registry import MODELS
from ecl.settings import Number, SettingError, Whole, validate_params


def gather_batch(x: Tensor, dim: int = 0) -> Tensor:
    """Concatenate a tensor over the processes, so that each one computes the loss of all images.

    DistributedDataParallel takes the mean of the gradients over the processes. The gradient of the
    local part is multiplied by the number of processes, so this mean equals the gradient of one
    process with the whole batch. Other parameters of the loss need no such factor.

    Args:
        x: Part of this process, of the same shape in all.
        dim: Dimension of the batch.
    """
    if get_world_size() == 1:
        return x
    parts = all_gather(x.detach().contiguous())
    own = x.detach()
    parts[get_rank()] = own + len(parts) * (x - own)
    return torch.cat(parts, dim=dim)


@MODELS.register_module()
class ContrastiveNeck(BaseModule):
    """Two-layer perceptron of each expert, its output normalised to length 1 [lineage: MoCo v2].

    Chen et al., 2020 (arXiv 2003.04297), section 2.

    Args:
        in_channels: Dimension D of a feature.
        num_experts: K.
        hid_channels: Hidden units.
        out_channels: Dimension d of a projection.
        init_cfg: As in MMEngine.

    Raises:
        UserError: If a size is below 1.
    """

    @validate_params(
        num_experts=Whole(at_least=1),
        hid_channels=Whole(at_least=1),
        out_channels=Whole(at_least=1),
    )
    def __init__(
        self,
        in_channels: int,
        num_experts: int,
        hid_channels: int = 128,
        out_channels: int = 64,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.out_channels = out_channels
        self.projections = ModuleList(
            MoCoV2Neck(in_channels, hid_channels, out_channels, with_avg_pool=False)
            for _ in range(num_experts)
        )

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Map K features (N, D) to unit vectors (K, N, d), in float32."""
        pairs = zip(self.projections, feats, strict=True)
        projected = torch.stack([project((feat,))[0] for project, feat in pairs])
        return F.normalize(projected.float(), dim=-1)


class ProjectedViews(BaseModule):
    """Base class of branches that compare further views, projected by the trained network.

    Args:
        encoder: Network from images to K features.
        in_channels: Dimension D of a feature.
        num_experts: K.
        neck: Config of the projection; it receives ``in_channels`` and ``num_experts``.
    """

    trains_on_views = True

    def __init__(
        self,
        encoder: nn.Module,
        in_channels: int,
        num_experts: int,
        neck: dict = {'type': 'ContrastiveNeck'},  # noqa: B006  read only
    ) -> None:
        super().__init__()
        self.neck = MODELS.build(
            neck, default_args=dict(in_channels=in_channels, num_experts=num_experts)
        )
        # A tuple does not register it as a submodule: the classifier owns the encoder.
        self._online = (encoder,)

    def project(self, views: list[Tensor]) -> Tensor:
        """Map V views (N, 3, H, W) to unit vectors (K, V, N, d), in one pass.

        Raises:
            UserError: If there are fewer than two.
        """
        if len(views) < 2:
            raise UserError(
                f'{type(self).__name__} needs three views of each image: got {1 + len(views)}. '
                'Set num_views=[1, 2] of MultiView, or three data_preprocessor.views.'
            )
        (encoder,) = self._online
        projections = self.neck(encoder(torch.cat(views)))
        return projections.unflatten(1, (len(views), -1))


class MomentumQueue(BaseModule):
    """Base class of branches with a momentum encoder and a queue of its keys [lineage: MoCo v2].

    He et al., CVPR 2020 (arXiv 1911.05722), section 3. The momentum encoder is a copy of backbone,
    neck and projection. At the start it equals the online network. Each step updates its parameters
    and BatchNorm statistics by ``momentum = m_t * momentum + (1 - m_t) * online`` with m_t = min(m,
    t / (t + 9)) at update t = 0, 1, ... [the increase of m_t is ours: without it, a short run would
    compare with random weights]. The encoder uses its running statistics, so keys do not depend on
    the batch or the other processes, and a query cannot recognise its key by shared batch
    statistics [ours; MoCo shuffles the batch].

    Args:
        encoder: Online network from images to K features, which is copied.
        in_channels: Dimension D of a feature.
        num_experts: K.
        neck: Config of the projection; it receives ``in_channels`` and ``num_experts``.
        queue_size: Q, past keys kept for each expert; at least the batch of all processes.
        momentum: m in [0, 1].

    Raises:
        UserError: If an option is out of range. The message names the option.
    """

    queue: Tensor
    position: Tensor
    updates: Tensor

    @validate_params(queue_size=Whole(at_least=1), momentum=Number(at_least=0, at_most=1))
    def __init__(
        self,
        encoder: nn.Module,
        in_channels: int,
        num_experts: int,
        neck: dict = {'type': 'ContrastiveNeck'},  # noqa: B006  read only
        queue_size: int = 1024,
        momentum: float = 0.999,
    ) -> None:
        super().__init__()
        self.neck = MODELS.build(
            neck, default_args=dict(in_channels=in_channels, num_experts=num_experts)
        )
        # A tuple does not register it as a submodule: the classifier owns the encoder.
        self._online = (encoder,)
        # Pairs of weights and statistics: momentum encoder, online network.
        self._pairs: list[tuple[Tensor, Tensor]] | None = None
        self.momentum_encoder = deepcopy(nn.Sequential(encoder, self.neck))
        self.momentum_encoder.requires_grad_(False).eval()
        self._folded = FoldedNorms(self.momentum_encoder)
        self.momentum = momentum
        queue = torch.randn(num_experts, self.neck.out_channels, queue_size)
        self.register_buffer('queue', F.normalize(queue, dim=1))
        self.register_buffer('position', torch.zeros((), dtype=torch.long))
        self.register_buffer('updates', torch.zeros((), dtype=torch.long))

    def init_weights(self) -> None:
        """Initialise the projection; the momentum encoder becomes equal at the first update."""
        self.neck.init_weights()
        self._is_init = True

    def train(self, mode: bool = True) -> 'MomentumQueue':
        """Set the mode of the projection; the momentum encoder stays in evaluation mode."""
        super().train(mode)
        self.momentum_encoder.eval()
        return self

    def _apply(self, fn: Callable, recurse: bool = True) -> nn.Module:
        self._pairs = None  # moving a module replaces its buffers
        return super()._apply(fn, recurse)

    @torch.no_grad()
    def update(self) -> None:
        """Update the momentum encoder from the online network."""
        if self._pairs is None:  # the same objects, so that deepcopy preserves the pairs
            network = nn.Sequential(*self._online, self.neck).state_dict(keep_vars=True)
            state = self.momentum_encoder.state_dict(keep_vars=True)
            self._pairs = [
                (own, network[key]) for key, own in state.items() if own.is_floating_point()
            ]
        t = self.updates.float()
        m = (t / (t + 9)).clamp(max=self.momentum)
        own, online = [pair[0] for pair in self._pairs], [pair[1] for pair in self._pairs]
        # online - m * (online - own): exactly online at m = 0.
        lag = torch._foreach_sub(online, own)
        torch._foreach_mul_(lag, m)
        torch._foreach_copy_(own, torch._foreach_sub(online, lag))
        self.updates += 1

    def keys(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to unit vectors (K, N, d) by the momentum encoder."""
        return self._folded(images)

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> Tensor:
        """Replace the oldest keys by new ones (K, N, d) of all processes.

        Returns:
            The places (N,) in the queue that were written.

        Raises:
            UserError: If there are more than the queue holds.
        """
        size = self.queue.size(-1)
        if keys.size(1) > size:
            needed = f'at least {keys.size(1)}, the batch of all processes'
            raise SettingError(self, 'queue_size', size, needed)
        places = (self.position + torch.arange(keys.size(1), device=keys.device)) % size
        self.queue.index_copy_(2, places, keys.transpose(1, 2))
        self.position.add_(keys.size(1)).remainder_(size)
        return places


@MODELS.register_module()
class MomentumContrast(MomentumQueue):
    """Contrastive proxy task of every expert: InfoNCE with a momentum encoder [lineage: MoCo v2].

    He et al., CVPR 2020 (arXiv 1911.05722), equations 1 and 2. The query is the projected feature
    of the first view. The key comes from the second view through the momentum encoder. The
    negatives are the keys in the queue.

    Args:
        temperature: Positive temperature of InfoNCE.
        loss_weight: Factor of the loss.
        **kwargs: As for :class:`MomentumQueue`.

    Raises:
        UserError: If an option is out of range. The message names the option.
    """

    @validate_params(temperature=Number(above=0), loss_weight=Number(at_least=0))
    def __init__(
        self,
        encoder: nn.Module,
        in_channels: int,
        num_experts: int,
        temperature: float = 0.2,
        loss_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, in_channels, num_experts, **kwargs)
        self.temperature = temperature
        self.loss_weight = loss_weight

    def forward(self, outputs: ExpertOutputs, targets: Tensor, views: list[Tensor]) -> Tensor:
        """Compute InfoNCE, mean over experts and images, then store the keys.

        Args:
            outputs: Outputs of the K experts for the first view.
            targets: Not used.
            views: The views after the first; the second view (N, 3, H, W) gives the keys.

        Returns:
            A scalar.
        """
        self.update()
        keys = self.keys(views[0])
        queries = self.neck(outputs.feats)
        with torch.autocast(queries.device.type, enabled=False):
            positive = (queries * keys).sum(-1, keepdim=True)
            # The backward pass needs the current queue, but the new keys overwrite it in place.
            negative = queries @ self.queue.clone()
            logits = torch.cat([positive, negative], dim=-1).flatten(0, 1) / self.temperature
            first = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
            loss = F.cross_entropy(logits, first)
        self.enqueue(gather_batch(keys, dim=1))
        return self.loss_weight * loss
