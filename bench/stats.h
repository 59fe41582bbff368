/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BENCH_STATS_H
#define BIVALVE_BENCH_STATS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The statistics of the benchmarks: order statistics and ranks, so that neither the shape of a distribution nor a few
 * wild samples decide. docs/benchmarks.md explains them to readers. No sample is ever dropped.
 */
enum {
	STATS_MIN_SAMPLES = 6,   /* of each side, for a verdict: below, no 95% interval for a median exists */
	STATS_MAX_SAMPLES = 2000,
};

struct stats_interval {
	bool known;              /* false: too few samples for this confidence */
	double low, high;
	double coverage;         /* the confidence that it really has, at least what was asked for */
};

struct stats_summary {
	size_t n;
	double min, max, mean, median;
	double q1, q3, p90, p99;
	double mad;              /* median absolute deviation from the median, not scaled */
	struct stats_interval interval; /* of the median, 95% */
	size_t outliers;         /* samples that stats_is_outlier() flags */
};

/* Sorts ascending, in place. */
void stats_sort(double *samples, size_t n);
/* The p-quantile (0 to 1) of sorted samples, linear between neighbours (Hyndman and Fan's type 7). n at least 1. */
double stats_quantile(const double *sorted, size_t n, double p);
/*
 * Of the median of whatever the sorted samples come from: two order statistics, with the exact binomial coverage;
 * needs no assumption but independence. Not known when even [min, max] covers less than confidence.
 */
struct stats_interval stats_median_interval(const double *sorted, size_t n, double confidence);
/* All of the above. samples are not changed; n at least 1. */
void stats_summarize(const double *samples, size_t n, struct stats_summary *ret);
/*
 * Tukey's rule: more than 1.5 interquartile ranges outside the quartiles; where these coincide, more than 3.5 scaled
 * deviations from the median (Iglewicz and Hoaglin); where these are 0 too, whatever is not the median.
 */
bool stats_is_outlier(const struct stats_summary *s, double sample);
/*
 * The spread relative to the median, as a standard deviation would be were the samples normal: 1.4826 MAD / median.
 */
double stats_spread(const struct stats_summary *s);

struct stats_test {
	double u;                /* of the first sample: pairs in which it is the larger, ties half */
	double p;                /* two-sided */
	bool exact;
};
/*
 * Mann and Whitney's test that two samples come from one distribution. Exact where both have less than 50 values and
 * no two are equal; else the normal approximation with corrections for ties and continuity. Both sizes at least 1.
 */
struct stats_test stats_mann_whitney(const double *a, size_t n_a, const double *b, size_t n_b);

struct stats_ratio {
	bool known;              /* false: a sample that is not positive, or too few */
	double ratio;            /* other to base */
	struct stats_interval interval;
};
/*
 * Hodges and Lehmann's estimate on logarithms: the median of all quotients other[i] / base[j], and as its interval
 * those two of the quotients that Mann and Whitney's test at that confidence cannot tell from no shift.
 */
struct stats_ratio stats_ratio(
	const double *base, size_t n_base, const double *other, size_t n_other, double confidence);

enum stats_verdict {
	STATS_TOO_FEW,   /* fewer than STATS_MIN_SAMPLES on a side */
	STATS_TOO_NOISY, /* a difference that would matter could hide in the noise, or the noise be taken for one */
	STATS_SAME,      /* no difference shown, and one of more than 5% is ruled out, but not one of 1% */
	STATS_WITHIN,    /* whatever the difference is, it is less than 1%: that much is shown */
	STATS_LESS,
	STATS_MORE, /* other is less, more than base */
};
struct stats_comparison {
	struct stats_ratio ratio;       /* 95% */
	struct stats_test test;
	enum stats_verdict verdict;
};
/*
 * Within 1%: the ratio's 95% interval lies inside 0.99 to 1.01. Else a difference is claimed when p < 0.01 and that
 * interval leaves out 1; 0.01, so that of a hundred comparisons of a thing with itself one is wrong, not five. Too
 * noisy: neither, and the interval reaches 5% or
 * more to one side of the ratio; or claimed, but the base's own spread is over 10% and larger than the difference.
 */
struct stats_comparison stats_compare(const double *base, size_t n_base, const double *other, size_t n_other);
/* "too few", "too noisy", "within 5%", "within 1%", "less", "more". */
const char *stats_verdict_name(enum stats_verdict verdict);
/* How far the interval reaches from the ratio, to its wider side, as a fraction of it; infinity: not known. */
double stats_reach(const struct stats_ratio *r);
/*
 * About how many samples of each side would tell 1%, if they spread as the n of each side now do: an interval is
 * narrower by the root of their number. 0: more than STATS_MAX_SAMPLES, or unknown.
 */
size_t stats_runs_for_1_percent(const struct stats_ratio *r, size_t n);

#endif
