/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The statistics against known data. The constants were computed by other means: by counting every arrangement in
 * exact fractions (Mann-Whitney, its inversion, the binomial), and by Python's statistics module (quantiles). The
 * second pair of samples is the one of Hollander and Wolfe (1973), p. 69, for which R's documentation of wilcox.test
 * gives W = 35, p = 0.2544.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "bench/stats.h"
#include "runtime/base/alloc.h"
#include "tests/unit/tap.h"

static const double set_a[] = { 1.1, 2.2, 0.7, 3.3, 2.9, 1.8 };
static const double set_b[] = { 2.5, 3.9, 4.4, 3.1, 5.2, 2.3, 4.8 };
static const double term[] = { 0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46 };
static const double weeks[] = { 1.15, 0.88, 0.90, 0.74, 1.21 };
static const double tied_a[] = { 1, 2, 2, 3, 3, 3, 4, 5 };
static const double tied_b[] = { 2, 3, 4, 4, 5, 5, 6, 7, 7 };
#define N(x) ARRAY_LEN(x)

static bool near(double value, double expected)
{
	bool good = fabs(value - expected) <= 1e-9 * fmax(1, fabs(expected));

	if (!good)
		printf("# found %.15g, expected %.15g\n", value, expected);
	return good;
}

static void test_summary(void)
{
	static const double x[] = { 12.1, 11.9, 12.4, 12.0, 30.5, 12.2, 11.8, 12.3, 12.1, 12.6 };
	struct stats_summary s;

	stats_summarize(x, N(x), &s);
	ok(s.n == 10 && near(s.min, 11.8) && near(s.max, 30.5), "the extremes");
	ok(near(s.median, 12.15) && near(s.mean, 13.99) && near(s.mad, 0.2), "median, mean, median absolute deviation");
	ok(near(s.q1, 12.025) && near(s.q3, 12.375), "quartiles");
	ok(near(s.p90, 14.39) && near(s.p99, 28.889), "percentiles");
	ok(s.outliers == 1 && stats_is_outlier(&s, 30.5) && !stats_is_outlier(&s, 12.6), "the outlier is flagged");
	ok(s.interval.known && near(s.interval.low, 11.9) && near(s.interval.high, 12.6) &&
		near(s.interval.coverage, 0.978515625), "interval of the median: second and ninth of ten, 97.9%%");
	stats_summarize(x, 1, &s);
	ok(near(s.median, 12.1) && near(s.p99, 12.1) && s.mad == 0 && !s.interval.known && s.outliers == 0,
		"one sample");
}

static void test_median_interval(void)
{
	static const struct { size_t n, cut; double coverage; } rows[] = {
		{ 6, 0, 0.96875 }, { 9, 1, 0.9609375 }, { 10, 1, 0.978515625 }, { 15, 3, 0.96484375 },
		{ 20, 5, 0.9586105346679688 }, { 100, 39, 0.9647997997822951 },
	};
	double sorted[100];

	for (size_t i = 0; i < N(sorted); i++)
		sorted[i] = (double)i;
	ok(!stats_median_interval(sorted, 5, 0.95).known, "five samples have no 95%% interval");
	for (size_t i = 0; i < N(rows); i++) {
		struct stats_interval c = stats_median_interval(sorted, rows[i].n, 0.95);

		ok(c.known && near(c.low, (double)rows[i].cut) && near(c.high, (double)(rows[i].n - 1 - rows[i].cut)) &&
			near(c.coverage, rows[i].coverage), "interval of %zu samples", rows[i].n);
	}
}

static void test_outliers(void)
{
	static const double flat[] = { 5, 5, 5, 5, 5, 5, 5, 5, 9 }, steps[] = { 1, 5, 5, 5, 5, 5, 5, 5, 9 };
	struct stats_summary s;

	stats_summarize(flat, N(flat), &s);
	ok(s.outliers == 1, "beside equal values the other one is flagged");
	stats_summarize(steps, N(steps), &s);
	ok(s.outliers == 2, "on both sides");
}

