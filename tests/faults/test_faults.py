"""Every failure of the system, and the end of the process, at every point of a small job.

Whatever fails, the outcome is a right result (exit code 0), or the old result untouched, one line
that says why, and exit code 3 (1 where memory is short). After a kill the same command ends with the
right result. The plan of faults is fault_shim.c's.

Environment: as harness.py, D2C_FAULT_SHIM, and D2C_FAULTS=short|long. Run by hand, the long form
prints a table of the points it tried; D2C_FAULTS_JOBS=run,pack names the jobs to try, and
D2C_FAULTS_AT_MOST=100 has it try every m-th call only where there are more calls than that.
"""
import errno
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from harness import (BINARY, RAW, SLOWNESS, Case, demo_manifest, environment, h5py, messages,  # noqa: E402
                     write_manifest)

SHIM = os.environ["D2C_FAULT_SHIM"]
LONG = os.environ.get("D2C_FAULTS") == "long"
SEED = 20261128

AT_MOST = int(os.environ.get("D2C_FAULTS_AT_MOST", 10**9))

FAULTS = [("write", "lose"), ("pwrite", "lose"), ("write", errno.ENOSPC), ("pwrite", errno.ENOSPC),
          ("pwrite", errno.EIO), ("fsync", errno.EIO), ("ftruncate", errno.EIO), ("rename", errno.EACCES),
          ("close", errno.EIO), ("mkdir", errno.ENOSPC), ("unlink", errno.EACCES), ("open", errno.EMFILE),
          ("mmap", errno.ENOMEM), ("malloc", errno.ENOMEM)]
KILLS = ["write", "pwrite", "fsync", "rename", "close", "unlink", "open", "mkdir"]


def arrays(path):
    """What a file of results says, but for times, counts of work and where it was made."""
    found = {}
    with h5py.File(path) as file:
        def take(name, item):
            if isinstance(item, h5py.Dataset) and not re.search(
                    "seconds|timing|evaluation|curve|measured|adapter/source", name):
                found[name] = item[()].tobytes() if item.dtype.kind != "O" else str(item[()].tolist())
        file.visititems(take)
    return found


