import pytest
import torch
from mmengine.config import Config

from ecl.apis import get_model, list_models, load_model
from ecl.apps.publish import publish
from ecl.errors import UserError


def test_names_are_those_of_configurations():
    names = list_models()
    assert names == sorted(set(names))
    assert {'ecl_r8_digits-lt', 'ncl_r32_cifar100-lt-if100'} <= set(names)
    assert list_models('ecl_r8_*lt') == ['ecl_r8_digits-lt']


def test_a_model_by_its_name_is_complete_and_in_training_mode():
    model = get_model('ecl_r8_digits-lt')
    assert model.training
    assert model._config.model.head.num_classes == 10
    assert hasattr(model, 'contrast')


def test_a_misspelt_name_is_told_with_the_nearest():
    with pytest.raises(UserError, match=r"ecl_r8_digit-lt .*; did you mean 'ecl_r8_digits-lt'"):
        get_model('ecl_r8_digit-lt')


@pytest.mark.parametrize('form', [dict, lambda cfg: cfg, lambda cfg: 'ecl_r8_digit-lt'])
def test_weights_that_do_not_come_with_the_package_are_told(digits_config, form):
    with pytest.raises(UserError, match=r'no weights of .* come with the package'):
        get_model(form(Config.fromfile(digits_config)), pretrained=True)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_pretrained_weights_are_those_of_the_file(digits_run, digits_config, tmp_path, suffix):
    published = publish(digits_run / 'epoch_3.pth', tmp_path / 'digits.pth').with_suffix(suffix)
    model = get_model(digits_config, pretrained=published).eval()
    reference = load_model(digits_run / 'epoch_3.pth', 'cpu')
    images = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(model(images), reference(images), rtol=0, atol=0)


def test_a_runner_keeps_pretrained_weights_and_initialises_others(digits_run, digits_config):
    pretrained = get_model(digits_config, pretrained=digits_run)
    loaded = load_model(digits_run, 'cpu')
    fresh = get_model(digits_config)
    for model, kept in ((pretrained, True), (loaded, True), (fresh, False)):
        weight = model.backbone.state_dict()
        before = {name: value.clone() for name, value in weight.items()}
        model.init_weights()  # as a Runner does
        after = model.backbone.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before) == kept


def test_weights_of_another_model_are_refused(digits_run):
    with pytest.raises(UserError, match='of another model'):
        get_model('cross_entropy_r14_cifar20-lt', pretrained=digits_run / 'epoch_3.pth')
