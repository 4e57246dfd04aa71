#!/usr/bin/env python3
"""Inference against its aims on this machine, in one run: one table for docs/performance.md.

Usage: scripts/oracle.sh tools/bench_inference.py [--shape base8] [--rounds 3] [--requests 96]
           [--program build/release/bin/switchyard] [--skip-peers]

Peers take turns with us: Hugging Face transformers with the same sparse model in bfloat16, and CTranslate2
(if it can be imported: `pip install ctranslate2`) with a dense T5 of the same shape in int8. All weights are
random, so that outputs have their full length. Serving is measured over HTTP with 16 clients that stream,
against `generate` on the same lines. Medians over the rounds.
"""
import argparse
import http.client
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import threading
import time

import torch
import transformers

from compare_hf_decode import SHAPES, hugging_face, its_rate

CLIENTS = 16


def run(options, *words):
    return subprocess.run([options.program, *map(str, words)], check=True, capture_output=True, text=True)


def our_decode(options, shape, batch, int8=False):
    words = ["bench", "--decode", "--shape", shape, "--batch", batch, "--input-length", options.inputs,
             "--target-length", options.new_tokens, "--steps", 3, "--json", "--threads", options.threads]
    return json.loads(run(options, *words, *(["--int8"] if int8 else [])).stdout)


def median_of(rounds, measure):
    return statistics.median(measure() for _ in range(rounds))


class Dense:
    """A dense T5 of the shape in CTranslate2's int8."""

    def __init__(self, options, folder):
        import ctranslate2
        d, ff, kv, heads, layers, _, vocabulary = SHAPES[options.shape]
        config = transformers.T5Config(vocab_size=vocabulary, d_model=d, d_ff=ff, d_kv=kv, num_heads=heads,
                                       num_layers=layers, decoder_start_token_id=0)
        torch.manual_seed(1)
        source = folder / "t5"
        transformers.T5ForConditionalGeneration(config).save_pretrained(source)
        pieces = [f"<p{i}>" for i in range(vocabulary)]
        pieces[0], pieces[1], pieces[2] = "<pad>", "</s>", "<unk>"
        from tokenizers import Tokenizer, models
        tokenizer = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, "<unk>"))
        transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>",
                                             unk_token="<unk>").save_pretrained(source)
        ctranslate2.converters.TransformersConverter(str(source)).convert(
            str(folder / "ct2"), quantization="int8")
        self.translator = ctranslate2.Translator(str(folder / "ct2"), device="cpu", inter_threads=1,
                                                 intra_threads=options.threads)
        self.options, self.vocabulary = options, vocabulary
        self.version = ctranslate2.__version__

    def rate(self, batch):
        ids = torch.randint(3, self.vocabulary, (batch, self.options.inputs)).tolist()
        tokens = [[f"<p{i}>" for i in row] for row in ids]
        start = time.perf_counter()
        self.translator.translate_batch(tokens, beam_size=1, max_decoding_length=self.options.new_tokens,
                                        min_decoding_length=self.options.new_tokens)
        return batch * self.options.new_tokens / (time.perf_counter() - start)


def make_lines(options, vocabulary, path):
    torch.manual_seed(2)
    rows = torch.randint(3, vocabulary, (options.requests, options.inputs)).tolist()
    path.write_text("".join(json.dumps({"input_ids": row}) + "\n" for row in rows))
    return rows


def start_to_first_token(options, model, lines):
    first = lines.with_name("first.jsonl")
    first.write_text(lines.read_text().split("\n", 1)[0] + "\n")
    start = time.perf_counter()
    run(options, "generate", "--model", model, "--input", first, "--max-new-tokens", 1, "--threads",
        options.threads)
    return time.perf_counter() - start


def generate_rate(options, model, lines):
    out = lines.with_name("answers.jsonl")
    begin = start_to_first_token(options, model, lines)
    start = time.perf_counter()
    run(options, "generate", "--model", model, "--input", lines, "--output", out, "--batch-size", CLIENTS,
        "--max-new-tokens", options.new_tokens, "--log-probs", "--threads", options.threads)
    seconds = time.perf_counter() - start - begin  # loading is not decoding
    tokens = sum(len(json.loads(line)["token_log_probs"]) for line in out.open())
    out.unlink()
    return tokens / seconds


