// Refusals and failures in the form that OpenAI's clients read.
#pragma once

#include <string>

#include "base/error.h"
#include "serve/engine_loop.h"
#include "serve/http_server.h"

namespace switchyard {

/// {"error": {"message", "type", "param", "code"}} as JSON; "" becomes null. The type follows from
/// the status.
HttpReply error_reply(int status, const std::string& message, const std::string& param = {},
                      const std::string& code = {});

/// Of a job that failed.
HttpReply failure_reply(JobFailure failure);

/// Of a field that is wrong, as the readers of requests tell it: status 400.
HttpReply error_reply(const Error& error);

}  // namespace switchyard
