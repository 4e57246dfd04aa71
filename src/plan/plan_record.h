// A plan as text and as JSON.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "plan/failures.h"
#include "plan/plan.h"
#include "plan/search.h"

namespace switchyard {

std::string plan_text(const PlanRequest& request, const Plan& plan);
nlohmann::ordered_json plan_json(const PlanRequest& request, const Plan& plan);

std::string simulation_text(const SimulationResult& result);
nlohmann::ordered_json simulation_json(const SimulationResult& result);

std::string failures_text(const FailureOptions& options, const FailurePlan& plan);
nlohmann::ordered_json failures_json(const FailureOptions& options, const FailurePlan& plan);

/// The fastest ones.
std::string search_text(const SearchResult& result, size_t shown = 10);
nlohmann::ordered_json search_json(const SearchResult& result);

}  // namespace switchyard
