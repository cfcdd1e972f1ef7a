/* The contexts of a tile, row by row. Definition: ../context.py.
 *
 * All numbers are whole and small enough that float32 (sums: float64) holds them, so the order of
 * additions changes nothing. A row's contexts have two parts: what the rows above give
 * (context_above), known before the row is, and what lies to the left (context_left). A sequential
 * coder takes the first as it is here and adds the second weight by weight.
 */
#ifndef KCOMPLEXITY_CONTEXT_H
#define KCOMPLEXITY_CONTEXT_H

#include "common.h"

#define N_CELLS 512
#define PATTERN 5
#define CELL_TABLE 16384

struct tile {
    const float *levels; /* in sixteenths: (rows, columns) */
    ptrdiff_t rows, columns, kernel;
    double prior;        /* four times the mean of abs(h) */
    const int64_t *near; /* (n_near, 2): rows up, columns left */
    ptrdiff_t n_near;
};

/* What is known of a tile above one row, and room for what a row is made of. */
struct row_state {
    double *down, *down_sized;   /* sums of each column so far */
    double *along, *along_sized; /* sums of the row up to each column */
    double *inverse;             /* 1 / (column + 4) */
    float *mu, *m;
};

#define ROW_DOUBLES 5 /* columns of float64, then two of float32: 6 in all */

INLINE struct row_state row_state_in(double *scratch, const struct tile *tile)
{
    ptrdiff_t n = tile->columns;
    struct row_state s = {scratch,         scratch + n,     scratch + 2 * n, scratch + 3 * n,
                          scratch + 4 * n, (float *)(scratch + 5 * n), NULL};
    s.m = s.mu + n;
    for (ptrdiff_t j = 0; j < 2 * n; j++) scratch[j] = 0;
    for (ptrdiff_t j = 0; j < n; j++) s.inverse[j] = 1 / ((double)j + 4);
    return s;
}

/* floor(sum / count), of whole numbers; half a unit up, so that no rounding crosses a whole one. */
INLINE float floor_mean(double sum, double inverse)
{
    double mean = (sum + 0.5) * inverse;
    int32_t whole = (int32_t)mean;
    return (float)(whole - (mean < whole));
}

/* Sums of the row, and of their sizes, left of each weight. */
INLINE void context_sums(const struct tile *tile, ptrdiff_t i, struct row_state *s)
{
    const float *row = tile->levels + i * tile->columns;
    double sum = 0, sized = 0;
    for (ptrdiff_t j = 0; j < tile->columns; j++) {
        s->along[j] = sum;
        s->along_sized[j] = sized;
        sum += row[j];
        sized += fabsf(row[j]);
    }
}

/* Add the row to the sums of its columns. */
INLINE void context_close(const struct tile *tile, ptrdiff_t i, struct row_state *s)
{
    const float *row = tile->levels + i * tile->columns;
    for (ptrdiff_t j = 0; j < tile->columns; j++) {
        s->down[j] += row[j];
        s->down_sized[j] += fabsf(row[j]);
    }
}


/* --- A sample: what coefficients are fitted on --- */

/* Write one line a field: means of h along the row, the column, the kernel; the same of abs(h);
 * the neighbours; h itself. */
DISPATCHED
static void context_sample(const struct tile *tile, ptrdiff_t down, ptrdiff_t across,
                           double *scratch, double *fields)
{
    struct row_state s = row_state_in(scratch, tile);
    const ptrdiff_t k = tile->kernel, columns = tile->columns;
    const ptrdiff_t width = (columns + across - 1) / across;
    const ptrdiff_t size = width * ((tile->rows + down - 1) / down);
    for (ptrdiff_t i = 0, at = 0; i < tile->rows; i++) {
        if (i % down == 0) {
            const float *row = tile->levels + i * columns;
            const double inverse = 1 / ((double)i + 4);
            context_sums(tile, i, &s);
            for (ptrdiff_t j = 0, to = at; j < columns; j += across, to++) {
                ptrdiff_t first = j - j % k;
                double *field = fields + to;
                field[0] = floor_mean(s.along[j], s.inverse[j]);
                field[size] = floor_mean(s.down[j], inverse);
                field[3 * size] = floor_mean(s.along_sized[j] + tile->prior, s.inverse[j]);
                field[4 * size] = floor_mean(s.down_sized[j] + tile->prior, inverse);
                if (k > 1) {
                    field[2 * size] = floor_mean(s.along[j] - s.along[first], s.inverse[j - first]);
                    field[5 * size] = floor_mean(
                        s.along_sized[j] - s.along_sized[first] + tile->prior,
                        s.inverse[j - first]);
                }
                field[(6 + tile->n_near) * size] = row[j];
            }
            for (ptrdiff_t n = 0; n < tile->n_near; n++) {
                const ptrdiff_t up = tile->near[2 * n], left = tile->near[2 * n + 1];
                const float *source = tile->levels + (i - up) * columns;
                double *field = fields + (6 + n) * size + at;
                if (up > i) continue;
                for (ptrdiff_t j = 0, to = 0; j < columns; j += across, to++)
                    if (j >= left && j - left < columns) field[to] = source[j - left];
            }
            at += width;
        }
        context_close(tile, i, &s);
    }
}

