#!/usr/bin/env python3
"""Makes tests/golden/cached_decoding.jsonl: what transformers 4.57.6 writes with its cache.

With a cache a step routes one token of a sequence, so that no expert runs out of capacity, while
make_golden.py's runs route whole prefixes. Reads the models of tests/golden/data.
Usage: scripts/oracle.sh tools/make_cached_golden.py DATA OUTPUT
"""
import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import load_file
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

BEAMS = 4
NEW_TOKENS = 8


def main():
    assert transformers.__version__ == "4.57.6", transformers.__version__
    torch.manual_seed(0)
    lines = []
    for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
        config = json.loads((folder / "config.json").read_text())
        kind = getattr(transformers, config["architectures"][0])
        model = kind.from_pretrained(folder, dtype=torch.float32).eval()
        ids = load_file(folder / "expected.safetensors")["input_ids"]
        keys = dict(input_ids=ids, attention_mask=(ids != 0).long(), max_new_tokens=NEW_TOKENS,
                    do_sample=False, use_cache=True)
        # Caches that grow: those that generate() makes have as many layers as the encoder.
        fresh = lambda: EncoderDecoderCache(DynamicCache(), DynamicCache())
        greedy = model.generate(num_beams=1, past_key_values=fresh(), **keys)
        beams = model.generate(num_beams=BEAMS, num_return_sequences=BEAMS, early_stopping=False,
                               length_penalty=1.0, return_dict_in_generate=True, output_scores=True,
                               past_key_values=fresh(), **keys)
        rows = ids.shape[0]
        lines.append({"model": folder.name, "greedy_ids": greedy.tolist(),
                      "beam_ids": beams.sequences.view(rows, BEAMS, -1).tolist(),
                      "beam_scores": beams.sequences_scores.view(rows, BEAMS).tolist()})
    with open(sys.argv[2], "w") as file:
        for line in lines:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
