"""References and predictions to compare metrics on, and what the Python packages that papers use say of
them: rouge-score, sacrebleu, scikit-learn, scipy; answers to questions by the rules of SQuAD's script."""
import collections
import random
import re
import string
import warnings

import rouge_score.rouge_scorer
import sacrebleu
import scipy.stats
import sklearn.metrics

SENTENCES = [
    "The cat sat on the mat , and the dog (3 years old) slept .",
    "In 2019, prices rose by 1,234.50 dollars: \"too much\", they said.",
    "Straße und Müller – „gute“ Fahrt! Es kostet 20 €.",
    "Кошка сидела на коврике, а собака спала… «Да», сказал он.",
    "Ο ΟΔΥΣΣΕΥΣ ΣΑΣ ΕΙΔΕ. Ο Σίσυφος; Όχι!",
    "猫坐在垫子上。狗在睡觉，三岁！",
    "吾輩は猫である。名前はまだ無い。「はい」",
    "고양이가 매트 위에 앉았다. 3.5%였다.",
    "बिल्ली चटाई पर बैठी। कुत्ता सो रहा था।",
    "القطة جلست على السجادة، والكلب نائم؟ ١٢٣٫٤",
    "İstanbul'da IŞIK var; a an the A THE x_y don't well-known 5-year.",
    "Emoji 😀👍🏽 and symbols ±∞ <tag> &amp; &quot;q&quot; -- 10-12 C++ a/b",
    "แมวนั่งบนเสื่อ สุนัขนอนหลับ",
    "new\nline one. New line\ntwo . three . end-\nbreak",
    "1. 2, 3.5 .5 5. ,5 5, a.b a,b ½ Ⅳ ²",
    "$$$$ !!! ‘quoted’ rock´n´roll `tick` _under_",
    "\u00a0odd\u2003spaces\u3000here\u200b \u001cfile ",
    "",
]
ALPHABETS = ["abc ABC the a 12.,-'\"!? ", "дом ДОМ ,.«»12 ", "猫狗。，ab 1.", "éßİΣσς \u0301'. ",
             "\u00a0\u3000 \n.-$€+<&;x1"]
LABELS = ["entailment", "neutral", "contradiction"]


def changed(text, rng):
    """The text with some words lost, doubled or moved."""
    words = text.split(" ")
    for _ in range(rng.randint(0, 4)):
        at, kind = rng.randrange(len(words)), rng.randint(0, 3)
        if kind == 0 and len(words) > 1:
            del words[at]
        elif kind == 1:
            words.insert(at, rng.choice(words))
        elif kind == 2:
            other = rng.randrange(len(words))
            words[at], words[other] = words[other], words[at]
        else:
            words[at] = words[at].upper()
    return " ".join(words)


def noise(rng):
    alphabet = rng.choice(ALPHABETS)
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(0, 60)))


def text_case(name, sentences, rng, references):
    """Every sentence with changed copies of it as references, each line with as many as the others."""
    predictions = [changed(s, rng) for s in sentences]
    wanted = [[changed(s, rng) for _ in range(references)] for s in sentences]
    return {"name": name, "references": wanted, "predictions": predictions, "labels": []}


def fixed_cases():
    rng = random.Random(1)
    cases = [text_case("scripts", SENTENCES, rng, 1), text_case("three references", SENTENCES, rng, 3)]
    cases += [text_case(f"line {i}", [s], rng, 2) for i, s in enumerate(SENTENCES) if s]
    cases.append({"name": "no match", "references": [["alpha beta"]], "predictions": ["gamma"], "labels": []})
    cases.append({"name": "empty predictions", "references": [["a b c d e"], ["x y"]],
                  "predictions": ["", ""], "labels": []})
    cases.append({"name": "short", "references": [["a b c d e"]], "predictions": ["a b c"], "labels": []})
    cases.append(repeated_words_case(rng))
    return cases + [label_case(rng), number_case(rng)]


def repeated_words_case(rng, size=30):
    """Lines of four words again and again: which of several longest subsequences is taken matters."""
    text = lambda: "".join(rng.choice(["a ", "b ", "c ", "d ", "\n"]) for _ in range(rng.randint(5, 40)))
    return {"name": "repeated words", "references": [[text()] for _ in range(size)],
            "predictions": [text() for _ in range(size)], "labels": []}


def label_case(rng, size=40):
    said = LABELS + ["maybe", ""]
    return {"name": "labels", "references": [[rng.choice(LABELS)] for _ in range(size)],
            "predictions": [rng.choice(said) for _ in range(size)], "labels": LABELS}


