import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.registry import init_default_scope
from torch import nn

from ecl.apis import load_config, train
from ecl.engine import memory
from ecl.engine.memory import activation_bytes, available_memory, trained_views
from ecl.engine.methods.class_counts import tell
from ecl.errors import UserError
from ecl.registry import DATASETS, MODELS


class Plain(nn.Module):
    """Two convolutions with a ReLU between them."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 5, 1), nn.Conv2d(5, 7, 1)

    def extract_feat(self, images):
        return self.second(self.first(images).relu())


def test_the_backward_pass_keeps_the_input_of_each_layer():
    # The image and the output of ReLU, which ReLU and the second convolution share.
    assert activation_bytes(Plain(), (3, 8, 8)) == 4 * 64 * (3 + 5)


def test_the_model_is_not_changed(digits_config):
    model = MODELS.build(load_config(digits_config).model).train()
    model.backbone.experts[0].eval()  # as a second stage freezes a part
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert activation_bytes(model, (3, 8, 8)) > 1e4
    assert model.training and model.head.training and not model.backbone.experts[0].training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_more_experts_keep_more_and_a_shared_trunk_less(digits_config):
    def kept(**options):
        prefixed = {f'model.backbone.{key}': value for key, value in options.items()}
        model = MODELS.build(load_config(digits_config, cfg_options=prefixed).model)
        return activation_bytes(model, (3, 8, 8))

    one, three, shared = kept(num_experts=1), kept(num_experts=3), kept(shared_stages=2)
    assert one < shared < three
    assert 2.5 * one < three <= 3 * one


@pytest.mark.parametrize(
    ('method', 'views'),
    [('bcl', 3), ('proco', 3), ('glmc', 2), ('mdcs', 2), ('paco', 1), ('ncl', 1)],
)
def test_the_estimate_counts_the_views_that_train_the_network(method, views):
    init_default_scope('ecl')
    cfg = load_config(f'{method}_r8_digits-lt')
    model = MODELS.build({'data_preprocessor': cfg.get('data_preprocessor'), **cfg.model})
    tell(model, 'set_class_counts', [4] * model.head.num_classes)
    tell(model, 'set_progress', 0.0)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    batch = default_collate([dataset[index] for index in range(32)])
    assert trained_views(model, batch) == views
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
    own = {t.untyped_storage().data_ptr() for t in model.state_dict().values()}
    measured = sum(t.untyped_storage().nbytes() for at, t in kept.items() if at not in own)
    ratio = measured / (32 * views * activation_bytes(model, (3, 8, 8)))
    assert losses and 0.9 < ratio < 1.4  # heads and losses come on top


def test_a_network_that_cannot_run_without_data_is_not_estimated():
    class Reads(Plain):
        def extract_feat(self, images):
            return super().extract_feat(images) * images.sum().item()

    assert activation_bytes(Reads(), (3, 8, 8)) is None


def test_a_batch_that_does_not_fit_is_refused_with_one_that_does(
    digits_config, tmp_path, monkeypatch
):
    monkeypatch.setattr(memory, 'available_memory', lambda device: memory.BASE + 60 * 2**20)
    with pytest.raises(UserError, match=r'train_dataloader.batch_size.*batch_size=\d+'):
        train(
            digits_config,
            work_dir=tmp_path,
            cfg_options={'train_dataloader.batch_size': 4096, 'images_per_step': 4096},
        )


def test_the_memory_of_this_machine_is_known():
    free = available_memory(torch.device('cpu'))
    assert free is None or 2**20 < free < 2**50
