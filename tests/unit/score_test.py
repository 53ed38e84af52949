"""Laws of scripts/score.py; its metrics against published values of the field's packages."""
import contextlib
import io
import json
import math
import pathlib
import random
import sys
import tempfile
import types
import unittest
import zlib

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
import score  # noqa: E402
from scoring import metrics  # noqa: E402

try:
    import h5py
except ImportError:
    h5py = None

DOGS = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
DOG_REFERENCES = [["The dog bit the man.", "The dog had bit the man."],
                  ["It was not unexpected.", "No one was surprised."],
                  ["The man bit him first.", "The man had bitten the dog."]]


class Metrics(unittest.TestCase):
    def setUp(self):
        # The plain definitions, also where the packages are installed.
        self.packages = metrics.sacrebleu, metrics.rouge_scorer
        metrics.sacrebleu = metrics.rouge_scorer = None

    def tearDown(self):
        metrics.sacrebleu, metrics.rouge_scorer = self.packages

    def test_bleu_of_sacrebleus_documentation(self):
        self.assertAlmostEqual(metrics.bleu(DOGS, DOG_REFERENCES), 48.530827, places=6)
        self.assertAlmostEqual(metrics.bleu(DOGS, [DOG_REFERENCES[0][1:], *DOG_REFERENCES[1:]]), 29.44, places=2)

    def test_chrf_of_sacrebleus_documentation_and_tests(self):
        self.assertAlmostEqual(metrics.chrf(DOGS, DOG_REFERENCES), 59.73, places=2)
        for prediction, reference, expected in (("a b c", "abc", 100.0), ("aa", "ab", 25.0),
                                                ("", "reference", 0.0), ("a", "b", 0.0)):
            self.assertAlmostEqual(metrics.chrf([prediction], [[reference]]), expected, places=5)
        self.assertAlmostEqual(metrics.chrf(["a", "b"], [["a"], ["c"]]), 50.0)

    def test_rouge_of_the_tests_of_rouge_score(self):
        for kind, prediction, expected in (("1", "testing", 50), ("2", "testing one", 200 / 3),
                                           ("L", "testing one", 80), ("L", "testing two", 80),
                                           ("1", "nothing", 0), ("2", "testing", 0)):
            self.assertAlmostEqual(metrics.rouge(kind, [prediction], [["testing one two"]]), expected)

    def test_rouge_reads_every_script(self):
        self.assertEqual(metrics.Words().tokenize("Hello-world_2 Größe 日本 한국"),
                         ["hello", "world", "2", "größe", "日", "本", "한국"])
        self.assertAlmostEqual(metrics.rouge("1", ["日本語"], [["日本"]]), 80)

    def test_weighted_rouge_weighs_long_matches_most(self):
        self.assertAlmostEqual(metrics.weighted_rouge(["a b c d"], [["a b c d"]]), 100)
        self.assertAlmostEqual(metrics.weighted_rouge(["a b c d"], [["a b x y"]]), 50 / 6 + 100 / 9)

    def test_squad_normalises(self):
        self.assertEqual(metrics.squad_normal("The  Denver Broncos!"), "denver broncos")
        self.assertEqual(metrics.exact_match(["the Denver Broncos.", "x"], [["Denver Broncos"], ["y", "X!"]]), 100)
        self.assertAlmostEqual(metrics.token_f1(["Denver Broncos"], [["Broncos of Denver and Bronx"]]), 400 / 7)
        self.assertEqual(metrics.token_f1(["the"], [["a"]]), 100)

    def test_edits_are_the_stretches_that_change(self):
        self.assertEqual(metrics.alignment_edits("The cat sat at mat .", "The cat sat on the mat ."),
                         {(3, 4, "on the")})
        self.assertEqual(metrics.alignment_edits("a b c", "a c d"), {(1, 2, ""), (3, 3, "d")})
        self.assertEqual(metrics.alignment_edits("same", "same"), set())

    def test_f05_prizes_precision(self):
        source, good = ["he go to school yesterday ."], [["he went to the school yesterday ."]]
        one_of_two = metrics.edits_f05(source, ["he went to school yesterday ."], good)
        self.assertAlmostEqual(one_of_two, 100 * 1.25 * 0.5 / (0.25 + 0.5))
        self.assertEqual(metrics.edits_f05(source, source, good), 0)
        self.assertEqual(metrics.edits_f05(source, good[0], good), 100)

    def test_every_metric_gives_100_to_the_reference_and_0_to_nothing(self):
        text = "It was a bright cold day in April, and the clocks were striking thirteen."
        for name, metric in metrics.METRICS.items():
            self.assertAlmostEqual(metric([text], [[text]]), 100, msg=name)
            self.assertEqual(metric([""], [[text]]), 0, msg=name)

    def test_scores_lie_between_0_and_100_and_more_references_never_lower_them(self):
        numbers = random.Random(7)
        words = ["the", "cat", "a", "12,5", "Ünï", "日本", "", "it's", "."]
        for _ in range(100):
            first, second, third = (" ".join(numbers.choices(words, k=numbers.randrange(9))) for _ in range(3))
            for name, metric in metrics.METRICS.items():
                one, both = metric([first], [[second]]), metric([first], [[second, third]])
                self.assertTrue(-1e-9 <= one <= 100 + 1e-9, (name, one))
                if name not in ("bleu",):  # its brevity penalty knows the nearest length
                    self.assertGreaterEqual(both, one - 1e-9, (name, first, second, third))

    def test_packages_are_used_where_they_are_installed(self):
        score_of = types.SimpleNamespace(score=12.5)
        metrics.sacrebleu = types.SimpleNamespace(
            corpus_bleu=lambda p, r: self.assertEqual(r, [["x", "z"], ["y", None]]) or score_of,
            corpus_chrf=lambda p, r: score_of)
        self.assertEqual(metrics.bleu(["a", "b"], [["x", "y"], ["z"]]), 12.5)
        self.assertEqual(metrics.chrf(["a"], [["x"]]), 12.5)


