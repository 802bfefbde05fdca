"""Prepare, verify and browse the data of a training."""
