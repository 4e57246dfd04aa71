#include "read_options.h"

namespace switchyard {

void add_read_options(CLI::App& command, ReadOptions& options) {
  command
      .add_option("--input", options.inputs,
                  "Files, folders (searched for .txt and .jsonl) or - for standard input; gzip and "
                  "zstandard are recognised")
      ->required()
      ->option_text("FILE...");
  command.add_option("--format", options.format, "auto (by the file's name), text or jsonl")
      ->check(CLI::IsMember({"auto", "text", "jsonl"}))
      ->option_text("NAME=auto");
  command
      .add_option(
          "--documents", options.documents,
          "What a document of plain text is: paragraph (a blank line ends it), line or file")
      ->check(CLI::IsMember({"paragraph", "line", "file"}))
      ->option_text("NAME=paragraph");
  command.add_option("--text-key", options.text_key, "Key of the text in a line of jsonl")
      ->option_text("KEY=text");
  command
      .add_option("--invalid-utf8", options.invalid_utf8,
                  "Documents with invalid UTF-8: replace the bytes by U+FFFD, or skip the document")
      ->check(CLI::IsMember({"replace", "skip"}))
      ->option_text("NAME=replace");
  command
      .add_option("--max-document-bytes", options.max_document_bytes,
                  "Longer documents are cut at white space")
      ->check(CLI::Range(uint64_t{1024}, uint64_t{1} << 30))
      ->option_text("N=16777216");
}

}  // namespace switchyard
