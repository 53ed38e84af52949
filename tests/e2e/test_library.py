"""Libraries of adapters: what `d2c pack` writes, and that jobs do the same with and without one."""
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import unittest
import zlib

from harness import (BINARY, IS_SANITIZED, SLOWNESS, Case, DEMO, SOURCE, d2c, demo_manifest, environment, h5py, messages,
                     numpy, read_safetensors, write_manifest, write_safetensors)

STRACE = shutil.which("strace")
SEAL = re.compile(rb"\nd2c crc32 ([0-9a-f]{8})( without ([0-9a-f]{16}) ([0-9a-f]{16})\n)")


def seal_again(path, change):
    """Changes a library with h5py and puts a seal that fits behind it."""
    raw = path.read_bytes()
    seal = SEAL.search(raw, len(raw) - 66)
    begin, end = int(seal[3], 16), int(seal[4], 16)
    path.write_bytes(raw[:seal.start()])
    with h5py.File(path, "r+") as file:
        change(file)
    raw = path.read_bytes()
    checksum = zlib.crc32(raw[:begin] + raw[end:] + seal[2])
    path.write_bytes(raw + b"\nd2c crc32 %08x" % checksum + seal[2])


class LibraryCase(Case):
    def setUp(self):
        super().setUp()
        self.need(DEMO / "manifest.json")
        self.need_h5py()
        self.library = self.folder / "adapters.h5"

    def job(self, n_tasks=8):
        return write_manifest(self.folder / "folders.json", demo_manifest(n_tasks))

    def pack(self, *extra, n_tasks=8):
        self.succeed("pack", self.job(n_tasks), "--output", self.library, "--write-manifest",
                     self.folder / "packed.json", "--quiet", *extra)
        return self.folder / "packed.json"

    def copies(self, count, start=0):
        """Private copies of the demo's adapters."""
        folders = []
        for i, task in enumerate(demo_manifest()["tasks"][start:start + count]):
            folder = self.folder / "copies" / f"{start + i:03}"
            folder.mkdir(parents=True)
            for file in pathlib.Path(task["adapter"]).iterdir():
                (folder / file.name).write_bytes(file.read_bytes())
            folders.append(folder)
        return folders

    def records(self, library=None):
        """Name to (configuration, tensors), read without d2c."""
        with h5py.File(library or self.library) as file:
            adapters = file["adapter"]
            result = {}
            for i, name in enumerate(adapters["name"].asstr()[...]):
                begin, config, tensors, size = (
                    int(adapters[field][i])
                    for field in ("begin", "config_bytes", "tensors_begin", "tensors_bytes"))
                record = file["data"][begin:begin + tensors + size].tobytes()
                self.assertEqual(zlib.crc32(record), adapters["checksum"][i])
                result[name] = (record[:config], record[tensors:])
            return result

    def assert_holds(self, folders):
        records = self.records()
        self.assertEqual(list(records), [pathlib.Path(folder).name for folder in folders])
        for folder in map(pathlib.Path, folders):
            self.assertEqual(records[folder.name],
                             ((folder / "adapter_config.json").read_bytes(),
                              (folder / "adapter_model.safetensors").read_bytes()))
        self.assertFalse(list(self.folder.glob("*.partial*")))

    def adapters_of(self, n_tasks):
        return [task["adapter"] for task in demo_manifest(n_tasks)["tasks"]]


