"""Registries of scope ``ecl``.

They are children of MMPretrain's registries, so a config names a module of ECL, MMPretrain or
MMEngine without a prefix. A lookup that fails here goes on in the parents but does not import their
modules. So each location below imports the MMPretrain package that it extends.
"""

import warnings

from mmengine.registry import Registry

with warnings.catch_warnings():
    # mmcv warns at import that it comes without compiled operators, which nothing here uses.
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
    import mmcv.cnn  # noqa: F401
    from mmpretrain import registry as parent


def _child(name: str, parent_registry: Registry, location: str) -> Registry:
    return Registry(name, parent=parent_registry, scope='ecl', locations=[location])


MODELS = _child('model', parent.MODELS, 'ecl.models')
MODEL_WRAPPERS = _child('model_wrapper', parent.MODEL_WRAPPERS, 'ecl.models')
WEIGHT_INITIALIZERS = _child('weight initializer', parent.WEIGHT_INITIALIZERS, 'ecl.weights')
BATCH_AUGMENTS = _child('batch augment', parent.BATCH_AUGMENTS, 'ecl.models')
TASK_UTILS = _child('task util', parent.TASK_UTILS, 'ecl.models')

DATASETS = _child('dataset', parent.DATASETS, 'ecl.datasets')
DATA_SAMPLERS = _child('data sampler', parent.DATA_SAMPLERS, 'ecl.datasets')
TRANSFORMS = _child('transform', parent.TRANSFORMS, 'ecl.datasets')

RUNNERS = _child('runner', parent.RUNNERS, 'ecl.engine')
RUNNER_CONSTRUCTORS = _child('runner constructor', parent.RUNNER_CONSTRUCTORS, 'ecl.engine')
LOOPS = _child('loop', parent.LOOPS, 'ecl.engine')
HOOKS = _child('hook', parent.HOOKS, 'ecl.engine')
LOG_PROCESSORS = _child('log processor', parent.LOG_PROCESSORS, 'ecl.engine')
OPTIMIZERS = _child('optimizer', parent.OPTIMIZERS, 'ecl.engine')
OPTIM_WRAPPERS = _child('optimizer_wrapper', parent.OPTIM_WRAPPERS, 'ecl.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'optimizer wrapper constructor', parent.OPTIM_WRAPPER_CONSTRUCTORS, 'ecl.engine'
)
PARAM_SCHEDULERS = _child('parameter scheduler', parent.PARAM_SCHEDULERS, 'ecl.engine')

METRICS = _child('metric', parent.METRICS, 'ecl.evaluation')
EVALUATORS = _child('evaluator', parent.EVALUATORS, 'ecl.evaluation')

VISUALIZERS = _child('visualizer', parent.VISUALIZERS, 'ecl.visualization')
VISBACKENDS = _child('vis_backend', parent.VISBACKENDS, 'ecl.visualization')
