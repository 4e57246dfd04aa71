// The trained model that a student learns from (paper section 2.3).
#pragma once

#include <memory>
#include <string>

#include "model/encoder_decoder.h"
#include "ops/ops.h"
#include "train/recipe.h"

namespace switchyard {

/// Not thread-safe.
class Teacher {
 public:
  /// `path`: a model directory or a run. Its experts have room for all tokens, so that what it says
  /// does not depend on how the student's batch is cut. Throws as load_weights(), and Error(kUsage)
  /// if its vocabulary is not the student's.
  Teacher(const std::string& path, Precision precision, const ModelConfig& student);

  const ModelConfig& config() const { return model_->config(); }
  /// Of all its weights.
  std::string fingerprint() const;
  /// What it makes of a batch, in evaluation. Valid as long as the teacher.
  ops::SoftTargets soft_targets(const Batch& batch, const ObjectiveConfig& objective);

  /// Gives the student's parameters the teacher's values where both have one of that name. `how`
  /// (objective.student_start) says what becomes of a dense feed-forward in whose place the teacher
  /// has experts: "fresh" leaves it, "average" gives it their mean, "most_used" the expert that
  /// most tokens of `sample` go to. Refreshes the compute copies. Throws Error(kUsage) if a shape
  /// differs.
  void start_student(const std::string& how, const Batch& sample, EncoderDecoder& student);

 private:
  /// Of each routed layer by the name of its feed-forward, "encoder.block.1.layer.1.mlp".
  int64_t most_used_expert(const std::string& feed_forward, const Batch& sample);

  std::string path_;
  std::unique_ptr<EncoderDecoder> model_;
  std::vector<RoutingStats> routing_;  // of the sample
};

}  // namespace switchyard
