"""Results do not depend, in a single bit, on who computes what: ranks, nodes, balancing, bounds."""
import json
import pathlib
import unittest

from harness import Case, DEMO, demo_manifest, h5py, write_manifest


def rank(task):
    return json.loads((pathlib.Path(task["adapter"]) / "adapter_config.json").read_text())["r"]


class Distribution(Case):
    def setUp(self):
        super().setUp()
        self.need(DEMO / "manifest.json")
        self.need_h5py()

    def results(self, name, n_tasks, k, *options, ranks, rank_of_adapters=None):
        """Bytes of everything that was measured and merged."""
        content = demo_manifest()
        if rank_of_adapters is not None:
            content["tasks"] = [task for task in content["tasks"] if rank(task) == rank_of_adapters]
        content["tasks"] = content["tasks"][:n_tasks]
        manifest = write_manifest(self.folder / "manifest.json", content)
        output = self.folder / name
        self.succeed("run", manifest, "-K", k, "--search", "d2c", "--restarts", 1, "--output", output, "--quiet", *options,
                     ranks=ranks)
        found = {}
        with h5py.File(output / "results.h5") as file:
            def keep(path, item):
                if isinstance(item, h5py.Dataset) and item.dtype.kind in "fi" and \
                        not path.startswith("timing") and not path.endswith("seconds"):
                    found[path] = item[...].tobytes()
            file.visititems(keep)
        self.assertIn("result/loss", found)
        for path in sorted((output / "merged").rglob("*.safetensors")):
            found[str(path.relative_to(output))] = path.read_bytes()
        return found

    def assert_same(self, first, second, case):
        self.assertEqual(first.keys(), second.keys(), case)
        for name, content in first.items():
            self.assertEqual(content, second[name], (case, name))

    def compare(self, n_tasks, k, cases):
        reference = self.results("reference", n_tasks, k, ranks=0)
        for case in cases:
            ranks, per_node, balance, *more = case
            name = "-".join(map(str, case))
            self.assert_same(reference, self.results(name, n_tasks, k, "--ranks-per-node", per_node,
                                                     "--balance", balance, *more, ranks=ranks), name)

    def test_ranks_nodes_and_balancing_do_not_matter(self):
        layouts = ((1, 0), (2, 0), (2, 1), (3, 2), (4, 0), (4, 2), (8, 4))
        self.compare(10, 3, [(*layout, "dynamic") for layout in layouts] +
                     [(*layout, "static") for layout in layouts[3::2]])

    def test_bounds_on_memory_do_not_matter(self):
        self.compare(10, 3, [(2, 0, "dynamic", "--exchange-mib", 1, "--merged-mib", 1),
                             (4, 2, "dynamic", "--exchange-mib", 1, "--merged-mib", 1)])

    def test_more_ranks_than_tasks(self):
        self.compare(2, 2, [(5, 0, "static"), (5, 0, "dynamic"), (5, 2, "dynamic")])

    def test_every_family_of_methods_merges_alike_on_any_rank(self):
        for method in ("linear", "ties", "ties_svd", "core_ties"):
            density = () if method == "linear" else ("--density", 0.5)

            def results(name, *options, ranks):
                return self.results(name, 5, 2, "--method", method, *density, *options, ranks=ranks,
                                    rank_of_adapters=rank(demo_manifest(1)["tasks"][0]))
            self.assert_same(results(method, ranks=0),
                             results(method + "3", "--ranks-per-node", 2, "--exchange-mib", 1, ranks=3), method)


if __name__ == "__main__":
    unittest.main(verbosity=2)
