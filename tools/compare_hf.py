#!/usr/bin/env python3
"""Training speed against Hugging Face transformers on the same machine, in one run, taking turns.

Usage: scripts/oracle.sh tools/compare_hf.py [--shape tiny|mini|small|base8] [--modes eager compile fp32]
           [--rounds 3] [--steps 10] [--alone] [--program build/release/bin/switchyard]

scripts/oracle.sh makes and uses a Python with torch 2.11 and transformers 4.57.6.
Both sides train the same shape on the same number of threads: Switch Transformer, AdamW, no dropout, no
jitter, balance loss 0.01, ids drawn by Zipf's law, every position real. Hugging Face's model is cast to
bfloat16 as a whole (its autocast fails in this version), so its optimizer works on bfloat16 weights;
ours keeps float32 master weights and a float32 router, and computes every token, while Hugging Face
leaves out those beyond its capacity. In each round both sides take --steps steps; a
side's speed is the median step over all rounds. With --alone their process starts anew in each round,
so that only one side holds memory at a time (base8 wants 8 to 12 GB). Prints versions, settings,
tokens/s, peak memory and ratios.
"""
import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import time

import torch
import transformers

# d_model, d_ff, d_kv, heads, layers, experts, vocabulary, batch, inputs, targets: as `switchyard bench`.
SHAPES = {
    "tiny": (128, 512, 32, 4, 4, 8, 8192, 64, 128, 29),
    "mini": (256, 1024, 32, 8, 4, 8, 8192, 32, 256, 64),
    "small": (512, 2048, 64, 8, 6, 8, 32128, 8, 512, 128),
    "base8": (768, 3072, 64, 12, 12, 8, 32128, 8, 512, 128),
}
CAPACITY_FACTOR = 1.25
WARM_UP = 3  # steps


def zipf_ids(rows, length, vocabulary):
    ranks = torch.exp(torch.rand(rows, length) * torch.log(torch.tensor(float(vocabulary - 3)))) - 1
    return (3 + ranks.long()).clamp_max(vocabulary - 1)


class HuggingFace:
    """Whole training steps of transformers' Switch model."""

    def __init__(self, shape, mode):
        d, ff, kv, heads, layers, experts, vocabulary, batch, inputs, targets = shape
        config = transformers.SwitchTransformersConfig(
            vocab_size=vocabulary, d_model=d, d_ff=ff, d_kv=kv, num_heads=heads, num_layers=layers,
            num_decoder_layers=layers, num_sparse_encoder_layers=layers // 2,
            num_sparse_decoder_layers=layers // 2, num_experts=experts,
            expert_capacity=int(CAPACITY_FACTOR * inputs / experts), router_jitter_noise=0.0,
            router_aux_loss_coef=0.01, router_z_loss_coef=0.0, dropout_rate=0.0,
            decoder_start_token_id=0)
        torch.manual_seed(1)
        model = transformers.SwitchTransformersForConditionalGeneration(config).train()
        for name, parameter in model.named_parameters():
            if "router" in name:  # its default, N(0, 1), sends all tokens to few experts
                torch.nn.init.normal_(parameter, std=0.02)
        if mode != "fp32":
            model = model.to(torch.bfloat16)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        self.model = torch.compile(model) if mode == "compile" else model
        self.draw = lambda: (zipf_ids(batch, inputs, vocabulary), zipf_ids(batch, targets, vocabulary))

    def steps(self, count):
        seconds = []
        for _ in range(count):
            ids, labels = self.draw()
            start = time.perf_counter()
            loss = self.model(input_ids=ids, labels=labels, output_router_logits=True).loss
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            seconds.append(time.perf_counter() - start)
        return seconds


_peer = None  # in a peer's own process


def start_peer(shape, mode, threads):
    global _peer
    torch.set_num_threads(threads)
    _peer = HuggingFace(shape, mode)
    _peer.steps(WARM_UP)  # and compilation


def run_peer(count):
    """Seconds of each step, and the peak memory of the process so far, bytes."""
    return _peer.steps(count), 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Peer:
    """Hugging Face in a process of its own."""

    def __init__(self, shape, mode, threads, alone):
        self.make = lambda: multiprocessing.get_context("spawn").Pool(
            1, start_peer, (shape, mode, threads))
        self.alone, self.seconds, self.memory = alone, [], 0
        self.pool = None if alone else self.make()

    def turn(self, count):
        pool = self.pool or self.make()
        seconds, memory = pool.apply(run_peer, (count,))
        self.seconds += seconds
        self.memory = max(self.memory, memory)
        if self.alone:
            pool.terminate()
            pool.join()


def our_step(options, threads):
    command = [options.program, "bench", "--shape", options.shape, "--steps", str(options.steps),
               "--set", "optimizer.kind=adamw", "--set", "optimizer.learning_rate=0.001",
               "--set", "optimizer.schedule=constant", "--set", "optimizer.warmup_steps=0",
               "--set", "model.moe.jitter=0", "--set", "model.moe.capacity=dropless", "--json",
               "--threads", str(threads)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="mini")
    parser.add_argument("--modes", nargs="+", choices=["eager", "compile", "fp32"],
                        default=["eager", "compile"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--alone", action="store_true",
                        help="start the peer anew in each round, so that one side holds memory")
    parser.add_argument("--program", default="build/release/bin/switchyard")
    options = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    shape = SHAPES[options.shape]
    tokens = shape[7] * (shape[8] + shape[9])
    print(f"shape {options.shape}: d_model {shape[0]}, {shape[4]}+{shape[4]} layers, {shape[5]} experts, "
          f"batch {shape[7]} x {shape[8]}/{shape[9]}; AdamW; {threads} threads")
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    peers = {mode: Peer(shape, mode, threads, options.alone) for mode in options.modes}
    ours = []
    for _ in range(options.rounds):
        ours.append(our_step(options, threads))
        for peer in peers.values():
            peer.turn(options.steps)
    own = statistics.median(result["step_seconds"] for result in ours)
    memory = max(result["peak_memory"] for result in ours)
    print(f"{'':<34}{'ms/step':>10}{'tokens/s':>12}{'ours / it':>11}{'peak GB':>9}")
    print(f"{'switchyard, bf16-selective':<34}{own * 1e3:>10.1f}{tokens / own:>12,.0f}{1:>11.2f}"
          f"{memory * 1e-9:>9.2f}")
    for mode, peer in peers.items():
        its = statistics.median(peer.seconds)
        label = {"eager": "bf16, eager", "compile": "bf16, compiled", "fp32": "float32, eager"}[mode]
        print(f"{'Hugging Face, ' + label:<34}{its * 1e3:>10.1f}{tokens / its:>12,.0f}{its / own:>11.2f}"
              f"{peer.memory * 1e-9:>9.2f}")
    share = statistics.median(result["gemm_share"] for result in ours)
    print(f"share of this machine's GEMM rate: {100 * share:.1f} %")
    dropped = statistics.median(result["dropped_share"] for result in ours)
    print(f"our routed tokens without a place, not computed: {100 * dropped:.1f} %")


if __name__ == "__main__":
    main()
