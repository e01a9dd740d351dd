"""The wheels of `make wheels`, in dist/: what their libraries need and offer; two run where this machine can act as another."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from w2v_embed.readers.scan import kernels

ROOT = Path(__file__).parent.parent
ELF, MACH, PE = b"\x7fELF\x02\x01", b"\xcf\xfa\xed\xfe", b"MZ"
# The platform of a wheel → how its library begins, which machine it says it is for, the libraries that it may need.
KINDS = {
    "manylinux2014_x86_64.manylinux_2_17_x86_64": (ELF, 62, rb"libc\.so\.6"),
    "manylinux2014_aarch64.manylinux_2_17_aarch64": (ELF, 183, rb"libc\.so\.6"),
    "musllinux_1_1_x86_64": (ELF, 62, rb"libc\.so"),
    "musllinux_1_1_aarch64": (ELF, 183, rb"libc\.so"),
    "macosx_11_0_x86_64": (MACH, 7, rb"_kernels\.dylib|libSystem\.B\.dylib"),
    "macosx_11_0_arm64": (MACH, 12, rb"_kernels\.dylib|libSystem\.B\.dylib"),
    "win_amd64": (PE, 0x8664, rb"_kernels\.dll|KERNEL32\.dll|api-ms-win-crt-\w+-l1-1-0\.dll"),
}

pytestmark = pytest.mark.slow


def wheel_for(platform):
    found = [
        path for path in ROOT.glob("dist/*.whl") if set(path.stem.split("-")[-1].split(".")) == set(platform.split("."))
    ]
    if not found:
        pytest.skip("run make wheels")
    return found[0]


def library_of(wheel, folder):
    """Unpack the library of a wheel; where it lies."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if "/_kernels." in name]
        return Path(archive.extract(name, folder))


def machine_of(library):
    """The number of the machine that a library's head names."""
    where, size = {ELF: (18, 2), MACH: (4, 3), PE: (int.from_bytes(library[60:64], "little") + 4, 2)}[
        next(magic for magic in (ELF, MACH, PE) if library.startswith(magic))
    ]
    return int.from_bytes(library[where : where + size], "little")


@pytest.mark.parametrize("platform", KINDS)
def test_what_a_library_needs_and_offers(platform, tmp_path):
    begin, machine, may_need = KINDS[platform]
    wheel = wheel_for(platform)
    assert re.fullmatch(r"w2v_embed-[\w.]+-py3-none", wheel.name.rpartition("-")[0])
    library = library_of(wheel, tmp_path).read_bytes()
    assert library.startswith(begin)
    assert machine_of(library) == machine
    needed = set(re.findall(rb"[\w.-]+\.(?:so|dylib|dll)\b[.\d]*", library, re.IGNORECASE))
    assert all(re.fullmatch(may_need, name) for name in needed), needed
    versions = {tuple(map(int, version.split(b"."))) for version in re.findall(rb"GLIBC_([\d.]+)", library)}
    assert max(versions, default=(2, 17)) <= (2, 17)
    offered = set(re.findall(rb"\w+", library))
    assert {name.encode() for name in ("abi", "use_avx2", *kernels._FUNCTIONS)} <= {
        name.removeprefix(b"_") for name in offered
    }
    assert not re.search(rb"/tmp/|/home/|/root/", library)  # where it was built


