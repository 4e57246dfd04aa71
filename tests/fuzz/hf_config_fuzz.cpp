// config.json of a model directory: what is read has sizes in range, and written again it reads
// back as the same model.
#include "model/hf_config.h"

#include "base/log.h"
#include "tests/fuzz/target.h"

namespace switchyard {
namespace {

std::string settings_of(ModelConfig config) {
  FieldList fields;
  config.list_fields(fields);
  return fields.to_toml();
}

void check_sound(const ModelDescription& description) {
  const ModelConfig& config = description.config;
  fuzz::require(config.d_model > 0 && config.d_ff > 0 && config.d_kv > 0 && config.num_heads > 0,
                "a size is not positive");
  fuzz::require(config.vocab_size > 0 && config.moe.num_experts >= 0, "a count is negative");
  fits_hugging_face(config);
  const std::string text = model_description_text(config, description.dtype);
  const ModelDescription again = parse_model_description(text, "again");
  fuzz::require(again.own_settings && again.dtype == description.dtype, "another type comes back");
  fuzz::require(settings_of(again.config) == settings_of(config), "another model comes back");
}

}  // namespace
}  // namespace switchyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  set_log_level(LogLevel::kOff);  // warnings of odd settings
  return fuzz::run(
      [&] {
        return parse_model_description(std::string(fuzz::text_of(data, size)), "config.json");
      },
      check_sound);
}
