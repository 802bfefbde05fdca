import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from ecl.apis import collect_predictions
from ecl.apis.inference import build_model, read_config
from ecl.apps.report.run import predict_with_features
from ecl.checkpoint_file import load_checkpoint


def test_predictions_are_those_of_the_evaluation_and_features_those_of_the_experts(digits_run):
    checkpoint = digits_run / 'epoch_3.pth'
    content = load_checkpoint(checkpoint)
    cfg = read_config(content, checkpoint)
    model = build_model(content, cfg, checkpoint, 'cpu')
    with DefaultScope.overwrite_default_scope('ecl'):
        loader = Runner.build_dataloader(cfg.test_dataloader)
    predictions, features = predict_with_features(model, loader, 30, 'digits')

    expected = collect_predictions(checkpoint, device='cpu')
    assert np.array_equal(predictions.labels, expected.labels)
    assert np.array_equal(predictions.predicted, expected.predicted)
    assert predictions.confidence == pytest.approx(expected.confidence)

    assert features.vectors.shape == (30, 3 * 64)
    assert np.array_equal(features.places, np.unique(features.places))
    place = int(features.places[7])
    data = model.data_preprocessor({'inputs': loader.dataset[place]['inputs'][None]})
    for expert, feat in enumerate(model.extract_feat(data['inputs'])):
        unit = (feat[0] / feat[0].norm()).detach().numpy()
        own = features.vectors[7, 64 * expert : 64 * (expert + 1)]
        assert own == pytest.approx(unit, abs=1e-5)
