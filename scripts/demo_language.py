"""Eight invented languages, their plain text, and the five problems posed in each of them.

Every language has its own alphabet and a lexicon drawn from a seeded syllable grammar. In plain
text a line of words may be followed by figures of speech on that line (a refrain, a mirror image,
an echo, ...), so that a model trained on it learns to copy and rearrange words. Which figure comes
next is left open, and the colon, which ends the prompt of a task, is never followed by one.
"""

import random
from dataclasses import dataclass

N_WORDS = 44
UNRELATED_SHARE = 0.15


@dataclass(frozen=True)
class Language:
    """A lexicon, the plural suffix of each word, and the successors it prefers in plain text."""

    name: str
    words: tuple
    suffix: dict
    successors: dict

    def plural(self, word):
        return f"{word}-{self.suffix[word]}"


@dataclass(frozen=True)
class Script:
    """An alphabet. The class of a word's last vowel, front or back, selects its plural suffix."""

    consonants: str
    front: str
    back: str
    rare: str = ""


# Each rare letter ends one word: too infrequent for the tokenizer, it is spelled in bytes.
SCRIPTS = {
    "lunavi": Script("lmnrv", "ei", "aou"),
    "kipsat": Script("kpstz", "iy", "au"),
    "bogduh": Script("bdghj", "eë", "oöu"),
    "heleni": Script("λμνρσ", "ειη", "αοω"),
    "stepor": Script("бгдкст", "еи", "аоу"),
    "vardze": Script("ბგდლმრ", "ეი", "აოუ"),
    "hayasa": Script("բգդկնս", "եի", "աօ"),
    "thurisk": Script("ᚠᚦᚱᚲᚾᛊ", "ᛖᛁ", "ᚨᛟ", rare="ᚷᛈᛉᛏ"),
}


def make_language(name, seed):
    """The language of that name: the same for the same seed."""
    rng = random.Random(f"{seed}/{name}")
    script = SCRIPTS[name]
    syllables = [c + v for c in script.consonants for v in script.front + script.back]
    rng.shuffle(syllables)
    syllables = syllables[:14]
    words = []
    while len(words) < N_WORDS:
        word = "".join(rng.choices(syllables, k=rng.choice((1, 2, 2, 2, 3))))
        word += script.rare[len(words) : len(words) + 1]
        if word not in words:
            words.append(word)
    front, back = (
        rng.choice(script.consonants) + v
        for v in (rng.choice(script.front), rng.choice(script.back))
    )

    def last_vowel(word):
        return next(c for c in reversed(word) if c in script.front + script.back)

    suffix = {w: front if last_vowel(w) in script.front else back for w in words}
    successors = {w: rng.sample(words, 5) for w in words}
    return Language(name, tuple(words), suffix, successors)


def make_languages(seed):
    return {name: make_language(name, seed) for name in SCRIPTS}


PROBLEMS = {
    "reverse": lambda language, words: words[::-1],
    "echo": lambda language, words: [w for word in words for w in (word, word)],
    "plural": lambda language, words: [language.plural(w) for w in words],
    "ends": lambda language, words: [words[0], words[-1]],
    "rotate": lambda language, words: words[1:] + words[:1],
}

FIGURES = [
    *PROBLEMS.values(),
    lambda language, words: words,
    lambda language, words: words[1:],
]


def fresh_line(language, rng):
    """Three to five different words; two in five are drawn from the successors of the last one."""
    line = [rng.choice(language.words)]
    length = rng.choice((3, 4, 5))
    while len(line) < length:
        likely = rng.random() < 0.4
        word = rng.choice(language.successors[line[-1]] if likely else language.words)
        if word not in line:
            line.append(word)
    return line


def text(language, rng, n_stanzas):
    """Stanzas of a line and one to three figures on it, or of two lines with a colon between."""
    stanzas = []
    for _ in range(n_stanzas):
        line = fresh_line(language, rng)
        if rng.random() < UNRELATED_SHARE:
            plural = rng.randrange(len(line))
            unrelated = [
                language.plural(w) if i == plural else w
                for i, w in enumerate(fresh_line(language, rng))
            ]
            stanzas.append(" ".join(line) + ": " + " ".join(unrelated) + ".")
        else:
            figures = [
                figure(language, line) for figure in rng.sample(FIGURES, rng.choice((1, 2, 3)))
            ]
            stanzas.append(", ".join(" ".join(words) for words in [line, *figures]) + ".")
    return " ".join(stanzas)


def task_example(problem, language, rng):
    """One (prompt, response) pair: the words of a line and a colon; the words of the answer."""
    words = rng.sample(language.words, rng.choice((3, 4, 5)))
    return " ".join(words) + ":", " ".join(PROBLEMS[problem](language, words))
