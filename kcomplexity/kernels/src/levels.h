/* Weights to levels, and what that loses. Twins and definitions: ../levels.py. */
#ifndef KCOMPLEXITY_LEVELS_H
#define KCOMPLEXITY_LEVELS_H

#include "common.h"

/* Squares are added in runs of this many, each in its own precision. */
#define RUN 256

struct affine {
    double zero, step, lowest, highest;
};

struct sums {
    double error, squares;
};

/* The order of the sum of a run: `lanes` partial sums, four vectors of them at a time backwards. */
INLINE float run_float32(const float *squares)
{
    float lanes[4] = {0, 0, 0, 0};
    for (int at = 0; at < RUN; at += 16)
        for (int vector = 12; vector >= 0; vector -= 4)
            for (int lane = 0; lane < 4; lane++) lanes[lane] += squares[at + vector + lane];
    return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

INLINE double run_float64(const double *squares)
{
    double lanes[2] = {0, 0};
    for (int at = 0; at < RUN; at += 8)
        for (int vector = 6; vector >= 0; vector -= 2)
            for (int lane = 0; lane < 2; lane++) lanes[lane] += squares[at + vector + lane];
    return lanes[0] + lanes[1];
}

INLINE void write_symbols(const float *levels, int n, float lowest, void *symbols, ptrdiff_t at,
                          int width)
{
    if (width == 1)
        for (int i = 0; i < n; i++)
            ((uint8_t *)symbols)[at + i] = (uint8_t)(int32_t)(levels[i] - lowest);
    else
        for (int i = 0; i < n; i++)
            ((uint16_t *)symbols)[at + i] = (uint16_t)(int32_t)(levels[i] - lowest);
}

/* One leaf in float32; in float64 the error alone where there is a zero point. */
DISPATCHED
static struct sums affine_leaf32(enum source source, const void *weights, ptrdiff_t start,
                                 ptrdiff_t n, struct affine q, void *symbols, int width)
{
    const float zero = (float)q.zero, step = (float)q.step;
    const float lowest = (float)q.lowest, highest = (float)q.highest;
    uint32_t word;
    float most;
    double error_runs[LEAF / RUN], square_runs[LEAF / RUN];
    double error_rest[RUN], square_rest[RUN];
    ptrdiff_t n_runs = n / RUN;
    struct sums total;

    /* The upper eight bits of the step, rounded half to even as bfloat16 is. */
    memcpy(&word, &step, sizeof word);
    word = (word + 0x7fffu + (word >> 16 & 1u)) & 0xffff0000u;
    most = from_bits(word);
    const float least = step - most;

    for (ptrdiff_t run = 0; run * RUN < n; run++) {
        float w[RUN], level[RUN], error[RUN], square[RUN];
        double wide[RUN];
        int whole = run < n_runs, size = whole ? RUN : (int)(n % RUN);
        if (!whole) memset(w, 0, sizeof w);
        read_float32(source, weights, start + run * RUN, size, w);
        for (int i = 0; i < RUN; i++) {
            float scaled = w[i] / step;
            square[i] = whole ? scaled * scaled : scaled;
            if (zero != 0) scaled = (w[i] - zero) / step;
            scaled = rint_float32(scaled);
            scaled = scaled > lowest ? scaled : lowest;
            level[i] = scaled < highest ? scaled : highest;
        }
        if (q.zero != 0) {
            for (int i = 0; i < RUN; i++) {
                double gap = (w[i] - (level[i] * q.step + q.zero)) / q.step;
                wide[i] = gap * gap;
            }
            if (whole) error_runs[run] = run_float64(wide);
            else memcpy(error_rest, wide, sizeof wide);
        } else {
            for (int i = 0; i < RUN; i++) {
                float gap = ((w[i] - level[i] * most) - level[i] * least) / step;
                error[i] = whole ? gap * gap : gap;
            }
            if (whole) error_runs[run] = run_float32(error);
            else for (int i = 0; i < RUN; i++) error_rest[i] = (double)error[i] * error[i];
        }
        if (whole) square_runs[run] = run_float32(square);
        else for (int i = 0; i < RUN; i++) square_rest[i] = (double)square[i] * square[i];
        write_symbols(level, size, lowest, symbols, start + run * RUN, width);
    }
    total.error = pairwise_sum(error_runs, n_runs) + pairwise_sum(error_rest, n % RUN);
    total.squares = pairwise_sum(square_runs, n_runs) + pairwise_sum(square_rest, n % RUN);
    return total;
}

/* One leaf in float64. */
DISPATCHED
static struct sums affine_leaf64(enum source source, const void *weights, ptrdiff_t start,
                                 ptrdiff_t n, struct affine q, void *symbols, int width)
{
    double error_runs[LEAF / RUN], square_runs[LEAF / RUN];
    double w[RUN], error[RUN], square[RUN];
    float level[RUN];
    ptrdiff_t n_runs = n / RUN;
    struct sums total;
    for (ptrdiff_t run = 0; run * RUN < n; run++) {
        int whole = run < n_runs, size = whole ? RUN : (int)(n % RUN);
        if (!whole) memset(w, 0, sizeof w);
        read_float64(source, weights, start + run * RUN, size, w);
        for (int i = 0; i < RUN; i++) {
            double scaled = w[i] / q.step, gap;
            square[i] = scaled * scaled;
            if (q.zero != 0) scaled = (w[i] - q.zero) / q.step;
            scaled = rint_float64(scaled);
            scaled = scaled > q.lowest ? scaled : q.lowest;
            scaled = scaled < q.highest ? scaled : q.highest;
            level[i] = (float)scaled; /* at most 17 bits */
            gap = (w[i] - (scaled * q.step + q.zero)) / q.step;
            error[i] = gap * gap;
        }
        if (whole) error_runs[run] = run_float64(error), square_runs[run] = run_float64(square);
        write_symbols(level, size, (float)q.lowest, symbols, start + run * RUN, width);
    }
    total.error = pairwise_sum(error_runs, n_runs) + pairwise_sum(error, n % RUN);
    total.squares = pairwise_sum(square_runs, n_runs) + pairwise_sum(square, n % RUN);
    return total;
}

/* --- Levels of a step, in float64: errors and squares by NumPy's pairwise sum of a leaf --- */

struct stepped {
    enum source source;
    const void *weights;
    double step, lowest, highest;
    void *symbols; /* NULL: none are written */
    int width;     /* bytes of a symbol */
    int errors;    /* 0: squares alone */
};

/* At most 128 weights. */
INLINE struct sums stepped_few(const struct stepped *q, ptrdiff_t at, int n)
{
    double w[128], square[128], error[128], level[128];
    struct sums total = {0, 0};
    read_float64(q->source, q->weights, at, n, w);
    for (int i = 0; i < n; i++) square[i] = w[i] * w[i];
    total.squares = base_sum(square, n);
    if (!q->errors) return total;
    for (int i = 0; i < n; i++) {
        double nearest = rint_float64(w[i] / q->step), gap = w[i] - nearest * q->step;
        nearest = nearest > q->lowest ? nearest : q->lowest;
        level[i] = (nearest < q->highest ? nearest : q->highest) - q->lowest;
        error[i] = gap * gap;
    }
    total.error = base_sum(error, n);
    if (q->symbols && q->width == 1) {
        uint8_t *out = (uint8_t *)q->symbols + at; /* of its own: no store changes the pointer */
        for (int i = 0; i < n; i++) out[i] = (uint8_t)(int32_t)level[i];
    } else if (q->symbols && q->width == 2) {
        uint16_t *out = (uint16_t *)q->symbols + at;
        for (int i = 0; i < n; i++) out[i] = (uint16_t)(int32_t)level[i];
    } else if (q->symbols) {
        uint32_t *out = (uint32_t *)q->symbols + at;
        for (int i = 0; i < n; i++) out[i] = (uint32_t)(int64_t)level[i];
    }
    return total;
}

/* The base of the pairwise sum; nearly always of 128 weights, for which the loops are unrolled. */
DISPATCHED
static struct sums stepped_base(const struct stepped *q, ptrdiff_t at, int n)
{
    return n == 128 ? stepped_few(q, at, 128) : stepped_few(q, at, n);
}

static struct sums stepped_part(const struct stepped *q, ptrdiff_t at, ptrdiff_t n)
{
    ptrdiff_t left = left_half(n);
    struct sums first, second;
    if (n <= 128) return stepped_base(q, at, (int)n);
    first = stepped_part(q, at, left);
    second = stepped_part(q, at + left, n - left);
    first.error += second.error;
    first.squares += second.squares;
    return first;
}

/* --- Magnitudes in bins --- */

/* Add magnitudes to bins of (count, sum, sum of squares), in the order of the weights.
 * Returns how many are beyond `span`; those are written to `beyond`. NaN is in no bin. */
static ptrdiff_t add_magnitudes(enum source source, const void *weights, ptrdiff_t n, double span,
                                double *bins, ptrdiff_t n_bins, double *beyond)
{
    const double scale = (double)n_bins / span;
    ptrdiff_t n_beyond = 0;
    for (ptrdiff_t start = 0; start < n; start += RUN) {
        double w[RUN];
        int32_t place[RUN];
        int size = n - start < RUN ? (int)(n - start) : RUN;
        read_float64(source, weights, start, size, w);
        for (int i = 0; i < size; i++) {
            double scaled;
            w[i] = fabs(w[i]);
            scaled = w[i] * scale;
            scaled = scaled < (double)(n_bins - 1) ? scaled : (double)(n_bins - 1);
            place[i] = (int32_t)scaled;
        }
        for (int i = 0; i < size; i++) {
            if (w[i] <= span) {
                double *bin = bins + 3 * (ptrdiff_t)place[i];
                bin[0] += 1;
                bin[1] += w[i];
                bin[2] += w[i] * w[i];
            } else if (w[i] > span) {
                beyond[n_beyond++] = w[i];
            }
        }
    }
    return n_beyond;
}

#endif