class Server:
    def __init__(self, options, model):
        self.process = subprocess.Popen(
            [options.program, "serve", "--model", str(model), "--port", "0", "--batch-size", str(CLIENTS),
             "--threads", str(options.threads)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.address = self.process.stdout.readline().split()[-1].split("://")[-1].rstrip("/")
        self.options = options

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)

    def ask(self, connection, row):
        """Seconds to the first token, tokens."""
        body = {"prompt": row, "max_tokens": self.options.new_tokens, "stream": True,
                "stream_options": {"include_usage": True}}
        start = time.perf_counter()
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        first, tokens = None, 0
        for line in response:
            if not line.startswith(b"data: {"):
                continue
            first = first or time.perf_counter() - start
            usage = json.loads(line[6:]).get("usage")
            tokens = usage["completion_tokens"] if usage else tokens
        return first, tokens

    def measure(self, rows):
        """Tokens/s over all clients, and each request's time to its first token."""
        left, lock, results = list(rows), threading.Lock(), []

        def client():
            connection = http.client.HTTPConnection(self.address)
            while True:
                with lock:
                    if not left:
                        return
                    row = left.pop()
                result = self.ask(connection, row)
                with lock:
                    results.append(result)

        threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - start
        return sum(tokens for _, tokens in results) / seconds, sorted(first for first, _ in results)


class Table:
    def row(self, what, value, aim, reached):
        mark = "" if reached is None else "reached" if reached else "NOT reached"
        print(f"{what:<58}{value:>34}   {aim:<28}{mark}", flush=True)


def decode_rows(options, table, sparse, dense):
    for batch in (1, CLIENTS):
        ours, int8, theirs, ct2 = [], [], [], []
        for _ in range(options.rounds):
            ours.append(our_decode(options, options.shape, batch))
            if sparse:
                theirs.append(its_rate(sparse, batch, options))
            int8.append(our_decode(options, options.shape, batch, int8=True))
            if dense:
                ct2.append(dense.rate(batch))
        own = statistics.median(result["tokens_per_second"] for result in ours)
        own8 = statistics.median(result["tokens_per_second"] for result in int8)
        if theirs:
            its = statistics.median(theirs)
            table.row(f"batch {batch}, bf16: ours / Hugging Face bf16",
                      f"{own:.1f} / {its:.1f} = {own / its:.2f}", ">= 2.5", own / its >= 2.5)
        else:
            table.row(f"batch {batch}, bf16", f"{own:.1f} tokens/s", "", None)
        if batch == 1:
            share = statistics.median(result["memory_share"] for result in ours)
            table.row("batch 1, bf16: share of what reading the weights allows", f"{100 * share:.0f} %",
                      ">= 70 %", share >= 0.7)
        table.row(f"batch {batch}, int8: ours / ours in bf16", f"{own8:.1f} / {own:.1f} = {own8 / own:.2f}",
                  "", None)
        if ct2:
            its = statistics.median(ct2)
            table.row(f"batch {batch}, int8: ours / CTranslate2's dense T5 in int8",
                      f"{own8:.1f} / {its:.1f} = {own8 / its:.2f}", ">= 2", own8 / its >= 2)


def many_experts_row(options, table):
    few, many = [], []
    for _ in range(options.rounds):
        few.append(our_decode(options, "base8", 1)["tokens_per_second"])
        many.append(our_decode(options, "base128", 1)["tokens_per_second"])
    ratio = statistics.median(few) / statistics.median(many)
    table.row("batch 1, bf16: time with 128 experts / with 8", f"{ratio:.2f}", "<= 1.15", ratio <= 1.15)


def serving_rows(options, table, model, lines, rows):
    start = median_of(options.rounds + 2, lambda: start_to_first_token(options, model, lines))
    table.row("start of the program to the first token", f"{start:.2f} s", "<= 0.5 s", start <= 0.5)
    batch, served, firsts = [], [], []
    with Server(options, model) as server:
        server.measure(rows[:CLIENTS])  # warm-up
        for _ in range(options.rounds):
            rate, first = server.measure(rows)
            served.append(rate)
            firsts.append(first)
            batch.append(generate_rate(options, model, lines))
    own, its = statistics.median(served), statistics.median(batch)
    table.row(f"serve, {CLIENTS} clients: tokens/s / generate's", f"{own:.1f} / {its:.1f} = {own / its:.2f}",
              ">= 0.85", own / its >= 0.85)
    middle = statistics.median(first[len(first) // 2] for first in firsts)
    late = statistics.median(first[int(0.99 * len(first))] for first in firsts)
    table.row("serve: time to first token, p99 / p50",
              f"{1e3 * late:.0f} / {1e3 * middle:.0f} ms = {late / middle:.2f}", "<= 3", late <= 3 * middle)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="base8")
    parser.add_argument("--inputs", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=96)
    parser.add_argument("--skip-peers", action="store_true")
    parser.add_argument("--program", default="build/release/bin/switchyard")
    options = parser.parse_args()
    options.threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    print(f"shape {options.shape}, {options.inputs} ids in, {options.new_tokens} out, greedy, "
          f"{options.threads} threads; torch {torch.__version__}, transformers {transformers.__version__}")
    table = Table()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        sparse, dense = hugging_face(SHAPES[options.shape]), None
        sparse.save_pretrained(folder / "model")
        if not options.skip_peers:
            its_rate(sparse, 1, options)  # warm-up
            try:
                dense = Dense(options, folder)
                dense.rate(1)
                print(f"CTranslate2 {dense.version}")
            except ImportError:
                print("CTranslate2 is not installed: left out")
        decode_rows(options, table, None if options.skip_peers else sparse, dense)
        del sparse, dense
        if options.shape == "base8":
            many_experts_row(options, table)
        lines = folder / "lines.jsonl"
        rows = make_lines(options, SHAPES[options.shape][6], lines)
        serving_rows(options, table, folder / "model", lines, rows)


if __name__ == "__main__":
    main()
