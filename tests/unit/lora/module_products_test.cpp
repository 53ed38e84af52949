#include "d2c/lora/module_products.hpp"

#include <cmath>

#include "adapter_fixture.hpp"
#include "serial_gram.hpp"

namespace d2c::lora {
namespace {

/// delta W in float64, entry by entry.
std::vector<double> dense(const Factors& f) {
  std::vector<double> result;
  for (Index i = 0; i < f.d_out(); ++i) {
    for (Index j = 0; j < f.d_in(); ++j) {
      double sum = 0.0;
      for (Index k = 0; k < f.rank(); ++k) sum += double(f.b(i, k)) * double(f.a(k, j));
      result.push_back(f.scaling * sum);
    }
  }
  return result;
}

FactorMap absolute(FactorMap modules) {
  for (auto& [name, f] : modules) {
    for (Matrix* m : {&f.a, &f.b}) {
      for (float& value : m->values()) value = std::abs(value);
    }
    f.scaling = std::abs(f.scaling);
  }
  return modules;
}

double dense_inner(const FactorMap& x, const FactorMap& y) {
  double result = 0.0;
  for (const auto& [name, factors] : x) {
    if (!y.contains(name)) continue;
    const auto dx = dense(factors);
    const auto dy = dense(y.at(name));
    for (std::size_t i = 0; i < dx.size(); ++i) result += dx[i] * dy[i];
  }
  return result;
}

/// Adapters with different ranks (odd ones too), scalings and modules.
std::vector<FactorMap> example() {
  std::vector<FactorMap> adapters(6);
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    const auto rank = static_cast<Index>(1 + 3 * i);
    adapters[i]["m.q"] = random_factors(20, 30, rank, 10 * i, 0.5 + double(i));
    if (i != 2) adapters[i]["m.v"] = random_factors(17, 5, rank + 1, 10 * i + 1, -1.25);
  }
  return adapters;
}

std::vector<const FactorMap*> pointers(std::span<const FactorMap> adapters) {
  std::vector<const FactorMap*> result;
  for (const FactorMap& adapter : adapters) result.push_back(&adapter);
  return result;
}

TEST(Gram, EqualsInnerProductsOfDenseUpdates) {
  const auto adapters = example();
  const auto all = pointers(adapters);
  const auto g = gram(all, all);
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < all.size(); ++j) {
      // Chains of at most 30 products in float32, two factors of them in each term; the rest in
      // double is nothing beside that.
      const double tolerance =
          2.0 * 31.0 * 0x1p-24 * dense_inner(absolute(adapters[i]), absolute(adapters[j]));
      EXPECT_NEAR(g[i * all.size() + j], dense_inner(adapters[i], adapters[j]), tolerance)
          << i << ", " << j;
    }
  }
}

/// tr((A_x A_y^T)(B_y^T B_x)) in double throughout.
double trace(const Factors& x, const Factors& y) {
  double result = 0.0;
  for (Index k = 0; k < x.rank(); ++k) {
    for (Index l = 0; l < y.rank(); ++l) {
      double a = 0.0;
      double b = 0.0;
      for (Index j = 0; j < x.d_in(); ++j) a += double(x.a(k, j)) * double(y.a(l, j));
      for (Index i = 0; i < x.d_out(); ++i) b += double(x.b(i, k)) * double(y.b(i, l));
      result += a * b;
    }
  }
  return x.scaling * y.scaling * result;
}

