"""A sentencepiece-style BPE tokenizer with byte fallback, and its tokenizer.json."""

import json
import re
from collections import Counter

SPACE = "\u2581"
UNK, BOS, EOS = range(3)
SPECIALS = ["<unk>", "<s>", "</s>"]
CHUNK = re.compile(rf"[{SPACE}-]?\w+|\W")
BYTES = [f"<0x{b:02X}>" for b in range(256)]


class Tokenizer:
    """Token ids of a text: normalised as in Llama 2, split into characters, merged by rank."""

    def __init__(self, vocab, merges):
        self.vocab = vocab
        self.merges = merges
        self.rank = {pair: i for i, pair in enumerate(merges)}
        self.known = {}

    @classmethod
    def train(cls, texts, vocab_size, min_character_count):
        """Merges the most frequent pair (ties: the smaller) inside words, marks and suffixes."""
        words = Counter(w for t in texts for w in CHUNK.findall(normalise(t)))
        characters = Counter()
        for word, n in words.items():
            for c in word:
                characters[c] += n
        alphabet = {c for c, n in characters.items() if n >= min_character_count}
        pieces = {tuple(w): n for w, n in words.items()}
        merges = []
        while len(SPECIALS) + len(BYTES) + len(alphabet) + len(merges) < vocab_size:
            pairs = Counter()
            for piece, n in pieces.items():
                for pair in zip(piece, piece[1:]):
                    if alphabet.issuperset("".join(pair)):
                        pairs[pair] += n
            if not pairs:
                raise ValueError("the text has too few words for this vocabulary size")
            best = min(pairs, key=lambda p: (-pairs[p], p))
            merges.append(best)
            merged = Counter()
            for piece, n in pieces.items():
                merged[merge_pair(piece, best)] += n
            pieces = merged
        tokens = SPECIALS + BYTES + ["".join(m) for m in merges] + sorted(alphabet)
        return cls({t: i for i, t in enumerate(tokens)}, merges)

    def encode(self, text):
        """Ids of the text alone, without BOS and EOS.

        No merge crosses the border of a chunk, so that chunks are encoded apart.
        """
        return [i for chunk in CHUNK.findall(normalise(text)) for i in self.encode_chunk(chunk)]

    def encode_chunk(self, chunk):
        if chunk not in self.known:
            piece = []
            for c in chunk:
                piece += [c] if c in self.vocab else [BYTES[b] for b in c.encode()]
            while ranks := [self.rank[p] for p in zip(piece, piece[1:]) if p in self.rank]:
                piece = merge_pair(piece, self.merges[min(ranks)])
            self.known[chunk] = [self.vocab[t] for t in piece]
        return self.known[chunk]

    def example(self, prompt, response):
        """(input_ids, prompt_len) of BOS + prompt, response, EOS; both texts are encoded apart."""
        head = [BOS] + self.encode(prompt)
        return head + self.encode(response) + [EOS], len(head)

    def save(self, path):
        path.write_text(
            json.dumps(self.to_json(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )

    @classmethod
    def load(cls, path):
        model = json.loads(path.read_text(encoding="utf-8"))["model"]
        return cls(model["vocab"], [tuple(m.split(" ")) for m in model["merges"]])

    def to_json(self):
        def special(i):
            return {
                "id": i,
                "content": SPECIALS[i],
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }

        def template(ids):
            return [
                part
                for i, name in enumerate(ids)
                for part in (
                    {"SpecialToken": {"id": SPECIALS[BOS], "type_id": i}},
                    {"Sequence": {"id": name, "type_id": i}},
                )
            ]

        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [special(i) for i in range(3)],
            "normalizer": {
                "type": "Sequence",
                "normalizers": [
                    {"type": "Prepend", "prepend": SPACE},
                    {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
                ],
            },
            "pre_tokenizer": None,
            "post_processor": {
                "type": "TemplateProcessing",
                "single": template("A"),
                "pair": template("AB"),
                "special_tokens": {
                    SPECIALS[BOS]: {"id": SPECIALS[BOS], "ids": [BOS], "tokens": [SPECIALS[BOS]]}
                },
            },
            "decoder": {
                "type": "Sequence",
                "decoders": [
                    {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                    {"type": "ByteFallback"},
                    {"type": "Fuse"},
                    {"type": "Strip", "content": " ", "start": 1, "stop": 0},
                ],
            },
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": SPECIALS[UNK],
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": True,
                "byte_fallback": True,
                "vocab": self.vocab,
                "merges": [" ".join(m) for m in self.merges],
            },
        }


def normalise(text):
    return SPACE + text.replace(" ", SPACE)


def merge_pair(piece, pair):
    """Every occurrence of the pair, from the left, as one symbol."""
    out = []
    i = 0
    while i < len(piece):
        if i + 1 < len(piece) and (piece[i], piece[i + 1]) == pair:
            out.append(piece[i] + piece[i + 1])
            i += 2
        else:
            out.append(piece[i])
            i += 1
    return tuple(out)
