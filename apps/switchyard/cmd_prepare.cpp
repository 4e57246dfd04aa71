#include "commands.h"

namespace switchyard {

void add_prepare_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("prepare", "Text -> training data");
  command->callback([&global] { (void)global; });
}

}  // namespace switchyard
