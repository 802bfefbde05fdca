"""Linear probe: fit the classifiers on the features of a network that is not trained."""

from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_dist_info, is_main_process
from mmengine.runner import Runner
from mmpretrain.models import BaseClassifier
from rich.console import Console
from rich.progress import track
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ecl.engine.resume.loop import ResumableTrainLoop
from ecl.errors import UserError
from ecl.registry import LOOPS
from ecl.settings import Number, Whole, validate_params
from ecl.weights import bare_model


@LOOPS.register_module()
class LinearProbeLoop(ResumableTrainLoop):
    """Training loop that fits the classifiers by logistic regression.

    The features of all training images are computed once, in evaluation mode, and standardised.
    scikit-learn then fits the classifier of each expert. The rest of the network keeps its
    weights. Checkpoints, validation and the record are those of any training. The training data
    should have no random transforms and no shuffling sampler.

    Args:
        max_epochs: More than one epoch repeats the same fit.
        inverse_regularization: C of scikit-learn's ``LogisticRegression``, positive. A smaller
            value means a stronger L2 penalty.
        **kwargs: As for :class:`~ecl.engine.resume.loop.ResumableTrainLoop`.

    Raises:
        UserError: If a number is out of range, or a classifier has no weight and bias to set.

    Example:
        >>> train_cfg = dict(type='LinearProbeLoop')
    """

    @validate_params(max_epochs=Whole(at_least=1), inverse_regularization=Number(above=0))
    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict[str, Any],
        max_epochs: int = 1,
        inverse_regularization: float = 0.01,
        **kwargs: Any,
    ) -> None:
        super().__init__(runner, dataloader, max_epochs, **kwargs)
        self.inverse_regularization = inverse_regularization

    def run_epoch(self) -> None:
        """Compute the features and fit the classifiers."""
        self.runner.call_hook('before_train_epoch')
        model: Any = bare_model(self.runner.model)
        features, labels = extract_features(model, self.dataloader)
        for classifier, vectors in zip(model.head.label_classifiers, features, strict=True):
            fit_classifier(classifier, vectors, labels, self.inverse_regularization)
        self._iter += len(self.dataloader)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


@torch.inference_mode()
def extract_features(model: BaseClassifier, loader: DataLoader) -> tuple[list[Tensor], Tensor]:
    """Compute the features of all images of a loader, over all processes.

    Process r of R loads the images r, r + R and so on. They are put back in order, without those
    that the sampler repeats at the end so that all processes have equally many.

    Args:
        model: The model, without wrapper. It is put into evaluation mode.
        loader: Images and labels.

    Returns:
        The features of each expert, K of (N, D), and the labels (N,), on the CPU.
    """
    model.eval()
    found: list[tuple[Tensor, ...]] = []
    console = Console(stderr=True, quiet=not is_main_process())
    for batch in track(loader, 'computing features', console=console, transient=True):
        data = model.data_preprocessor(batch, training=False)
        feats = model.extract_feat(data['inputs'])
        labels = torch.cat([sample.gt_label for sample in data['data_samples']])
        found.append((*(feat.float().cpu() for feat in feats), labels.cpu()))
    own = [torch.cat(each) for each in zip(*found, strict=True)]
    rank, world_size = get_dist_info()
    own.append(rank + world_size * torch.arange(len(own[-1])))
    gathered = zip(*all_gather_object(own), strict=True)
    *features, labels, places = (torch.cat(parts) for parts in gathered)
    order = places.argsort()
    dataset: Any = loader.dataset
    if 0 < len(order) - len(dataset) < world_size:
        order = order[: len(dataset)]
    return [each[order] for each in features], labels[order]


def fit_classifier(
    classifier: nn.Module, features: Tensor, labels: Tensor, inverse_regularization: float
) -> None:
    """Set weight and bias of a linear classifier to those of a logistic regression.

    Args:
        classifier: Linear layer from D to C, with bias.
        features: (N, D).
        labels: (N,); every class occurs.
        inverse_regularization: C of scikit-learn's ``LogisticRegression``.

    Raises:
        UserError: If the classifier is not an ``nn.Linear`` with a bias, or a class does not occur.
    """
    if type(classifier) is not nn.Linear or classifier.bias is None:
        raise UserError(
            f'model.head.classifier: got {type(classifier).__name__}, expected a Linear layer with '
            "bias for LinearProbeLoop. Set model.head.classifier=dict(type='Linear')."
        )
    classes = classifier.out_features
    present = len(labels.unique())
    if present != classes:
        raise UserError(f'LinearProbeLoop: got images of {present} classes, expected {classes}')
    scaler = StandardScaler()
    inputs = scaler.fit_transform(features.numpy().astype(np.float64))
    regression = LogisticRegression(C=inverse_regularization, max_iter=1000)
    regression.fit(inputs, labels.numpy())
    weight, bias = regression.coef_, regression.intercept_
    if classes == 2:  # scikit-learn then has one logit, for the second class
        weight, bias = np.stack([-weight[0], weight[0]]) / 2, np.stack([-bias[0], bias[0]]) / 2
    weight = weight / scaler.scale_
    with torch.no_grad():
        classifier.weight.copy_(torch.from_numpy(weight))
        classifier.bias.copy_(torch.from_numpy(bias - weight @ scaler.mean_))
