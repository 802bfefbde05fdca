"""Print a whole configuration: python tools/misc/print_config.py CONFIG"""

from ecl.apps.cli import run_tool
from ecl.apps.commands.model import print_config as main

if __name__ == '__main__':
    run_tool(main)
