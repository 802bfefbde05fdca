"""Build the package; everything else about it stands in pyproject.toml."""

from pathlib import Path
from shutil import copy, copytree, ignore_patterns, rmtree

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Copy configurations, tools and model index to where OpenMMLab's packages have them."""

    def run(self) -> None:
        """Build; an editable installation finds them in the clone."""
        super().run()
        if self.editable_mode:
            return
        for folder in ('configs', 'tools'):
            target = Path(self.build_lib, 'ecl', '.mim', folder)
            rmtree(target, ignore_errors=True)  # of an earlier build
            copytree(folder, target, ignore=ignore_patterns('__pycache__'))
        copy('model-index.yml', Path(self.build_lib, 'ecl', '.mim'))


setup(cmdclass={'build_py': BuildWithConfigs})
