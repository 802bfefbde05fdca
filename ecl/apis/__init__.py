"""Functions for notebooks and scripts."""

# First: it imports MMPretrain without its warnings.
import ecl.registry  # noqa: F401
from ecl.apis.config import load_config
from ecl.apis.config_check import check_config
from ecl.apis.inference import Guess, Prediction, Predictor, collect_predictions
from ecl.apis.models import get_model, list_models, load_model
from ecl.apis.test import test
from ecl.apis.train import train
from ecl.checkpoint_file import trust_checkpoints

__all__ = [
    'Guess',
    'Prediction',
    'Predictor',
    'check_config',
    'collect_predictions',
    'get_model',
    'list_models',
    'load_config',
    'load_model',
    'test',
    'train',
    'trust_checkpoints',
]
