"""Functions for notebooks and scripts."""

from ecl.apis.config import load_config
from ecl.apis.config_check import check_config
from ecl.apis.export import export
from ecl.apis.model import load_model
from ecl.apis.predictions import collect_predictions
from ecl.apis.predictor import Guess, Prediction, Predictor
from ecl.apis.publish import publish
from ecl.apis.test import test
from ecl.apis.train import train
from ecl.checkpoint_file import trust_checkpoints

__all__ = [
    'Guess',
    'Prediction',
    'Predictor',
    'check_config',
    'collect_predictions',
    'export',
    'load_config',
    'load_model',
    'publish',
    'test',
    'train',
    'trust_checkpoints',
]
