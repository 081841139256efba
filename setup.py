"""The one part that pyproject.toml cannot say: the compiled decoder, which may be left out.

Without a C compiler the package installs all the same and uses its decoder in Python.
"""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension("pgmagic.columns._decoder", ["pgmagic/columns/_decoder.pyx"], optional=True)
    ]
)