def content(folder):
    """Everything that a job has written there, comparably."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or re.search(r"\.partial|\.kept|d2c\.lock|checkpoint|merged\.old|d2c-publishing", name):
            continue
        if path.suffix == ".h5":
            found[name] = arrays(path)
        elif path.suffix == ".csv":  # the last column is the time that a row took
            found[name] = [line.rsplit(",", 1)[0] for line in path.read_text().splitlines()]
        elif path.name not in ("routing.json", "README.md"):
            found[name] = path.read_bytes()
    return found


class Job:
    """A command that writes into `folder`/out."""

    def __init__(self, arguments, prepare=None):
        self.arguments = arguments
        self.prepare = prepare


@unittest.skipIf(h5py is None, "python3-h5py is not installed")
class Faults(Case):
    def setUp(self):
        super().setUp()
        self.random = random.Random(f"{SEED} {self.id()}")
        self.manifest = write_manifest(self.folder / "manifest.json", demo_manifest(4))
        more = demo_manifest(5)
        more["tasks"] = more["tasks"][4:]
        self.more = write_manifest(self.folder / "more.json", more)
        self.base = self.folder / "base"
        search = ["--search", "d2c", "--restarts", 1, "--quiet"]
        plain = [*search, "--refine", "none"]
        adapters = [task["adapter"] for task in demo_manifest(3)["tasks"]]
        self.jobs = {
            "run": Job(["run", self.manifest, "-K", 2, *plain, "--overwrite", "--merged", "both", "-o", "out"],
                       ["run", self.manifest, "-K", 1, *plain, "-o", "out"]),
            "refine": Job(["run", self.manifest, "-K", 2, *search, "--refine", "distill", "--refine-steps", 2,
                           "--checkpoint-minutes", 1e-9, "-o", "out"]),
            "compare": Job(["compare", self.manifest, "-K", "2", "--searches", "kmeans", "--quiet", "--refine", "none", "-o",
                            "out"]),
            "add": Job(["add", self.base, "--tasks", self.more, "--quiet", "-o", "out"]),
            "pack": Job(["pack", self.manifest, "--quiet", "--overwrite", "-o", "out/l.h5"],
                        ["pack", *adapters[:2], "--quiet", "-o", "out/l.h5"]),
            "merge": Job(["merge", *adapters, "-o", "out/merged"]),
        }
        wanted = os.environ.get("D2C_FAULTS_JOBS")
        self.wanted = wanted.split(",") if wanted else list(self.jobs)
        if "add" in self.wanted:
            self.succeed("run", self.manifest, "-K", 2, *plain, "-o", self.base)

    def call(self, arguments, folder, plan=None):
        env = environment()
        if plan:
            # d2c maps what it reads alone.
            path = ".safetensors" if plan.startswith("mmap") else f"/{folder.name}/out"
            env.update(LD_PRELOAD=SHIM, D2C_FAULT=plan, D2C_FAULT_PATH=path,
                       D2C_FAULT_LOG=str(self.folder / "calls"))
        return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=120 * SLOWNESS, env=env,
                              cwd=folder)

    def fresh(self, job, old):
        folder = self.folder / "work"
        shutil.rmtree(folder, ignore_errors=True)
        if old.exists():
            shutil.copytree(old, folder)
        else:
            (folder / "out").mkdir(parents=True)
        return folder

    def references(self, name, job):
        """The folder before the job, what is in it then, and what is in it after."""
        old = self.folder / f"{name}-old"
        if job.prepare:
            (old / "out").mkdir(parents=True)
            done = self.call(job.prepare, old)
            self.assertEqual(done.returncode, 0, done.stderr)
        folder = self.fresh(job, old)
        before = content(folder)
        done = self.call(job.arguments, folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        return old, before, content(folder)

    def n_calls(self, job, old, function):
        folder = self.fresh(job, old)
        self.call(job.arguments, folder, f"{function}:0:kill")
        return int((self.folder / "calls").read_text())

    def names(self):
        """The jobs to try."""
        return self.wanted if LONG else self.random.sample(self.wanted, 2)

    def sample(self, n):
        """The calls to try."""
        if LONG:
            return range(1, n + 1, -(-n // AT_MOST) or 1)
        return sorted(self.random.sample(range(1, n + 1), min(n, 1)))

    def check_failed(self, done, function):
        """One line that says why, in our own words."""
        self.assertIn(done.returncode, (1, 3) if function in ("malloc", "mmap") else (3,), done.stderr)
        self.assertEqual(len(messages(done)), 1, done.stderr)
        self.assertIsNone(RAW.search(done.stderr), done.stderr)

    def test_a_call_that_fails(self):
        table = {}
        for name in self.names():
            job = self.jobs[name]
            old, before, after = self.references(name, job)
            for function, error in FAULTS if LONG else self.random.sample(FAULTS, 2):
                n = self.n_calls(job, old, function)
                outcomes = {"right": 0, "refused": 0}
                for call in self.sample(n):
                    with self.subTest(job=name, function=function, error=error, call=call):
                        folder = self.fresh(job, old)
                        done = self.call(job.arguments, folder, f"{function}:{call}:{error}")
                        now = content(folder)
                        if done.returncode == 0:
                            self.assertEqual(now, after)
                            outcomes["right"] += 1
                            continue
                        if function == "malloc" and re.search(r"\b(opal|orte|ompi)_", done.stderr):
                            continue  # Open MPI cannot start without memory
                        self.check_failed(done, function)
                        outcomes["refused"] += 1
                        if now != after:  # it may have been in place already
                            if not (folder / "out" / "d2c-publishing.json").exists():
                                self.assertEqual({key: now.get(key) for key in before}, before)
                            again = self.call(job.arguments, folder)
                            if again.returncode != 0:  # it finished the replacement, which was all that was left
                                self.assertIn("exists already", again.stderr)
                            self.assertEqual(content(folder), after)
                table[name, f"{function}: {errno.errorcode.get(error, error)}"] = (n, outcomes)
        self.show(table)

    def test_a_kill(self):
        table = {}
        for name in self.names():
            job = self.jobs[name]
            old, before, after = self.references(name, job)
            for function in KILLS if LONG else self.random.sample(KILLS, 1):
                n = self.n_calls(job, old, function)
                outcomes = {"right": 0, "refused": 0}
                for call in self.sample(n):
                    with self.subTest(job=name, function=function, call=call):
                        folder = self.fresh(job, old)
                        done = self.call(job.arguments, folder, f"{function}:{call}:kill")
                        if done.returncode == 0:  # it came to fewer calls: checkpoints depend on time
                            self.assertEqual(content(folder), after)
                            continue
                        self.assertEqual(done.returncode, -signal.SIGKILL)
                        again = self.call(job.arguments, folder)
                        if again.returncode != 0:  # the first one had put its result in place
                            self.assertIn("exists already", again.stderr)
                        self.assertEqual(content(folder), after)
                        left = [path.name for path in folder.rglob("*") if ".partial" in path.name]
                        self.assertEqual(left if again.returncode == 0 else [], [])
                        outcomes["right"] += 1
                table[name, f"kill at {function}"] = (n, outcomes)
        self.show(table)

    def show(self, table):
        if not LONG:
            return
        print("\n| job | fault | calls | tried | right result | refused |\n|---|---|---|---|---|---|", file=sys.stderr)
        for (name, fault), (n, outcomes) in table.items():
            print(f"| {name} | {fault} | {n} | {len(self.sample(n))} | {outcomes['right']} | "
                  f"{outcomes['refused']} |", file=sys.stderr)


class OneRank(Case):
    """One of two ranks gets no memory that it shares with the other."""

    def test_memory_of_a_node_that_one_rank_cannot_map(self):
        manifest = write_manifest(self.folder / "manifest.json", demo_manifest(2))
        command = [BINARY, "run", str(manifest), "-K", "1", "--search", "kmeans", "--refine", "none", "--quiet", "-o",
                   str(self.folder / "out")]
        for rank in (0, 1):
            for call in (1, 2):
                with self.subTest(rank=rank, call=call):
                    shutil.rmtree(self.folder / "out", ignore_errors=True)
                    bad = ["env", f"LD_PRELOAD={SHIM}", f"D2C_FAULT=mmap:{call}:{errno.ENOMEM}",
                           "D2C_FAULT_PATH=osc_sm", *command]  # Open MPI's name for such memory
                    ranks = [["-n", "1", *(bad if one == rank else command)] for one in (0, 1)]
                    done = subprocess.run(["mpirun", "--oversubscribe", "--bind-to", "none", *ranks[0], ":", *ranks[1]],
                                          capture_output=True, text=True, timeout=60, env=environment())
                    self.assertEqual(done.returncode, 1, done.stderr)
                    for line in messages(done):  # mpirun, which has its own words for it, may lose ours
                        self.assertIn("out of memory", line)
                    self.assertFalse((self.folder / "out" / "results.h5").exists())


@unittest.skipIf(h5py is None, "python3-h5py is not installed")
class Kills(Case):
    """A job that is killed at random moments, and started again each time, ends as if it had not been."""

    def test_kills_at_random_moments(self):
        manifest = write_manifest(self.folder / "manifest.json", demo_manifest(6))
        command = [BINARY, "run", str(manifest), "-K", "2", "--search", "auto", "--refine", "distill",
                   "--refine-steps", "3", "--checkpoint-minutes", "1e-9", "--quiet", "-o"]

        def job(folder, *, seconds=None, ranks=0):
            start = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] if ranks else []
            process = subprocess.Popen([*start, *command, str(folder)], stderr=subprocess.PIPE, text=True,
                                       env=environment(), start_new_session=True)
            try:
                _, errors = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                return -signal.SIGKILL, ""
            return process.returncode, errors

        start = time.monotonic()
        alone = self.folder / "alone"
        self.assertEqual(job(alone)[0], 0)
        whole = time.monotonic() - start
        chance = random.Random(SEED)
        kills = 0
        wanted = 60 if LONG else 3
        while kills < wanted:
            out = self.folder / "out"
            shutil.rmtree(out, ignore_errors=True)
            code = -signal.SIGKILL
            while code != 0:
                # The last starts of a short run are given the time that they need.
                seconds = chance.uniform(0.1, 1.0) * whole if kills < wanted else None
                code, errors = job(out, seconds=seconds, ranks=chance.choice([0, 0, 2]) if LONG else 0)
                if code == 3 and "is in use" in errors:  # ranks outlive their mpirun for a moment
                    time.sleep(0.2)
                    continue
                if code == 3 and "exists already" in errors:  # it was killed after its result was in place
                    break
                kills += code != 0
                self.assertIn(code, (0, -signal.SIGKILL), errors)
            self.assertEqual(content(out), content(alone))
            self.assertEqual([path.name for path in out.rglob("*") if ".partial" in path.name], [])


if __name__ == "__main__":
    unittest.main()