def test_the_library_for_arm_under_qemu(tmp_path):
    """All tests of the loops, by a Python for that machine: Debian's, with the dependencies that pip finds for the wheel."""
    wheel = wheel_for("manylinux2014_aarch64.manylinux_2_17_aarch64")
    for needed in ("qemu-aarch64", "apt-get", "dpkg"):
        if not shutil.which(needed):
            pytest.skip(f"{needed} is not installed")
    for folder in ("apt/lists/partial", "archives/partial", "root", "site"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "status").touch()
    settings = ["APT::Architecture=arm64", "APT::Architectures::=arm64", f"Dir::State={tmp_path}/apt"]
    settings += [f"Dir::State::status={tmp_path}/status", f"Dir::Cache={tmp_path}", "APT::Sandbox::User=root"]
    apt = ["apt-get", "-qq", *(f"-o{setting}" for setting in settings)]
    subprocess.run([*apt, "update"], check=True)
    packages = ["python3", "libgcc-s1", "libstdc++6"]
    subprocess.run([*apt, "install", "-y", "--no-install-recommends", "--download-only", *packages], check=True)
    for package in tmp_path.glob("archives/*.deb"):
        subprocess.run(["dpkg", "-x", package, tmp_path / "root"], check=True)
    (python,) = tmp_path.glob("root/usr/bin/python3.[0-9]*[0-9]")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-cache-dir",
        "--target",
        tmp_path / "site",
        "--implementation=cp",
    ]
    pip += ["--only-binary=:all:", f"--python-version={python.name.removeprefix('python')}"]
    pip += [
        f"--platform=manylinux{version}_aarch64"
        for version in ("2014", "_2_17", "_2_24", "_2_26", "_2_27", "_2_28", "_2_31")
    ]
    subprocess.run([*pip, wheel, "pytest", "hypothesis"], check=True)
    shutil.copytree(ROOT / "tests", tmp_path / "site/tests", ignore=shutil.ignore_patterns("__pycache__"))
    command = [
        "qemu-aarch64",
        "-L",
        tmp_path / "root",
        python,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
    ]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "QEMU_LD_PREFIX": str(tmp_path / "root")}
    done = subprocess.run(
        [*command, "-q", "tests/test_kernels.py"],
        cwd=tmp_path / "site",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


DRIVER = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

/* LIBRARY TEXT DIM AVX2 OUT: scan the text and parse all of its rows; what came of it goes to a file. */
int main(int argc, char **argv)
{
    HMODULE library = LoadLibraryA(argv[1]);
    if (!library)
        return 3;
    int (*use_avx2)(int) = (void *)GetProcAddress(library, "use_avx2");
    void (*scan_text)() = (void *)GetProcAddress(library, "scan_text");
    void (*parse_text)() = (void *)GetProcAddress(library, "parse_text");
    static uint8_t text[1 << 22], unsure[1 << 16];
    static int64_t hits[5 << 16], odd[3 << 16], nothing[16], told[6];
    FILE *file = fopen(argv[2], "rb");
    int64_t size = (int64_t)fread(text, 1, sizeof text, file), dim = atoi(argv[3]), room = 1 << 16;
    float *rows = calloc(room * dim, sizeof(float));
    use_avx2(atoi(argv[4]));
    scan_text(text, size, dim, nothing, hits, room, odd, room, nothing, nothing, (int64_t)0, told);
    parse_text(text, size, hits, told[3], rows, dim, unsure);
    file = fopen(argv[5], "wb");
    fwrite(told, 8, 6, file);
    fwrite(hits, 40, told[3], file);
    fwrite(rows, 4 * dim, told[3], file);
    fwrite(unsure, 1, told[3], file);
    return fclose(file);
}
"""


@pytest.mark.parametrize("avx2", [0, 1])
def test_the_library_for_windows_under_wine(avx2, tmp_path):
    """It gives the bytes that this machine's gives."""
    library = library_of(wheel_for("win_amd64"), tmp_path)
    wine = (
        shutil.which("wine64")
        or shutil.which("wine", path="/usr/bin:/usr/lib/wine")
        or shutil.which("wine64", path="/usr/lib/wine")
    )
    if not wine:
        pytest.skip("wine is not installed")
    (tmp_path / "driver.c").write_text(DRIVER)
    zig = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-windows-gnu", "-std=c11", "-O3", "-s"]
    subprocess.run([*zig, "-o", "driver.exe", "driver.c"], cwd=tmp_path, check=True)
    rng, dim = np.random.default_rng(0), 7
    numbers = rng.normal(size=(5000, dim)) * 10.0 ** rng.integers(-9, 9, (5000, 1))
    forms = ["{:.6f}", "{:.3g}", "{!r}", "{:.9e}"]
    lines = [f"w{k} " + " ".join(forms[k % 4].format(float(x)) for x in row) for k, row in enumerate(numbers)]
    text = ("\n".join([*lines, "of three words 1 2", "", *lines[:50]]) + "\n").encode()
    (tmp_path / "v.txt").write_bytes(text)
    command = [
        wine,
        "driver.exe",
        library.relative_to(tmp_path).as_posix().replace("/", "\\"),
        "v.txt",
        str(dim),
        str(avx2),
        "out",
    ]
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "WINEPREFIX": str(tmp_path / "wine")}, check=True)
    buf, room = np.frombuffer(text, np.uint8), 1 << 16
    hits, odd = np.zeros((room, 5), np.int64), np.zeros((room, 3), np.int64)
    told = kernels.scan_text(buf, len(buf), dim, kernels.make_table([]), hits, odd)
    rows, unsure = np.zeros((told[3], dim), np.float32), np.zeros(told[3], np.bool_)
    kernels.parse_text(buf, hits[: told[3]], rows, unsure)
    assert told[3] == 5050
    expected = [np.array(told, np.int64), hits[: told[3]], rows, unsure]
    assert (tmp_path / "out").read_bytes() == b"".join(array.tobytes() for array in expected)
