"""Submits the job templates to a real SLURM that is started here on loopback (root only)."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from harness import BINARY, DEMO, SOURCE, demo_manifest, environment, write_manifest  # noqa: E402

JOBS = SOURCE / "jobs"
TOOLS = ("slurmctld", "slurmd", "sbatch", "scontrol")

CONFIGURATION = """\
ClusterName=loop
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort={port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
TmpFS={folder}/tmp/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1
MpiDefault=pmix
ReturnToService=2
KillWait=5
InactiveLimit=0
JobRequeue=1
"""


class Slurm:
    """A cluster of one controller and some nodes, all on this host."""

    def __init__(self, nodes, cpus):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="d2c-slurm-"))
        host = socket.gethostname().split(".")[0]
        port = 20000 + os.getpid() % 20000
        text = CONFIGURATION.format(host=host, port=port, folder=self.folder)
        (self.folder / "state").mkdir()
        for i in range(1, nodes + 1):
            (self.folder / "spool" / f"n{i}").mkdir(parents=True)
            # The folders that PMIx makes for a step have the same names on all nodes.
            (self.folder / "tmp" / f"n{i}").mkdir(parents=True)
            text += (f"NodeName=n{i} NodeHostname={host} NodeAddr=127.0.0.1 Port={port + i} "
                     f"CPUs={cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={cpus} "
                     "ThreadsPerCore=1 RealMemory=2000 State=UNKNOWN\n")
        text += "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
        config = self.folder / "slurm.conf"
        config.write_text(text)
        self.env = {**environment(), "SLURM_CONF": str(config)}
        self.call("slurmctld", "-f", config)
        for i in range(1, nodes + 1):
            self.call("slurmd", "-f", config, "-N", f"n{i}")
        deadline = time.monotonic() + 30
        while not self.is_up(nodes):
            if time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("the nodes do not come up")
            time.sleep(0.2)

    def is_up(self, nodes):
        shown = subprocess.run(["sinfo", "-h", "-o", "%D", "-t", "idle"], env=self.env, capture_output=True, text=True,
                               timeout=60)
        return shown.returncode == 0 and shown.stdout.strip() == str(nodes)

    def call(self, *command, **env):
        return subprocess.run([*map(str, command)], env={**self.env, **env}, check=True, text=True,
                              capture_output=True, timeout=60, cwd=self.folder).stdout

    def run_job(self, script, *options, timeout=240, **env):
        """Submits a script; returns its final state and its log."""
        job = self.call("sbatch", "--parsable", *options, script, **env).strip()
        deadline = time.monotonic() + timeout
        while True:
            shown = self.call("scontrol", "show", "job", job)
            fields = dict(f.split("=", 1) for f in shown.split() if "=" in f)
            if fields["JobState"] not in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING"):
                log = pathlib.Path(fields["StdOut"])
                return fields["JobState"], log.read_text() if log.exists() else "", fields["ExitCode"]
            if time.monotonic() > deadline:
                raise RuntimeError("the job does not end: " + shown)
            time.sleep(0.3)

    def stop(self):
        subprocess.run(["scontrol", "shutdown"], env=self.env, capture_output=True, timeout=30)
        time.sleep(0.5)
        for file in self.folder.glob("*.pid"):
            subprocess.run(["kill", file.read_text().strip()], capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)


@unittest.skipUnless(os.getuid() == 0, "SLURM needs root to start")
@unittest.skipUnless(all(shutil.which(tool) for tool in TOOLS), "SLURM is not installed")
class Jobs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.slurm = Slurm(nodes=2, cpus=2)
        cls.addClassCleanup(cls.slurm.stop)
        cls.manifest = write_manifest(cls.slurm.folder / "manifest.json", demo_manifest(10))

    def submit(self, *options, script="one-node.sbatch", **env):
        return self.slurm.run_job(JOBS / script, *options, D2C=BINARY, K="3",
                                  OUTPUT=str(self.slurm.folder / env.pop("name")),
                                  **{"MANIFEST": str(self.manifest), **env})

    def test_one_node_with_srun_and_with_mpirun(self):
        for launcher in ("srun", "mpirun"):
            state, log, _ = self.submit(name=launcher, LAUNCHER=launcher)
            self.assertEqual(state, "COMPLETED", log)
            self.assertIn("Input is valid: 10 tasks", log)
            self.assertTrue((self.slurm.folder / launcher / "results.h5").exists(), log)
            self.assertEqual(len(list((self.slurm.folder / launcher / "merged").iterdir())), 3)

    def test_many_nodes_give_the_results_of_one(self):
        # The nodes are one host: Open MPI's shared-memory transport takes them for different ones.
        self.submit(name="one")
        for launcher, network in (
                ("mpirun", {"MPIRUN_OPTIONS": "--oversubscribe --mca btl self,tcp --mca btl_tcp_if_include lo"}),
                ("srun", {"OMPI_MCA_btl": "self,tcp", "OMPI_MCA_btl_tcp_if_include": "lo"})):
            name = "many-" + launcher
            state, log, _ = self.submit(script="many-nodes.sbatch", name=name, LAUNCHER=launcher, **network)
            self.assertEqual(state, "COMPLETED", log)
            for cluster in range(3):
                file = f"merged/cluster_{cluster:02}/adapter_model.safetensors"
                self.assertEqual((self.slurm.folder / "one" / file).read_bytes(),
                                 (self.slurm.folder / name / file).read_bytes())

    def test_job_made_from_the_plan_runs(self):
        plan = self.slurm.call(BINARY, "plan", self.manifest, "-K", 3, "--json")
        script = self.slurm.folder / "made.sbatch"
        script.write_text(subprocess.run(
            [sys.executable, SOURCE / "scripts" / "make_job.py", "-", "--cores-per-node", "2",
             "--gib-per-node", "1.9", "--d2c", BINARY], input=plan, text=True, check=True,
            capture_output=True).stdout)
        output = self.slurm.folder / "made"
        state, log, _ = self.slurm.run_job(script, LAUNCHER="mpirun", OUTPUT=str(output))
        self.assertEqual(state, "COMPLETED", log)
        self.assertEqual(len(list((output / "merged").iterdir())), 3)

    def test_array_runs_every_pair_of_k_and_seed(self):
        folder = self.slurm.folder / "array"
        job = self.slurm.call(
            "sbatch", "--parsable", "--array=0-4", JOBS / "array.sbatch", D2C=BINARY,
            K_LIST="2 3", SEED_LIST="0 7", OUTPUT=str(folder), LAUNCHER="mpirun",
            MANIFEST=str(self.manifest)).strip()
        deadline = time.monotonic() + 240
        while self.slurm.call("squeue", "-h", "-j", job).strip():
            self.assertLess(time.monotonic(), deadline, self.slurm.call("squeue"))
            time.sleep(0.3)
        for k in (2, 3):
            for seed in (0, 7):
                merged = folder / f"k{k}-seed{seed}" / "merged"
                self.assertEqual(len(list(merged.iterdir())), k)
        surplus = (self.slurm.folder / f"d2c-{job}_4.log").read_text()
        self.assertIn("array element 4 has nothing to do: there are 4 pairs", surplus)

    def test_job_that_meets_its_time_limit_is_requeued_and_goes_on(self):
        # SLURM counts the time to the signal in whole minutes of --time, so send it by hand.
        job = self.slurm.call(
            "sbatch", "--parsable", "--nodes=1", JOBS / "many-nodes.sbatch", D2C=BINARY, K="5",
            OUTPUT=str(self.slurm.folder / "requeued"), LAUNCHER="mpirun",
            MANIFEST=str(DEMO / "manifest.json"), D2C_OPTIONS="--verbose --search d2c --restarts 20").strip()
        log = self.slurm.folder / f"d2c-{job}.log"
        deadline = time.monotonic() + 60
        while not (log.exists() and "start   2" in log.read_text()):
            self.assertLess(time.monotonic(), deadline, log.read_text() if log.exists() else "no log")
            time.sleep(0.1)
        self.slurm.call("scancel", "--batch", "--signal=USR1", job)
        while not (self.slurm.folder / "requeued" / "results.h5").exists():
            self.assertLess(time.monotonic(), deadline + 120, log.read_text())
            time.sleep(0.3)
        text = log.read_text()
        self.assertIn("requeueing job", text)
        self.assertIn("going on from", text)

    def test_bad_input_fails_the_job_before_it_runs(self):
        manifest = self.slurm.folder / "broken.json"
        manifest.write_text(json.dumps({"model": "absent", "tasks": []}))
        state, log, code = self.submit(name="broken", MANIFEST=str(manifest))
        self.assertEqual(state, "FAILED", log)
        self.assertEqual(code.split(":")[0], "3", log)
        self.assertIn("broken.json", log)


if __name__ == "__main__":
    unittest.main(verbosity=2)
