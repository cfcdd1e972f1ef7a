"""The compiled kernels; everything else about the package is in pyproject.toml."""

import os
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = Path("kcomplexity/kernels/src")
#: Every float operation as it is written: no contraction, and never fast-math.
FLAGS = {"unix": ["-O3", "-ffp-contract=off", "-fno-trapping-math"], "msvc": ["/O2", "/fp:strict"]}


class BuildKernels(build_ext):
    """Build with the flags of the compiler at hand."""

    def build_extension(self, ext: Extension) -> None:
        """Add the flags once it is known which compiler it is."""
        ext.extra_compile_args = FLAGS.get(self.compiler.compiler_type, [])
        super().build_extension(ext)


setup(
    ext_modules=[
        Extension(
            "kcomplexity.kernels._compiled",
            sources=[(SOURCES / "module.c").as_posix()],
            depends=[path.as_posix() for path in sorted(SOURCES.glob("*.h"))],
            py_limited_api=True,
            # Without a compiler the package installs, and NumPy does the same work.
            optional=os.environ.get("KCOMPLEXITY_KERNELS") != "compiled",
        )
    ],
    cmdclass={"build_ext": BuildKernels},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
