// Softmax attention with T5's bias by offset, and its gradients, float32 inside, without any
// [S, T] matrix in memory: a block of query rows and all its keys at a time. T: float or Bf16.
// B: sequences, S: query positions, T: key positions, H: heads, K: width of a head (d_kv).
// Uses the threads of OpenMP, one (sequence, head) at a time; results do not depend on their
// number. No output may overlap an input. Throws std::bad_alloc.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/dispatch.h"

namespace switchyard::kernels {

template <class T>
struct AttentionInputs {
  int64_t batch, heads, queries, keys, width;  // B, H, S, T, K
  // [B, S, H, K] and [B, T, H, K]; strides: elements from one position to the next, >= H * K.
  const T* query;
  const T* key;
  const T* value;
  int64_t query_stride, key_stride, value_stride;
  const float* offset_bias;       // [H, S + T - 1] or null: score(i, j) += bias[h, j - i + S - 1]
  bool causal;                    // key j is visible to query i only if j <= i + (T - S)
  const int64_t* query_segments;  // [B, S], [B, T] or both null: visible only if equal
  const int64_t* key_segments;
};

template <class T>
struct AttentionForward {
  AttentionInputs<T> in;
  T* output;       // [B, S, H, K]; rows that see no key are 0
  float* log_sum;  // [B, H, S]: log of the sum of exp(score), kept for the gradient; else infinity
};

template <class T>
struct AttentionBackward {
  AttentionInputs<T> in;
  const T* doutput;      // [B, S, H, K]
  const float* log_sum;  // [B, H, S]
  T* dquery;             // [B, S, H, K]
  T* dkey;               // [B, T, H, K]
  T* dvalue;             // [B, T, H, K]
  float* doffset_bias;   // [H, S + T - 1] or null; overwritten
};

struct AttentionTable {
  void (*forward_f32)(const AttentionForward<float>&);
  void (*forward_bf16)(const AttentionForward<Bf16>&);
  void (*backward_f32)(const AttentionBackward<float>&);
  void (*backward_bf16)(const AttentionBackward<Bf16>&);
};

void attention_forward(const AttentionForward<float>& arguments);
void attention_forward(const AttentionForward<Bf16>& arguments);
void attention_backward(const AttentionBackward<float>& arguments);
void attention_backward(const AttentionBackward<Bf16>& arguments);

}  // namespace switchyard::kernels
