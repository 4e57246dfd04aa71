// Files for tests of readers and prepared data.
#pragma once

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/hash.h"
#include "data/prepared_writer.h"

namespace switchyard::testing {

/// Not synced, unlike write_file(): tests write many.
inline void put_file(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file.flush()) ADD_FAILURE() << "cannot write " << path;
}

/// One gzip member.
inline std::string gzip(std::string_view text) {
  z_stream stream{};
  ::deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string bytes(::deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
  bytes.resize(stream.total_out);
  ::deflateEnd(&stream);
  return bytes;
}

/// One zstandard frame, its content size not told in the header.
inline std::string zstd(std::string_view text, bool checksum = true, int window_log = 0) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, checksum);
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
  std::string bytes(ZSTD_compressBound(text.size()) + 64, '\0');
  ZSTD_inBuffer input{text.data(), text.size(), 0};
  ZSTD_outBuffer output{bytes.data(), bytes.size(), 0};
  ZSTD_compressStream2(context, &output, &input, ZSTD_e_continue);
  EXPECT_EQ(ZSTD_compressStream2(context, &output, &input, ZSTD_e_end), 0u);
  ZSTD_freeCCtx(context);
  bytes.resize(output.pos);
  return bytes;
}

/// Contents of all files below a folder, by relative path.
inline std::map<std::string, std::string> files_below(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    files[std::filesystem::relative(entry.path(), folder).string()] = read_file(entry.path());
  }
  return files;
}

/// Prepared data of the given documents; the tokenizer's file holds `tokenizer`.
inline Manifest write_prepared(const std::string& folder,
                               const std::vector<std::vector<int32_t>>& documents,
                               int32_t vocab_size, uint64_t shard_tokens = 1 << 27,
                               const std::string& tokenizer = "a model") {
  make_directories(folder);
  put_file(folder + "/" + Manifest::kTokenizerName, tokenizer);
  PreparedWriter writer(folder, vocab_size, shard_tokens);
  for (const auto& document : documents) writer.add_document(document);
  Manifest manifest;
  manifest.split = "train";
  manifest.tokenizer_hash = to_hex(hash64(std::string_view(tokenizer)));
  return writer.finish(manifest);
}

/// Makes the checksums of prepared data fit what its token files now hold.
inline void reseal(const std::string& folder) {
  const std::string path = folder + "/" + Manifest::kFileName;
  Manifest manifest = Manifest::from_json(read_file(path), path);
  PieceHasher pieces;
  for (ShardEntry& shard : manifest.shards) {
    const std::string tokens = read_file(folder + "/" + shard.name + ".tokens");
    shard.tokens_hash = to_hex(hash64(tokens));
    shard.index_hash = to_hex(hash64(read_file(folder + "/" + shard.name + ".index")));
    pieces.add(std::as_bytes(std::span(tokens)));
    pieces.end_file();
  }
  const auto sums = std::as_bytes(std::span(pieces.sums()));
  manifest.pieces->hash = to_hex(hash64(sums));
  put_file(folder + "/" + PieceSums::kFileName,
           {reinterpret_cast<const char*>(sums.data()), sums.size()});
  put_file(path, manifest.to_json());
}

/// `text`, a changed dataset.json, with the checksum at its end made to fit.
inline std::string with_checksum(std::string text) {
  const size_t tail = text.rfind(",\n  \"checksum\"");
  if (tail == std::string::npos) return text;
  const std::string hash = to_hex(hash64(std::string_view(text).substr(0, tail)));
  return text.replace(text.rfind('"') - hash.size(), hash.size(), hash);
}

/// Documents of `length` tokens that together count from 0 to `count` - 1.
inline std::vector<std::vector<int32_t>> counting_documents(int32_t count, int32_t length) {
  std::vector<std::vector<int32_t>> documents;
  for (int32_t begin = 0; begin < count; begin += length) {
    documents.emplace_back(static_cast<size_t>(std::min(length, count - begin)));
    std::iota(documents.back().begin(), documents.back().end(), begin);
  }
  return documents;
}

}  // namespace switchyard::testing
