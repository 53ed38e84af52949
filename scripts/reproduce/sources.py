"""The published data sets as pairs of texts: what a model is asked, and what it should answer.

A reader yields {"input": text, "output": text}. Files are those that the data sets' authors publish.
"""
import csv
import json
import pathlib


def squad(path):
    """SQuAD 1.1: {"data": [{"paragraphs": [{"context", "qas": [{"question", "answers"}]}]}]}."""
    for article in json.loads(pathlib.Path(path).read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                answers = list(dict.fromkeys(answer["text"] for answer in question["answers"]))
                if answers:
                    yield {"input": f"Context: {paragraph['context']}\nQuestion: {question['question']}",
                           "output": answers[0]}


def samsum(path):
    """SAMSum: [{"id", "dialogue", "summary"}]."""
    for row in json.loads(pathlib.Path(path).read_text(encoding="utf-8")):
        if row["dialogue"].strip() and row["summary"].strip():
            yield {"input": row["dialogue"].replace("\r\n", "\n"), "output": row["summary"]}


def persona_chat(path, turns=4):
    """Persona-Chat in ParlAI's text form: numbered lines, `your persona: ...` first, then
    utterance TAB reply TAB TAB candidates."""
    persona, history = [], []
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        number, _, rest = line.partition(" ")
        if number == "1":
            persona, history = [], []
        if rest.startswith("your persona: "):
            persona.append(rest.removeprefix("your persona: "))
            continue
        heard, _, more = rest.partition("\t")
        reply = more.split("\t")[0]
        history.append(heard)
        if reply:
            facts = "\n".join(persona)
            talk = "\n".join(history[-turns:])
            yield {"input": f"Persona:\n{facts}\nConversation:\n{talk}" if persona else talk, "output": reply}
            history.append(reply)


def m2(path):
    """Grammar correction in the M2 format of the BEA 2019 shared task; annotator 0."""
    for block in pathlib.Path(path).read_text(encoding="utf-8").split("\n\n"):
        lines = block.strip().splitlines()
        if not lines:
            continue
        words = lines[0].removeprefix("S ").split()
        corrected, shift = list(words), 0
        for line in lines[1:]:
            span, kind, correction, *_, annotator = line.removeprefix("A ").split("|||")
            start, end = map(int, span.split())
            if kind in ("noop", "UNK", "Um") or annotator != "0" or start < 0:
                continue
            with_words = correction.split() if correction != "-NONE-" else []
            corrected[start + shift:end + shift] = with_words
            shift += len(with_words) - (end - start)
        if corrected != words:
            yield {"input": " ".join(words), "output": " ".join(corrected)}


def two_columns(path):
    """Text TAB text, one pair a line: content rephrasing, and grammar correction in other languages."""
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if len(row) >= 2 and row[0].strip() and row[1].strip():
                yield {"input": row[0].strip(), "output": row[1].strip()}


def json_lines(path):
    """{"input", "output"} a line: what this module yields, after a translation for instance."""
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        if line.strip():
            yield json.loads(line)


READERS = {"squad": squad, "samsum": samsum, "persona_chat": persona_chat, "m2": m2, "tsv": two_columns,
           "jsonl": json_lines}

# Problem type -> what the model is told to do.
INSTRUCTIONS = {
    "grammar": "Correct the grammar of the text. Write only the corrected text.",
    "qa": "Answer the question with words of the context. Write only the answer.",
    "reply": "Write the next reply in the conversation.",
    "summary": "Summarise the conversation.",
    "rephrase": "Rephrase the content of the message politely. Write only the new message.",
}
LANGUAGES = {"en": "English", "de": "German", "es": "Spanish", "fr": "French", "it": "Italian", "ja": "Japanese",
             "ko": "Korean", "zh": "Chinese"}

# Problem type -> the score of its kind, by its name in score.py.
SCORES = {"grammar": "edits_f05", "qa": "token_f1", "reply": "weighted_rouge", "summary": "rougeL",
          "rephrase": "rougeL"}


def message(kind, language, pair):
    """What the model is asked."""
    told = INSTRUCTIONS[kind] + ("" if language == "en" else f" Answer in {LANGUAGES[language]}.")
    return f"{told}\n\n{pair['input']}"
