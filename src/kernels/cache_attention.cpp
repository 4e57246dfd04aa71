#include "kernels/cache_attention.h"

namespace switchyard::kernels {

void cache_store(const CacheStore<float>& arguments) {
  table<CacheAttentionTable>().store_f32(arguments);
}
void cache_store(const CacheStore<Bf16>& arguments) {
  table<CacheAttentionTable>().store_bf16(arguments);
}
void cache_attention(const CacheAttention<float>& arguments) {
  table<CacheAttentionTable>().attend_f32(arguments);
}
void cache_attention(const CacheAttention<Bf16>& arguments) {
  table<CacheAttentionTable>().attend_bf16(arguments);
}

}  // namespace switchyard::kernels
