"""Lets libFuzzer look for inputs of every reader, and prints a row of a table for each.

    run_libfuzzer.py BUILD SECONDS [TARGET...]

BUILD is the folder of the preset `fuzz`. SECONDS are shared evenly by the targets (all, if none is
named). Each starts from its seeds and from what earlier runs have kept in BUILD/corpora; an input
that a reader may not answer as it did is left in BUILD/findings, and the exit code is then 1.
`edges` are those of the whole program that were reached: by what was there at the start, and in all.
"""
import os
import pathlib
import re
import subprocess
import sys

SUPPRESSIONS = pathlib.Path(__file__).resolve().parent.parent / "sanitizers" / "leaks.supp"
# HDF5 frees late: looking for leaks after each of their inputs takes most of the time. All are looked
# for at the end.
KEEP_MEMORY = {"checkpoint", "results", "library"}
ENVIRONMENT = {**os.environ, "LSAN_OPTIONS": f"suppressions={SUPPRESSIONS}:print_suppressions=0"}


def fuzz(build, target, seconds):
    """@return exit code, and what libFuzzer printed"""
    corpus = build / "corpora" / target
    findings = build / "findings"
    findings.mkdir(exist_ok=True)
    command = [build / "tests/fuzz/fuzz_readers", f"--target={target}", f"-max_total_time={seconds}", "-seed=1",
               "-timeout=10", "-rss_limit_mb=4096", f"-detect_leaks={int(target not in KEEP_MEMORY)}",
               f"-artifact_prefix={findings}/{target}-", corpus]
    done = subprocess.run([str(part) for part in command], env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True, errors="replace", check=False)
    return done.returncode, done.stderr


def main(build, seconds, *wanted):
    build = pathlib.Path(build).resolve()
    replay = build / "tests/fuzz/fuzz_replay"
    subprocess.run([replay, "--write-seeds", build / "corpora"], check=True)
    names = subprocess.run([replay, "--list"], check=True, capture_output=True, text=True).stdout.split()
    targets = list(wanted) or names
    each = max(round(float(seconds) / len(targets)), 1)
    print("| reader | executions | edges at the start | edges | inputs kept |\n|---|---|---|---|---|")
    failed = []
    for target in targets:
        code, log = fuzz(build, target, each)
        states = re.findall(r"^#(\d+)\s+(?:INITED|NEW|REDUCE|pulse|DONE)\s+cov: (\d+) .*?corp: (\d+)", log, re.MULTILINE)
        if code != 0 or not states:
            failed.append(target)
            print(f"{target} ended with code {code}:\n{log[-6000:]}", file=sys.stderr)
        if states:
            print(f"| {target} | {int(states[-1][0]):,} | {states[0][1]} | {states[-1][1]} | {states[-1][2]} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
