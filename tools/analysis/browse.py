"""Draw images as the network gets them: python tools/analysis/browse.py CONFIG"""

from ecl.apps.cli import run_tool
from ecl.apps.commands.data import browse as main

if __name__ == '__main__':
    run_tool(main)
