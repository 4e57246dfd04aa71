// Attention and its gradients against plain loops in double: all instruction sets, odd sizes, odd
// addresses, strides, all masks.
#include "kernels/attention.h"

#include <limits>
#include <ostream>

#include "kernels/test_data.h"

namespace switchyard::kernels {
namespace {

using testing::Buffer;
using testing::fill_random;
using testing::with_threads;

template <class T>
auto forward_of(const AttentionTable& table) {
  if constexpr (std::is_same_v<T, float>)
    return table.forward_f32;
  else
    return table.forward_bf16;
}
template <class T>
auto backward_of(const AttentionTable& table) {
  if constexpr (std::is_same_v<T, float>)
    return table.backward_f32;
  else
    return table.backward_bf16;
}

enum class Segments { kNone, kPadding, kPacked, kScattered };

struct Shape {
  int64_t batch, heads, queries, keys, width;
  bool bias = true, causal = false;
  Segments segments = Segments::kNone;
};
std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << "B " << s.batch << " H " << s.heads << " S " << s.queries << " T " << s.keys
             << " K " << s.width << (s.bias ? " bias" : "") << (s.causal ? " causal" : "")
             << " segments " << static_cast<int>(s.segments);
}

// Rows of one sequence. kPadding: the last third is another segment that no query asks for, and the
// last sequence is all padding; kPacked: runs of rising length; kScattered: gaps between equal
// ones.
int64_t segment_of(Segments kind, int64_t b, int64_t position, int64_t length, bool is_key) {
  switch (kind) {
    case Segments::kNone:
      return 0;
    case Segments::kPadding:
      return is_key && (b == 1 || position >= length - length / 3) ? 0 : 1;
    case Segments::kPacked:
      return position * 3 / std::max<int64_t>(length, 1) + b;
    case Segments::kScattered:
      return (position * 7 / 3 + b) % 3 - 1;
  }
  return 0;
}

template <class T>
struct Case {
  explicit Case(const Shape& shape)
      : s(shape),
        row(s.heads * s.width),
        stride(row + 5),
        q(s.batch * s.queries * stride),
        k(s.batch * s.keys * row),
        v(s.batch * s.keys * stride),
        out(s.batch * s.queries * row),
        dout(out.size()),
        dq(out.size()),
        dk(s.batch * s.keys * row),
        dv(dk.size()),
        bias(s.heads * (s.queries + s.keys - 1)),
        dbias(bias.size()),
        log_sum(s.batch * s.heads * s.queries),
        query_segments(s.batch * s.queries, false),
        key_segments(s.batch * s.keys, false) {
    // Scores of a few units, as in a model: sums of K products.
    fill_random(q, 1, 2.0f / std::sqrt(static_cast<float>(s.width)));
    fill_random(k, 2);
    fill_random(v, 3);
    fill_random(dout, 4);
    fill_random(bias, 5);
    for (int64_t i = 0; i < query_segments.size(); ++i) {
      query_segments[i] =
          segment_of(s.segments, i / s.queries, i % s.queries, s.queries, /*is_key=*/false);
    }
    for (int64_t j = 0; j < key_segments.size(); ++j) {
      key_segments[j] = segment_of(s.segments, j / s.keys, j % s.keys, s.keys, /*is_key=*/true);
    }
  }
  AttentionInputs<T> inputs() const {
    const bool segmented = s.segments != Segments::kNone;
    return {s.batch,
            s.heads,
            s.queries,
            s.keys,
            s.width,
            q.data(),
            k.data(),
            v.data(),
            stride,
            row,
            stride,
            s.bias ? bias.data() : nullptr,
            s.causal,
            segmented ? query_segments.data() : nullptr,
            segmented ? key_segments.data() : nullptr};
  }
  void forward(const AttentionTable& table) {
    forward_of<T>(table)({inputs(), out.data(), log_sum.data()});
  }
  void backward(const AttentionTable& table) {
    backward_of<T>(table)({inputs(), dout.data(), log_sum.data(), dq.data(), dk.data(), dv.data(),
                           s.bias ? dbias.data() : nullptr});
  }
  bool visible(int64_t b, int64_t i, int64_t j) const {
    if (s.causal && j > i + s.keys - s.queries) return false;
    return query_segments[b * s.queries + i] == key_segments[b * s.keys + j];
  }

