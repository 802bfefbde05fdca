"""Compare at equal balance: python tools/analysis/balance.py RUN RUN --out NAME"""

from ecl.apps.cli import run_tool
from ecl.apps.commands.experiments import balance as main

if __name__ == '__main__':
    run_tool(main)
