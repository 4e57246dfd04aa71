#!/usr/bin/env python3
"""Decoding speed against Hugging Face transformers on the same machine, in one run, taking turns.

Usage: scripts/oracle.sh tools/compare_hf_decode.py [--shape tiny|mini|small|base8] [--batches 1 16]
           [--inputs 64] [--new-tokens 64] [--rounds 3] [--program build/release/bin/switchyard]

scripts/oracle.sh makes and uses a Python with torch 2.11 and transformers 4.57.6.
Both sides decode greedily with random weights of the same shape in bfloat16 on the same number of
threads, every output at its full length; encoder and cache filling are counted. A side's speed is the
median over all rounds of ids written per second. Prints versions, settings, tokens/s and ratios.
"""
import argparse
import json
import os
import statistics
import subprocess
import time

import torch
import transformers

# d_model, d_ff, d_kv, heads, layers, experts, vocabulary: as `switchyard bench`.
SHAPES = {
    "tiny": (128, 512, 32, 4, 4, 8, 8192),
    "mini": (256, 1024, 32, 8, 4, 8, 8192),
    "small": (512, 2048, 64, 8, 6, 8, 32128),
    "base8": (768, 3072, 64, 12, 12, 8, 32128),
}


def hugging_face(shape):
    d, ff, kv, heads, layers, experts, vocabulary = shape
    config = transformers.SwitchTransformersConfig(
        vocab_size=vocabulary, d_model=d, d_ff=ff, d_kv=kv, num_heads=heads, num_layers=layers,
        num_decoder_layers=layers, num_sparse_encoder_layers=layers // 2,
        num_sparse_decoder_layers=layers // 2, num_experts=experts, expert_capacity=64,
        decoder_start_token_id=0)
    torch.manual_seed(1)
    model = transformers.SwitchTransformersForConditionalGeneration(config).eval()
    for name, parameter in model.named_parameters():
        if "router" in name:  # its default, N(0, 1), sends all tokens to few experts
            torch.nn.init.normal_(parameter, std=0.02)
    return model.to(torch.bfloat16)


def its_rate(model, batch, options):
    ids = torch.randint(3, model.config.vocab_size, (batch, options.inputs))
    keys = dict(max_new_tokens=options.new_tokens, min_new_tokens=options.new_tokens, do_sample=False,
                num_beams=1, use_cache=True)
    with torch.inference_mode():
        start = time.perf_counter()
        model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **keys)
        return batch * options.new_tokens / (time.perf_counter() - start)


def our_result(batch, options, threads):
    command = [options.program, "bench", "--decode", "--shape", options.shape, "--batch", str(batch),
               "--input-length", str(options.inputs), "--target-length", str(options.new_tokens),
               "--steps", "3", "--json", "--threads", str(threads)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="base8")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--inputs", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--program", default="build/release/bin/switchyard")
    options = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    print(f"shape {options.shape}, {options.inputs} ids in, {options.new_tokens} out, greedy, bf16, "
          f"{threads} threads; torch {torch.__version__}, transformers {transformers.__version__}")
    model = hugging_face(SHAPES[options.shape])
    its_rate(model, 1, options)  # warm-up
    print(f"{'batch':>6}{'Hugging Face':>16}{'switchyard':>14}{'ratio':>8}{'first token':>14}"
          f"{'of memory limit':>18}")
    for batch in options.batches:
        theirs, ours = [], []
        for _ in range(options.rounds):
            ours.append(our_result(batch, options, threads))
            theirs.append(its_rate(model, batch, options))
        middle = {key: statistics.median(result[key] for result in ours)
                  for key in ("tokens_per_second", "first_token_seconds", "memory_share")}
        its, own = statistics.median(theirs), middle["tokens_per_second"]
        share = f"{100 * middle['memory_share']:.0f} %" if batch == 1 else "-"
        print(f"{batch:>6}{its:>12.1f} t/s{own:>10.1f} t/s{own / its:>8.2f}"
              f"{1e3 * middle['first_token_seconds']:>11.1f} ms{share:>18}", flush=True)


if __name__ == "__main__":
    main()
