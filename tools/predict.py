"""Predict images: python tools/predict.py CHECKPOINT IMAGE_OR_FOLDER"""

from ecl.apps.cli import run_tool
from ecl.apps.commands.model import predict as main

if __name__ == '__main__':
    run_tool(main)
