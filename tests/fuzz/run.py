"""Runs the targets of this folder in turn, and keeps count: `make fuzz`, `make fuzz-count`.

Each run of a target ends with one line in executions.jsonl: when, which commit, how many executions, in how many seconds of the
clock and of the CPU (which with --jobs may be those of another target), and what was found, if anything. What is found lies
beside it, and belongs into tests/fuzz/corpus_TARGET once it is mended.
"""

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz import sanitizers

HERE = Path(__file__).parent
WORK = HERE.parent.parent / "benchmarks" / ".work" / "fuzz"
# A fresh process now and then: the fuzzer itself keeps some bytes a run, and would come to the bound meant for the cases.
_RUNS, _RUNS_IN_C = 100_000, 5_000_000
_ARGUMENTS = ("-timeout=120", "-rss_limit_mb=3072", "-detect_leaks=0", "-print_final_stats=1")
_LONGEST = {"readers": 256, "kernels": 512}  # bytes of a case: short files are quick, and show as much
_COMPILE = "-O2 -g -std=gnu11 -ffp-contract=off -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all"


def targets():
    """Names of the targets: those of the files fuzz_NAME.py, and of fuzz_NAME.c, which clang compiles."""
    return sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.[cp]*"))


def corpora(target):
    """The folders of what a target begins with. The readers were the first target: theirs is just `corpus`."""
    return [folder for folder in [HERE / ("corpus" if target == "readers" else f"corpus_{target}")] if folder.is_dir()]


def fuzz(target, seconds, work=WORK):
    """Run one target. Returns the path of what was found, or None."""
    own = work / f"corpus_{target}"
    own.mkdir(parents=True, exist_ok=True)
    seeds = corpora(target)
    begin, environment = (_native if _in_c(target).exists() else _python)(target, work)
    end = time.time() + seconds
    while (left := round(end - time.time())) > 0:
        command = [
            *begin,
            *_ARGUMENTS,
            f"-runs={_RUNS if sys.executable in begin else _RUNS_IN_C}",
            f"-max_len={_LONGEST.get(target, 1024)}",
            f"-max_total_time={left}",
            f"-artifact_prefix={work}/{target}-",
        ]
        command += map(str, (own, *seeds))
        begun, cpu = time.time(), _cpu_of_children()
        done = subprocess.run(command, cwd=HERE.parent.parent, env=environment, stderr=subprocess.PIPE, check=False)
        log = done.stderr.decode("utf-8", "replace")
        found = None
        if done.returncode:
            written = re.findall(r"Test unit written to (\S+)", log)
            found = written[-1] if written else f"it ended with {done.returncode}"
        note(work, target, executions_in(log), time.time() - begun, _cpu_of_children() - cpu, found)
        if found:
            (work / f"{target}.log").write_text(log)
            print(f"{target}: {found}\n{log[-6000:]}")
            return found
    return None


def _in_c(target):
    return HERE / f"fuzz_{target}.c"


def _can_run(target):
    can = not _in_c(target).exists() or shutil.which("clang") is not None
    if not can:
        print(f"{target} is left out: it is compiled by clang, which is not installed (Debian: apt install clang)")
    return can


def _python(target, work):
    """How a target in Python is run: the command's begin, and its environment."""
    runtime = Path(importlib.util.find_spec("atheris").origin).parent.parent / "asan_with_fuzzer.so"
    environment = {
        **sanitizers.environment(sanitizers.build(work), runtime),
        "OPENBLAS_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    if target == "readers":  # small buffers of Python's lie in its own pools, where nobody sees who reads past them
        environment["PYTHONMALLOC"] = "malloc"
    return [sys.executable, "-m", f"tests.fuzz.fuzz_{target}"], environment


def _native(target, work):
    """As `_python`, for a target in C, which is compiled first."""
    clang, program = shutil.which("clang"), work / f"fuzz_{target}"
    if clang is None:
        raise SystemExit(
            f"the target {target!r} is compiled by clang, which is not installed (Debian: apt install clang)"
        )
    source = HERE / f"fuzz_{target}.c"
    subprocess.run([clang, *_COMPILE.split(), str(source), "-o", str(program), "-lm"], check=True)
    return [str(program)], {**os.environ, "ASAN_OPTIONS": "detect_leaks=0:malloc_context_size=0"}


def executions_in(log):
    """How many executions libFuzzer reports: at its end, or, where it came to none, in its last line.

    >>> executions_in("#8192 pulse cov: 5\\nstat::number_of_executed_units: 9000\\n"), executions_in("#8192\\tpulse cov: 5\\n")
    (9000, 8192)
    """
    counts = re.findall(r"number_of_executed_units:\s*(\d+)", log) or re.findall(r"^#(\d+)\s", log, re.MULTILINE) or [0]
    return int(counts[-1])


def _cpu_of_children():
    return sum(os.times()[2:4])


def note(work, target, executions, seconds, cpu, found):
    """Add one line to the log."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False
    )
    entry = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()),
        "commit": commit.stdout.strip(),
        "target": target,
        "executions": executions,
        "seconds": round(seconds, 1),
        "cpu": round(cpu, 1),
        "found": found,
    }
    with open(work / "executions.jsonl", "a") as file:  # one write: other runs may add theirs
        file.write(json.dumps(entry) + "\n")


def count(since="", work=WORK):
    """Lines that say how many executions there were for each target: in all, from a time on ("2026-01-31T12:00:00", UTC), or of
    one commit."""
    sums, finds = defaultdict(lambda: [0, 0.0, 0.0]), []
    log = work / "executions.jsonl"
    for line in log.read_text().splitlines() if log.is_file() else ():
        entry = json.loads(line)
        if entry["time"] >= since if "-" in since else entry["commit"].startswith(since):
            for name in (entry["target"], "all"):
                sums[name][0] += entry["executions"]
                sums[name][1] += entry["seconds"]
                sums[name][2] += entry["cpu"]
            if entry["found"]:
                finds.append(f"{entry['time']} {entry['target']}: {entry['found']}")
    table = [
        f"{name:14} {executions:12,} executions in {seconds / 3600:6.2f} h, {executions / max(cpu, 0.1):6,.0f} a CPU second"
        for name, (executions, seconds, cpu) in sorted(sums.items(), key=lambda item: item[1][0])
    ]
    return table + (finds or ["nothing was found"])


def main(arguments=None):
    parser = argparse.ArgumentParser(description="fuzz the targets in turn, or count what was done")
    parser.add_argument("--target", choices=targets(), action="append", help="only this one; may be repeated")
    parser.add_argument("--seconds", type=float, default=600, help="of all targets together, on each of --jobs")
    parser.add_argument("--jobs", type=int, default=1, help="targets that run at the same time")
    parser.add_argument("--count", action="store_true", help="say how many executions there were")
    parser.add_argument(
        "--since", default="", help="with --count: only from this time (UTC) on, or only of this commit"
    )
    options = parser.parse_args(arguments)
    if options.count:
        print("\n".join(count(options.since)))
        return 0
    chosen = options.target or [target for target in targets() if _can_run(target)]
    each = options.seconds * options.jobs / len(chosen)
    with ThreadPoolExecutor(options.jobs) as pool:
        found = list(pool.map(lambda target: fuzz(target, min(each, options.seconds)), chosen))
    print("\n".join(count()))
    return 1 if any(found) else 0


if __name__ == "__main__":
    sys.exit(main())