  Shape s;
  int64_t row, stride;
  Buffer<T> q, k, v, out, dout, dq, dk, dv;
  Buffer<float> bias, dbias, log_sum;
  Buffer<int64_t> query_segments, key_segments;
};

using Doubles = std::vector<double>;

// The same results in double.
struct Expected {
  Doubles out, log_sum, dq, dk, dv, dbias;
};

template <class T>
Expected naive(const Case<T>& c) {
  const Shape& s = c.s;
  const auto doubles = [](int64_t size) { return Doubles(static_cast<size_t>(size)); };
  Expected e{doubles(c.out.size()), doubles(c.log_sum.size()), doubles(c.dq.size()),
             doubles(c.dk.size()),  doubles(c.dv.size()),      doubles(c.dbias.size())};
  Doubles p = doubles(s.keys), dp = doubles(s.keys);
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t h = 0; h < s.heads; ++h) {
      for (int64_t i = 0; i < s.queries; ++i) {
        const T* q = c.q.data() + (b * s.queries + i) * c.stride + h * s.width;
        const int64_t to = (b * s.queries + i) * c.row + h * s.width;
        const auto k = [&](int64_t j) {
          return c.k.data() + (b * s.keys + j) * c.row + h * s.width;
        };
        const auto v = [&](int64_t j) {
          return c.v.data() + (b * s.keys + j) * c.stride + h * s.width;
        };
        const auto offset = [&](int64_t j) {
          return h * (s.queries + s.keys - 1) + j - i + s.queries - 1;
        };
        double top = -std::numeric_limits<double>::infinity(), sum = 0, delta = 0;
        for (int64_t j = 0; j < s.keys; ++j) {
          double& score = p[static_cast<size_t>(j)];
          score = s.bias ? c.bias[offset(j)] : 0.0;
          for (int64_t d = 0; d < s.width; ++d) {
            score += static_cast<double>(to_float(q[d])) * to_float(k(j)[d]);
          }
          if (c.visible(b, i, j)) top = std::max(top, score);
        }
        for (int64_t j = 0; j < s.keys; ++j) {
          double& score = p[static_cast<size_t>(j)];
          score = c.visible(b, i, j) ? std::exp(score - top) : 0.0;
          sum += score;
        }
        e.log_sum[static_cast<size_t>((b * s.heads + h) * s.queries + i)] =
            sum > 0 ? top + std::log(sum) : std::numeric_limits<double>::infinity();
        if (sum == 0) continue;
        for (int64_t j = 0; j < s.keys; ++j) {
          const auto at = static_cast<size_t>(j);
          p[at] /= sum;
          dp[at] = 0;
          for (int64_t d = 0; d < s.width; ++d) {
            const double g = to_float(c.dout[to + d]);
            e.out[static_cast<size_t>(to + d)] += p[at] * to_float(v(j)[d]);
            e.dv[static_cast<size_t>((b * s.keys + j) * c.row + h * s.width + d)] += p[at] * g;
            dp[at] += g * to_float(v(j)[d]);
          }
          delta += p[at] * dp[at];
        }
        for (int64_t j = 0; j < s.keys; ++j) {
          const auto at = static_cast<size_t>(j);
          const double ds = p[at] * (dp[at] - delta);
          e.dbias[static_cast<size_t>(offset(j))] += ds;
          for (int64_t d = 0; d < s.width; ++d) {
            e.dq[static_cast<size_t>(to + d)] += ds * to_float(k(j)[d]);
            e.dk[static_cast<size_t>((b * s.keys + j) * c.row + h * s.width + d)] +=
                ds * to_float(q[d]);
          }
        }
      }
    }
  }
  return e;
}

// The largest error allowed is a share of the largest value: every result is a sum of products, and
// bfloat16 kernels round the probabilities (8 bits) before the second product.
template <class T>
void expect_near(const char* name, const Buffer<T>& actual, const Doubles& expected, double share) {
  double largest = 1e-2;
  for (const double value : expected) {
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
  }
  for (int64_t i = 0; i < actual.size(); ++i) {
    const double value = expected[static_cast<size_t>(i)];
    if (std::isinf(value)) {
      ASSERT_EQ(to_float(actual[i]), value) << name << ' ' << i;
    } else {
      ASSERT_NEAR(to_float(actual[i]), value, share * largest) << name << ' ' << i;
    }
  }
}

