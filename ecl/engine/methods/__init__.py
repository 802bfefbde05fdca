"""Parts of methods that run outside the model.

Examples are class counts for losses, a second stage, an adjustment of the classifiers, and the
record of the distillation weights.
"""