def number_case(rng, size=30):
    wanted = [round(rng.randint(0, 25) / 5, 1) for _ in range(size)]
    given = [str(round(w + rng.choice([0, 0, 0.2, -1]), 1)) for w in wanted]
    given[3] = "no number"
    return {"name": "numbers", "references": [[str(w)] for w in wanted], "predictions": given, "labels": []}


def random_cases(count, seed, texts=()):
    """Made-up characters of several scripts, and pieces of `texts`."""
    rng = random.Random(seed)
    for i in range(count):
        sentences = [noise(rng) or "x" for _ in range(rng.randint(1, 8))]
        sentences += [rng.choice(texts) for _ in range(rng.randint(1, 6))] if texts else []
        yield text_case(f"random {i}", sentences, rng, rng.randint(1, 3))
        if i % 10 == 0:
            yield repeated_words_case(rng)
            yield label_case(rng)
            yield number_case(rng)


# --- What the packages say ------------------------------------------------------------------------
def bleu(case, tokenizer):
    streams = list(zip(*case["references"]))
    result = sacrebleu.corpus_bleu(case["predictions"], streams, smooth_method="exp", tokenize=tokenizer)
    return {"bleu": result.score}


def chrf(case, word_order, name):
    streams = list(zip(*case["references"]))
    return {name: sacrebleu.corpus_chrf(case["predictions"], streams, word_order=word_order).score}


def rouge(case):
    """The mean over lines, where T5 takes the middle of means over random draws of lines."""
    names = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    scorer = rouge_score.rouge_scorer.RougeScorer(names)
    lines = lambda text: text.replace(" . ", " .\n")
    scores = [scorer.score_multi([lines(r) for r in references], lines(prediction))
              for references, prediction in zip(case["references"], case["predictions"])]
    return {name: 100 * sum(s[name].fmeasure for s in scores) / len(scores) for name in names}


def answers(case, punctuation, replacement):
    def words(text):
        text = "".join(replacement if c in punctuation else c for c in text.lower())
        return re.sub(r"\b(a|an|the)\b", " ", text).split()

    def f1(reference, prediction):
        same = sum((collections.Counter(reference) & collections.Counter(prediction)).values())
        return 2 * same / (len(reference) + len(prediction)) if same else 0.0

    pairs = [([words(r) for r in references], words(p))
             for references, p in zip(case["references"], case["predictions"])]
    return {"em": 100 * sum(p in references for references, p in pairs) / len(pairs),
            "f1": 100 * sum(max(f1(r, p) for r in references) for references, p in pairs) / len(pairs)}


def class_scores(case):
    number = lambda text: LABELS.index(text) if text in LABELS else -1
    wanted = [number(r[0]) for r in case["references"]]
    given = [number(p) for p in case["predictions"]]
    binary = [g if g in (0, 1) else 1 - w for w, g in zip(wanted, given)]
    macro = sklearn.metrics.fbeta_score(wanted, given, beta=1, labels=range(3), average="macro")
    return {"accuracy": {"accuracy": 100 * sklearn.metrics.accuracy_score(wanted, given)},
            "matthews": {"matthews_corrcoef": 100 * sklearn.metrics.matthews_corrcoef(wanted, given)},
            "mean_multiclass_f1": {"mean_3class_f1": 100 * macro},
            "f1": {"f1": 100 * sklearn.metrics.f1_score(
                [w == 1 for w in wanted], [b == 1 for b in binary])}}


def correlations(case):
    def number(text):
        try:
            return float(text)
        except ValueError:
            return -1.0
    wanted = [number(r[0]) for r in case["references"]]
    given = [number(p) for p in case["predictions"]]
    return {"pearson": {"pearson_corrcoef": 100 * scipy.stats.pearsonr(wanted, given)[0]},
            "spearman": {"spearman_corrcoef": 100 * scipy.stats.spearmanr(wanted, given)[0]}}


def expected_scores(case):
    warnings.simplefilter("ignore")  # of classes without any example
    if case["labels"]:
        return class_scores(case)
    if case["name"] == "numbers":
        return correlations(case)
    return {"bleu": bleu(case, "intl"), "bleu_13a": bleu(case, "13a"), "bleu_char": bleu(case, "char"),
            "bleu_none": bleu(case, "none"), "chrf": chrf(case, 0, "chrf2"),
            "chrf++": chrf(case, 2, "chrf2++"), "rouge": rouge(case),
            "squad": answers(case, set(string.punctuation), ""),
            "trivia_qa": answers(case, set(string.punctuation + "‘’´"), " ")}
