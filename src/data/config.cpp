#include "data/config.h"

namespace switchyard {

void DataConfig::list_fields(FieldList& fields) {
  fields.paths("train", &train,
               "prepared data to train on, or a folder of prepared languages; a table of path = "
               "weight makes a mixture");
  fields.paths("validation", &validation,
               "prepared data to evaluate on, or a folder of prepared languages");
  fields.number("size_exponent", &size_exponent, 0, 1,
                "prepared data: a source's share is its weight times its tokens to this power; 0.3 "
                "lifts small languages, 1 takes all by size");
  fields.integer("input_length", &input_length, 8, 1 << 20,
                 "encoder tokens per sequence; span corruption's target length follows from it");
  fields.integer(
      "target_length", &target_length, 0, 1 << 20,
      "tasks: decoder tokens per row; 0: the longest of the tasks' targets, and a quarter "
      "of input_length if rows are packed");
  fields.flag("pack", &pack, "tasks: several examples share a row, kept apart by segments");
  fields.text("tokenizer", &tokenizer,
              "tasks: SentencePiece model; empty: that of train.start_from or objective.teacher");
  fields.number("mixture_exponent", &mixture_exponent, 0, 1,
                "tasks: of their weights; 1: proportional, 0: all alike, 1 / T: temperature T");
  fields.number("noise_density", &noise_density, 0.001, 0.9, "share of tokens that spans hide");
  fields.number("mean_span_length", &mean_span_length, 1, 1000, "tokens of a hidden span, mean");
  fields.choice("on_damage", &on_damage, {"stop", "skip"},
                "where a piece of prepared data does not have its checksum: end with an error, or "
                "take other sequences instead of those that lie in it");
  fields.integer("loader_threads", &loader_threads, 1, 256,
                 "threads that make batches ahead of the training step");
}

}  // namespace switchyard
