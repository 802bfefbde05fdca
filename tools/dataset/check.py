"""Verify the data of a configuration: python tools/dataset/check.py CONFIG"""

from ecl.apps.cli import run_tool
from ecl.apps.commands.data import check as main

if __name__ == '__main__':
    run_tool(main)
