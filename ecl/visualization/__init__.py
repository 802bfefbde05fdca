"""The figures, drawn from plain arrays."""

import mmpretrain.visualization  # noqa: F401

from .agreement import agreement_matrix, experts_right
from .class_accuracy import class_accuracy
from .confusion import confusing_classes, confusion_matrix
from .distribution import class_distribution
from .feature_map import embed, feature_map
from .heatmap import weight_heatmap
from .image_sheet import image_sheet
from .reliability import reliability_diagram
from .training_curves import training_curves

__all__ = [
    'agreement_matrix',
    'class_accuracy',
    'class_distribution',
    'confusing_classes',
    'confusion_matrix',
    'embed',
    'experts_right',
    'feature_map',
    'image_sheet',
    'reliability_diagram',
    'training_curves',
    'weight_heatmap',
]