class Pack(LibraryCase):
    def test_library_holds_every_byte_of_the_folders_and_their_shapes(self):
        self.pack()
        self.assert_holds(self.adapters_of(8))
        with h5py.File(self.library) as file:
            modules = list(file["module/name"].asstr()[...])
            self.assertEqual(modules, sorted(modules))
            for i, folder in enumerate(self.adapters_of(8)):
                self.assertEqual(file["adapter/source"].asstr()[i], folder)
                header, _ = read_safetensors(pathlib.Path(folder) / "adapter_model.safetensors")
                for m, module in enumerate(modules):
                    a = header[f"base_model.model.{module}.lora_A.weight"]
                    b = header[f"base_model.model.{module}.lora_B.weight"]
                    self.assertEqual(a["shape"], [file["rank"][i, m], file["module/d_in"][m]])
                    self.assertEqual(b["shape"], [file["module/d_out"][m], file["rank"][i, m]])
                    self.assertEqual(file["adapter/dtype"].asstr()[i], a["dtype"])

    def test_folders_can_be_packed_without_a_manifest(self):
        folders = self.copies(3)
        self.succeed("pack", *folders, "-o", self.library, "--model", DEMO / "model", "--quiet")
        self.assert_holds(folders)
        self.assertIn("3 adapters", self.succeed("pack", "--verify", self.library).stdout)

    def test_nothing_is_overwritten_unasked(self):
        self.pack()
        before = self.library.read_bytes()
        folders = self.copies(2)
        self.fail_with(3, ["adapters.h5", "exists already"], "pack", *folders, "-o", self.library)
        self.assertEqual(before, self.library.read_bytes())
        self.succeed("pack", *folders, "-o", self.library, "--overwrite")
        self.assert_holds(folders)

    def test_files_of_others_are_left_alone(self):
        folders = self.copies(3)
        mine = self.folder / "adapters.h5.partial"
        mine.write_text("mine")
        self.fail_with(3, ["adapters.h5.partial", "exists"], "pack", *folders, "-o", self.library)
        self.assertEqual(mine.read_text(), "mine")
        mine.unlink()
        job = self.job(4)
        before = job.read_bytes()
        for extra, words in ((["--write-manifest", self.library], ["--write-manifest", "adapters.h5"]),
                             (["--write-manifest", job, "--overwrite"], ["--write-manifest", job.name])):
            self.fail_with(2, words, "pack", job, "-o", self.library, *extra)
            self.assertFalse(self.library.exists())
        self.assertEqual(job.read_bytes(), before)
        self.succeed("pack", *folders, "-o", self.library)
        mine.with_suffix(".json").write_text("mine")
        self.fail_with(3, [".json", "exists already"], "pack", self.job(8), "-o", self.library,
                       "--append", "--write-manifest", mine.with_suffix(".json"))
        self.assertEqual(mine.with_suffix(".json").read_text(), "mine")

    def test_append_keeps_what_is_there(self):
        folders = self.copies(5)
        self.succeed("pack", *folders[:3], "-o", self.library)
        self.fail_with(3, ["000", "in the library already"], "pack", folders[0], "-o", self.library,
                       "--append")
        for partial in self.folder.glob("*.partial*"):
            partial.unlink()
        self.succeed("pack", *folders[3:], "-o", self.library, "--append")
        self.assert_holds(folders)
        self.succeed("pack", "--verify", self.library)

    def test_goes_on_after_an_adapter_that_is_not_valid(self):
        folders = self.copies(6)
        file = folders[4] / "adapter_model.safetensors"
        whole = file.read_bytes()
        file.write_bytes(whole[:-10])
        self.fail_with(3, ["004", "adapter_model.safetensors"], "pack", *folders, "-o", self.library)
        self.assertFalse(self.library.exists())
        self.fail_with(3, [".partial", "not a library"], "pack", "--verify",
                       self.folder / "adapters.h5.partial")
        file.write_bytes(whole)
        self.assertIn("(4 were packed before)",
                      self.succeed("pack", *folders, "-o", self.library).stdout)
        self.assert_holds(folders)

    def test_resuming_refuses_adapters_that_changed_or_are_others(self):
        folders = self.copies(3)
        file = folders[2] / "adapter_model.safetensors"
        whole = file.read_bytes()
        file.write_bytes(b"")
        self.fail_with(3, ["002"], "pack", *folders, "-o", self.library)
        file.write_bytes(whole)
        os.utime(folders[0] / "adapter_config.json", (1, 1))
        self.fail_with(3, ["000", "has changed", "remove"], "pack", *folders, "-o", self.library)
        self.fail_with(3, ["000", "not among"], "pack", *folders[1:], "-o", self.library)

    def test_goes_on_after_being_killed(self):
        many = self.folder / "many"
        subprocess.run([sys.executable, SOURCE / "scripts" / "make_many_adapters.py", "400", many],
                       check=True)
        journal = self.folder / "adapters.h5.partial.journal"
        # Slow enough to be caught half-way: the journal is written once a second or 64 MiB.
        command = [BINARY, "pack", str(many), "-o", str(self.library), "--quiet"]
        slow = ["nice", "-n", "19"] if STRACE is None else ["strace", "-f", "-o", "/dev/null"]
        job = subprocess.Popen(slow + command, stderr=subprocess.DEVNULL, start_new_session=True)
        while job.poll() is None and (not journal.exists() or journal.stat().st_size < 1000):
            time.sleep(0.01)
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
        job.wait()
        if not self.library.exists():
            with open(journal, "ab") as file:  # a line that the crash cut off
                file.write(b'01234567 {"name": "cut')
        done = d2c(*command[1:], "--overwrite")
        while "is being written by another process" in done.stderr:  # it outlives its strace for a moment
            time.sleep(0.1)
            done = d2c(*command[1:], "--overwrite")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("400 adapters", done.stdout)
        self.assert_holds(sorted((many / "adapters").iterdir()))

    def test_full_disk_loses_nothing(self):
        folders = self.copies(8)
        limit = sum((folder / "adapter_model.safetensors").stat().st_size for folder in folders[:4])

        def few_bytes():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        for extra in (["--overwrite"], ["--append"]):
            self.succeed("pack", folders[0], "-o", self.library, "--overwrite")
            before = self.library.read_bytes()
            command = [BINARY, "pack", *map(str, folders[1:]), "-o", str(self.library), "-q", *extra]
            full = subprocess.run(command, preexec_fn=few_bytes, capture_output=True, text=True,
                                  timeout=60 * SLOWNESS)
            self.assertEqual(full.returncode, 3, full.stderr)
            self.assertEqual(len(messages(full)), 1, full.stderr)
            self.assertIn("File too large", full.stderr)
            self.assertEqual(before, self.library.read_bytes())
            self.assertIn("packed before", self.succeed(*command[1:]).stdout)
            self.succeed("pack", "--verify", self.library)
            self.assert_holds(folders[1:] if extra == ["--overwrite"] else folders)

    def test_full_disk_while_the_index_is_written(self):
        folders = self.copies(2)
        self.succeed("pack", *folders, "-o", self.library)
        size = self.library.stat().st_size
        self.library.unlink()
        command = [BINARY, "pack", *map(str, folders), "-o", str(self.library), "-q"]
        for limit in (size - 10, size - 4096, size - 20000):
            full = subprocess.run(
                command, capture_output=True, text=True, timeout=60 * SLOWNESS,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
            self.assertEqual(full.returncode, 3, full.stderr)
            self.assertEqual(len(messages(full)), 1, full.stderr)
            self.assertFalse(self.library.exists())
        self.assertIn("(2 were packed before)", self.succeed(*command[1:]).stdout)
        self.assert_holds(folders)

    @unittest.skipIf(IS_SANITIZED, "the sanitizer keeps what was freed")
    def test_memory_does_not_grow_with_the_number_of_adapters(self):
        def peak(count):
            folder = self.folder / str(count)
            for i in range(count):
                shutil.copytree(self.adapters_of(1)[0], folder / f"{i:04}")
            pid = os.spawnv(os.P_NOWAIT, BINARY, [BINARY, "pack", *map(str, sorted(folder.iterdir())),
                                                  "-o", str(folder) + ".h5", "-q"])
            _, status, usage = os.wait4(pid, 0)
            self.assertEqual(status, 0)
            return usage.ru_maxrss

        few, many = peak(20), peak(600)
        # 580 adapters are 45 MiB in files of this size.
        self.assertLess(many - few, 4096, f"KiB: {few} for 20, {many} for 600")

    def test_adapters_of_two_models_are_refused(self):
        folders = self.copies(2)
        header, data = read_safetensors(folders[1] / "adapter_model.safetensors")
        name = sorted(key for key in header if key.endswith("lora_A.weight"))[0]
        rank, d_in = header[name]["shape"]
        size = header[name]["data_offsets"][1] - header[name]["data_offsets"][0]
        del data[header[name]["data_offsets"][0]:header[name]["data_offsets"][0] + size // d_in]
        cut = header[name]["data_offsets"][0]
        header[name]["shape"] = [rank, d_in - 1]
        for info in header.values():
            offsets = info.get("data_offsets")
            if offsets:
                info["data_offsets"] = [o - size // d_in if o > cut else o for o in offsets]
        write_safetensors(folders[1] / "adapter_model.safetensors", header, data)
        self.fail_with(3, ["001", "one base model"], "pack", *folders, "-o", self.library)


class Jobs(LibraryCase):
    def run_job(self, name, manifest, *extra, ranks=0):
        output = self.folder / name
        self.succeed("run", manifest, "-K", 3, "--restarts", 1, "--output", output, "--quiet", *extra,
                     ranks=ranks)
        return output

    def numbers(self, output):
        values = {}

        def take(name, item):
            if isinstance(item, h5py.Dataset) and not re.match("timing|.*/seconds|task/adapter", name):
                values[name] = item.asstr()[...].tolist() if item.dtype == object else item[...].tobytes()

        with h5py.File(output / "results.h5") as file:
            file.visititems(take)
        for path in sorted((output / "merged").rglob("*.safetensors")):
            values[str(path.relative_to(output))] = path.read_bytes()
        return values

    def test_results_are_the_same_from_folders_library_memory_and_disk(self):
        packed = self.pack()
        expected = self.numbers(self.run_job("folders", self.job(), "--adapters-in", "memory"))
        self.assertIn("merged/cluster_00/adapter_model.safetensors", expected)
        for name, manifest, extra, ranks in (
                ("library", packed, [], 1),
                ("library3", packed, [], 3),
                ("disk", self.job(), ["--adapters-in", "disk", "--adapter-cache-mib", 1], 2),
                ("no-cache", packed, ["--adapters-in", "disk", "--adapter-cache-mib", 0], 3),
                ("medoid-free", packed, ["--adapters-in", "disk"], 0)):
            found = self.numbers(self.run_job(name, manifest, *extra, ranks=ranks))
            self.assertEqual(found.keys(), expected.keys())
            for item, value in expected.items():
                self.assertEqual(value, found[item], f"{name}: {item}")

    def test_searches_and_medoids_read_from_disk_too(self):
        packed = self.pack()
        for i, extra in enumerate((["--search", "kmeans"], ["--method", "medoid"])):
            first = self.numbers(self.run_job(f"memory{i}", self.job(), *extra))
            second = self.numbers(self.run_job(f"disk{i}", packed, "--adapters-in", "disk", *extra,
                                               ranks=2))
            self.assertEqual(first, second)

    def test_single_adapters_of_a_library_can_be_merged_and_evaluated(self):
        self.pack()
        tasks = demo_manifest(2)["tasks"]
        found = {}
        for name, place in (("folders", lambda task: task["adapter"]),
                            ("library", lambda task: f"{self.library}::{task['name']}")):
            merged = self.folder / f"{name}-merged"
            self.succeed("merge", *map(place, tasks), "--output", merged)
            losses = self.succeed("evaluate", "--model", DEMO / "model", "--adapter", place(tasks[0]),
                                  "--examples", tasks[0]["examples"], "--json", "-").stdout
            found[name] = (merged / "adapter_model.safetensors").read_bytes(), losses
        self.assertEqual(found["folders"], found["library"])
        self.fail_with(3, ["adapters.h5", "nobody", "not an adapter"], "merge",
                       f"{self.library}::nobody", "--output", self.folder / "x")

    def test_plan_tells_where_adapters_are_kept(self):
        packed = self.pack()
        text = self.succeed("plan", packed, "-K", 2).stdout
        self.assertIn("8 adapters", text)
        self.assertRegex(text, r"kept in memory \(.* of adapters .* available\)")
        self.assertIn("read from the disk",
                      self.succeed("plan", packed, "-K", 2, "--adapters-in", "disk").stdout)
        # Buffers that no machine has leave no room for adapters.
        self.assertIn("read from the disk",
                      self.succeed("plan", packed, "-K", 2, "--exchange-mib", 10**9).stdout)

    @unittest.skipIf(STRACE is None, "strace is not installed")
    def test_every_input_file_is_opened_by_one_rank(self):
        packed = self.pack()
        for name, manifest in (("folders", self.job()), ("library", packed)):
            trace = self.folder / f"{name}.trace"
            command = [STRACE, "-f", "-e", "trace=openat,open", "-o", str(trace), "mpirun",
                       "--oversubscribe", "--bind-to", "none", "-n", "3", BINARY, "run", str(manifest),
                       "-K", "2", "--restarts", "1", "--refine", "none", "-q", "--output", str(self.folder / name)]
            done = subprocess.run(command, env=environment(), capture_output=True, text=True,
                                  timeout=120 * SLOWNESS)
            self.assertEqual(done.returncode, 0, done.stderr)
            count = {}
            for line in trace.read_text().splitlines():
                file = re.search(r'open(?:at)?\((?:AT_FDCWD, )?"([^"]+)"', line)
                if file and "= -1 " not in line:
                    count[file[1]] = count.get(file[1], 0) + 1
            manifest = demo_manifest(8)
            for task in manifest["tasks"]:
                self.assertEqual(count.get(task["examples"]), 1)
                self.assertEqual(count.get(task["test"]), 1)
                for file in ("adapter_config.json", "adapter_model.safetensors"):
                    self.assertEqual(count.get(f"{task['adapter']}/{file}", 0),
                                     1 if name == "folders" else 0, file)
            for file in pathlib.Path(manifest["model"]).iterdir():
                # Rank 0 looks at the weights before one rank per host reads them.
                most = 2 if file.suffix == ".safetensors" else 1
                self.assertLessEqual(count.get(str(file), 0), most, file)
            self.assertEqual(count.get(f"{manifest['model']}/config.json"), 1)
            # Rank 0: the checksum, HDF5, the texts; then one open for all ranks.
            self.assertLessEqual(count.get(str(self.library), 0), 0 if name == "folders" else 4)


class BadLibraries(LibraryCase):
    def setUp(self):
        super().setUp()
        self.packed = self.pack(n_tasks=3)

    def plan_fails(self, words, manifest=None):
        self.fail_with(3, words, "plan", manifest or self.packed, "-K", 2, ranks=2)

    def change(self, at, value=None):
        raw = bytearray(self.library.read_bytes())
        raw[at] = raw[at] ^ 0x40 if value is None else value
        self.library.write_bytes(raw)

    def test_damaged_index(self):
        self.change(-200)
        self.plan_fails(["adapters.h5", "not a whole library"])

    def test_damaged_start(self):
        self.change(100)
        self.plan_fails(["adapters.h5", "not a whole library"])

    def test_damaged_adapter_is_named(self):
        with h5py.File(self.library) as file:
            begin = file["data"].id.get_offset() + int(file["adapter/begin"][1]) + 5000
            name = file["adapter/name"].asstr()[1]
        self.change(begin)
        self.plan_fails(["adapters.h5", name, "damaged"])
        self.fail_with(3, ["1 of 3 adapters are damaged", name], "pack", "--verify", self.library)

    def test_truncated(self):
        raw = self.library.read_bytes()
        for size in (0, 3, 1000, 50000, len(raw) - 1):
            self.library.write_bytes(raw[:size])
            self.plan_fails(["adapters.h5"])

    def test_foreign_files(self):
        shutil.copyfile(DEMO / "manifest.json", self.library)
        self.plan_fails(["adapters.h5", "not a library"])
        self.library.unlink()
        with h5py.File(self.library, "w") as file:
            file["data"] = [1, 2, 3]
        self.plan_fails(["adapters.h5", "not a whole library"])
        self.library.unlink()
        self.library.mkdir()
        self.plan_fails(["adapters.h5", "is not a file"])

    def test_missing(self):
        self.library.unlink()
        self.plan_fails(["adapters.h5", "does not exist"])

    def test_other_version(self):
        def set_version(file):
            file.attrs.modify("schema_version", 2)

        seal_again(self.library, set_version)
        self.plan_fails(["schema_version", "is 2", "newer"])

    def test_incomplete(self):
        seal_again(self.library, lambda file: file.attrs.__delitem__("complete"))
        self.plan_fails(["complete", "not set"])

    def test_missing_name(self):
        manifest = json.loads(self.packed.read_text())
        manifest["tasks"][1]["adapter"] = "nobody"
        path = write_manifest(self.folder / "missing.json", manifest)
        self.plan_fails(["nobody", "not an adapter of this library", "it holds 3"], path)

    def test_library_of_another_base_model(self):
        model = self.folder / "model"
        shutil.copytree(DEMO / "model", model)
        for file in model.iterdir():
            file.chmod(0o644)
        folders = self.copies(2)
        for folder in folders[:1]:
            config = json.loads((folder / "adapter_config.json").read_text())
            header, data = read_safetensors(folder / "adapter_model.safetensors")
            renamed = {key.replace("layers.0.", "layers.90."): value for key, value in header.items()}
            write_safetensors(folder / "adapter_model.safetensors", renamed, data)
            (folder / "adapter_config.json").write_text(json.dumps(config))
        self.succeed("pack", *folders, "-o", self.folder / "other.h5")
        manifest = json.loads(self.packed.read_text())
        manifest["library"] = str(self.folder / "other.h5")
        for task, folder in zip(manifest["tasks"], folders):
            task["adapter"] = folder.name
        manifest["tasks"] = manifest["tasks"][:2]
        path = write_manifest(self.folder / "other.json", manifest)
        self.plan_fails(["other.h5", "layers.90", "not in the base model"], path)

    def test_packing_a_manifest_that_is_packed(self):
        self.fail_with(3, ["library", "already"], "pack", self.packed, "-o", self.folder / "x.h5")


if __name__ == "__main__":
    unittest.main(verbosity=2)
