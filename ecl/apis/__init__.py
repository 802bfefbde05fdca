"""What the tools and notebooks call."""

from ecl.apis.balance import balance
from ecl.apis.cli import add_common_arguments, add_trust_argument, run_tool
from ecl.apis.compare import compare
from ecl.apis.config import load_config
from ecl.apis.config_check import check_config
from ecl.apis.cost import model_cost
from ecl.apis.export import export
from ecl.apis.matrix import run_matrix
from ecl.apis.model import load_model
from ecl.apis.predict import predict
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
    'add_common_arguments',
    'add_trust_argument',
    'balance',
    'check_config',
    'collect_predictions',
    'compare',
    'export',
    'load_config',
    'load_model',
    'model_cost',
    'predict',
    'publish',
    'run_matrix',
    'run_tool',
    'test',
    'train',
    'trust_checkpoints',
]
