"""The build of the compiled loops, `w2v_embed/readers/scan/kernels.c`; all else about the package stands in setup.cfg.

They are a library that knows nothing of Python, so one wheel serves all versions. W2V_EMBED_TARGET=TAG=TARGET makes a wheel for
another platform: its tag, and what zig calls it (`make wheels`). W2V_EMBED_URL is the address that the metadata tell.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

# What compilers take, but Microsoft's. Without -ffp-contract=off, a product and a sum may be rounded once instead of twice.
FLAGS = ["-O3", "-std=c11", "-ffp-contract=off", "-fvisibility=hidden", "-shared"]
PLATFORM, _, TARGET = os.environ.get("W2V_EMBED_TARGET", "").partition("=")
SUFFIXES = {"macosx": ".dylib", "darwin": ".dylib", "win": ".dll", "win32": ".dll"}


def own_compiler() -> list[str]:
    """The machine's compiler; none where nothing that compiles is found: a name alone may be a stub, or lack its headers."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    with tempfile.TemporaryDirectory() as folder:
        for name in filter(shutil.which, ("cc", "gcc", "clang")):
            tried = [name, "-shared", *position_independent(), "-x", "c", "-", "-o", os.path.join(folder, "tried")]
            if not subprocess.run(tried, input=b"#include <string.h>\n", capture_output=True, check=False).returncode:
                return [name]
    return []


def position_independent() -> list[str]:
    return [] if os.name == "nt" else ["-fPIC"]


OWN_COMPILER = [] if TARGET else own_compiler()

# Where the source lies is known to whoever publishes it, not to this file; `make wheels` asks git.
URL = os.environ.get("W2V_EMBED_URL", "").removesuffix(".git").rstrip("/")
PAGES = {"Source": "", "Issues": "/issues", "Changelog": "/blob/HEAD/CHANGELOG.md", "Documentation": "/tree/HEAD/docs"}


class BuildKernels(build_ext):
    """Compile the loops into a plain shared library. Where that fails, the package is installed without it."""

    def get_ext_filename(self, fullname: str) -> str:
        return os.path.join(*fullname.split(".")) + SUFFIXES.get(PLATFORM.split("_")[0] or sys.platform, ".so")

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return []  # of a module of Python there would be one

    def build_extension(self, ext: Extension) -> None:
        built = Path(self.get_ext_fullpath(ext.name))
        built.unlink(missing_ok=True)  # one of an earlier build, which must not go on where this one fails
        command = OWN_COMPILER
        if not command and find_spec("ziglang"):
            where = ["-target", TARGET] if TARGET else ["-mcpu=baseline"]
            command = [sys.executable, "-m", "ziglang", "cc", *where, "-s"]
        if not command:
            super().build_extension(ext)  # what setuptools finds: Microsoft's, on Windows
            return
        built.parent.mkdir(parents=True, exist_ok=True)
        # In a folder of its own: nothing in the library tells of where it was built, and what else comes about is thrown away.
        with tempfile.TemporaryDirectory() as folder:
            caches = dict.fromkeys(("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), folder)
            sources = [os.path.abspath(source) for source in ext.sources]
            command = [*command, *FLAGS, *position_independent(), "-o", built.name, *sources]
            try:
                subprocess.run(command, cwd=folder, env={**caches, **os.environ}, check=True)
            except (OSError, subprocess.CalledProcessError) as error:
                raise CompileError(
                    f"{error}. The package works without, slowly; CC=… names another compiler"
                ) from error
            shutil.copyfile(Path(folder, built.name), built)

    def copy_extensions_to_source(self) -> None:
        """Those of an editable install, where one that could not be built anew must not go on as if it had been."""
        for extension in self.extensions:
            Path(self.get_ext_filename(extension.name)).unlink(missing_ok=True)
        super().copy_extensions_to_source()


class PlatformWheel(bdist_wheel):
    def get_tag(self) -> tuple[str, str, str]:
        here = super().get_tag()[2].replace("universal2", platform.machine())
        return "py3", "none", PLATFORM or here


setup(
    project_urls={name: URL + page for name, page in PAGES.items()} if URL.startswith("https://") else {},
    ext_modules=[
        Extension(
            "w2v_embed.readers.scan._kernels",
            ["w2v_embed/readers/scan/kernels.c"],
            extra_compile_args=["/std:c11"] if os.name == "nt" else FLAGS,
            optional=not TARGET,
        )
    ],
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": PlatformWheel},
    # It holds a compiler. Whoever builds the package, pip for one, asks for this first, and fetches it.
    setup_requires=[] if OWN_COMPILER else ["ziglang"],
)