def line(task, adapter, prediction, reference="yes", **more):
    return json.dumps({"task": task, "adapter": adapter, "prompt": "p", "prediction": prediction,
                       "reference": reference, **more})


class Scores(unittest.TestCase):
    LINES = [line("a", "base", "no"), line("a", "own", "yes"), line("a", "cluster_01", "yes"),
             line("b", "base", "yes"), line("b", "own", "yes"), line("b", "own", "no"),
             line("b", "cluster_00", "no"), line("b", "cluster_00", "no")]

    def table(self, lines, assignment=None):
        return score.table_of(score.join_clusters(score.read(lines, "p"), assignment))

    def value(self, table, field, adapter, metric="exact_match"):
        return table[field][table["adapter"].index(adapter)][table["metric"].index(metric)]

    def test_s_score_is_relative_to_the_own_adapter(self):
        table = self.table(self.LINES)
        self.assertEqual(table["adapter"], ["base", "own", "clusters"])
        self.assertEqual(self.value(table, "value", "own"), [100, 50])
        self.assertEqual(self.value(table, "mean", "clusters"), 50)
        self.assertEqual(self.value(table, "s_score", "own"), 1)
        self.assertEqual(self.value(table, "s_score", "base"), (0 / 100 + 100 / 50) / 2)
        self.assertTrue(math.isnan(self.value(table, "mean", "own", "edits_f05")))

    def test_a_task_counts_under_its_own_cluster(self):
        lines = [*self.LINES, line("a", "cluster_00", "no")]
        with self.assertRaisesRegex(score.BadInput, "several clusters"):
            self.table(lines)
        table = self.table(lines, {"a": 1, "b": 0})
        self.assertEqual(self.value(table, "value", "clusters"), [100, 0])

    def run_main(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = score.main(list(map(str, arguments)))
        return code, out.getvalue(), err.getvalue()

    def test_bad_lines_are_named(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "p.jsonl"
            for text, words in (("", "no predictions"), ("{", "p.jsonl:1"), ('{"task": "a"}', "has no reference"),
                                (line("a", "own", 3), "must be text"), (line("a", "own", "x", []), "must be")):
                path.write_text(text)
                code, _, err = self.run_main(path)
                self.assertEqual((code, len(err.splitlines())), (3, 1), err)
                self.assertIn(words, err)
            code, _, err = self.run_main(pathlib.Path(folder) / "none")
            self.assertEqual(code, 3)

    def test_a_prompt_that_is_no_text_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "p.jsonl"
            path.write_text(line("a", "own", "x").replace('"p"', "5"))
            code, _, err = self.run_main(path, "--source-pattern", "(.*)")
            self.assertEqual((code, err.count("\n")), (3, 1))
            self.assertIn("p.jsonl:1: is not a prediction", err)

    def test_a_task_may_be_called_nan(self):
        with tempfile.TemporaryDirectory() as folder:
            path, out = pathlib.Path(folder) / "p.jsonl", pathlib.Path(folder) / "s.json"
            path.write_text(line("NaN", "own", "yes"))
            self.assertEqual(self.run_main(path, "--json", out)[0], 0)
            table = json.loads(out.read_text())
            self.assertEqual(table["task"], ["NaN"])
            self.assertIsNone(table["mean"][0][table["metric"].index("edits_f05")])

    def test_sources_come_from_the_line_or_from_the_prompt(self):
        with tempfile.TemporaryDirectory() as folder:
            path, out = pathlib.Path(folder) / "p.jsonl", pathlib.Path(folder) / "s.json"
            path.write_text(json.dumps({"task": "g", "adapter": "own", "prompt": "Correct: he go .\nAnswer:",
                                        "prediction": "he goes .", "reference": "he goes ."}))
            code, text, _ = self.run_main(path, "--source-pattern", r"Correct: (.*)", "--json", out)
            self.assertEqual(code, 0)
            self.assertIn("S-score", text)
            table = json.loads(out.read_text())
            self.assertEqual(table["mean"][0][table["metric"].index("edits_f05")], 100)

    @unittest.skipIf(h5py is None, "python3-h5py is not installed")
    def test_scores_go_into_the_results_file_under_a_checksum_that_fits(self):
        with tempfile.TemporaryDirectory() as folder:
            results, path = pathlib.Path(folder) / "results.h5", pathlib.Path(folder) / "p.jsonl"
            with h5py.File(results, "w") as run:
                run["task/name"] = ["a", "b"]
                run["result/assignment"] = [1, 0]
            content = results.read_bytes()
            results.write_bytes(content + f"\nd2c crc32 {zlib.crc32(content):08x}\n".encode())
            path.write_text("\n".join(self.LINES))
            results.chmod(0o640)
            for _ in range(2):  # again replaces
                code, _, err = self.run_main(path, "--into", folder)
                self.assertEqual(code, 0, err)
            content = results.read_bytes()
            self.assertEqual(content[-20:], f"\nd2c crc32 {zlib.crc32(content[:-20]):08x}\n".encode())
            with h5py.File(results) as run:
                value = run["score/value"]
                self.assertEqual([dim.label for dim in value.dims], ["adapter", "metric", "task"])
                adapters = list(run["score/adapter"].asstr()[:])
                self.assertEqual(value[adapters.index("clusters"), 0].tolist(), [100, 0])
            self.assertEqual(results.stat().st_mode & 0o777, 0o640)
            self.assertEqual(len(list(pathlib.Path(folder).iterdir())), 2)

    @unittest.skipIf(h5py is None, "python3-h5py is not installed")
    def test_what_is_no_result_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            path, other, text = (pathlib.Path(folder) / name for name in ("p.jsonl", "other.h5", "text.h5"))
            path.write_text("\n".join(self.LINES))
            text.write_text("no HDF5")
            with h5py.File(other, "w") as run:
                run["task"] = ["a"]
            for file, words in ((text, "is not the result"), (other, "is not the result"),
                                (pathlib.Path(folder) / "none.h5", "cannot be read: No such file")):
                before = file.read_bytes() if file.exists() else None
                code, _, err = self.run_main(path, "--into", file)
                self.assertEqual((code, err.count("\n")), (3, 1))
                self.assertIn(f"{file}: {words}", err)
                self.assertEqual(file.read_bytes() if file.exists() else None, before)

    def test_names_are_shown_as_text_and_deep_lines_are_named(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "p.jsonl"
            path.write_text(json.dumps({"task": "a\x1b[31m\u202e\n" + "b" * 999, "adapter": "own\r", "prompt": "",
                                        "prediction": "x", "reference": "x"}) + "\n")
            code, out, _ = self.run_main(path)
            self.assertEqual(code, 0)
            self.assertFalse(set("\x1b\u202e\r") & set(out))
            self.assertLess(max(map(len, out.splitlines())), 200)
            path.write_text("[" * 100_000)
            code, _, err = self.run_main(path)
            self.assertEqual((code, err.count("\n")), (3, 1))
            self.assertIn("p.jsonl:1: is not a prediction", err)


if __name__ == "__main__":
    unittest.main()
