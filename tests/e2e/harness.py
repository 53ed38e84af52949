"""What the end-to-end tests share: running d2c as a user would, and reading what it wrote.

Places come from the environment (set by CTest): D2C_BINARY, D2C_SOURCE, D2C_SHARED.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

BINARY = os.environ["D2C_BINARY"]
SOURCE = pathlib.Path(os.environ["D2C_SOURCE"])
SHARED = pathlib.Path(os.environ["D2C_SHARED"])
DEMO = SOURCE / "data" / "demo"
GOLDEN = SOURCE / "tests" / "golden"

# Sanitizers make everything several times as slow: times to wait are multiplied by this.
SLOWNESS = int(os.environ.get("D2C_TEST_SLOWNESS", "1"))
IS_SANITIZED = "D2C_SANITIZE" in os.environ

HAS_BF16 = "avx512_bf16" in pathlib.Path("/proc/cpuinfo").read_text()

try:
    import h5py
    import numpy
except ImportError:  # the tests that need them are skipped by name
    h5py = numpy = None


def environment():
    env = dict(os.environ)
    env.pop("SLURM_NTASKS", None)
    env["OMP_NUM_THREADS"] = "1"
    # Ranks that wait leave the processor to the tests beside them.
    env["OMPI_MCA_mpi_yield_when_idle"] = "1"
    if IS_SANITIZED:  # Open MPI unloads modules that leak: no list can name them
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "exitcode=99") + ":detect_leaks=0"
    if os.getuid() == 0:
        env["OMPI_ALLOW_RUN_AS_ROOT"] = env["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
    return env


def plain_run(arguments):
    """Options that keep a job to what its test is about: the search, as far as it goes."""
    given = set(map(str, arguments))
    if not arguments or str(arguments[0]) not in ("run", "compare") or given & {"--from", "--config", "--help", "-h", "--effort"}:
        return []
    refine = ["--refine", "none"] if arguments[0] == "run" and "--refine" not in given else []
    return ["--effort", "thorough", *refine]


def d2c(*arguments, ranks=0, stdin=None, timeout=120, env=None, starter=None):
    """Runs d2c, by `starter` if there is one; ranks = 0 runs it without mpirun."""
    arguments = [*arguments, *plain_run(arguments)]
    command = [*([str(starter)] if starter else []), BINARY, *map(str, arguments)]
    if ranks:
        command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] + command
    return subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=timeout * SLOWNESS,
                          env={**environment(), **(env or {})})


def call_in(folder, words, stdin=None):
    """Runs d2c, or its script `score`, in a folder, as `words` say."""
    program = [sys.executable, SOURCE / "scripts" / "score.py"] if words[0] == "score" else [BINARY, words[0]]
    return subprocess.run([*map(str, program), *map(str, words[1:])], cwd=folder, capture_output=True, text=True,
                          input=stdin, timeout=60 * SLOWNESS, env=environment())


def messages(completed):
    """The lines that d2c itself wrote on standard error."""
    return [line for line in completed.stderr.splitlines() if line.startswith("d2c: ")]


# Words of a library or of the language, which never reach the user.
RAW = re.compile(r"std::|exception|what\(\)|basic_string|vector::|terminate called|H5[A-Z]|Traceback|internal error|\b[A-Z]\w+Error\b")


class Case(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="d2c-e2e-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def succeed(self, *arguments, **options):
        completed = d2c(*arguments, **options)
        self.assertEqual(completed.returncode, 0, completed.stderr)
        return completed

    def fail_with(self, code, words, *arguments, **options):
        """Expects the exit code and exactly one message that holds all the words."""
        completed = d2c(*arguments, timeout=60, **options)
        self.assertEqual(completed.returncode, code, completed.stderr)
        lines = messages(completed)
        self.assertEqual(len(lines), 1, completed.stderr)
        for word in words:
            self.assertIn(word, lines[0])
        self.assertIsNone(RAW.search(lines[0]), lines[0])

    def stop_at(self, text, command):
        """Sends SIGUSR1 to a job when its log has the text. @return the rest of its log"""
        job = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
        for line in job.stderr:
            if text in line:
                break
        job.send_signal(signal.SIGUSR1)
        rest = job.communicate(timeout=60 * SLOWNESS)[1]
        self.assertEqual(job.returncode, 4, rest)
        return rest

    def need(self, path):
        if not path.exists():
            self.skipTest(f"reference data is absent: {path}")

    def need_bf16(self):
        if not HAS_BF16:
            self.skipTest("this processor has no AVX512_BF16")

    def need_h5py(self):
        if h5py is None:
            self.skipTest("python3-h5py is not installed")


def demo_manifest(n_tasks=None):
    """The demo's manifest with absolute paths, cut to its first tasks."""
    manifest = json.loads((DEMO / "manifest.json").read_text())
    manifest["model"] = str(DEMO / manifest["model"])
    for task in manifest["tasks"]:
        for field in ("adapter", "examples", "test"):
            task[field] = str(DEMO / task[field])
    manifest["tasks"] = manifest["tasks"][:n_tasks]
    return manifest


def write_manifest(path, manifest):
    path.write_text(json.dumps(manifest))
    return path


def read_safetensors(path):
    """Header (dict) and data (bytearray) of a safetensors file."""
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8:8 + size]), bytearray(raw[8 + size:])


def write_safetensors(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(data))
