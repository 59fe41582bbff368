/* SPDX-License-Identifier: Apache-2.0 */
/* Medians, their intervals, ranks and verdicts. The methods are named in stats.h. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bench/stats.h"
#include "runtime/base/alloc.h"

enum { EXACT_BELOW = 50 };

static const double confidence_shown = 0.95, alpha_verdict = 0.01, noise_matters = 0.05,
		fine = 0.01, noisy_spread = 0.10;

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void stats_sort(double *samples, size_t n)
{
	qsort(samples, n, sizeof *samples, compare_doubles);
}

static double *sorted_copy(const double *samples, size_t n)
{
	double *copy = xmemdup(samples, n * sizeof *samples);

	stats_sort(copy, n);
	return copy;
}

double stats_quantile(const double *sorted, size_t n, double p)
{
	double at = p * (double)(n - 1);
	size_t below = (size_t)at;

	if (below + 1 >= n)
		return sorted[n - 1];
	return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}

/* P(X <= k) of a binomial of n throws of a fair coin. */
static double binomial_half_cdf(size_t n, size_t k)
{
	double sum = 0;

	for (size_t i = 0; i <= k; i++)
		sum += exp(lgamma((double)n + 1) - lgamma((double)i + 1) - lgamma((double)(n - i) + 1)
			- (double)n * M_LN2);
	return sum;
}

struct stats_interval stats_median_interval(const double *sorted, size_t n, double confidence)
{
	struct stats_interval i = { 0 };
	double tail_max = (1 - confidence) / 2;
	size_t k = 0; /* how many samples at each end lie outside the interval */

	if (n == 0 || binomial_half_cdf(n, 0) > tail_max)
		return i;
	while (2 * (k + 1) < n && binomial_half_cdf(n, k + 1) <= tail_max)
		k++;
	i.known = true;
	i.low = sorted[k];
	i.high = sorted[n - 1 - k];
	i.coverage = 1 - 2 * binomial_half_cdf(n, k);
	return i;
}

static double median_deviation(const double *samples, size_t n, double median)
{
	_cleanup_free_ double *away = xcalloc(n, sizeof *away);

	for (size_t i = 0; i < n; i++)
		away[i] = fabs(samples[i] - median);
	stats_sort(away, n);
	return stats_quantile(away, n, 0.5);
}

bool stats_is_outlier(const struct stats_summary *s, double sample)
{
	double range = s->q3 - s->q1;

	if (range > 0)
		return sample < s->q1 - 1.5 * range || sample > s->q3 + 1.5 * range;
	if (s->mad > 0)
		return fabs(sample - s->median) > 3.5 * 1.4826 * s->mad;
	return sample != s->median;
}

void stats_summarize(const double *samples, size_t n, struct stats_summary *ret)
{
	_cleanup_free_ double *sorted = sorted_copy(samples, n);
	struct stats_summary s = { .n = n, .min = sorted[0], .max = sorted[n - 1] };

	for (size_t i = 0; i < n; i++)
		s.mean += sorted[i] / (double)n;
	s.median = stats_quantile(sorted, n, 0.5);
	s.q1 = stats_quantile(sorted, n, 0.25);
	s.q3 = stats_quantile(sorted, n, 0.75);
	s.p90 = stats_quantile(sorted, n, 0.90);
	s.p99 = stats_quantile(sorted, n, 0.99);
	s.mad = median_deviation(sorted, n, s.median);
	s.interval = stats_median_interval(sorted, n, confidence_shown);
	for (size_t i = 0; i < n; i++)
		s.outliers += stats_is_outlier(&s, sorted[i]);
	*ret = s;
}

double stats_spread(const struct stats_summary *s)
{
	return s->median != 0 ? 1.4826 * s->mad / fabs(s->median) : 0;
}

/*
 * ways[u]: in how many of all orders of n_a and n_b distinct values the statistic is u, for u from 0 to n_a * n_b.
 * The values of a are chosen one rank after the other: choosing rank r as the j-th smallest adds r - j. Only
 * additions of positive numbers, so doubles keep their relative precision although the counts go beyond 2^53.
 */
