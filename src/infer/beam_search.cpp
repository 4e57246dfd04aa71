#include "infer/beam_search.h"

#include <algorithm>
#include <cmath>

namespace switchyard {
namespace {

struct Beam {
  std::vector<int32_t> ids;
  double sum = 0;   // of scores
  int64_t row = 0;  // in the step that its next ids come from
  std::vector<double> token_log_probs;
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

/// The scores of a beam's continuations: log_p [V] under the limits of repetition.
const float* scores_of(const Beam& beam, const float* log_p, int64_t vocabulary,
                       const OutputOptions& options, std::vector<float>& changed) {
  if (!options.changes_scores()) return log_p;
  changed.assign(log_p, log_p + vocabulary);
  std::vector<int32_t> history = {static_cast<int32_t>(kDecoderStartId)};
  history.insert(history.end(), beam.ids.begin(), beam.ids.end());
  limit_repetition(changed, history, options);
  return changed.data();
}

/// The `count` best continuations, best first. log_p: [R, V].
std::vector<Candidate> best_candidates(const std::vector<Beam>& beams, const float* log_p,
                                       int64_t vocabulary, size_t count,
                                       const OutputOptions& options) {
  std::vector<Candidate> best;
  std::vector<float> changed;
  const auto better = [](const Candidate& a, const Candidate& b) { return a.sum > b.sum; };
  for (size_t b = 0; b < beams.size(); ++b) {
    const float* row =
        scores_of(beams[b], log_p + beams[b].row * vocabulary, vocabulary, options, changed);
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

Generation ended(const Beam& beam, const Candidate& candidate, bool stopped, double divisor) {
  Generation generation;
  generation.ids = beam.ids;
  generation.score = candidate.sum / divisor;
  generation.finished = candidate.id == kDecoderEosId;
  generation.stopped = stopped;
  generation.token_log_probs = beam.token_log_probs;
  for (const double log_p : beam.token_log_probs) generation.log_prob += log_p;
  return generation;
}

/// One step of one input: `length` ids are generated after it.
void advance(Search& search, const float* log_p, int64_t vocabulary, int64_t length,
             const BeamSearchOptions& options) {
  const auto beams = static_cast<size_t>(options.num_beams);
  const double divisor = std::pow(static_cast<double>(length), options.length_penalty);
  const auto candidates =
      best_candidates(search.running, log_p, vocabulary, 2 * beams, options.output);
  std::vector<Beam> next;
  for (size_t rank = 0; rank < candidates.size(); ++rank) {
    const Candidate& candidate = candidates[rank];
    Beam beam = search.running[candidate.beam];
    beam.sum = candidate.sum;
    beam.token_log_probs.push_back(log_p[beam.row * vocabulary + candidate.id]);
    const bool eos = candidate.id == kDecoderEosId;
    if (!eos) beam.ids.push_back(static_cast<int32_t>(candidate.id));
    const bool stopped = !eos && options.output.stop && options.output.stop(beam.ids);
    if (eos || stopped || length == options.max_new_tokens) {
      if (rank >= beams) continue;
      add_result(search, ended(beam, candidate, stopped, divisor), beams);
    } else if (next.size() < beams) {
      next.push_back(std::move(beam));
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
    searches[i].running.push_back({options.output.prefix, 0, row, {}});
    rows.add(row, kDecoderStartId);
  }
  feed_prefix(decoder, options.output.prefix, rows);
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
