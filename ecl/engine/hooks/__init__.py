"""Hooks that observe a training and record it. They never change a loss."""