/// Sizes on both sides of all that products are cut into: chains, tiles, panels.
TEST(Gram, AgreesWithDoublesTo1e6OfTheNormsForAnySizes) {
  for (const auto& [d_out, d_in] : {std::pair{1, 1}, {513, 512}, {16, 1040}}) {
    std::vector<FactorMap> adapters;
    for (const Index rank : {1, 40, 97, 16, 260}) {
      adapters.emplace_back()["m"] =
          random_factors(d_out, d_in, rank, static_cast<std::uint64_t>(rank), 0.5);
    }
    // Near relatives, whose products add up without cancelling.
    adapters.push_back(adapters[1]);
    for (float& value : adapters.back()["m"].a.values()) value *= 1.001F;
    std::vector<const FactorMap*> all;
    for (const FactorMap& adapter : adapters) all.push_back(&adapter);
    const auto g = gram(all, all);
    const std::size_t n = all.size();
    std::vector<double> norms;
    for (FactorMap& adapter : adapters)
      norms.push_back(std::sqrt(trace(adapter["m"], adapter["m"])));
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        EXPECT_NEAR(g[i * n + j], trace(adapters[i]["m"], adapters[j]["m"]),
                    1e-6 * norms[i] * norms[j])
            << d_out << " x " << d_in << ": " << i << ", " << j;
      }
    }
  }
}

TEST(ModuleProducts, AreTheSameForVisitorsAnywhereInMemoryAndOnlyThoseWanted) {
  const Shape shape{20, 30};
  std::vector<Factors> adapters;
  for (std::uint64_t i = 0; i < 9; ++i)
    adapters.push_back(random_factors(30, 20, static_cast<Index>(3 + 5 * i), i));
  std::vector<const Factors*> hosts;
  for (const Factors& f : adapters) hosts.push_back(&f);
  hosts[4] = nullptr;
  std::vector<float> together;
  std::vector<std::vector<float>> apart;
  for (const Factors& f : adapters) {
    auto& rows = apart.emplace_back(static_cast<std::size_t>(f.rank() * shape.width()));
    write_components(f, rows);
    EXPECT_EQ(rows[1], f.a(0, 1));
    EXPECT_EQ(rows[static_cast<std::size_t>(shape.width() + shape.d_in + 2)], f.b(2, 1));
    together.insert(together.end(), rows.begin(), rows.end());
  }
  for (const Kind kind : {Kind::update, Kind::factors}) {
    std::vector<std::vector<double>> results;
    for (const bool is_together : {true, false}) {
      std::vector<Components> visitors;
      const float* next = together.data();
      for (std::size_t i = 0; i < adapters.size(); ++i) {
        const Index rank = i == 2 ? 0 : adapters[i].rank();
        visitors.push_back({is_together ? next : apart[i].data(), rank, adapters[i].scaling});
        next += apart[i].size();
      }
      auto& result = results.emplace_back(adapters.size() * adapters.size(), NAN);
      ops::ThreadTeam one_thread;
      make_products(one_thread, kind, shape, hosts)
          ->multiply(
              visitors, [](std::size_t h, std::size_t v) { return h <= v; },
              [&](std::size_t h, std::size_t v, double product) {
                EXPECT_TRUE(std::isnan(result[h * 9 + v])) << "taken twice";
                result[h * 9 + v] = product;
              });
    }
    for (std::size_t h = 0; h < 9; ++h) {
      for (std::size_t v = 0; v < 9; ++v) {
        const double value = results[0][h * 9 + v];
        EXPECT_EQ(std::isnan(value), h > v || h == 4 || v == 2) << h << ", " << v;
        if (!std::isnan(value)) {
          EXPECT_EQ(value, results[1][h * 9 + v]) << h << ", " << v;
        }
      }
    }
  }
}

TEST(Gram, AnEntryIsTheSameInEveryBlockBitForBit) {
  const auto adapters = example();
  const auto all = pointers(adapters);
  const auto g = gram(all, all);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto row = gram(std::span(all).subspan(i, 1), std::span(all).subspan(1, 4));
    for (std::size_t j = 0; j < 4; ++j) EXPECT_EQ(row[j], g[i * all.size() + j + 1]);
  }
}

