"""Export a model: python tools/export.py CHECKPOINT --out model.onnx"""

from ecl.apps.cli import run_tool
from ecl.apps.commands.model import export as main

if __name__ == '__main__':
    run_tool(main)
