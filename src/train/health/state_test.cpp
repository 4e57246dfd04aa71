#include "train/health/state.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace switchyard {
namespace {

TEST(HealthState, SurvivesACheckpointExactly) {
  HealthState state;
  state.losses = {1.0 / 3, 1e-300, 7};
  state.starved["encoder.1"] = {0, 5, 1};
  state.skipped_updates = 12;
  state.skipped_in_a_row = 2;
  state.found = {1, 2, 3, 4};
  const HealthState again = HealthState::from_json(nlohmann::json::parse(state.to_json().dump()));
  EXPECT_EQ(again.losses, state.losses);
  EXPECT_EQ(again.starved, state.starved);
  EXPECT_EQ(again.skipped_updates, 12);
  EXPECT_EQ(again.skipped_in_a_row, 2);
  EXPECT_EQ(again.found, state.found);
  EXPECT_EQ(again.to_json(), state.to_json());
}

}  // namespace
}  // namespace switchyard
