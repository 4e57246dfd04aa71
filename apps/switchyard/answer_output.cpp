#include "answer_output.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/format.h"
#include "base/log.h"
#include "base/progress.h"
#include "lines.h"

namespace switchyard {
namespace {

/// Whether a line is an answer to this request: the request's own keys are in it as they were.
bool answers(std::string_view line, const GenerateRequest& request) {
  const auto answer = nlohmann::ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object() || !answer.contains("output_ids")) return false;
  for (const char* key : {"input", "input_ids"}) {
    if (request.object.contains(key) != answer.contains(key)) return false;
  }
  for (const auto& [key, value] : request.object.items()) {
    const bool overwritten = key.starts_with("output") || key == "log_prob" || key == "score" ||
                             key == "filled" || key == "token_log_probs";
    if (!overwritten && (!answer.contains(key) || answer[key] != value)) return false;
  }
  return true;
}

}  // namespace

AnswerOutput::AnswerOutput(const std::string& path, const std::string& job) {
  if (!path.empty() && path != "-") file_.emplace(path, job);
  looking_ = file_.has_value();
}

bool AnswerOutput::has(const GenerateRequest& request) {
  if (!looking_) return false;
  const auto kept = file_->next_kept();
  if (kept && answers(*kept, request)) return true;
  if (kept) file_->drop_last_kept();  // another input
  looking_ = false;
  if (file_->kept() > 0) {
    log_info("going on with an interrupted run: {} answers are there",
             format_count(static_cast<long long>(file_->kept())));
  }
  return false;
}

void AnswerOutput::put(uint64_t number, std::string answer) {
  waiting_.emplace(number, std::move(answer));
  for (auto next = waiting_.begin(); next != waiting_.end() && next->first == written_;
       next = waiting_.erase(next)) {
    write(next->second);
    ++written_;
    lines_ += 1 + std::count(next->second.begin(), next->second.end(), '\n');
  }
  if (!file_ && std::fflush(stdout) != 0) {
    throw system_failure("cannot write", "standard output", errno);
  }
}

void AnswerOutput::write(const std::string& answer) {
  if (file_) {
    file_->write(answer);
  } else {
    print_line(answer);
  }
}

void AnswerOutput::tell_what_is_kept() const {
  const auto count = file_ ? static_cast<long long>(file_->kept()) + lines_ : 0;
  if (count == 0) return;
  log_info("{} answers are kept in {}: the same command goes on behind them", format_count(count),
           file_->partial_path());
}

void AnswerOutput::commit() {
  if (file_) file_->commit();
}

}  // namespace switchyard
