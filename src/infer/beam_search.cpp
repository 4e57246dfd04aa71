#include "infer/beam_search.h"

#include <algorithm>
#include <cmath>

namespace switchyard {
namespace {

struct Beam {
  std::vector<int32_t> ids;
  double sum = 0;   // of log-probabilities
  int64_t row = 0;  // in the step that its next ids come from
};

/// A beam continued by one id.
struct Candidate {
  double sum;
  size_t beam;
  int64_t id;
};

/// The search for one input.
struct Search {
  std::vector<Beam> running;        // best first
  std::vector<Generation> results;  // best first
};

/// The `count` best continuations, best first. log_p: [R, V].
std::vector<Candidate> best_candidates(const std::vector<Beam>& beams, const float* log_p,
                                       int64_t vocabulary, size_t count) {
  std::vector<Candidate> best;
  const auto better = [](const Candidate& a, const Candidate& b) { return a.sum > b.sum; };
  for (size_t b = 0; b < beams.size(); ++b) {
    const float* row = log_p + beams[b].row * vocabulary;
    for (int64_t id = 0; id < vocabulary; ++id) {
      const Candidate candidate{beams[b].sum + row[id], b, id};
      if (best.size() == count) {
        if (!better(candidate, best.back())) continue;
        best.pop_back();
      }
      best.insert(std::upper_bound(best.begin(), best.end(), candidate, better), candidate);
    }
  }
  return best;
}

void add_result(Search& search, Generation generation, size_t limit) {
  const auto better = [](const Generation& a, const Generation& b) { return a.score > b.score; };
  search.results.insert(
      std::upper_bound(search.results.begin(), search.results.end(), generation, better),
      std::move(generation));
  if (search.results.size() > limit) search.results.pop_back();
}

/// One step of one input: `length` ids are generated after it.
void advance(Search& search, const float* log_p, int64_t vocabulary, int64_t length,
             const BeamSearchOptions& options) {
  const auto beams = static_cast<size_t>(options.num_beams);
  const double divisor = std::pow(static_cast<double>(length), options.length_penalty);
  const auto candidates = best_candidates(search.running, log_p, vocabulary, 2 * beams);
  std::vector<Beam> next;
  for (size_t rank = 0; rank < candidates.size(); ++rank) {
    const Candidate& candidate = candidates[rank];
    std::vector<int32_t> ids = search.running[candidate.beam].ids;
    const bool eos = candidate.id == kDecoderEosId;
    if (!eos) ids.push_back(static_cast<int32_t>(candidate.id));
    if (eos || length == options.max_new_tokens) {
      if (rank >= beams) continue;
      add_result(search, {std::move(ids), candidate.sum, candidate.sum / divisor, eos}, beams);
    } else if (next.size() < beams) {
      next.push_back({std::move(ids), candidate.sum, search.running[candidate.beam].row});
    }
  }
  search.running = std::move(next);
  if (search.running.empty() || search.results.size() < beams) return;
  if (search.running.front().sum / divisor <= search.results.back().score) search.running.clear();
}

}  // namespace

std::vector<std::vector<Generation>> beam_search(StepDecoder& decoder,
                                                 const BeamSearchOptions& options) {
  const int64_t vocabulary = decoder.vocab_size();
  std::vector<Search> searches(static_cast<size_t>(decoder.num_inputs()));
  StepRows rows;
  for (size_t i = 0; i < searches.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    searches[i].running.push_back({{}, 0, row});
    rows.add(row, kDecoderStartId);
  }
  for (int64_t length = 1; rows.size() > 0; ++length) {
    const at::Tensor log_p = decoder.step(rows);
    rows = {};
    for (Search& search : searches) {
      if (search.running.empty()) continue;
      advance(search, log_p.const_data_ptr<float>(), vocabulary, length, options);
      for (Beam& beam : search.running) {
        rows.add(beam.row, beam.ids.back());
        beam.row = static_cast<int64_t>(rows.size()) - 1;
      }
    }
  }
  std::vector<std::vector<Generation>> results;
  for (Search& search : searches) {
    const auto wanted = static_cast<size_t>(options.num_return);
    if (search.results.size() > wanted) search.results.resize(wanted);
    results.push_back(std::move(search.results));
  }
  return results;
}

}  // namespace switchyard
