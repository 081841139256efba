"""The one part that pyproject.toml cannot say: what is compiled, all of which may be left out.

Without a C compiler the package installs all the same and does its decoding in Python.
"""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension("pgmagic.columns._decoder", ["pgmagic/columns/_decoder.pyx"], optional=True),
        Extension("pgmagic.database._framing", ["pgmagic/database/_framing.pyx"], optional=True),
    ]
)