/* --- The table: how often each level occurs in each cell --- */

struct weights {
    const int32_t *magnitude;  /* row, column, kernel, 1, neighbours, abs(mu) */
    const int32_t *prediction; /* row, column, kernel, neighbours */
    int has_magnitude, has_prediction;
    const uint8_t *magnitude_cells, *prediction_cells;
    int pattern; /* how many neighbours make the cell where only two symbols occur; else 0 */
};

INLINE void add_neighbours(const struct tile *tile, const struct weights *by, ptrdiff_t i,
                           int above, struct row_state *s)
{
    for (ptrdiff_t n = 0; n < tile->n_near; n++) {
        const ptrdiff_t up = tile->near[2 * n], left = tile->near[2 * n + 1];
        const ptrdiff_t first = left > 0 ? left : 0;
        const ptrdiff_t end = tile->columns + (left < 0 ? left : 0);
        const float *source = tile->levels + (i - up) * tile->columns;
        const float mu = by->has_prediction ? (float)by->prediction[3 + n] : 0;
        const float m = by->has_magnitude ? (float)by->magnitude[4 + n] : 0;
        if ((up > 0) != above || up > i) continue;
        if (mu != 0 && m != 0)
            for (ptrdiff_t j = first; j < end; j++) {
                s->mu[j] += mu * source[j - left];
                s->m[j] += m * fabsf(source[j - left]);
            }
        else if (mu != 0)
            for (ptrdiff_t j = first; j < end; j++) s->mu[j] += mu * source[j - left];
        else if (m != 0)
            for (ptrdiff_t j = first; j < end; j++) s->m[j] += m * fabsf(source[j - left]);
    }
}

/* The part of a row's sums that the rows above give. */
INLINE void context_above(const struct tile *tile, const struct weights *by, ptrdiff_t i,
                          struct row_state *s)
{
    const float one = by->has_magnitude ? 16 * (float)by->magnitude[3] : 0;
    const float mu = by->has_prediction ? (float)by->prediction[1] : 0;
    const float m = by->has_magnitude ? (float)by->magnitude[1] : 0;
    const double inverse = 1 / ((double)i + 4), prior = tile->prior;
    for (ptrdiff_t j = 0; j < tile->columns; j++) {
        s->mu[j] = 0;
        s->m[j] = one;
    }
    if (mu != 0)
        for (ptrdiff_t j = 0; j < tile->columns; j++)
            s->mu[j] += mu * floor_mean(s->down[j], inverse);
    if (m != 0)
        for (ptrdiff_t j = 0; j < tile->columns; j++)
            s->m[j] += m * floor_mean(s->down_sized[j] + prior, inverse);
    add_neighbours(tile, by, i, 1, s);
}

INLINE void add_kernel_mean(const struct tile *tile, const double *sums, double prior, float by,
                            const double *inverse, float *total)
{
    for (ptrdiff_t first = 0; first < tile->columns; first += tile->kernel) {
        const ptrdiff_t left = tile->columns - first;
        const ptrdiff_t n = left < tile->kernel ? left : tile->kernel;
        const double before = prior - sums[first];
        for (ptrdiff_t j = 0; j < n; j++)
            total[first + j] += by * floor_mean(sums[first + j] + before, inverse[j]);
    }
}

