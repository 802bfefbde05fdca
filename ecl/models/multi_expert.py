"""Backbone of K experts for any architecture: separate networks, or with a shared trunk."""

import re
from typing import Any

import torch
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from ecl.errors import UserError
from ecl.registry import MODELS, type_name
from ecl.settings import Whole, validate_params

#: Where networks keep the blocks that can be shared: names of the children themselves (ResNet,
#: MobileNet), or of one child that contains them.
_STAGE_NAMES = ('res_layers', 'stages', 'layers', 'blocks')


class _Record:
    """Forward hook that keeps the last output of a module of the trunk.

    This is an object and not a closure, so that ``deepcopy`` of the backbone also copies it.
    """

    def __init__(self) -> None:
        self.output: Tensor | tuple | None = None

    def __call__(self, module: nn.Module, args: tuple, output: Tensor | tuple) -> None:
        if self.output is not None:
            raise UserError(
                f'backbone.shared_stages: the network uses a shared {type(module).__name__} twice '
                'in one pass, so its stages cannot be shared. Set shared_stages=0.'
            )
        self.output = output


class _Replay(nn.Module):
    """Stand-in for a shared module: return what the trunk's module returned."""

    def __init__(self, module: nn.Module, record: _Record) -> None:
        super().__init__()
        # A tuple does not register it as a submodule: the trunk owns the module.
        self._shared = (module,)
        self.record = record

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._shared[0], name)  # such as Swin's stage.downsample

    @property
    def shared(self) -> nn.Module:
        """The trunk's module."""
        return self._shared[0]

    def forward(self, *args: object, **kwargs: object) -> Tensor | tuple | None:
        """Return the recorded output; the input is ignored."""
        return self.record.output


