import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from ecl.engine.methods.linear_probe import fit_classifier
from ecl.errors import UserError


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
    expected = torch.tensor(reference(features, labels, classes, 0.1))
    if classes == 2:  # scikit-learn penalises one vector of weights, the reference two
        assert (logits.argmax(1) == expected.argmax(1)).double().mean() > 0.95
    else:
        torch.testing.assert_close(logits.softmax(1), expected.softmax(1), atol=2e-3, rtol=0)


def test_what_cannot_be_fitted_is_refused():
    features, labels = torch.randn(6, 3), torch.tensor([0, 1, 0, 1, 0, 1])
    with pytest.raises(UserError, match='images of 2 classes, expected 3'):
        fit_classifier(nn.Linear(3, 3), features, labels, 0.1)
    with pytest.raises(UserError, match='classifier'):
        fit_classifier(nn.Linear(3, 2, bias=False), features, labels, 0.1)
