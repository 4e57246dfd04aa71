"""A small training for tests of several ranks: data of made-up words, and the command lines."""
import json
import random
import subprocess

RECIPE = """
[model]
d_model = 32
d_ff = 64
d_kv = 8
num_heads = 4
num_encoder_layers = 2
num_decoder_layers = 2
vocab_size = 512
[model.moe]
num_experts = 4
group_sequences = 2
[data]
input_length = 32
[optimizer]
min_dim_factored = 8
[train]
steps = 12
batch_sequences = 8
precision = "fp32"
log_every = 1
"""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def make_data(program, folder):
    """recipe.toml and data/ in a folder."""
    draw = random.Random(1)
    known = ["".join(draw.choices(LETTERS, k=draw.randint(2, 8))) for _ in range(200)]
    text = "\n".join(" ".join(draw.choices(known, k=12)) + "." for _ in range(400))
    (folder / "text.txt").write_text(text)
    (folder / "recipe.toml").write_text(RECIPE)
    for words in (["tokenizer", "train", "--input", "text.txt", "--vocab-size", "300", "--output", "spiece.model"],
                  ["prepare", "--input", "text.txt", "--tokenizer", "spiece.model", "--output", "data",
                   "--validation-share", "0"]):
        subprocess.run([program, *words], cwd=folder, check=True, capture_output=True)


def command(program, folder, run, *settings):
    words = [program, "train", "--recipe", folder / "recipe.toml", "--run-dir", folder / run, "--json",
             "--threads", "1", "--set", f"data.train={folder}/data/train"]
    for setting in settings:
        words += ["--set", setting]
    return [str(word) for word in words]


def training_lines(folder, run):
    """Of metrics.jsonl, by step."""
    lines = map(json.loads, (folder / run / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line for line in lines if line["kind"] == "train"}
