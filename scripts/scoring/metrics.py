"""Scores of generated text against references, from 0 to 100.

A metric is a function of predictions [n] and references [n][m] (m >= 1 references each) that gives
one number; edits_f05 takes the sources as well. Where the field's own package for a metric is
installed it is used; the plain definitions here give the same numbers (the tests hold them to the
packages' published ones), with one difference: words of ROUGE are runs of letters and digits of any
script, and each character of Chinese and Japanese is a word, where rouge-score knows ASCII only.
"""
import collections
import math
import re
import string

try:
    import sacrebleu
except ImportError:
    sacrebleu = None
try:
    from rouge_score import rouge_scorer
except ImportError:
    rouge_scorer = None


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else float("nan")


def f_measure(match, predicted, wanted, beta=1.0):
    """F of counts, 0 where nothing matches."""
    if match == 0:
        return 0.0
    precision, recall = match / predicted, match / wanted
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def overlap(first, second):
    return sum((collections.Counter(first) & collections.Counter(second)).values())


# SQuAD (Rajpurkar et al. 2016), as its evaluation script normalises.


def squad_normal(text):
    """Lower case, without punctuation, without a, an and the, single spaces."""
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact_match(predictions, references):
    return 100 * mean(float(any(squad_normal(p) == squad_normal(r) for r in rs))
                      for p, rs in zip(predictions, references))


def _token_f1(prediction, reference):
    first, second = squad_normal(prediction).split(), squad_normal(reference).split()
    if not first or not second:
        return float(first == second)
    return f_measure(overlap(first, second), len(first), len(second))


def token_f1(predictions, references):
    return 100 * mean(max(_token_f1(p, r) for r in rs) for p, rs in zip(predictions, references))


# ROUGE (Lin 2004), F-measures without stemming, as rouge-score computes them.

_ONE_CHARACTER_WORDS = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f])")


class Words:
    """The tokenizer of ROUGE, in the form that rouge-score takes."""

    def tokenize(self, text):
        return re.findall(r"[^\W_]+", _ONE_CHARACTER_WORDS.sub(r" \1 ", text.lower()))


def ngrams(tokens, n):
    return [tuple(tokens[i:i + n]) for i in range(len(tokens) - n + 1)]


def longest_common_subsequence(first, second):
    row = [0] * (len(second) + 1)
    for a in first:
        diagonal = 0
        for j, b in enumerate(second, 1):
            diagonal, row[j] = row[j], diagonal + 1 if a == b else max(row[j], row[j - 1])
    return row[-1]


def _rouge(kind, prediction, reference):
    first, second = Words().tokenize(prediction), Words().tokenize(reference)
    if kind == "L":
        return f_measure(longest_common_subsequence(first, second), len(first), len(second))
    first, second = ngrams(first, int(kind)), ngrams(second, int(kind))
    return f_measure(overlap(first, second), len(first), len(second))


def rouge(kind, predictions, references):
    """@param kind  "1", "2", "3" or "L" """
    score = _rouge
    if rouge_scorer:
        scorer = rouge_scorer.RougeScorer([f"rouge{kind}"], tokenizer=Words())

        def score(_, prediction, reference):
            return scorer.score(reference, prediction)[f"rouge{kind}"].fmeasure
    return 100 * mean(max(score(kind, p, r) for r in rs) for p, rs in zip(predictions, references))


def weighted_rouge(predictions, references):
    """R1/6 + R2/3 + R3/2, the measure of smart replies."""
    return sum(rouge(kind, predictions, references) * weight
               for kind, weight in (("1", 1 / 6), ("2", 1 / 3), ("3", 1 / 2)))


# BLEU (Papineni et al. 2002): of the whole set, tokens of mteval-v13a, exponential smoothing.

_13A = ((re.compile(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])"), r" \1 "),
        (re.compile(r"([^0-9])([\.,])"), r"\1 \2 "), (re.compile(r"([\.,])([^0-9])"), r" \1 \2"),
        (re.compile(r"([0-9])(-)"), r"\1 \2 "))


