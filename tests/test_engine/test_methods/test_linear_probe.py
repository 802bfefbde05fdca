import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.dataset import DefaultSampler, default_collate
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import distributed, nn
from torch.utils.data import DataLoader

from ecl.engine.methods.linear_probe import LinearProbeLoop, extract_features, fit_classifier
from ecl.errors import UserError
from ecl.registry import MODELS


def reference(features, labels, classes, strength):
    """Minimise the penalised cross-entropy of standardised features, by L-BFGS in float64."""
    x = (features - features.mean(0)) / features.std(0)
    one_hot = np.eye(classes)[labels]

    def loss(flat):
        weight, bias = flat[:-classes].reshape(classes, -1), flat[-classes:]
        logits = x @ weight.T + bias
        shifted = logits - logits.max(1, keepdims=True)
        log = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        error = np.exp(log) - one_hot
        value = -(one_hot * log).sum() + (weight**2).sum() / (2 * strength)
        gradient = np.concatenate([(error.T @ x + weight / strength).ravel(), error.sum(0)])
        return value, gradient

    found = minimize(
        loss,
        np.zeros(classes * (x.shape[1] + 1)),
        jac=True,
        method='L-BFGS-B',
        options=dict(maxiter=5000, ftol=1e-14, gtol=1e-9),
    )
    weight, bias = found.x[:-classes].reshape(classes, -1), found.x[-classes:]
    return x @ weight.T + bias


@pytest.mark.parametrize('classes', [2, 4])
def test_the_classifier_is_a_logistic_regression_on_standardised_features(classes):
    rng = np.random.default_rng(0)
    features = 5 + rng.standard_normal((60, 6)) * np.arange(1, 7)
    labels = np.arange(60) % classes
    classifier = nn.Linear(6, classes)
    fit_classifier(classifier, torch.tensor(features).float(), torch.tensor(labels), 0.1)
    logits = classifier(torch.tensor(features).float()).detach().double()
    if classes == 2:  # scikit-learn penalises one vector of weights, the reference two
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        expected = torch.tensor(probe.fit(features, labels).predict_proba(features))
    else:
        expected = torch.tensor(reference(features, labels, classes, 0.1)).softmax(1)
    torch.testing.assert_close(logits.softmax(1), expected, atol=2e-3, rtol=0)


def network():
    """A model of two experts, which trains on mirrored images."""
    torch.manual_seed(0)
    init_default_scope('ecl')
    return MODELS.build(
        dict(
            type='ECLClassifier',
            backbone=dict(
                type='MultiExpertBackbone',
                num_experts=2,
                backbone=dict(type='ResNetCIFAR', depth=8),
            ),
            head=dict(type='ECLHead', num_classes=3),
            data_preprocessor=dict(
                mean=[10.0] * 3, std=[2.0] * 3, views=[[dict(type='BatchRandomFlip', prob=1.0)]]
            ),
        )
    ).train()


def loader(number, batch_size):
    generator = torch.Generator().manual_seed(1)
    images = [
        dict(
            inputs=torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8, generator=generator),
            data_samples=DataSample().set_gt_label(index % 3),
        )
        for index in range(number)
    ]
    sampler = DefaultSampler(images, shuffle=False, seed=0)
    return DataLoader(images, batch_size, sampler=sampler, collate_fn=default_collate)


@pytest.fixture
def trained_on():
    """A model, and batches of images."""
    return network(), loader(12, 6)


def test_features_are_those_of_plain_images_in_evaluation_mode(trained_on):
    model, batches = trained_on
    before = copy.deepcopy(model.state_dict())
    features, labels = extract_features(model, batches)
    assert labels.tolist() == [0, 1, 2] * 4
    images = torch.cat([batch['inputs'] for batch in batches])
    expected = model.eval().extract_feat((images.float() - 10) / 2)
    torch.testing.assert_close(features, [each.detach() for each in expected])
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_each_classifier_is_fitted_on_the_features_of_its_expert(trained_on):
    model, batches = trained_on
    runner = SimpleNamespace(model=model, call_hook=lambda name: None)
    loop = SimpleNamespace(
        runner=runner, dataloader=batches, inverse_regularization=0.1, _iter=0, _epoch=0
    )
    LinearProbeLoop.run_epoch(loop)
    assert (loop._iter, loop._epoch) == (2, 1)
    features, labels = extract_features(model, batches)
    for classifier, vectors in zip(model.head.label_classifiers, features, strict=True):
        expected = nn.Linear(64, 3)
        fit_classifier(expected, vectors, labels, 0.1)
        torch.testing.assert_close(classifier.weight, expected.weight)
        torch.testing.assert_close(classifier.bias, expected.bias)


def half(rank, folder):
    torch.set_num_threads(1)
    store = distributed.FileStore(f'{folder}/rendezvous', 2)
    distributed.init_process_group('gloo', store=store, rank=rank, world_size=2)
    torch.save(extract_features(network(), loader(11, 3)), f'{folder}/{rank}.pth')
    distributed.destroy_process_group()


def test_two_processes_find_each_image_once_and_in_order(tmp_path):
    mp.start_processes(half, (str(tmp_path),), nprocs=2, start_method='fork')
    features, labels = extract_features(network(), loader(11, 6))
    for rank in (0, 1):
        found, same = torch.load(tmp_path / f'{rank}.pth')
        assert torch.equal(same, labels)
        torch.testing.assert_close(found, features)


def test_what_cannot_be_fitted_is_refused():
    features, labels = torch.randn(6, 3), torch.tensor([0, 1, 0, 1, 0, 1])
    with pytest.raises(UserError, match='images of 2 classes, expected 3'):
        fit_classifier(nn.Linear(3, 3), features, labels, 0.1)
    with pytest.raises(UserError, match='classifier'):
        fit_classifier(nn.Linear(3, 2, bias=False), features, labels, 0.1)