/* The part that lies to the left, of a row that is known. */
INLINE void context_left(const struct tile *tile, const struct weights *by, ptrdiff_t i,
                         struct row_state *s)
{
    const int32_t none[3] = {0, 0, 0};
    const int32_t *mu = by->has_prediction ? by->prediction : none;
    const int32_t *m = by->has_magnitude ? by->magnitude : none;
    const double prior = tile->prior;
    if (mu[0] || mu[2] || m[0] || m[2]) context_sums(tile, i, s);
    if (mu[0])
        for (ptrdiff_t j = 0; j < tile->columns; j++)
            s->mu[j] += (float)mu[0] * floor_mean(s->along[j], s->inverse[j]);
    if (m[0])
        for (ptrdiff_t j = 0; j < tile->columns; j++)
            s->m[j] += (float)m[0] * floor_mean(s->along_sized[j] + prior, s->inverse[j]);
    if (mu[2] && tile->kernel > 1)
        add_kernel_mean(tile, s->along, 0, (float)mu[2], s->inverse, s->mu);
    if (m[2] && tile->kernel > 1)
        add_kernel_mean(tile, s->along_sized, prior, (float)m[2], s->inverse, s->m);
    add_neighbours(tile, by, i, 0, s);
}

/* Which of the first neighbours have the sign of mu, the first one highest. */
INLINE int sign_pattern(const struct tile *tile, const struct weights *by, ptrdiff_t i, ptrdiff_t j,
                        int negative)
{
    int pattern = 0;
    for (int n = 0; n < by->pattern; n++) {
        const ptrdiff_t row = i - tile->near[2 * n], column = j - tile->near[2 * n + 1];
        if (row < 0 || column < 0 || column >= tile->columns) continue;
        const float near = tile->levels[row * tile->columns + column];
        pattern |= ((negative ? -near : near) > 0) << (PATTERN - 1 - n);
    }
    return pattern;
}

/* The cell of one weight, from its row's sums. */
INLINE int context_cell(const struct tile *tile, const struct weights *by, ptrdiff_t i, ptrdiff_t j,
                        const struct row_state *s, int *negative)
{
    const int size = (int)fabsf(s->mu[j]);
    const int x = by->prediction_cells[size < CELL_TABLE ? size : CELL_TABLE - 1];
    int m;
    *negative = s->mu[j] < 0;
    if (by->pattern) return sign_pattern(tile, by, i, j, *negative) << 4 | x;
    if (!by->has_magnitude) return x;
    m = (int)s->m[j];
    if (by->has_prediction) {
        const int sixteenths = size >> 6;
        m += by->magnitude[4 + tile->n_near] * (sixteenths < 2032 ? sixteenths : 2032);
    }
    m = m > 0 ? m : 0;
    return by->magnitude_cells[m < CELL_TABLE ? m : CELL_TABLE - 1] << 4 | x;
}

/* Add to table[cell][h + top], h mirrored where mu is negative and cut to +-top. */
DISPATCHED
static void context_table(const struct tile *tile, const struct weights *by, int top,
                          double *scratch, int64_t *table)
{
    struct row_state s = row_state_in(scratch, tile);
    const float most = (float)(16 * top);
    for (ptrdiff_t i = 0; i < tile->rows; i++) {
        const float *row = tile->levels + i * tile->columns;
        context_above(tile, by, i, &s);
        context_left(tile, by, i, &s);
        for (ptrdiff_t j = 0; j < tile->columns; j++) {
            int negative, cell = context_cell(tile, by, i, j, &s, &negative);
            float cut = row[j] < most ? row[j] : most;
            int level = (int)(cut > -most ? cut : -most) / 16;
            table[cell * (2 * top + 1) + top + (negative ? -level : level)]++;
        }
        context_close(tile, i, &s);
    }
}

/* --- Context trees, from counts --- */

/* A node that has seen something has a probability of 1/2 at most; of others rounding alone. */
INLINE int has_seen(double bits)
{
    return bits < -0.5;
}

/* Of each kind of bit and each order: log2 of Krichevsky and Trofimov's probability at each node
 * of the tree, node 1 being the root. Nodes that have seen nothing get the value for their depth in
 * `empty`. Those with counts beyond the tables are listed: (place, zeros, ones), up to `capacity`
 * of them. Returns how many there are. */
