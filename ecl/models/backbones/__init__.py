"""Backbones: the expert networks."""

from .multi_expert import MultiExpertBackbone
from .resnet_cifar import ResNetCIFAR

__all__ = ['MultiExpertBackbone', 'ResNetCIFAR']
