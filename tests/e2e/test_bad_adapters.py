"""Adapters that cannot be used among others: --on-bad-adapter."""
import json
import os
import pathlib
import shutil
import struct
import unittest

from harness import Case, demo_manifest, h5py, write_manifest


class BadAdapters(Case):
    def setUp(self):
        super().setUp()
        self.tasks = demo_manifest(7)
        for task in self.tasks["tasks"]:
            copy = self.folder / "adapters" / task["name"]
            shutil.copytree(task["adapter"], copy)
            task["adapter"] = str(copy)
        self.manifest = write_manifest(self.folder / "manifest.json", self.tasks)
        self.options = ["--search", "d2c", "--restarts", 1, "--refine", "none", "-K", 2, "-o", self.folder / "out"]

    def spoil(self):
        """Four of the seven, each in another way. Returns their names."""
        tasks = self.tasks["tasks"]
        folders = [pathlib.Path(task["adapter"]) for task in tasks]
        file = folders[1] / "adapter_model.safetensors"
        raw = bytearray(file.read_bytes())
        file.write_bytes(raw[:-3])
        shutil.rmtree(folders[3])
        file = folders[4] / "adapter_model.safetensors"
        raw = bytearray(file.read_bytes())
        struct.pack_into("<f", raw, len(raw) - 4, float("nan"))
        header = json.loads(raw[8:8 + struct.unpack("<Q", raw[:8])[0]])
        if all(tensor["dtype"] == "F32" for name, tensor in header.items() if name != "__metadata__"):
            file.write_bytes(raw)
        else:
            file.write_bytes(b"")
        file = folders[6] / "adapter_model.safetensors"
        file.unlink()
        os.mkfifo(file)
        return [tasks[i]["name"] for i in (1, 3, 4, 6)]

    def test_the_first_bad_one_ends_the_job(self):
        self.spoil()
        self.fail_with(3, ["adapter"], "run", self.manifest, *self.options)

    def test_skip_leaves_them_out_names_them_and_does_the_rest_as_if_they_had_never_been(self):
        bad = self.spoil()
        for ranks in (0, 2):
            done = self.succeed("run", self.manifest, *self.options, "--on-bad-adapter", "skip", "--overwrite",
                                ranks=ranks)
            for name in bad:
                self.assertIn(f"warning: the task {name} is left out", done.stderr)
                self.assertIn(name, done.stdout)
        if h5py is None:
            return
        left = [task for task in self.tasks["tasks"] if task["name"] not in bad]
        manifest = write_manifest(self.folder / "left.json", {**self.tasks, "tasks": left})
        self.succeed("run", manifest, *self.options[:-1], self.folder / "alone")
        with h5py.File(self.folder / "out" / "results.h5") as file, \
                h5py.File(self.folder / "alone" / "results.h5") as alone:
            self.assertEqual(list(file["skipped/task"].asstr()), bad)
            self.assertTrue(all(file["skipped/reason"].asstr()[...]))
            self.assertNotIn("skipped", alone)
            for name in ("task/name", "result/assignment", "result/loss"):
                self.assertEqual(file[name][...].tolist(), alone[name][...].tolist())

    def test_skip_knows_names_that_a_library_lacks_and_constraints_of_tasks_that_are_gone(self):
        library = self.folder / "l.h5"
        self.succeed("pack", *[task["adapter"] for task in self.tasks["tasks"][:4]], "-o", library, "--quiet")
        for task in self.tasks["tasks"]:
            task["adapter"] = pathlib.Path(task["adapter"]).name
        write_manifest(self.manifest, {**self.tasks, "library": str(library)})
        names = [task["name"] for task in self.tasks["tasks"]]
        constraints = self.folder / "constraints.json"
        constraints.write_text(json.dumps({"together": [[names[0], names[5], names[1]]], "apart": [[names[2], names[6]]]}))
        done = self.succeed("run", self.manifest, *self.options, "--on-bad-adapter", "skip",
                            "--constraints", constraints)
        self.assertEqual(done.stderr.count("is left out: is not an adapter of the library"), 3)

    def test_all_bad_is_an_error(self):
        for task in self.tasks["tasks"]:
            shutil.rmtree(task["adapter"])
        self.fail_with(3, ["none of the 7 tasks"], "run", self.manifest, *self.options, "--on-bad-adapter", "skip")


if __name__ == "__main__":
    unittest.main()
