#!/usr/bin/env python3
"""Checks live that `switchyard serve` answers the official `openai` client, and that prometheus_client can
read its metrics.

Usage: check_serve.py PROGRAM     PROGRAM: the switchyard to check; `make test-oracle` calls this

Trains a tiny model on made-up text with the program, serves it, and asks. Exits 1 if anything is wrong.
"""
import pathlib
import random
import subprocess
import sys
import tempfile
import urllib.request

import openai
from prometheus_client.parser import text_string_to_metric_families

RECIPE = """
[model]
d_model = 32
d_ff = 64
d_kv = 8
num_heads = 4
num_encoder_layers = 2
num_decoder_layers = 2
vocab_size = 512
init_scale = 1.0
[model.moe]
num_experts = 4
group_sequences = 4
[data]
input_length = 32
[train]
steps = 1
batch_sequences = 8
precision = "fp32"
evaluate_every = 0
checkpoint_every = 0
"""
KEY = "a-key-of-tests"


def make_text():
    draw = random.Random(1)

    def word():
        return "".join(draw.choice("bdfgklmnprst") + draw.choice("aeiou\u00e9")
                       for _ in range(draw.randint(1, 3)))

    return "\n\n".join(" ".join(word() for _ in range(8)) + "." for _ in range(1500))


def make_model(program, folder):
    def run(*words):
        subprocess.run([program, *words], check=True, capture_output=True)

    text, tokenizer = folder / "text.txt", folder / "spiece.model"
    text.write_text(make_text())
    (folder / "recipe.toml").write_text(RECIPE)
    run("tokenizer", "train", "--input", text, "--vocab-size", "300", "--output", tokenizer)
    run("prepare", "--input", text, "--tokenizer", tokenizer, "--output", folder / "data",
        "--validation-share", "0.1")
    run("train", "--recipe", folder / "recipe.toml", "--run-dir", folder / "tiny", "--set",
        f"data.train={folder}/data/train", "--set", f"data.validation={folder}/data/validation")
    return folder / "tiny"


class Server:
    def __init__(self, program, model, folder):
        (folder / "keys").write_text(KEY + "\n")
        self.log = open(folder / "log", "w+")
        self.process = subprocess.Popen(
            [program, "serve", "--model", model, "--port", "0", "--precision", "fp32",
             "--api-key-file", folder / "keys"], stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.address = self.process.stdout.readline().split()[-1]

    def stop(self):
        self.process.terminate()
        return self.process.wait(60)

    def metrics(self):
        with urllib.request.urlopen(self.address + "/metrics") as answer:
            return answer.read().decode()


def check(holds, what):
    print(("ok      " if holds else "WRONG   ") + what)
    check.failures += not holds


check.failures = 0


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    return None


def check_completions(client):
    ask = lambda **fields: client.completions.create(model="tiny", **fields)
    prompt = "bado <extra_id_0> kilu."
    whole = ask(prompt=prompt, max_tokens=24)
    check(whole.object == "text_completion" and whole.choices[0].finish_reason in ("stop", "length"),
          "a completion")
    check(whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens,
          "its usage")
    check(ask(prompt=prompt, max_tokens=24, temperature=0).choices[0].text == whole.choices[0].text,
          "temperature 0 is greedy, and so is the default")
    parts = list(ask(prompt=prompt, max_tokens=24, stream=True,
                     stream_options={"include_usage": True}))
    check("".join(c.text for part in parts for c in part.choices) == whole.choices[0].text,
          "a stream joined is the whole")
    check(parts[-1].usage == whole.usage, "the stream's usage")
    drawn = ask(prompt=[prompt, "ta"], max_tokens=8, n=3, seed=4, temperature=1.5, top_p=0.9,
                extra_body={"top_k": 50})
    check([c.index for c in drawn.choices] == list(range(6)), "three draws of two prompts")
    check(drawn.choices[0].text == ask(prompt=prompt, max_tokens=8, seed=4, temperature=1.5,
                                       top_p=0.9, extra_body={"top_k": 50}).choices[0].text,
          "a draw is that of its seed")
    logged = ask(prompt=[5, 6, 1], max_tokens=5, logprobs=2).choices[0].logprobs
    check(len(logged.tokens) == len(logged.token_logprobs) == len(logged.top_logprobs) > 0
          and all(len(top) == 2 for top in logged.top_logprobs), "log-probabilities")
    routed = ask(prompt="ta", max_tokens=5, extra_body={"routing": True}).choices[0]
    check(routed.routing["num_experts"] == 4, "routing")


def check_errors(server, client):
    ask = lambda **fields: client.completions.create(**{"model": "tiny", "prompt": "ta", **fields})
    error = raises(openai.BadRequestError, lambda: ask(max_tokens=0))
    check(error is not None and error.param == "max_tokens", "400 names the field")
    check(raises(openai.BadRequestError, lambda: ask(presence_penalty=1)) is not None,
          "400 for what is not supported")
    check(raises(openai.NotFoundError, lambda: ask(model="gpt")) is not None, "404 of a model")
    stranger = openai.OpenAI(base_url=server.address + "/v1", api_key="wrong", max_retries=0)
    check(raises(openai.AuthenticationError, stranger.models.list) is not None, "401 of a wrong key")


def check_metrics(text):
    families = {family.name: family for family in text_string_to_metric_families(text)}
    check(families["switchyard_output_tokens"].samples[0].value > 0, "metrics: tokens")
    statuses = {sample.labels["status"] for sample in families["switchyard_requests"].samples}
    check({"200", "400", "401", "404"} <= statuses, "metrics: statuses")
    experts = families["switchyard_expert_tokens"].samples
    check(len(experts) == 8 and sum(sample.value for sample in experts) > 0, "metrics: experts")
    for name in ("request_seconds", "first_token_seconds", "batch_rows", "step_seconds"):
        family = families["switchyard_" + name]
        buckets = [s.value for s in family.samples if s.name.endswith("_bucket")]
        count = next(s.value for s in family.samples if s.name.endswith("_count"))
        check(family.type == "histogram" and buckets == sorted(buckets) and buckets[-1] == count > 0,
              f"metrics: {name}")


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        server = Server(program, make_model(program, folder), folder)
        client = openai.OpenAI(base_url=server.address + "/v1", api_key=KEY, max_retries=0)
        try:
            check([model.id for model in client.models.list()] == ["tiny"], "the list of models")
            check_completions(client)
            check_errors(server, client)
            check_metrics(server.metrics())
        finally:
            status = server.stop()
        check(status == 0, "the end")
    print(f"{check.failures} wrong")
    return 1 if check.failures else 0


if __name__ == "__main__":
    sys.exit(main())
