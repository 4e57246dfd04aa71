#include "commands.h"

namespace switchyard {

void add_tokenizer_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("tokenizer", "Text -> SentencePiece ids");
  command->callback([&global] { (void)global; });
}

}  // namespace switchyard
