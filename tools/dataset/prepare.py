"""Prepare data: python tools/dataset/prepare.py folder PATH --out data/mine"""

from ecl.apps.cli import run_tool
from ecl.apps.commands.data import prepare as main

if __name__ == '__main__':
    run_tool(main)
