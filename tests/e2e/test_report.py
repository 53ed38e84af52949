"""The page that `d2c report` makes: true to the results, whole, safe, and silent on the network."""
import html.parser
import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import BINARY, Case, SOURCE, d2c, demo_manifest, h5py, numpy, write_manifest

PYTHON = "/usr/bin/python3"
HAS_ALL = all(importlib.util.find_spec(name) for name in ("h5py", "jinja2", "matplotlib"))
VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(html.parser.HTMLParser):
    """Tags in their order, attributes and visible text; complains about tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], set(), [], []
        self.feed(text)
        self.close()
        if self.open:
            raise ValueError(f"not closed: {self.open}")
        self.text = re.sub(r"\s+", " ", "".join(self.words))

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            raise ValueError(f"</{tag}> closes nothing")

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)


@unittest.skipUnless(HAS_ALL, "python3-h5py, python3-jinja2 or python3-matplotlib is not installed")
class Report(Case):
    @classmethod
    def setUpClass(cls):
        cls.results = pathlib.Path(tempfile.mkdtemp(prefix="d2c-e2e-report-"))
        cls.addClassCleanup(shutil.rmtree, cls.results, ignore_errors=True)
        manifest = write_manifest(cls.results / "manifest.json", demo_manifest(12))
        done = d2c("run", manifest, "-K", "2,3", "--perturbations", 0, "--refine", "distill", "--refine-steps", 8,
                   "--final-losses", "all", "-o", cls.results, ranks=2)
        assert done.returncode == 0, done.stderr

    def report(self, results, *arguments):
        page = self.folder / "report.html"
        self.succeed("report", results, "-o", page, *arguments)
        return Page(page.read_text()), page.read_text()

    def test_verdict_has_the_numbers_of_the_results_file(self):
        page, _ = self.report(self.results)
        with h5py.File(self.results / "results.h5") as run:
            gain = run["heldout/gain"][:]
            base, own, one = (run[f"heldout/baseline/{name}"][:] for name in ("base", "own", "one"))
            names = run["task/name"].asstr()[:]
            k = len(run["cluster"])
        kept = f"{100 * gain.mean():.1f} %"
        self.assertIn(f"{k} adapters keep {kept} of what 12 adapters gain on held-out examples", page.text)
        self.assertIn(f"{100 * ((base - one) / (base - own)).mean():.1f} %", page.text)
        worst = numpy.argmin(gain)
        self.assertIn(f"{100 * gain[worst]:.1f} %{names[worst]}", page.text)
        for name in names:
            self.assertIn(name, page.text)

    def test_a_baseline_that_was_left_out_is_no_rival(self):
        copy = self.folder / "copy"
        shutil.copytree(self.results, copy)
        with h5py.File(copy / "results.h5", "r+") as run:
            for name in ("baseline/one", "heldout/baseline/one"):
                run[name][...] = numpy.nan
        page, _ = self.report(copy)
        self.assertNotIn("one adapter merged from all", page.text)
        self.assertIn("a random partition", page.text)

    def test_page_is_well_formed_and_loads_nothing(self):
        page, text = self.report(self.results)
        self.assertFalse({"script", "link", "iframe", "object", "embed", "base", "form"} & page.tags)
        for name, value in page.attributes:
            self.assertFalse(name.startswith("on"), (name, value))
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                self.assertTrue(value.startswith(("#", "data:image/png;base64,")), (name, value))
        self.assertNotRegex(text, r"url\((?!#)|@import")
        self.assertIn("default-src 'none'", text)
        ids = [value for name, value in page.attributes if name == "id"]
        self.assertEqual(len(ids), len(set(ids)))

    def test_every_figure_is_there_with_a_text_that_tells_it(self):
        page, text = self.report(self.results)
        for name in ("comparison", "curve_over_k", "heat_map", "gain_per_task", "refinement",
                     "time_per_phase"):
            self.assertTrue(f'id="{name}-figure_1"' in text, name)
        told = [value for name, value in page.attributes if name == "aria-label" and ":" in value]
        self.assertEqual(len(told), text.count("<svg"))

    def test_deployment_names_the_adapters_that_were_written(self):
        page, _ = self.report(self.results)
        for cluster in sorted((self.results / "merged").iterdir()):
            self.assertIn(f"{cluster.name}={cluster}", page.text)
        self.assertIn(f"d2c run --from {self.results}/results.h5", page.text)

    def test_the_same_result_gives_the_same_page(self):
        self.assertEqual(self.report(self.results)[1], self.report(self.results)[1])

    def test_figures_are_written_as_svg_and_pdf(self):
        self.report(self.results, "--figures", self.folder / "figures")
        for name in ("comparison", "heat_map", "gain_per_task"):
            self.assertIn("<svg", (self.folder / "figures" / f"{name}.svg").read_text())
            self.assertEqual((self.folder / "figures" / f"{name}.pdf").read_bytes()[:5], b"%PDF-")

    def test_a_result_without_test_split_and_merged_folders_says_so(self):
        manifest = demo_manifest(4)
        for task in manifest["tasks"]:
            del task["test"]
        path = write_manifest(self.folder / "manifest.json", manifest)
        self.succeed("run", path, "-K", 2, "--search", "kmeans", "--merged", "hdf5", "-o", self.folder / "out")
        page, _ = self.report(self.folder / "out" / "results.h5")
        self.assertIn("so the figure is optimistic", page.text)
        self.assertIn("No merged adapters lie beside the results file", page.text)

    def test_scores_that_were_put_into_the_file_are_shown_and_d2c_still_reads_it(self):
        shutil.copytree(self.results, self.folder / "out")
        predictions = self.folder / "predictions.jsonl"
        predictions.write_text("".join(
            json.dumps({"task": task["name"], "adapter": adapter, "prompt": "", "prediction": text,
                        "reference": "the answer"}) + "\n"
            for task in demo_manifest(12)["tasks"]
            for adapter, text in (("base", "no"), ("own", "answer"), ("cluster_00", "answer"),
                                  ("cluster_01", "answer"))))
        subprocess.run([PYTHON, SOURCE / "scripts" / "score.py", predictions, "--into", self.folder / "out"],
                       check=True, capture_output=True)
        self.succeed("inspect", self.folder / "out" / "results.h5")
        page, _ = self.report(self.folder / "out")
        self.assertIn("exact_match0.00 (0.000)100.00 (1.000)100.00 (1.000)", page.text)

    def test_hostile_names_are_shown_as_text(self):
        names = ["<script>alert(1)<\\script>", "\"><img src=x onerror=alert(1)>", "$\\frac{1}{2}$ {{ 7*7 }}",
                 "]]>&amp;'日本語"]
        manifest = demo_manifest(4)
        for task, name in zip(manifest["tasks"], names):
            task["name"] = name
        path = write_manifest(self.folder / "manifest.json", manifest)
        self.succeed("run", path, "-K", 2, "--search", "kmeans", "-o", self.folder / "out")
        page, text = self.report(self.folder / "out")
        self.assertFalse({"script", "img"} & page.tags)
        self.assertFalse([name for name, _ in page.attributes if name.startswith("on")])
        for name in names:
            self.assertIn(name, page.text)
        self.assertNotIn("49", "".join(re.findall(r"\{\{.*?\}\}", page.text)))

    def test_bad_input_ends_with_one_line(self):
        page = self.folder / "report.html"
        self.fail_with(2, ["result"], "report")
        self.fail_with(3, ["results.h5"], "report", self.folder, "-o", page)
        broken = self.folder / "results.h5"
        content = bytearray((self.results / "results.h5").read_bytes())
        content[len(content) // 2] ^= 1
        broken.write_bytes(content)
        self.fail_with(3, ["damaged"], "report", broken, "-o", page)
        precious = self.folder / "notes.txt"
        precious.write_text("mine")
        self.fail_with(3, ["no HTML page"], "report", self.results, "-o", precious)
        self.assertEqual(precious.read_text(), "mine")
        self.assertFalse(page.exists())
        self.fail_with(3, ["cannot be started"], "report", self.results, "-o", page,
                       env={"D2C_PYTHON": str(self.folder / "none")})

    def test_a_missing_package_is_named(self):
        for name in ("matplotlib", "jinja2", "h5py"):
            shim = self.folder / name
            shim.mkdir()
            (shim / f"{name}.py").write_text(f"raise ImportError('no {name}', name='{name}')\n")
            self.fail_with(3, [name, f"python3-{name}"], "report", self.results, "-o",
                           self.folder / "report.html", env={"PYTHONPATH": str(shim), "D2C_PYTHON": PYTHON})


if __name__ == "__main__":
    unittest.main()
