#!/usr/bin/env python3
"""Checks live that models go both ways between transformers 4.57.6 and the program.

Usage: check_hf.py PROGRAM      PROGRAM: the switchyard to check; `make test-oracle` calls this

From transformers: tiny random models of every kind, saved whole and in shards; `score` must give
transformers' log-probabilities, one line at a time and in padded batches.
To transformers: models that `train` makes; from_pretrained() must find every tensor and no other, and
compute what `score` says. And dense models with experts added by `upcycle`. Exits 1 if anything differs.
"""
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import torch
import transformers
from transformers import (AutoConfig, MT5ForConditionalGeneration,
                          SwitchTransformersForConditionalGeneration, T5ForConditionalGeneration)

import tiny_models

TOLERANCE = 1e-4
CLASSES = {"t5": T5ForConditionalGeneration, "mt5": MT5ForConditionalGeneration,
           "switch_transformers": SwitchTransformersForConditionalGeneration}
RECIPE = """
[model]
d_model = 24
d_ff = 37
d_kv = 5
num_heads = 3
num_encoder_layers = 4
num_decoder_layers = 2
vocab_size = 320
[model.moe]
num_experts = 4
group_sequences = 4
capacity_factor_eval = 4.0  # nobody is dropped, as transformers will see it
[data]
train = "{data}/train"
validation = "{data}/validation"
input_length = 32
[train]
steps = 4
batch_sequences = 8
evaluate_sequences = 8
precision = "fp32"
"""
# Settings over the recipe -> what transformers has to load.
TRAINED = {
    "trained_switch": ["model.moe.num_experts=4"],
    "trained_switch_every_block": ["model.moe.sparse_every=1"],
    "trained_switch_placed": ["model.moe.encoder_layers=1", "model.moe.decoder_layers=none"],
    "trained_switch_untied": ["model.tie_embeddings=false"],
    "trained_t5_1_0": ["model.moe.num_experts=0"],
    "trained_t5_1_1": ["model.moe.num_experts=0", "model.feed_forward=geglu",
                       "model.tie_embeddings=false"],
}


class Checks:
    def __init__(self):
        self.failures = 0

    def report(self, name, what, good, detail=""):
        self.failures += not good
        print(f"{'ok    ' if good else 'FAILED'} {name}: {what} {detail}".rstrip(), flush=True)


def run(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def requests(vocab_size):
    """Lines for score, of all lengths, in the order of nothing."""
    generator = random.Random(7)
    ids = lambda most: [generator.randrange(3, vocab_size) for _ in range(generator.randint(1, most))]
    return [{"n": n, "input_ids": ids(12), "target_ids": ids(9)} for n in range(13)]


def expected_scores(model, lines):
    scores = []
    for line in lines:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([line["input_ids"]]),
                           labels=torch.tensor([line["target_ids"]]),
                           **tiny_models.without_router_losses(model)).logits
        log_p = torch.log_softmax(logits[0].float(), -1)
        scores.append([log_p[t, i].item() for t, i in enumerate(line["target_ids"])])
    return scores


def compare_scores(checks, program, name, model, directory, folder):
    lines = requests(model.config.vocab_size)
    source = folder / "lines.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    expected = expected_scores(model, lines)
    for batch_size in (1, 5):
        found = [json.loads(line) for line in
                 run(program, "score", "--model", directory, "--input", source,
                     "--batch-size", batch_size).splitlines()]
        in_order = [line["n"] for line in found] == [line["n"] for line in lines]
        worst = max(abs(a - b) for line, row in zip(found, expected)
                    for a, b in zip(line["token_log_probs"], row, strict=True))
        checks.report(name, f"score, batches of {batch_size}", in_order and worst < TOLERANCE,
                      f"largest difference {worst:.1e}")


def check_from_transformers(checks, program, folder):
    for name in {**tiny_models.MODELS, **tiny_models.MORE_MODELS}:
        model = tiny_models.make_model(name, seed=3)
        for kind, keys in (("", {}), (" in shards", {"max_shard_size": "10KB"})):
            directory = folder / (name + kind.replace(" ", "_"))
            model.save_pretrained(directory, **keys)
            run(program, "inspect", directory, "--verify")
            compare_scores(checks, program, name + kind, model.float(), directory, folder)


def prepare_data(program, folder):
    generator = random.Random(1)
    syllables = ["ba", "co", "du", "fe", "gi", "ka", "lo", "mu", "ne", "pi", "ra", "so"]
    words = ["".join(generator.choices(syllables, k=generator.randint(1, 4))) for _ in range(400)]
    text = folder / "text.txt"
    text.write_text("\n\n".join(" ".join(generator.choices(words, k=60)) for _ in range(300)))
    run(program, "tokenizer", "train", "--input", text, "--vocab-size", 300, "--output",
        folder / "spiece.model")
    run(program, "prepare", "--input", text, "--tokenizer", folder / "spiece.model", "--output",
        folder / "data", "--validation-share", 0.2)
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(data=folder / "data"))
    return recipe


def load_in_transformers(checks, program, name, directory, folder):
    kind = AutoConfig.from_pretrained(directory).model_type
    model, info = CLASSES[kind].from_pretrained(directory, output_loading_info=True)
    wrong = {key: value for key, value in info.items() if value}
    checks.report(name, "from_pretrained finds every tensor", not wrong, str(wrong or ""))
    compare_scores(checks, program, name, model.eval(), directory, folder)


def check_to_transformers(checks, program, folder):
    recipe = prepare_data(program, folder)
    for name, settings in TRAINED.items():
        directory = folder / name
        sets = [part for setting in settings for part in ("--set", setting)]
        summary = json.loads(run(program, "train", "--recipe", recipe, "--run-dir", directory,
                                 "--json", *sets))
        load_in_transformers(checks, program, name, summary["checkpoint"], folder)


def check_upcycling(checks, program, folder):
    """Dense models of transformers with experts added: they still give its log-probabilities, and where gates
    are probabilities transformers reads the new directory."""
    for name in ("t5_1_0", "t5_1_1", "mt5"):
        model = tiny_models.make_model(name, seed=3)
        dense, sparse = folder / f"{name}_dense", folder / f"{name}_upcycled"
        model.save_pretrained(dense)
        run(program, "upcycle", "--model", dense, "--num-experts", 3, "--output", sparse)
        compare_scores(checks, program, f"{name} upcycled", model, sparse, folder)
    directory = folder / "t5_1_0_probability"
    run(program, "upcycle", "--model", folder / "t5_1_0_dense", "--num-experts", 3, "--gate",
        "probability", "--noise", 0.1, "--output", directory)
    load_in_transformers(checks, program, "t5_1_0 upcycled, gates p", directory, folder)


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        check_from_transformers(checks, program, pathlib.Path(folder))
        check_to_transformers(checks, program, pathlib.Path(folder))
        check_upcycling(checks, program, pathlib.Path(folder))
    print(f"{checks.failures} failures")
    sys.exit(checks.failures > 0)


if __name__ == "__main__":
    main()
