// A SentencePiece model's normalization table is a trie that the library walks without looking at
// its bounds. A damaged or hostile file must not get that far.
#pragma once

#include <string>
#include <string_view>

namespace switchyard {

/// What is wrong with the normalization tables of a serialized SentencePiece model, or "" if the
/// library can walk them safely. Reads the protocol buffer itself; never throws.
std::string find_model_damage(std::string_view model);

}  // namespace switchyard
