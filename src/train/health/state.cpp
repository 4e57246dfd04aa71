#include "train/health/state.h"

#include <nlohmann/json.hpp>

namespace switchyard {

nlohmann::json HealthState::to_json() const {
  return {{"losses", losses},
          {"starved", starved},
          {"skipped_updates", skipped_updates},
          {"skipped_in_a_row", skipped_in_a_row},
          {"found", found}};
}

HealthState HealthState::from_json(const nlohmann::json& object) {
  HealthState state;
  object.at("losses").get_to(state.losses);
  object.at("starved").get_to(state.starved);
  object.at("skipped_updates").get_to(state.skipped_updates);
  object.at("skipped_in_a_row").get_to(state.skipped_in_a_row);
  object.at("found").get_to(state.found);
  return state;
}

}  // namespace switchyard
