"""A rank that fails ends the whole job within ten seconds, with the reason on standard error and an
exit code that is not 0, whatever the others are doing.

Places come from the environment (set by CTest): D2C_FAILING_RANK and those of the end-to-end tests.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from harness import BINARY, DEMO, IS_SANITIZED, SLOWNESS, environment  # noqa: E402

FAILING_RANK = os.environ["D2C_FAILING_RANK"]
SECONDS = 10 * SLOWNESS


def start(*command, ranks=3):
    return subprocess.Popen(["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks), *command],
                            env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def children(pid):
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


class Failure(unittest.TestCase):
    def expect_end(self, job, words):
        """Standard error of a job that must end soon and in failure."""
        try:
            _, errors = job.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            job.kill()
            self.fail(f"still running after {SECONDS} s: {job.communicate()[1]}")
        self.assertNotEqual(job.returncode, 0, errors)
        for word in words:
            self.assertIn(word, errors)
        return errors

    def test_what_all_ranks_meet_is_told_once_however_slow_rank_0_is(self):
        for ranks in (3, 8):
            errors = self.expect_end(start(FAILING_RANK, "everyone", ranks=ranks), ["all ranks met something odd"])
            self.assertEqual(errors.count("d2c: rank"), 1, errors)

    def test_a_foreign_exception_on_one_rank_ends_all(self):
        self.expect_end(start(FAILING_RANK, "exception"), ["d2c: rank 1: internal error: a rank met something odd (a bug of d2c)"])

    @unittest.skipIf(IS_SANITIZED, "sanitizers tell of this themselves")
    def test_a_rank_without_memory_ends_all(self):
        self.expect_end(start(FAILING_RANK, "memory"), ["d2c: rank 1: out of memory"])

    @unittest.skipIf(IS_SANITIZED, "sanitizers tell of this themselves")
    def test_a_rank_that_crashes_says_so_and_ends_all(self):
        for mode, words in (("segv", "memory was used that is not there"), ("fpe", "a division failed"),
                            ("bus", "the system has no memory for a page")):
            self.expect_end(start(FAILING_RANK, mode), [f"d2c: rank 1: {words} while failing"])

    def test_a_rank_that_leaves_ends_all(self):
        self.expect_end(start(FAILING_RANK, "exit"), ["exit"])

    @unittest.skipIf(IS_SANITIZED, "sanitizers tell of this themselves")
    def test_a_rank_that_aborts_ends_all(self):
        self.expect_end(start(FAILING_RANK, "abort"), ["d2c: rank 1: a library has given up"])

    def test_a_rank_that_is_killed_ends_the_job(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="d2c-failure-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        job = start(BINARY, "run", str(DEMO / "manifest.json"), "-K", "5", "--search", "d2c", "--restarts", "500", "--verbose",
                    "--output", str(folder / "out"))
        for line in job.stderr:
            if "iteration" in line:
                break
        ranks = children(job.pid)
        self.assertEqual(len(ranks), 3)
        time.sleep(0.2)
        os.kill(ranks[1], signal.SIGKILL)
        self.expect_end(job, ["signal 9"])
        self.assertFalse((folder / "out" / "results.h5").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
