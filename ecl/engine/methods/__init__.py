"""Parts of a method that a training carries out around the model.

They belong to the method as its losses do: counts that losses need, a second stage, an adjustment
of the classifiers, and the record of the distillation weights.
"""