static void test_mann_whitney(void)
{
	double up[60], down[60];
	struct stats_test t = stats_mann_whitney(set_a, N(set_a), set_b, N(set_b));

	ok(t.exact && near(t.u, 5) && near(t.p, 0.022144522144522144), "exact");
	t = stats_mann_whitney(set_b, N(set_b), set_a, N(set_a));
	ok(t.exact && near(t.u, 37) && near(t.p, 0.022144522144522144), "exact, the other way round");
	t = stats_mann_whitney(term, N(term), weeks, N(weeks));
	ok(t.exact && near(t.u, 35) && near(t.p, 0.2544122544122544), "Hollander and Wolfe's data");
	t = stats_mann_whitney(tied_a, N(tied_a), tied_b, N(tied_b));
	ok(!t.exact && near(t.u, 13.5) && near(t.p, 0.031758957148063746), "ties: corrected normal approximation");
	for (size_t i = 0; i < N(up); i++) {
		up[i] = (double)i;
		down[i] = (double)i + 7.5;
	}
	t = stats_mann_whitney(up, 60, down, 60);
	ok(!t.exact && near(t.u, 1378) && near(t.p, 0.02694585619564298), "many: normal approximation");
	for (size_t i = 0; i < 10; i++)
		up[i] = down[i] = 4;
	t = stats_mann_whitney(up, 10, down, 10);
	ok(near(t.p, 1), "nothing but equal values: p is 1");
}

/* U of exactly u for n against n distinct values: the upper ones of a are moved down until u pairs are left. */
static void make_u(size_t n, size_t u, double *a, double *b)
{
	for (size_t i = 0; i < n; i++) {
		size_t over = u > i * n ? (u - i * n < n ? u - i * n : n) : 0; /* how many of b this one is above */

		b[i] = (double)i * 100;
		a[i] = (double)over * 100 - 50 + (double)i * 0.1;
	}
}

static void test_exact_counts(void)
{
	double a[49], b[49];
	struct stats_test t;

	make_u(20, 127, a, b);
	t = stats_mann_whitney(a, 20, b, 20);
	ok(t.exact && near(t.u, 127) && near(t.p, 0.04909032518937244), "20 against 20, exactly");
	make_u(49, 800, a, b);
	t = stats_mann_whitney(a, 49, b, 49);
	ok(t.exact && near(t.u, 800) && near(t.p, 0.0041652875007119694), "49 against 49, exactly");
}

static void test_ratio(void)
{
	static const double zero[] = { 0, 1, 2, 3, 4, 5 };
	double doubled[N(set_a)];
	struct stats_ratio r = stats_ratio(set_a, N(set_a), set_b, N(set_b), 0.95);

	ok(r.known && near(r.ratio, 1.8937283058959975) && near(r.interval.low, 1.0689655172413794) &&
		near(r.interval.high, 4.363636363636363) && near(r.interval.coverage, 0.965034965034965), "ratio");
	r = stats_ratio(term, N(term), weeks, N(weeks), 0.95);
	ok(near(r.ratio, 0.7623304256784817) && near(r.interval.low, 0.5103448275862069) &&
		near(r.interval.high, 1.1634615384615383) && near(r.interval.coverage, 0.9600399600399601), "another");
	for (size_t i = 0; i < N(set_a); i++)
		doubled[i] = set_a[i] * 2;
	r = stats_ratio(set_a, N(set_a), doubled, N(set_a), 0.95);
	ok(near(r.ratio, 2), "twice as much is a ratio of two");
	ok(!stats_ratio(zero, N(zero), set_a, N(set_a), 0.95).known, "no ratio to zero");
	r = stats_ratio(set_a, 2, set_b, 2, 0.95);
	ok(r.known && !r.interval.known, "two against two: no 95%% interval");
}

/* A generator of our own: the same trials everywhere (splitmix64). */
static double uniform(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return ((double)((z ^ (z >> 31)) >> 11) + 0.5) / 9007199254740992.0;
}

/* A timing as machines give them: a skewed spread of 2%, and now and then something else ran. */
static double timing(uint64_t *state, double scale)
{
	double normal = sqrt(-2 * log(uniform(state))) * cos(2 * M_PI * uniform(state));
	double hit = uniform(state) < 0.05 ? 1 + 2 * uniform(state) : 1;

	return 10 * scale * exp(0.02 * normal) * hit;
}

