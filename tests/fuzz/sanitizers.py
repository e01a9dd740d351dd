"""The compiled loops with AddressSanitizer and UBSan.

What they read or write outside their arrays ends the process, and so does what C does not define. The runtime of the sanitizers
must be loaded before Python: the compiler's own, or the one that comes with the fuzzer.
"""

import os
import shlex
import subprocess
from pathlib import Path

from w2v_embed.readers.scan import hot

SOURCE = Path(hot.__file__).with_name("kernels.c")
_COMPILE = "-O1 -g -std=c11 -fPIC -ffp-contract=off -fsanitize=address,undefined -fsanitize-undefined-trap-on-error -c"


def build(folder):
    """Compile the loops into `folder`; returns the library's path."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    thing, library = folder / "sanitized.o", folder / "sanitized.so"
    if not library.exists() or library.stat().st_mtime < SOURCE.stat().st_mtime:
        subprocess.run([*compiler, *_COMPILE.split(), str(SOURCE), "-o", str(thing)], check=True)
        # Linked without the runtime, which is not the same for pytest and for the fuzzer.
        subprocess.run([*compiler, "-shared", str(thing), "-o", str(library)], check=True)
    return library


def environment(library, runtime=None):
    """Variables for a process that loads `library`. `runtime`: the path of the sanitizers'; None: the compiler's."""
    if runtime is None:
        command = [*shlex.split(os.environ.get("CC", "cc")), "-print-file-name=libasan.so"]
        runtime = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return {
        **os.environ,
        "W2V_EMBED_KERNELS": str(library),
        "LD_PRELOAD": str(runtime),
        # Python leaves much behind when it ends. A case that asks for gigabytes gets a MemoryError.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=1536:malloc_context_size=0",
    }
