"""Draw the class sizes: python tools/analysis/distribution.py CONFIG"""

from ecl.apps.cli import run_tool
from ecl.apps.commands.data import distribution as main

if __name__ == '__main__':
    run_tool(main)