static ptrdiff_t tree_nodes(const int64_t *zeros, const int64_t *ones, ptrdiff_t kinds,
                            ptrdiff_t leaves, const int64_t *orders, ptrdiff_t n_orders,
                            const double *halves, const double *wholes, ptrdiff_t n_table,
                            const double *empty,
                            int64_t *a, double *nodes, int64_t *large, ptrdiff_t capacity)
{
    int64_t *b = a + 2 * leaves;
    ptrdiff_t n_large = 0;
    for (ptrdiff_t tree = 0; tree < kinds * n_orders; tree++) {
        const ptrdiff_t kind = tree / n_orders;
        const int64_t *order = orders + tree % n_orders * leaves;
        double *node = nodes + tree * 2 * leaves;
        for (ptrdiff_t i = 0; i < leaves; i++) {
            a[leaves + i] = zeros[kind * leaves + order[i]];
            b[leaves + i] = ones[kind * leaves + order[i]];
        }
        for (ptrdiff_t i = leaves - 1; i > 0; i--) {
            a[i] = a[2 * i] + a[2 * i + 1];
            b[i] = b[2 * i] + b[2 * i + 1];
        }
        node[0] = 0;
        for (ptrdiff_t level = 1, depth = 0; level <= leaves; level *= 2, depth++)
            for (ptrdiff_t i = level; i < 2 * level; i++) {
                const int64_t both = a[i] + b[i];
                if (both < n_table) {
                    node[i] = both ? (halves[a[i]] + halves[b[i]]) - wholes[both] : empty[depth];
                    continue;
                }
                if (n_large < capacity) {
                    large[3 * n_large] = tree * 2 * leaves + i;
                    large[3 * n_large + 1] = a[i];
                    large[3 * n_large + 2] = b[i];
                }
                n_large++;
                node[i] = 0;
            }
    }
    return n_large;
}

/* List the nodes of one level that have seen anything: own[n] = log2 of the node's own
 * probability, below[n] = that of its two children, place[n] = where it is. The mean of the two is
 * left to the caller, unless one is so small that it is lost in the rounding of the other. */
static ptrdiff_t tree_level(double *nodes, ptrdiff_t trees, ptrdiff_t leaves, ptrdiff_t level,
                            double *own, double *below, int64_t *place)
{
    ptrdiff_t n = 0;
    for (ptrdiff_t tree = 0; tree < trees; tree++) {
        double *node = nodes + tree * 2 * leaves;
        for (ptrdiff_t i = level; i < 2 * level; i++) {
            const double children = node[2 * i] + node[2 * i + 1];
            if (!has_seen(node[i])) continue;
            if (fabs(node[i] - children) > 64) {
                node[i] = (node[i] > children ? node[i] : children) - 1;
                continue;
            }
            own[n] = node[i];
            below[n] = children;
            place[n++] = tree * 2 * leaves + i;
        }
    }
    return n;
}

/* How often each flag is 0 and 1 in each context, from a table of levels: see ../trees.py. */
static void flag_counts(const int64_t *table, int top, int64_t *zeros, int64_t *ones)
{
    const ptrdiff_t width = 2 * top + 1, contexts = 2 * N_CELLS;
    int64_t above[N_CELLS] = {0}, below[N_CELLS] = {0}; /* abs(h) > size, on either side of 0 */
    for (int size = top; size >= 1; size--) {
        int64_t *zero = zeros + (1 + size) * contexts, *one = ones + (1 + size) * contexts;
        for (ptrdiff_t cell = 0; cell < N_CELLS; cell++) {
            const int64_t *level = table + cell * width + top; /* level[h] */
            if (size < top) {
                zero[cell] = level[size];
                zero[N_CELLS + cell] = level[-size];
                one[cell] = above[cell];
                one[N_CELLS + cell] = below[cell];
            }
            above[cell] += level[size];
            below[cell] += level[-size];
        }
    }
    for (ptrdiff_t cell = 0; cell < N_CELLS; cell++) {
        ones[cell] = table[cell * width + top];
        zeros[cell] = above[cell] + below[cell];
        ones[contexts + cell] = below[cell];
        zeros[contexts + cell] = above[cell];
    }
}

#endif
