"""The preparation of scripts/reproduce on small samples of the published formats."""
import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "reproduce"
sys.path.insert(0, str(SCRIPTS))
import prepare  # noqa: E402
import sources  # noqa: E402

SQUAD = {"data": [{"title": "x", "paragraphs": [{"context": "Paris is in France.", "qas": [
    {"id": "1", "question": "Where is Paris?", "answers": [{"text": "France", "answer_start": 12},
                                                           {"text": "in France", "answer_start": 9}]},
    {"id": "2", "question": "Why?", "answers": []}]}]}]}
SAMSUM = [{"id": "1", "dialogue": "Ann: Lunch?\r\nBob: Yes!", "summary": "Ann and Bob have lunch."},
          {"id": "2", "dialogue": "", "summary": "Nothing."}]
PERSONA = ("1 your persona: i like tea.\n2 hello there\thi, tea?\t\thi, tea?|no\n3 yes please\tcoming up\t\ta|b\n"
           "1 your persona: i ski.\n2 snow?\talways\t\tx|always\n")
M2 = ("S He go to school yesterday .\nA 1 2|||R:VERB|||went|||REQUIRED|||-NONE-|||0\n"
      "A 1 2|||R:VERB|||goes|||REQUIRED|||-NONE-|||1\nA 3 3|||M:DET|||the|||REQUIRED|||-NONE-|||0\n\n"
      "S All is well .\nA -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||0\n\n"
      "S It is is good .\nA 1 2|||U:VERB||||||REQUIRED|||-NONE-|||0\n")


class Tokenizer:
    """One id a character; BOS is 1, and stands in the template, too."""
    eos = "\x02"

    def chat(self, question):
        return f"\x01user: {question}\nassistant: "

    def encode(self, text, special_tokens):
        return [1] * special_tokens + [ord(c) for c in text]


class Sources(unittest.TestCase):
    def read(self, reader, text):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "file"
            path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8", newline="")
            return list(reader(path))

    def test_squad_gives_answered_questions(self):
        self.assertEqual(self.read(sources.squad, SQUAD),
                         [{"input": "Context: Paris is in France.\nQuestion: Where is Paris?", "output": "France"}])

    def test_samsum_gives_dialogues_with_their_summaries(self):
        self.assertEqual(self.read(sources.samsum, SAMSUM),
                         [{"input": "Ann: Lunch?\nBob: Yes!", "output": "Ann and Bob have lunch."}])

    def test_persona_chat_gives_every_reply_with_what_went_before(self):
        replies = self.read(sources.persona_chat, PERSONA)
        self.assertEqual([r["output"] for r in replies], ["hi, tea?", "coming up", "always"])
        self.assertEqual(replies[1]["input"],
                         "Persona:\ni like tea.\nConversation:\nhello there\nhi, tea?\nyes please")
        self.assertEqual(replies[2]["input"], "Persona:\ni ski.\nConversation:\nsnow?")

    def test_m2_gives_what_the_first_annotator_corrects(self):
        pairs = self.read(sources.m2, M2)
        self.assertEqual([(p["input"], p["output"]) for p in pairs],
                         [("He go to school yesterday .", "He went to the school yesterday ."),
                          ("It is is good .", "It is good .")])

    def test_columns_and_json_lines(self):
        self.assertEqual(self.read(sources.two_columns, 'come "now"\tCould you come?\n\nx\n')[0]["output"],
                         "Could you come?")
        self.assertEqual(self.read(sources.json_lines, '{"input": "a", "output": "b"}\n\n'),
                         [{"input": "a", "output": "b"}])


class Prepare(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def prepare(self, tasks, *arguments):
        (self.folder / "tasks.json").write_text(json.dumps(tasks))
        with contextlib.redirect_stdout(io.StringIO()):
            prepare.main([str(self.folder / "tasks.json"), "--model", str(self.folder / "model"), "--output",
                          str(self.folder / "job"), *arguments], Tokenizer())
        return json.loads((self.folder / "job" / "manifest.json").read_text())

    def lines(self, split, name):
        return [json.loads(line) for line in
                (self.folder / "job" / split / f"{name}.jsonl").read_text().splitlines()]

    def test_makes_the_files_of_a_job(self):
        (self.folder / "de.tsv").write_text("".join(f"bitte {i}\tKönnten Sie {i}?\n" for i in range(50)))
        (self.folder / "en.m2").write_text(M2)
        manifest = self.prepare([{"kind": "rephrase", "language": "de", "format": "tsv", "train": "de.tsv", "test": "de.tsv"},
                                 {"kind": "grammar", "language": "en", "format": "m2", "train": "en.m2", "test": "en.m2"}],
                                "--train", "20", "--few", "5", "--test", "7")
        self.assertEqual([task["name"] for task in manifest["tasks"]], ["rephrase-de", "grammar-en"])
        self.assertEqual([len(self.lines(split, "rephrase-de")) for split in ("train", "examples", "test")], [20, 5, 7])
        self.assertEqual(self.lines("train", "rephrase-de")[:5], self.lines("examples", "rephrase-de"))
        line = self.lines("test", "rephrase-de")[0]
        self.assertTrue(line["prompt"].startswith(sources.INSTRUCTIONS["rephrase"] + " Answer in German.\n\nbitte "))

    def test_bos_stands_twice_and_eos_once(self):
        (self.folder / "s.json").write_text(json.dumps(SAMSUM))
        self.prepare([{"kind": "summary", "language": "en", "format": "samsum", "train": "s.json", "test": "s.json"}])
        line = self.lines("examples", "summary-en")[0]
        prompt, answer = line["input_ids"][:line["prompt_len"]], line["input_ids"][line["prompt_len"]:]
        self.assertEqual(prompt[:2], [1, 1])
        self.assertEqual("".join(map(chr, prompt[2:])), f"user: {line['prompt']}\nassistant: ")
        self.assertEqual("".join(map(chr, answer)), "Ann and Bob have lunch.\x02")

    def test_the_same_seed_draws_the_same(self):
        (self.folder / "a.tsv").write_text("".join(f"a {i}\tb {i}\n" for i in range(50)))
        task = [{"kind": "rephrase", "language": "fr", "format": "tsv", "train": "a.tsv", "test": "a.tsv"}]
        drawn = []
        for seed in ("0", "0", "1"):
            self.prepare(task, "--seed", seed)
            drawn.append(self.lines("test", "rephrase-fr"))
        self.assertEqual(drawn[0], drawn[1])
        self.assertNotEqual(drawn[0], drawn[2])

    def test_two_tasks_of_one_name_are_refused(self):
        (self.folder / "a.tsv").write_text("".join(f"a {i}\tb {i}\n" for i in range(50)))
        task = {"kind": "qa", "language": "en", "format": "tsv", "train": "a.tsv", "test": "a.tsv"}
        with self.assertRaisesRegex(SystemExit, "two tasks are qa-en"):
            self.prepare([task, task])

    def test_bad_input_ends_with_a_line(self):
        (self.folder / "empty.tsv").write_text("one column\n")
        for task in ({"kind": "poem", "language": "en"}, {"kind": "qa", "language": "xx"},
                     {"kind": "qa", "language": "en", "format": "tsv", "train": "absent.tsv", "test": "absent.tsv"},
                     {"kind": "qa", "language": "en", "format": "tsv", "train": "empty.tsv", "test": "empty.tsv"}):
            with self.assertRaises(SystemExit) as ended:
                self.prepare([task])
            self.assertTrue(str(ended.exception).startswith("prepare: "), ended.exception)


if __name__ == "__main__":
    unittest.main()
