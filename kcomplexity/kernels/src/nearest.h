/* The lowest and second lowest of each row of scores. Twin: ../nearest.py. */
#ifndef KCOMPLEXITY_NEAREST_H
#define KCOMPLEXITY_NEAREST_H

#include "common.h"

#define GROUP 64

INLINE void see(float score, ptrdiff_t at, ptrdiff_t *best, float *lowest, float *second)
{
    if (score < *lowest) {
        *second = *lowest;
        *lowest = score;
        *best = at;
    } else if (score < *second) {
        *second = score;
    }
}

/* Scores are not NaN. Most groups hold nothing below the second lowest so far, which is soon seen:
 * a vector of them at a time. */
DISPATCHED
static void two_lowest(const float *scores, ptrdiff_t rows, ptrdiff_t columns, int64_t *best,
                       float *lowest, float *second)
{
    for (ptrdiff_t i = 0; i < rows; i++, scores += columns) {
        float first = INFINITY, next = INFINITY;
        ptrdiff_t at = 0, j = 0;
        for (; j + GROUP <= columns; j += GROUP) {
            int below = 0;
            for (ptrdiff_t k = 0; k < GROUP; k++) below |= scores[j + k] < next;
            if (!below) continue;
            for (ptrdiff_t k = 0; k < GROUP; k++) see(scores[j + k], j + k, &at, &first, &next);
        }
        for (; j < columns; j++) see(scores[j], j, &at, &first, &next);
        best[i] = at;
        lowest[i] = first;
        second[i] = next;
    }
}

#endif
