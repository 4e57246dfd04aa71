// What the watch over a run found, and what follows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace switchyard {

enum class FindingKind { kNotFinite, kSpike, kStarved, kSlow };
inline constexpr int kNumFindingKinds = 4;

/// The key of [health] that sets the policy: "not_finite", "spike", ...
const char* finding_name(FindingKind kind);

/// In order of weight: of several the last one is taken.
enum class HealthAction { kGoOn, kSkip, kRollBack, kStop };

/// Of a policy's name as it stands in a recipe ("warn" is kGoOn).
HealthAction action_of(const std::string& policy);

/// "go on", "skip", "roll back", "stop".
const char* action_name(HealthAction action);

struct Finding {
  FindingKind kind;
  HealthAction action;
  std::string text;        // one line in words, with stack, block and expert
  int64_t first_step = 0;  // at which the trouble began
};

struct Verdict {
  HealthAction action = HealthAction::kGoOn;
  std::vector<Finding> findings;
  bool weights_finite = true;  // false: a checkpoint made now would be worth nothing

  /// All findings, "; " between them.
  std::string text() const;
  /// The earliest of its findings' steps.
  int64_t first_step() const;
};

}  // namespace switchyard
