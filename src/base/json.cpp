#include "base/json.h"

#include <set>
#include <vector>

#include "base/format.h"

namespace switchyard {

template <class Json>
Json parse_json(std::string_view text, const std::string& where, ErrorKind kind) {
  std::vector<std::set<std::string>> keys;  // of the objects that are open, outermost first
  const auto watch = [&](int depth, typename Json::parse_event_t event, Json& parsed) {
    using Event = typename Json::parse_event_t;
    if (depth > kMaxJsonDepth) {
      throw Error(kind, format("JSON nested more than {} levels deep", kMaxJsonDepth), where);
    }
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(parsed.template get<std::string>()).second) {
      throw Error(
          kind,
          format("the key '{:.80}' stands twice in one object", parsed.template get<std::string>()),
          where);
    }
    return true;
  };
  try {
    return Json::parse(text, watch);
  } catch (const typename Json::parse_error& error) {
    throw Error(kind, "not valid JSON", format("{}, byte {}", where, error.byte));
  } catch (const typename Json::exception&) {  // a number beyond all floating-point ranges
    throw Error(kind, "not valid JSON: a number out of range", where);
  }
}

template nlohmann::json parse_json(std::string_view, const std::string&, ErrorKind);
template nlohmann::ordered_json parse_json(std::string_view, const std::string&, ErrorKind);

}  // namespace switchyard