def tokenize_13a(text):
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, character in (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
        text = text.replace(entity, character)
    text = f" {text} "
    for pattern, replacement in _13A:
        text = pattern.sub(replacement, text)
    return text.split()


def columns(references):
    """References [n][m] as sacrebleu takes them: [m][n], None where one has fewer."""
    most = max(map(len, references))
    return [[rs[i] if i < len(rs) else None for rs in references] for i in range(most)]


def bleu(predictions, references, order=4):
    if sacrebleu:
        return sacrebleu.corpus_bleu(predictions, columns(references)).score
    match, total, length, wanted = [0] * order, [0] * order, 0, 0
    for prediction, alternatives in zip(predictions, references):
        tokens = tokenize_13a(prediction.rstrip())
        others = [tokenize_13a(r.rstrip()) for r in alternatives]
        length += len(tokens)
        wanted += min((abs(len(o) - len(tokens)), len(o)) for o in others)[1]
        for n in range(1, order + 1):
            counts = collections.Counter(ngrams(tokens, n))
            most = collections.Counter()
            for other in others:
                most |= collections.Counter(ngrams(other, n))
            match[n - 1] += sum((counts & most).values())
            total[n - 1] += sum(counts.values())
    if not any(match) or not all(total):
        return 0.0
    smooth, logarithms = 1, 0.0
    for m, t in zip(match, total):
        smooth *= 1 if m else 2
        logarithms += math.log(m / t if m else 1 / (smooth * t))
    return 100 * math.exp(min(0.0, 1 - wanted / length) + logarithms / order)


# chrF (Popović 2015): of the whole set, character 1- to 6-grams, beta 2.


def _chrf_counts(prediction, reference, order):
    first, second = "".join(prediction.split()), "".join(reference.split())
    counts = []
    for n in range(1, order + 1):
        grams, wanted = ngrams(first, n), ngrams(second, n)
        counts.append((len(grams) if wanted else 0, len(wanted), overlap(grams, wanted)))
    return counts


def _chrf(counts, beta=2.0):
    both = [(m / p, m / r) for p, r, m in counts if p and r]
    if not both:
        return 0.0
    precision, recall = mean(p for p, _ in both), mean(r for _, r in both)
    if precision + recall == 0:
        return 0.0
    return 100 * (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def chrf(predictions, references, order=6):
    if sacrebleu:
        return sacrebleu.corpus_chrf(predictions, columns(references)).score
    total = [(0, 0, 0)] * order
    for prediction, alternatives in zip(predictions, references):
        best = max((_chrf_counts(prediction, r, order) for r in alternatives), key=_chrf)
        total = [tuple(map(sum, zip(a, b))) for a, b in zip(total, best)]
    return _chrf(total)


# Edits of a source text (Bryant et al. 2017): F0.5 over the whole set, the measure of grammar correction.


def alignment_edits(source, target):
    """Edits (begin, end, replacement) between two texts: stretches that a word alignment of least cost
    changes. A word in place of another costs less than leaving one out and putting one in."""
    a, b = source.split(), target.split()
    change, other = 3, 2
    cost = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) + 1):
        for j in range(len(b) + 1):
            if i == 0 or j == 0:
                cost[i][j] = other * (i + j)
            elif a[i - 1] == b[j - 1]:
                cost[i][j] = cost[i - 1][j - 1]
            else:
                cost[i][j] = min(change + cost[i - 1][j - 1], other + cost[i - 1][j],
                                 other + cost[i][j - 1])
    steps, i, j = [], len(a), len(b)
    while i or j:
        same = i and j and a[i - 1] == b[j - 1] and cost[i][j] == cost[i - 1][j - 1]
        if same or (i and j and cost[i][j] == change + cost[i - 1][j - 1]):
            i, j = i - 1, j - 1
            steps.append((i, i + 1, j, j + 1, bool(same)))
        elif i and cost[i][j] == other + cost[i - 1][j]:
            i -= 1
            steps.append((i, i + 1, j, j, False))
        else:
            j -= 1
            steps.append((i, i, j, j + 1, False))
    edits, open_edit = set(), None
    for begin, end, first, last, same in [*reversed(steps), (0, 0, 0, 0, True)]:
        if not same:
            open_edit = (open_edit[0], end, open_edit[2], last) if open_edit else (begin, end, first, last)
        elif open_edit:
            edits.add((open_edit[0], open_edit[1], " ".join(b[open_edit[2]:open_edit[3]])))
            open_edit = None
    return edits


def errant_edits():
    """Edits as ERRANT finds them: for English alone, needs errant and its language model."""
    import errant
    annotator = errant.load("en")

    def edits(source, target):
        first, second = annotator.parse(source, tokenise=True), annotator.parse(target, tokenise=True)
        return {(e.o_start, e.o_end, e.c_str) for e in annotator.annotate(first, second) if e.type != "noop"}
    return edits


def edits_f05(sources, predictions, references, edits=alignment_edits):
    match = predicted = wanted = 0
    for source, prediction, alternatives in zip(sources, predictions, references):
        found = edits(source, prediction)
        best = max((edits(source, r) for r in alternatives),
                   key=lambda other: f_measure(len(found & other), len(found), len(other), 0.5)
                   if found or other else 1.0)
        match += len(found & best)
        predicted += len(found)
        wanted += len(best)
    if predicted == wanted == 0:
        return 100.0
    return 100 * f_measure(match, predicted, wanted, 0.5)


METRICS = {
    "exact_match": exact_match, "token_f1": token_f1,
    "rouge1": lambda p, r: rouge("1", p, r), "rouge2": lambda p, r: rouge("2", p, r),
    "rougeL": lambda p, r: rouge("L", p, r), "weighted_rouge": weighted_rouge,
    "chrf": chrf, "bleu": bleu,
}