template <class T>
void compare(const Shape& shape) {
  constexpr bool kWide = std::is_same_v<T, float>;
  SCOPED_TRACE(::testing::Message() << shape << (kWide ? " float" : " bf16"));
  const double share = kWide ? 1e-5 : 8e-3;
  Case<T> c(shape);
  const Expected e = naive(c);
  for (const Isa isa : available_isas()) {
    SCOPED_TRACE(isa_name(isa));
    c.forward(table<AttentionTable>(isa));
    c.backward(table<AttentionTable>(isa));
    expect_near("output", c.out, e.out, share);
    expect_near("log_sum", c.log_sum, e.log_sum, 1e-5);
    expect_near("dquery", c.dq, e.dq, share);
    expect_near("dkey", c.dk, e.dk, share);
    expect_near("dvalue", c.dv, e.dv, share);
    if (shape.bias) expect_near("dbias", c.dbias, e.dbias, 3e-5);
  }
}

void compare_all(const Shape& shape) {
  compare<float>(shape);
  compare<Bf16>(shape);
}

TEST(Attention, EqualsNaiveLoopsForAnyWidth) {
  for (const int64_t width : {1, 2, 7, 16, 31, 32, 33, 64, 80, 129, 256}) {
    compare_all({.batch = 1, .heads = 2, .queries = 19, .keys = 35, .width = width});
  }
}

TEST(Attention, EqualsNaiveLoopsForAnyLength) {
  for (const int64_t queries : {1, 2, 15, 33, 65, 130}) {
    for (const int64_t keys : {1, 3, 32, 47, 161}) {
      compare_all({.batch = 2, .heads = 1, .queries = queries, .keys = keys, .width = 11});
    }
  }
}

TEST(Attention, EqualsNaiveLoopsUnderAnyMask) {
  for (const bool bias : {false, true}) {
    for (const bool causal : {false, true}) {
      for (const Segments segments :
           {Segments::kNone, Segments::kPadding, Segments::kPacked, Segments::kScattered}) {
        for (const auto& [queries, keys] :
             {std::pair<int64_t, int64_t>{100, 100}, {29, 96}, {70, 29}, {1, 40}, {5, 5}}) {
          compare_all({2, 1, queries, keys, 32, bias, causal, segments});
        }
      }
    }
  }
}

TEST(Attention, SameBitsForAnyNumberOfThreads) {
  const Shape shape{5, 3, 100, 90, 32, true, true, Segments::kPadding};
  Case<Bf16> one(shape), three(shape);
  with_threads(1, [&] {
    one.forward(table<AttentionTable>());
    one.backward(table<AttentionTable>());
  });
  with_threads(3, [&] {
    three.forward(table<AttentionTable>());
    three.backward(table<AttentionTable>());
  });
  for (int64_t i = 0; i < one.out.size(); ++i) {
    ASSERT_EQ(one.out[i].bits, three.out[i].bits);
    ASSERT_EQ(one.dq[i].bits, three.dq[i].bits);
  }
  for (int64_t i = 0; i < one.dk.size(); ++i) {
    ASSERT_EQ(one.dk[i].bits, three.dk[i].bits);
    ASSERT_EQ(one.dv[i].bits, three.dv[i].bits);
  }
  for (int64_t i = 0; i < one.dbias.size(); ++i) ASSERT_EQ(one.dbias[i], three.dbias[i]);
}

TEST(Attention, LargeScoresStayFinite) {
  for (const Isa isa : available_isas()) {
    Case<float> c({1, 1, 8, 40, 16});
    for (int64_t i = 0; i < c.q.size(); ++i) c.q[i] *= 1e4f;
    c.forward(table<AttentionTable>(isa));
    c.backward(table<AttentionTable>(isa));
    for (int64_t i = 0; i < c.out.size(); ++i) {
      EXPECT_TRUE(std::isfinite(c.out[i]));
      EXPECT_TRUE(std::isfinite(c.dq[i]));
    }
  }
}

TEST(Attention, NanStaysInItsRow) {
  for (const Isa isa : available_isas()) {
    Case<Bf16> c({1, 1, 3, 50, 16});
    c.q[c.stride] = to_bf16(std::nanf(""));  // query 1
    c.forward(table<AttentionTable>(isa));
    for (int64_t i = 0; i < 16; ++i) {
      EXPECT_FALSE(std::isnan(to_float(c.out[i])));
      EXPECT_TRUE(std::isnan(to_float(c.out[16 + i])));
      EXPECT_FALSE(std::isnan(to_float(c.out[32 + i])));
    }
  }
}

}  // namespace
}  // namespace switchyard::kernels
