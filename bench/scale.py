#!/usr/bin/env python3
"""What a job of thousands of adapters costs here: time per phase, memory and processor time per rank.

    bench/scale.py --d2c build/release/bin/d2c [--adapters 1000 2000 5000] [-K 64] [--ranks 4]

Makes adapters from the demo's (scripts/make_many_adapters.py), packs them into a library, and runs
`d2c run --search kmeans`: similarity of all pairs, one merge of every cluster, every task under every
merged adapter, baselines. Needs about 150 MB of disk per 1,000 adapters.
"""
import argparse
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent / "scripts"
PHASES = ("load", "similarity", "exchange", "merge", "evaluate", "wait", "reduce", "write", "total")
MIB = 1 << 20


def as_rank(folder, command):
    """Runs a command as one rank of a job and notes what it used."""
    code = subprocess.call(command)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    rank = os.environ.get("OMPI_COMM_WORLD_RANK", "0")
    (folder / f"{rank}.json").write_text(json.dumps(
        {"seconds": used.ru_utime + used.ru_stime, "bytes": used.ru_maxrss * 1024}))
    return code


def measure(args, n_adapters):
    folder = pathlib.Path(args.folder) / str(n_adapters)
    data, library, manifest = folder / "data", folder / "adapters.h5", folder / "manifest.json"
    if not data.exists():
        subprocess.run([sys.executable, SCRIPTS / "make_many_adapters.py", str(n_adapters), data],
                       check=True, stdout=subprocess.DEVNULL)
    if not library.exists():
        subprocess.run([args.d2c, "pack", data / "manifest.json", "-o", library,
                        "--write-manifest", manifest], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        job = json.loads(manifest.read_text())
        for task in job["tasks"]:
            del task["test"]
        manifest.write_text(json.dumps(job))
    used, output = folder / "used", folder / "out"
    shutil.rmtree(used, ignore_errors=True)
    shutil.rmtree(output, ignore_errors=True)
    used.mkdir()
    subprocess.run(
        [*args.mpirun.split(), "-n", str(args.ranks), sys.executable, __file__, "--as-rank", used,
         args.d2c, "run", manifest, "-K", str(args.k), "--search", "kmeans", "--output", output,
         "--quiet"], check=True, stdout=subprocess.DEVNULL)
    report = subprocess.run([args.d2c, "inspect", output / "results.h5"], check=True, text=True,
                            capture_output=True).stdout
    row = re.compile(r"(?m)^ +(\w+) +(\S+) +(\S+) +(\S+) +\S+$")
    phases = {name: (float(mean), float(most)) for name, _, mean, most in row.findall(report)
              if name in PHASES}
    ranks = [json.loads(file.read_text()) for file in sorted(used.glob("*.json"))]
    return phases, ranks


def main():
    if "--as-rank" in sys.argv[1:2]:
        sys.exit(as_rank(pathlib.Path(sys.argv[2]), sys.argv[3:]))
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--d2c", default="build/release/bin/d2c", help="the program")
    parser.add_argument("--adapters", type=int, nargs="+", default=[1000, 2000, 5000])
    parser.add_argument("-K", dest="k", type=int, default=64)
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--mpirun", default="mpirun --oversubscribe --bind-to none")
    parser.add_argument("--folder", help="keep the data here, for another time")
    args = parser.parse_args()
    args.d2c = str(pathlib.Path(args.d2c).resolve())
    kept = args.folder is not None
    args.folder = args.folder or tempfile.mkdtemp(prefix="d2c-scale-")
    try:
        print(f"K = {args.k}, {args.ranks} ranks; seconds on the clock, mean over ranks")
        print("| adapters | " + " | ".join(PHASES) + " | processor time | MiB per rank |")
        print("|---" * (len(PHASES) + 3) + "|")
        for n_adapters in args.adapters:
            phases, ranks = measure(args, n_adapters)
            memory = [rank["bytes"] / MIB for rank in ranks]
            print(f"| {n_adapters} | "
                  + " | ".join(f"{phases[name][0]:.2f}" for name in PHASES)
                  + f" | {sum(rank['seconds'] for rank in ranks):.1f} s | "
                  + ", ".join(f"{m:.0f}" for m in memory) + " |", flush=True)
    finally:
        if not kept:
            shutil.rmtree(args.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
