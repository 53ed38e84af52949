"""The whole job, distillation included, on tiny models of families that differ in their layers."""
import json
import unittest

from harness import GOLDEN, Case, h5py, numpy, write_manifest

FAMILIES = {
    "gemma3": "norms before and after, q/k norms, windows, scaled and tied embedding",
    "granite": "multipliers on embedding, scores, residual and logits",
    "olmo2": "norms after attention and MLP only",
    "phi3": "fused projections, adapters on the fused matrices",
    "smollm3": "layers without rotary positions",
}


class Families(Case):
    def setUp(self):
        super().setUp()
        self.need_h5py()

    def manifest_of(self, family):
        """Two tasks, of which each has two examples to learn from and two held out."""
        golden = json.loads((GOLDEN / family / "golden.json").read_text())
        lines = [json.dumps({"input_ids": e["ids"], "prompt_len": e["prompt_len"]}) + "\n" for e in golden["examples"]]
        folder = self.folder / family
        folder.mkdir()
        tasks = []
        for i, adapter in enumerate(sorted(golden["adapters"])[:2]):
            task = {"name": adapter, "adapter": str(GOLDEN / family / "adapters" / adapter)}
            for part, begin in (("examples", i), ("test", i + 3)):
                path = folder / f"{adapter}.{part}.jsonl"
                path.write_text("".join(lines[begin:begin + 2]))
                task[part] = str(path)
            tasks.append(task)
        return write_manifest(folder / "manifest.json", {"model": str(GOLDEN / family / "model"), "tasks": tasks})

    def test_jobs_with_distillation_do_not_depend_on_the_number_of_ranks(self):
        for family, what in FAMILIES.items():
            with self.subTest(family=family, what=what):
                manifest = self.manifest_of(family)
                outputs = []
                for ranks in (0, 2):
                    outputs.append(self.folder / family / f"ranks{ranks}")
                    self.succeed("run", manifest, "-K", 1, "--search", "kmeans", "--method", "average", "--refine",
                                 "distill", "--refine-steps", 6, "--refine-variants", 1, "--final-losses", "all",
                                 "--quiet", "--output", outputs[-1], ranks=ranks)
                alone, other = outputs
                for path in sorted((alone / "merged").rglob("*.safetensors")):
                    self.assertEqual(path.read_bytes(), (other / path.relative_to(alone)).read_bytes(), path)
                with h5py.File(alone / "results.h5") as a, h5py.File(other / "results.h5") as b:
                    for name in ("distill/loss", "result/loss", "heldout/loss", "refine/objective"):
                        values = a[name][...]
                        self.assertTrue(numpy.isfinite(values).all(), name)
                        self.assertEqual(values.tobytes(), b[name][...].tobytes(), name)
                    self.assertEqual(a["distill/loss"].shape, (1, 6))
                    self.assertLess(a["refine/objective"][1], a["refine/objective"][0])


if __name__ == "__main__":
    unittest.main(verbosity=2)
