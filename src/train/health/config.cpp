#include "train/health/config.h"

namespace switchyard {

void HealthConfig::list_fields(FieldList& f) {
  constexpr int64_t kMost = 1 << 20;
  f.choice("not_finite", &not_finite, {"skip", "roll_back", "stop"},
           "loss or gradient is NaN or infinite: leave the update out, go back to a checkpoint "
           "from before and leave out the batches that led there, or end");
  f.choice("spike", &spike, {"warn", "skip", "roll_back", "stop"},
           "the loss is far above the median of those before");
  f.choice("starved", &starved, {"warn", "roll_back", "stop"},
           "experts get (almost) no tokens for many steps");
  f.choice("slow", &slow, {"warn", "stop"}, "steps take much longer than before");
  f.integer("in_a_row", &in_a_row, 1, kMost,
            "skipped updates in a row, or returns to one checkpoint, after which the run ends");
  f.integer("skip_batches", &skip_batches, 1, int64_t{1} << 40,
            "batches that a roll back leaves out, up to the offending one; never any from before "
            "the checkpoint");
  f.integer("spike_window", &spike_window, 0, kMost,
            "losses that a new one is held against, once half of them are there; 0: not watched");
  f.number("spike_score", &spike_score, 1, 1e9,
           "how many times the robust standard deviation (median and MAD) above the median");
  f.integer("starved_steps", &starved_steps, 0, int64_t{1} << 40,
            "steps in a row after which an expert counts as starved; 0: not watched");
  f.number("starved_share", &starved_share, 0, 1,
           "an expert starves below this part of an even share of the layer's tokens; 0: without "
           "any");
  f.integer("slow_window", &slow_window, 0, kMost,
            "steps whose median time is held against that of the eight times as many before; 0: "
            "not watched");
  f.number("slow_drop", &slow_drop, 0.01, 0.99, "part of the rate that must be lost");
}

}  // namespace switchyard
