"""Checks the example results file with h5py, and docs/user/results-schema.md against it.

usage: check_with_h5py.py EXAMPLE_RESULTS_PROGRAM RESULTS_SCHEMA_MD
Exit code 77: h5py is missing, nothing was checked.
"""

import os
import re
import subprocess
import sys
import tempfile
import unittest

try:
    import h5py
    import numpy as np
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)


def is_scale(dataset):
    return h5py.h5ds.is_scale(dataset.id)


def dimensions(dataset):
    """Names of the dimensions, as text of the schema document."""
    if dataset.shape == ():
        return "scalar"
    if is_scale(dataset):
        return dataset.attrs["NAME"].decode()
    return ", ".join(dim.label for dim in dataset.dims)


def type_name(dataset):
    return "string" if h5py.check_string_dtype(dataset.dtype) else dataset.dtype.name


class Results(unittest.TestCase):
    program = ""
    document = ""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        path = os.path.join(cls.folder.name, "run.h5")
        subprocess.run([cls.program, "write", path], check=True)
        cls.run_file = h5py.File(path, "r")
        cls.datasets = {}
        cls.run_file.visititems(cls.collect)

    @classmethod
    def collect(cls, name, item):
        if isinstance(item, h5py.Dataset):
            cls.datasets[name] = item

    @classmethod
    def tearDownClass(cls):
        cls.run_file.close()
        cls.folder.cleanup()

    def test_root_attributes_have_the_types_of_h5py(self):
        attrs = self.run_file.attrs
        self.assertEqual(attrs["schema"], "d2c-results")
        self.assertEqual(attrs["schema_version"], 1)
        self.assertEqual(attrs["seed"], 2**64 - 1)
        self.assertEqual(attrs["mpi_ranks"], 4)
        self.assertEqual(attrs["config"], '{"clusters": 2, "task": "Grüße"}')
        self.assertIs(type(attrs["complete"]), np.bool_)
        self.assertTrue(attrs["complete"])

    def test_values_are_those_written(self):
        run = self.run_file
        self.assertEqual(list(run["task/name"].asstr()[:]), ["alpha", "Straßenschild", "日本"])
        self.assertEqual(list(run["task/n_tokens"][:]), [10**12, 200, 300])
        np.testing.assert_array_equal(run["result/loss"][:], [[1.5, 1.75], [1.25, 1.0], [2.0, 2.25]])
        np.testing.assert_array_equal(run["iteration/assignment"][:], [[0, 0, 1], [0, 1, 1], [1, 0, 0]])
        np.testing.assert_array_equal(run["iteration/loss"][0],
                                      [[1.5, np.nan], [1.25, np.nan], [np.nan, 2.5]])
        self.assertEqual(run["result/objective"][()], 1.7)
        np.testing.assert_array_equal(run["merged/1/model.layers.0.q_proj/A"][:],
                                      [[100, 101, 102], [103, 104, 105]])

    def test_every_array_has_named_dimensions_with_scales(self):
        for name, dataset in self.datasets.items():
            if is_scale(dataset) or name.startswith("merged/"):
                continue
            for dim in dataset.dims:
                with self.subTest(name, dimension=dim.label):
                    self.assertNotEqual(dim.label, "")
                    self.assertEqual(dim.keys()[0], dim.label)
                    self.assertEqual(len(dim[0]), dataset.shape[list(dataset.dims).index(dim)])

    def test_task_names_label_every_task_dimension(self):
        for name, dataset in self.datasets.items():
            for dim in dataset.dims:
                if dim.label == "task":
                    with self.subTest(name):
                        self.assertEqual(dim[0].name, "/task/name")
                        inside = dim[len(dim) - 1].asstr()[:]
                        self.assertEqual(list(inside), ["alpha", "Straßenschild", "日本"])

    def test_every_dataset_says_what_it_means(self):
        for name, dataset in self.datasets.items():
            with self.subTest(name):
                self.assertTrue(dataset.attrs["long_name"])
                self.assertEqual("units" in dataset.attrs, type_name(dataset) != "string")
                if dataset.dtype.kind == "f" and np.isnan(dataset[()]).any():
                    self.assertIn("NaN", dataset.attrs["comment"])
                    self.assertTrue(np.isnan(dataset.attrs["_FillValue"]))

    def test_text_is_variable_length_utf8(self):
        for name, dataset in self.datasets.items():
            text = h5py.check_string_dtype(dataset.dtype)
            if text:
                with self.subTest(name):
                    self.assertEqual((text.encoding, text.length), ("utf-8", None))

    def test_the_document_lists_exactly_these_datasets(self):
        rows = {}
        with open(self.document, encoding="utf-8") as document:
            for line in document:
                row = re.match(r"\| `/(.*)` \| (\w+) \| (.+?) \| (.*?) ?\| (.+) \|$", line)
                if row:
                    rows[row[1]] = row.groups()[1:]
        unused = set(rows)
        for name, dataset in self.datasets.items():
            general = name
            if name not in rows:
                general = re.sub(r"^(baseline|verify/baseline|heldout/baseline)/\w+$", r"\1/<name>", name)
                general = re.sub(r"^merged/\d+/[^/]+", "merged/<cluster>/<module>", general)
            with self.subTest(name):
                self.assertIn(general, rows)
                kind, dims, units, meaning = rows[general]
                self.assertEqual(kind, type_name(dataset))
                self.assertEqual(dims, dimensions(dataset))
                self.assertEqual(units, dataset.attrs.get("units", ""))
                if general == name:
                    said = [dataset.attrs["long_name"], dataset.attrs.get("comment", "")]
                    self.assertEqual(meaning, "; ".join(filter(None, said)))
                unused.discard(general)
        self.assertEqual(unused, set())

    def test_the_document_lists_exactly_these_attributes(self):
        with open(self.document, encoding="utf-8") as document:
            section = document.read().split("## Attributes of the root")[1].split("##")[0]
        listed = []
        for line in section.splitlines():
            if line.startswith("| `"):
                listed += re.findall(r"`(\w+)`", line.split("|")[1])
        self.assertEqual(sorted(listed), sorted(self.run_file.attrs))

    def read_after(self, change):
        """What the reader says after h5py changed the file: exit status and text."""
        path = os.path.join(self.folder.name, "changed.h5")
        if os.path.exists(path):
            os.remove(path)
        subprocess.run([self.program, "write", path], check=True)
        with h5py.File(path, "r+") as run:
            change(run)
        done = subprocess.run([self.program, "read", path], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def test_notes_of_the_user_do_not_disturb_reading(self):
        def change(run):
            run.attrs["note"] = "checked"
            run["my/own"] = [1, 2, 3]

        status, text = self.read_after(change)
        self.assertEqual(status, 0, text)
        self.assertIn("3 tasks in 2 clusters", text)

    def test_what_the_schema_does_not_allow_is_named(self):
        def replace(run, path, value):
            del run[path]
            run[path] = value

        def delete_attribute(run, name):
            del run.attrs[name]

        def delete(run, path):
            del run[path]

        cases = [
            (lambda run: run.attrs.modify("schema_version", 2), ["schema_version", "is 2", "newer"]),
            (lambda run: run.attrs.modify("complete", False), ["complete", "did not finish"]),
            (lambda run: delete_attribute(run, "complete"), ["complete", "did not finish"]),
            (lambda run: delete_attribute(run, "schema"), ["is not a d2c-results file"]),
            (lambda run: delete_attribute(run, "seed"), ["seed", "is missing"]),
            (lambda run: run.attrs.create("threads", 2**40), ["threads", "out of range"]),
            (lambda run: run.attrs.create("threads", "two"), ["threads", "type"]),
            (lambda run: run.attrs.create("threads", [1, 2]), ["threads", "is not one value"]),
            (lambda run: delete(run, "result/loss"), ["result/loss", "is missing"]),
            (lambda run: delete(run, "task"), ["task/name", "is missing"]),
            (lambda run: replace(run, "result/gain", [1.0, 2.0]), ["result/gain", "length"]),
            (lambda run: replace(run, "result/gain", ["a", "b", "c"]), ["result/gain", "type"]),
            (lambda run: replace(run, "result/objective", [1.0]), ["result/objective", "scalar"]),
            (lambda run: replace(run, "result/assignment", [0, 1, 2]), ["result/assignment", "cluster"]),
            (lambda run: replace(run, "cluster", [1, 2]), ["cluster", "does not count from 0"]),
            (lambda run: replace(run, "task/adapter", [1, 2, 3]), ["task/adapter", "text"]),
        ]
        for change, parts in cases:
            status, text = self.read_after(change)
            with self.subTest(parts):
                self.assertEqual(status, 3, text)
                self.assertEqual(text.count("\n"), 1, text)
                for part in ["changed.h5", *parts]:
                    self.assertIn(part, text)

    def test_a_huge_dataset_that_holds_nothing_is_refused(self):
        def change(run):
            del run["iteration"]
            run.create_dataset("iteration/iteration", shape=(2**40,), dtype="i8", chunks=(1024,))

        status, text = self.read_after(change)
        self.assertEqual(status, 3, text)
        self.assertIn("more values than the file can hold", text)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    Results.program, Results.document = sys.argv[1:]
    unittest.main(argv=sys.argv[:1])