@MODELS.register_module()
class MultiExpertBackbone(BaseModule):
    """K networks of one architecture, each with its own weights.

    With ``shared_stages`` the experts share their first stages. The first expert is a whole
    network; in the others each shared module is replaced by a stand-in that returns the output of
    the first expert's module, so any architecture's own forward works unchanged.

    Args:
        backbone: Config of one expert: any backbone of MMPretrain, including those of timm. Its
            last output is used. An ``init_cfg`` of type ``Pretrained`` inside it loads the weights
            of a plain network into every expert. A backbone that wraps a network has an attribute
            ``inner_network``: the name of the attribute that holds the network.
        num_experts: K, at least 1.
        shared_stages: 0 shares nothing. s > 0 computes the stem and the first s stages once
            (ResNet, ConvNeXt, Swin) or the first s blocks (ViT, EfficientNet, MobileNet).
        frozen_stages: Stem and stages (or blocks) to freeze, counted in the same way; their norm
            layers keep their statistics. Useful for fine-tuning with few images or in less time.
        init_cfg: Initialisation of the whole backbone, after that of the experts.

    Raises:
        UserError: If K < 1, or the backbone has no such stages to share or to freeze.

    Example:
        >>> import torch
        >>> net = MultiExpertBackbone(dict(type='ResNetCIFAR', depth=8), num_experts=2)
        >>> [tuple(x.shape) for x in net(torch.rand(4, 3, 16, 16))]
        [(4, 64, 4, 4), (4, 64, 4, 4)]
    """

    @validate_params(
        num_experts=Whole(at_least=1),
        shared_stages=Whole(at_least=0),
        frozen_stages=Whole(at_least=0),
    )
    def __init__(
        self,
        backbone: dict,
        num_experts: int = 3,
        shared_stages: int = 0,
        frozen_stages: int = 0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_experts = num_experts
        # Unlike PyTorch's list, MMEngine's list calls init_weights of its modules.
        self.experts = ModuleList(MODELS.build(backbone) for _ in range(num_experts))
        self._records: list[_Record] = []
        if shared_stages and num_experts > 1:
            self._share(shared_stages)
        self.frozen_stages = frozen_stages
        for module in self._frozen():
            module.requires_grad_(False)
        if frozen_stages:
            for expert in self.experts:
                for parameter in _network(expert).parameters(recurse=False):
                    parameter.requires_grad_(False)
        # Convolutions run faster in this layout, on a CPU and in mixed precision on a GPU.
        self.to(memory_format=torch.channels_last)

    def init_weights(self) -> None:
        """Initialise the experts; a weight file is read only once, for the first expert."""
        first, *others = self.experts
        init_cfg = getattr(first, 'init_cfg', None)
        configs = init_cfg if isinstance(init_cfg, list) else [init_cfg or {}]
        if any(type_name(each) in ('Pretrained', 'PretrainedInit') for each in configs):
            first.init_weights()
            loaded = first.state_dict()
            for other in others:
                other.load_state_dict({name: loaded[name] for name in other.state_dict()})
                other._is_init = True
        super().init_weights()

    def train(self, mode: bool = True) -> 'MultiExpertBackbone':
        """Set the mode of all stages; frozen stages stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self

    def _frozen(self) -> list[nn.Module]:
        networks = [_network(expert) for expert in self.experts] if self.frozen_stages else []
        return [
            network.get_submodule(name)
            for network in networks
            for name in first_modules(network, self.frozen_stages, 'frozen_stages')
        ]

    def _share(self, shared_stages: int) -> None:
        trunk, *others = (_network(expert) for expert in self.experts)
        for name in first_modules(trunk, shared_stages, 'shared_stages'):
            module = trunk.get_submodule(name)
            record = _Record()
            module.register_forward_hook(record)
            self._records.append(record)
            for other in others:
                other.set_submodule(name, _Replay(module, record))
        # Position embeddings and class tokens are used before the stages only.
        for name, parameter in trunk.named_parameters(recurse=False):
            for other in others:
                setattr(other, name, parameter)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (N, 3, H, W) to the last output of each expert, such as (N, D, h, w)."""
        try:
            return tuple(self.output(k, stages) for k, stages in enumerate(self._stages(x)))
        finally:
            self._forget()

    def _stages(self, x: Tensor) -> list[tuple[Tensor, ...]]:
        """Return the outputs of each network; separate networks run in parallel in a graph."""
        if self._records or not (x.is_cuda and torch.cuda.is_current_stream_capturing()):
            return [expert(x) for expert in self.experts]
        main, streams, outputs = torch.cuda.current_stream(), [], []
        for expert in self.experts:
            stream = torch.cuda.Stream()
            stream.wait_stream(main)
            x.record_stream(stream)
            with torch.cuda.stream(stream):
                stages = expert(x)
            for stage in stages:
                stage.record_stream(main)
            streams.append(stream)
            outputs.append(stages)
        for stream in streams:
            main.wait_stream(stream)
        return outputs

    def output(self, k: int, stages: tuple[Tensor, ...]) -> Tensor:
        """Return the output of expert k, 0 to K - 1, from the outputs of its network.

        A subclass can use more than the last output, for example maps of several depths. The
        ``out_indices`` of the backbone select the stages.
        """
        return stages[-1]

    def keep(self, k: int) -> None:
        """Remove all experts except k, 0 to K - 1, in place. Expert k gets the shared modules."""
        network = _network(self.experts[k])
        for name, module in list(network.named_modules()):
            if isinstance(module, _Replay):
                network.set_submodule(name, module.shared)
        self.experts = self.experts[k : k + 1]
        self.num_experts = 1

    def _forget(self) -> None:
        """Delete the outputs that the trunk recorded for the other experts."""
        for record in self._records:
            record.output = None


@MODELS.register_module()
class FeaturePooling(nn.Module):
    """Average over positions, for backbones that output K maps, token sequences or vectors."""

    def forward(self, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Map K tensors (N, D, h, w), (N, L, D) or (N, D) to K vectors (N, D)."""
        return tuple(_pooled(output) for output in outputs)


def _pooled(output: Tensor) -> Tensor:
    if output.ndim == 4:
        return nn.functional.adaptive_avg_pool2d(output, 1).flatten(1)
    return output.mean(1) if output.ndim == 3 else output


def _network(expert: nn.Module) -> nn.Module:
    """Return the network inside a wrapper, such as MMPretrain's wrapper of timm models."""
    return getattr(expert, getattr(expert, 'inner_network', 'timm_model'), expert)


def first_modules(network: nn.Module, number: int, option: str) -> list[str]:
    """Return the names of the modules up to the end of a stage, in the order of construction.

    Args:
        network: A network of stages or blocks.
        number: Stages, at least 1 and fewer than there are.
        option: Option that gives the number, for the error.

    Raises:
        UserError: If the network has no such stages.
    """
    children = [name for name, _ in network.named_children()]
    for attribute in _STAGE_NAMES:
        stages = getattr(network, attribute, None)
        if isinstance(stages, nn.ModuleList | nn.Sequential) and len(stages) > 1:
            holder, names = attribute, [f'{attribute}.{i}' for i in range(len(stages))]
            break
        if isinstance(stages, list) and set(stages) <= set(children):
            holder, names = stages[0], stages
            break
    else:
        # The ResNets and RegNets of timm: layer1 to layer4, s1 to s4.
        names = [name for name in children if re.fullmatch(r'(layer|stage|s)\d', name)]
        if not names:
            raise UserError(
                f'backbone.{option}: found no stages: got {type(network).__name__}, expected its '
                'blocks in an nn.Sequential or ModuleList named stages, layers or blocks, or '
                'children layer1, layer2, ... If it wraps a network, set inner_network to the name '
                'of that attribute.'
            )
        holder = names[0]
    if not 0 < number < len(names):
        raise UserError(
            f'backbone.{option}: got {number}, expected 1 to {len(names) - 1} for '
            f'{type(network).__name__}'
        )
    first = []
    for name in children[: children.index(holder)]:
        child = network.get_submodule(name)
        # ConvNeXt keeps the downsampling before each stage in a separate list.
        if isinstance(child, nn.ModuleList) and len(child) == len(names):
            first += [f'{name}.{i}' for i in range(number)]
        else:
            first.append(name)
    return first + names[:number]