TEST(Gram, DoesNotDependOnTheFactorisation) {
  // (B M) (M^-1 A) is the same update; M = [[2, 1], [0, 4]] has an exact inverse in binary.
  FactorMap original;
  original["m"] = random_factors(9, 7, 2, 3);
  FactorMap other = original;
  Factors& f = other.at("m");
  for (Index j = 0; j < f.d_in(); ++j) {
    f.a(1, j) /= 4.0F;
    f.a(0, j) = (f.a(0, j) - f.a(1, j)) / 2.0F;
  }
  for (Index i = 0; i < f.d_out(); ++i) f.b(i, 1) = f.b(i, 0) + 4.0F * f.b(i, 1);
  for (Index i = 0; i < f.d_out(); ++i) f.b(i, 0) *= 2.0F;
  const std::vector<const FactorMap*> both{&original, &other};
  const auto g = gram(both, both);
  EXPECT_NEAR(cosine(g[1], g[0], g[3]), 1.0, 1e-6);
  EXPECT_NEAR(g[1], g[0], 1e-5 * g[0]);
}

TEST(Trimmed, KeepsTheLargestEntriesOfEveryMatrixAsTheyAre) {
  const Factors before = random_factors(10, 20, 3, 5, 2.0);
  const Factors after = trimmed(before, 0.2);
  EXPECT_EQ(after.scaling, 2.0);
  for (const auto& [old_matrix, matrix, kept] :
       {std::tuple{&before.a, &after.a, 12}, {&before.b, &after.b, 6}}) {
    float smallest_kept = INFINITY;
    float largest_dropped = 0;
    int n = 0;
    for (std::size_t i = 0; i < matrix->values().size(); ++i) {
      const float old = old_matrix->values()[i];
      if (matrix->values()[i] != 0) {
        EXPECT_EQ(matrix->values()[i], old);
        smallest_kept = std::min(smallest_kept, std::abs(old));
        ++n;
      } else {
        largest_dropped = std::max(largest_dropped, std::abs(old));
      }
    }
    EXPECT_EQ(n, kept);
    EXPECT_GT(smallest_kept, largest_dropped);
  }
  EXPECT_EQ(trimmed(before, 1.0).a, before.a);
}

TEST(FactorGram, IsTheInnerProductOfTheFlattenedFactors) {
  FactorMap x;
  FactorMap y;
  x["m"] = {Matrix(1, 2), Matrix(2, 1), 3.0};
  y["m"] = {Matrix(2, 2), Matrix(2, 2), 5.0};
  y["other"] = random_factors(3, 4, 2, 1);
  x["m"].a(0, 0) = 2;
  x["m"].b(1, 0) = -1;
  y["m"].a(0, 0) = 7;
  y["m"].a(1, 0) = 100;  // a row that x does not have
  y["m"].b(1, 0) = 4;
  y["m"].b(1, 1) = 100;
  const std::vector<const FactorMap*> both{&x, &y};
  const auto g = factor_gram(both, both);
  EXPECT_EQ(g[1], 2 * 7 - 4);
  EXPECT_EQ(g[2], g[1]);
  EXPECT_EQ(g[0], 5);
}

TEST(Gram, IsZeroWithoutSharedModulesAndEmptyForNoAdapters) {
  FactorMap x;
  FactorMap y;
  x["m.q"] = random_factors(3, 4, 2, 1);
  y["m.v"] = random_factors(3, 4, 2, 2);
  EXPECT_EQ(gram(std::vector<const FactorMap*>{&x}, std::vector<const FactorMap*>{&y}),
            std::vector<double>{0.0});
  EXPECT_TRUE(gram({}, std::vector<const FactorMap*>{&y}).empty());
}

TEST(Cosine, IsOneForMultiplesAndZeroForNothing) {
  EXPECT_DOUBLE_EQ(cosine(6.0, 4.0, 9.0), 1.0);
  EXPECT_DOUBLE_EQ(cosine(-6.0, 4.0, 9.0), -1.0);
  EXPECT_EQ(cosine(0.0, 0.0, 9.0), 0.0);
  EXPECT_LE(cosine(0.1 * 0.1, 0.1 * 0.1, 0.0999999999999999 * 0.1), 1.0);
  EXPECT_DOUBLE_EQ(cosine(1e-300, 1e-300, 1e-300), 1.0);
}

}  // namespace
}  // namespace d2c::lora