static double *u_distribution(size_t n_a, size_t n_b)
{
	size_t max = n_a * n_b, width = max + 1;
	_cleanup_free_ double *table = xcalloc((n_a + 1) * width, sizeof *table);
	double *ways;

	table[0] = 1;
	for (size_t rank = 0; rank < n_a + n_b; rank++) {
		for (size_t j = rank < n_a ? rank + 1 : n_a; j >= 1; j--) {
			size_t add = rank + 1 - j; /* larger than n_b: not reachable */
			const double *from = table + (j - 1) * width;
			double *to = table + j * width;

			for (size_t u = max + 1; add <= n_b && u-- > add;)
				to[u] += from[u - add];
		}
	}
	ways = xmemdup(table + n_a * width, width * sizeof *ways);
	return ways;
}

/* P(U <= u) under no difference, u clamped. */
static double u_cdf(const double *ways, size_t max, double u)
{
	double below = 0, all = 0;

	for (size_t i = 0; i <= max; i++) {
		all += ways[i];
		if ((double)i <= u)
			below += ways[i];
	}
	return below / all;
}

struct ranked {
	double value;
	bool of_a;
};

static int compare_ranked(const void *a, const void *b)
{
	return compare_doubles(&((const struct ranked *)a)->value, &((const struct ranked *)b)->value);
}

/* The rank sum of a, ties at their mean rank; *ret_ties is the sum of t^3 - t over groups of t equal values. */
static double rank_sum(const double *a, size_t n_a, const double *b, size_t n_b, double *ret_ties)
{
	size_t n = n_a + n_b;
	_cleanup_free_ struct ranked *all = xcalloc(n, sizeof *all);
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		all[i] = (struct ranked){ i < n_a ? a[i] : b[i - n_a], i < n_a };
	qsort(all, n, sizeof *all, compare_ranked);
	*ret_ties = 0;
	for (size_t i = 0, end; i < n; i = end) {
		double t;

		for (end = i + 1; end < n && all[end].value == all[i].value;)
			end++;
		t = (double)(end - i);
		*ret_ties += t * t * t - t;
		for (size_t j = i; j < end; j++)
			if (all[j].of_a)
				sum += ((double)(i + 1) + (double)end) / 2;
	}
	return sum;
}

static double u_exact_p(size_t n_a, size_t n_b, double u)
{
	_cleanup_free_ double *ways = u_distribution(n_a, n_b);
	size_t max = n_a * n_b;
	double lower = u_cdf(ways, max, u), upper = u_cdf(ways, max, (double)max - u); /* symmetrical */

	return fmin(1, 2 * fmin(lower, upper));
}

static double u_normal_p(double n_a, double n_b, double u, double ties)
{
	double n = n_a + n_b, away = fabs(u - n_a * n_b / 2);
	double variance = n_a * n_b / 12 * (n + 1 - ties / (n * (n - 1)));

	if (variance <= 0)
		return 1; /* all values are equal */
	return erfc(fmax(0, away - 0.5) / sqrt(variance) / M_SQRT2);
}

struct stats_test stats_mann_whitney(const double *a, size_t n_a, const double *b, size_t n_b)
{
	struct stats_test t = { 0 };
	double ties, sum = rank_sum(a, n_a, b, n_b, &ties);

	t.u = sum - (double)n_a * ((double)n_a + 1) / 2;
	t.exact = ties == 0 && n_a < EXACT_BELOW && n_b < EXACT_BELOW;
	t.p = t.exact ? u_exact_p(n_a, n_b, t.u) : u_normal_p((double)n_a, (double)n_b, t.u, ties);
	return t;
}

/* The normal quantile of 1 - tail, by bisection of erfc: to the last digits, and no table of coefficients. */
static double normal_upper(double tail)
{
	double low = 0, high = 40;

	for (int i = 0; i < 200; i++) {
		double middle = (low + high) / 2;

		if (erfc(middle / M_SQRT2) / 2 > tail)
			low = middle;
		else
			high = middle;
	}
	return high;
}

/*
 * How many of the n_a * n_b sorted quotients lie outside the interval at each end: the largest c with P(U <= c - 1)
 * <= tail. 0: even all of them do not cover enough. *ret_tail is what really is outside at each end.
 */