/* wanted STATS_SAME: that, or within 1%. */
static int trials(uint64_t seed, double scale, enum stats_verdict wanted)
{
	double a[30], b[30];
	enum stats_verdict verdict;
	int found = 0;

	for (int trial = 0; trial < 100; trial++) {
		for (size_t i = 0; i < N(a); i++) { /* in turn, as the runner does */
			a[i] = timing(&seed, 1);
			b[i] = timing(&seed, scale);
		}
		verdict = stats_compare(a, N(a), b, N(b)).verdict;
		found += verdict == wanted || (wanted == STATS_SAME && verdict == STATS_WITHIN);
	}
	return found;
}

static void test_simulation(void)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		int same = trials(seed, 1, STATS_SAME);
		int slower = trials(seed + 100, 1.05, STATS_MORE), faster = trials(seed + 200, 1 / 1.05, STATS_LESS);

		ok(same >= 95, "seed %d: with itself no difference in %d of 100 trials", (int)seed, same);
		ok(slower >= 95, "seed %d: 5%% slower found in %d of 100", (int)seed, slower);
		ok(faster >= 95, "seed %d: 5%% faster found in %d of 100", (int)seed, faster);
	}
}

static void test_verdicts(void)
{
	double base[20], other[20];
	struct stats_comparison c;
	size_t runs;

	for (size_t i = 0; i < 20; i++) {
		base[i] = 100 + (double)(i % 7) * 0.1;
		other[i] = 100.05 + (double)(i % 5) * 0.13;
	}
	ok(stats_compare(base, 5, other, 20).verdict == STATS_TOO_FEW, "five samples are too few");
	ok(stats_compare(base, 0, other, 20).verdict == STATS_TOO_FEW, "none are, too");
	c = stats_compare(base, 20, other, 20);
	ok(c.verdict == STATS_WITHIN && c.ratio.interval.low < 1 && c.ratio.interval.high > 1, "within 1%%");
	for (size_t i = 0; i < 20; i++)
		other[i] = base[i] * 1.005;
	c = stats_compare(base, 20, other, 20);
	ok(c.verdict == STATS_WITHIN && c.test.p < 0.01, "half a percent, however sure, is within 1%%");
	for (size_t i = 0; i < 20; i++)
		other[i] = base[i] * 1.02;
	ok(stats_compare(base, 20, other, 20).verdict == STATS_MORE, "two percent are not");
	for (size_t i = 0; i < 20; i++) {
		base[i] = 100 + (double)(i * 7 % 20) * 0.4;
		other[i] = 100 + (double)(i * 3 % 20) * 0.4;
	}
	c = stats_compare(base, 20, other, 20);
	ok(c.verdict == STATS_SAME && c.ratio.interval.high > 1.01, "no difference shown, but 1%% not ruled out");
	runs = stats_runs_for_1_percent(&c.ratio, 20);
	ok(runs > 40 && runs < 80 && runs % 10 == 0, "%zu samples would: interval [%f, %f]", runs,
		c.ratio.interval.low, c.ratio.interval.high);
	for (size_t i = 0; i < 20; i++)
		other[i] = 70 + (double)(i * 37 % 20) * 3.2;
	c = stats_compare(base, 20, other, 20);
	ok(stats_runs_for_1_percent(&c.ratio, 20) == 0, "no number of samples that can be taken would tell 1%%");
	ok(c.verdict == STATS_TOO_NOISY && c.test.p >= 0.01, "a wide interval around 1 is too noisy, not the same");
	for (size_t i = 0; i < 20; i++) {
		base[i] = 100 + (double)(i * 7 % 20) * 4;
		other[i] = base[i] + 40;
	}
	c = stats_compare(base, 20, other, 20);
	ok(c.verdict == STATS_MORE && c.test.p < 0.01, "a difference larger than the base's spread is claimed");
	ok(!strcmp(stats_verdict_name(STATS_WITHIN), "within 1%") && !strcmp(stats_verdict_name(STATS_MORE), "more"),
		"their names");
}

int main(void)
{
	test_summary();
	test_median_interval();
	test_outliers();
	test_mann_whitney();
	test_exact_counts();
	test_ratio();
	test_verdicts();
	test_simulation();
	return tap_done();
}
