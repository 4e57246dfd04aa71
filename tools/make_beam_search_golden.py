#!/usr/bin/env python3
"""Makes tests/golden/beam_search.jsonl: what transformers 4.57.6 finds by beam search.

The model is a function of the prefix that src/infer/beam_search_test.cpp knows too: numbers from an
integer hash. Usage: make_beam_search_golden.py OUTPUT   (needs torch and transformers 4.57.6)
"""
import json
import sys

import torch
import transformers
from transformers import T5Config, T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

MASK = (1 << 64) - 1
EOS = 1


def hashed_logits(key, prefix, vocab_size, eos_bonus):
    h = key
    for token in prefix:
        h = (h * 6364136223846793005 + token + 1442695040888963407) & MASK
    logits = []
    for token in range(vocab_size):
        x = (h + token * 0x9E3779B97F4A7C15) & MASK
        x ^= x >> 31
        x = (x * 0xBF58476D1CE4E5B9) & MASK
        x ^= x >> 29
        logits.append((x >> 40) / 2.0**24 * 4)
    logits[EOS] += eos_bonus
    return logits


class HashModel(T5ForConditionalGeneration):
    """The key of a row is its first encoder id: it survives the expansion to beams."""

    def forward(self, encoder_outputs=None, decoder_input_ids=None, **_):
        rows = []
        for hidden, ids in zip(encoder_outputs.last_hidden_state, decoder_input_ids.tolist()):
            rows.append(hashed_logits(int(hidden[0, 0]), ids[1:], self.config.vocab_size,
                                      self.eos_bonus))
        logits = torch.log_softmax(torch.tensor(rows, dtype=torch.float64), -1).float()
        return Seq2SeqLMOutput(logits=logits[:, None, :])


def main():
    assert transformers.__version__ == "4.57.6", transformers.__version__
    torch.manual_seed(0)
    lines = []
    key = 1
    for vocab_size in (8, 24):
        config = T5Config(vocab_size=vocab_size, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=1,
                          decoder_start_token_id=0, pad_token_id=0, eos_token_id=EOS)
        model = HashModel(config).eval()
        for beams in (2, 3, 4):
            for penalty in (-1.0, 0.0, 0.6, 1.0, 2.0):
                for length, bonus in ((1, 0.0), (5, 1.0), (9, 0.5), (9, 2.0), (12, -1.0)):
                    keys = [key, key + 1]
                    key += 2
                    model.eos_bonus = bonus
                    hidden = torch.tensor(keys, dtype=torch.float32).view(-1, 1, 1).expand(-1, 1, 8)
                    found = model.generate(
                        encoder_outputs=BaseModelOutput(last_hidden_state=hidden),
                        attention_mask=torch.ones(len(keys), 1, dtype=torch.long),
                        max_new_tokens=length, num_beams=beams, num_return_sequences=beams,
                        length_penalty=penalty, early_stopping=False, do_sample=False,
                        use_cache=False, return_dict_in_generate=True, output_scores=True)
                    results = []
                    sequences = found.sequences[:, 1:].tolist()
                    for i in range(len(keys)):
                        own = []
                        for b in range(beams):
                            ids = sequences[i * beams + b]
                            if EOS in ids:
                                ids = ids[:ids.index(EOS) + 1]
                            own.append({"ids": ids,
                                        "score": float(found.sequences_scores[i * beams + b])})
                        results.append(own)
                    lines.append({"vocab_size": vocab_size, "eos_bonus": bonus, "keys": keys,
                                  "max_new_tokens": length, "num_beams": beams,
                                  "length_penalty": penalty, "results": results})
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
