// The files behind a list of inputs: files, folders, standard input.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace switchyard {

struct InputFile {
  std::string path;    // "-": standard input
  bool json = false;   // one JSON object a line, else plain text
  uint64_t bytes = 0;  // size on disk, 0 where unknown
};

/// Files in the order given, folders with all below them sorted by path. In folders only .txt,
/// .text, .jsonl and .ndjson count, each also with .gz, .dz or .zst; a file named by itself may be
/// called anything. `format`: "text", "jsonl" or "auto" (by the name). Throws Error(kUsage) for an
/// input that is missing or a folder without such files.
std::vector<InputFile> find_input_files(const std::vector<std::string>& inputs,
                                        const std::string& format = "auto");

}  // namespace switchyard