static size_t shift_cut(size_t n_a, size_t n_b, double tail, double *ret_tail)
{
	size_t max = n_a * n_b, cut = 0;

	if (n_a < EXACT_BELOW && n_b < EXACT_BELOW) {
		_cleanup_free_ double *ways = u_distribution(n_a, n_b);
		double all = 0, below = 0;

		for (size_t i = 0; i <= max; i++)
			all += ways[i];
		for (; cut < max / 2 && (below + ways[cut]) / all <= tail; cut++)
			below += ways[cut];
		*ret_tail = below / all;
	} else {
		double sd = sqrt((double)max * (double)(n_a + n_b + 1) / 12);
		double at = (double)max / 2 - 0.5 - normal_upper(tail) * sd;

		cut = at < 0 ? 0 : (size_t)at + 1;
		*ret_tail = cut ? erfc(((double)max / 2 - 0.5 - (double)(cut - 1)) / sd / M_SQRT2) / 2 : 0;
	}
	return cut;
}

static bool all_positive(const double *samples, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!(samples[i] > 0) || !isfinite(samples[i]))
			return false;
	return n > 0;
}

struct stats_ratio stats_ratio(
	const double *base, size_t n_base, const double *other, size_t n_other, double confidence)
{
	struct stats_ratio r = { 0 };
	_cleanup_free_ double *quotients = NULL;
	size_t n = n_base * n_other, cut;
	double tail = 0;

	if (!all_positive(base, n_base) || !all_positive(other, n_other))
		return r;
	quotients = xcalloc(n, sizeof *quotients);
	for (size_t i = 0; i < n_other; i++)
		for (size_t j = 0; j < n_base; j++)
			quotients[i * n_base + j] = log(other[i]) - log(base[j]);
	stats_sort(quotients, n);
	r.known = true;
	r.ratio = exp(stats_quantile(quotients, n, 0.5));
	cut = shift_cut(n_base, n_other, (1 - confidence) / 2, &tail);
	if (cut > 0)
		r.interval = (struct stats_interval){ true, exp(quotients[cut - 1]), exp(quotients[n - cut]),
			1 - 2 * tail };
	return r;
}

static bool leaves_out_one(const struct stats_ratio *r)
{
	return !r->known || (r->interval.known && (r->interval.low > 1 || r->interval.high < 1));
}

double stats_reach(const struct stats_ratio *r)
{
	return !r->known || !r->interval.known ? INFINITY
		: fmax(r->interval.high / r->ratio - 1, r->ratio / r->interval.low - 1);
}

static bool within(const struct stats_ratio *r)
{
	return r->known && r->interval.known && r->interval.low > 1 - fine && r->interval.high < 1 + fine;
}

size_t stats_runs_for_1_percent(const struct stats_ratio *r, size_t n)
{
	double wanted = ceil((double)n * pow(stats_reach(r) / fine, 2) / 10) * 10;

	return wanted <= STATS_MAX_SAMPLES ? (size_t)wanted : 0;
}

struct stats_comparison stats_compare(const double *base, size_t n_base, const double *other, size_t n_other)
{
	struct stats_comparison c = { .verdict = STATS_TOO_FEW };
	struct stats_summary summary;
	double spread;

	if (n_base == 0 || n_other == 0)
		return c;
	c.ratio = stats_ratio(base, n_base, other, n_other, confidence_shown);
	c.test = stats_mann_whitney(other, n_other, base, n_base);
	if (n_base < STATS_MIN_SAMPLES || n_other < STATS_MIN_SAMPLES)
		return c;
	stats_summarize(base, n_base, &summary);
	spread = stats_spread(&summary);
	if (within(&c.ratio)) {
		c.verdict = STATS_WITHIN;
	} else if (c.test.p < alpha_verdict && leaves_out_one(&c.ratio)) {
		c.verdict = c.test.u > (double)n_base * (double)n_other / 2 ? STATS_MORE : STATS_LESS;
		if (c.ratio.known && spread > noisy_spread && fabs(c.ratio.ratio - 1) < spread)
			c.verdict = STATS_TOO_NOISY;
	} else {
		c.verdict = stats_reach(&c.ratio) >= noise_matters ? STATS_TOO_NOISY : STATS_SAME;
	}
	return c;
}

const char *stats_verdict_name(enum stats_verdict verdict)
{
	static const char *const names[] = { "too few", "too noisy", "within 5%", "within 1%", "less", "more" };

	return names[verdict];
}
