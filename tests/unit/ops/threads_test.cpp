#include <numeric>
#include <vector>

#include <omp.h>

#include "d2c/ops/attention.hpp"
#include "d2c/ops/linear.hpp"

#include "random_rows.hpp"
#include "test_support.hpp"

// Sizes above the threshold at which work is spread over threads.

namespace d2c::ops {
namespace {

class Threads : public testing::Test {
 protected:
  ~Threads() override { omp_set_num_threads(before_); }
  int before_ = omp_get_max_threads();
};

TEST_F(Threads, DoNotChangeTheBitsOfALinearLayer) {
  const Matrix x = test::random_matrix(500, 60, "x");
  const Matrix w = test::random_matrix(330, 60, "w");
  AlignedFloats panels(packed_floats(330, 60));
  pack_rows(rows_of(w), 0, 330, panels);
  const auto run = [&](int n_threads) {
    omp_set_num_threads(n_threads);
    Matrix y(500, 330);
    linear(rows_of(x), {330, 60, panels.data()}, rows_of(y));
    return y;
  };
  const Matrix one = run(1);
  EXPECT_EQ(run(2), one);
  EXPECT_EQ(run(3), one);
}

TEST_F(Threads, DoNotChangeTheBitsOfAttention) {
  const AttentionShape shape{4, 2, 32, 0.2F, 0};
  const Matrix q = test::random_matrix(300, 128, "q");
  const Matrix kv = test::random_matrix(300, 64, "kv");
  const std::vector<Segment> segments{{0, 100, -1, 0}, {100, 200, 0, 100}, {200, 300, -1, 0}};
  std::vector<Index> rows(300);
  std::iota(rows.begin(), rows.end(), Index{0});
  const auto run = [&](int n_threads) {
    omp_set_num_threads(n_threads);
    Matrix out(300, 128);
    Attention attention;
    attention(shape, segments, rows_of(q), rows_of(kv), rows_of(kv), rows, rows_of(out));
    return out;
  };
  const Matrix one = run(1);
  EXPECT_EQ(run(2), one);
  EXPECT_EQ(run(3), one);
}

}  // namespace
}  // namespace d2c::ops
