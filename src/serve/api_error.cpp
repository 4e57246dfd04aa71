#include "serve/api_error.h"

#include <nlohmann/json.hpp>

#include "serve/request_fields.h"

namespace switchyard {
namespace {

const char* error_type(int status) {
  if (status == 401) return "authentication_error";
  if (status == 404 || status == 405) return "not_found_error";
  if (status == 429) return "rate_limit_error";
  if (status == 504) return "timeout_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

/// {"error": {"message", "type", "param", "code"}} as JSON text; "" becomes null.
std::string error_json(int status, const std::string& message, const std::string& param,
                       const std::string& code) {
  using Json = nlohmann::ordered_json;
  const auto or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  const Json json = {{"error",
                      {{"message", message},
                       {"type", error_type(status)},
                       {"param", or_null(param)},
                       {"code", or_null(code)}}}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

HttpReply error_reply(int status, const std::string& message, const std::string& param,
                      const std::string& code) {
  HttpReply reply;
  reply.status = status;
  reply.body = error_json(status, message, param, code);
  if (status == 401) reply.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (status == 429 || status == 503) reply.headers.emplace_back("Retry-After", "1");
  return reply;
}

HttpReply failure_reply(JobFailure failure) {
  switch (failure) {
    case JobFailure::kTimeout:
      return error_reply(504, "the request took longer than the server allows", "", "timeout");
    case JobFailure::kStopped:
      return error_reply(503, "the server is stopping", "", "draining");
    case JobFailure::kMemory:
      return error_reply(500, "the server ran out of memory");
    case JobFailure::kModel:
      break;
  }
  return error_reply(500, "the model's numbers are not finite");
}

HttpReply error_reply(const Error& error) {
  const bool of_field = !error.where_part().starts_with(kRequestBody);
  return error_reply(400, error.what(), of_field ? error.where_part() : "");
}

}  // namespace switchyard
