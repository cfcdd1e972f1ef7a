/* Counting symbols, shuffling words. Twins: ../counts.py, ../permutation.py. */
#ifndef KCOMPLEXITY_SYMBOLS_H
#define KCOMPLEXITY_SYMBOLS_H

#include "common.h"

/* --- Symbols --- */

/* Add the counts of n bytes to all 256 places. Four tables: equal neighbours do not wait. */
static void count_bytes(const uint8_t *symbols, ptrdiff_t n, int64_t *counts)
{
    while (n > 0) {
        uint32_t tables[4][256];
        ptrdiff_t part = n < (1 << 30) ? n : 1 << 30, i = 0;
        memset(tables, 0, sizeof tables);
        for (; i + 8 <= part; i += 8) {
            uint64_t word;
            memcpy(&word, symbols + i, sizeof word);
            for (int j = 0; j < 8; j++) tables[j & 3][word >> 8 * j & 0xff]++;
        }
        for (; i < part; i++) tables[0][symbols[i]]++;
        for (int j = 0; j < 256; j++)
            counts[j] += (int64_t)tables[0][j] + tables[1][j] + tables[2][j] + tables[3][j];
        symbols += part;
        n -= part;
    }
}

static void count_words(const uint16_t *symbols, ptrdiff_t n, int64_t *counts)
{
    for (ptrdiff_t i = 0; i < n; i++) counts[symbols[i]]++;
}

DISPATCHED
static unsigned largest_word(const uint16_t *symbols, ptrdiff_t n)
{
    uint16_t most = 0;
    for (ptrdiff_t i = 0; i < n; i++) most = symbols[i] > most ? symbols[i] : most;
    return most;
}

/* --- Words in another order --- */

/* NumPy's interface to its bit generators (numpy/random/bitgen.h). */
struct bit_generator {
    void *state;
    uint64_t (*next_uint64)(void *state);
    uint32_t (*next_uint32)(void *state);
    double (*next_double)(void *state);
    uint64_t (*next_raw)(void *state);
};

/* Draw partner[i], a number from 0 to last - i, for i below `count`, as NumPy draws it: the lowest
 * bits of 32, again while they are too large. Without a branch on that: it is never foreseen. */
static void draw_partners(const struct bit_generator *random, uint32_t last, ptrdiff_t count,
                          uint32_t *partner)
{
    uint32_t mask = UINT32_MAX;
    for (ptrdiff_t i = 0; i < count;) {
        const uint32_t most = last - (uint32_t)i;
        while (mask >> 1 >= most) mask >>= 1;
        partner[i] = random->next_uint32(random->state) & mask;
        i += partner[i] <= most;
    }
}

/* Fisher and Yates' shuffle, with NumPy's draws. They do not depend on the words: a few are drawn
 * ahead, and the words that they name are on their way from memory when their turn comes. */
#define AHEAD 64
#define DEFINE_SHUFFLE(BITS)                                                                       \
    static void shuffle_##BITS(void *given, ptrdiff_t n, const struct bit_generator *random)       \
    {                                                                                              \
        uint##BITS##_t *words = given;                                                             \
        for (ptrdiff_t last = n - 1; last > 0; last -= AHEAD) {                                    \
            uint32_t partner[AHEAD];                                                               \
            ptrdiff_t count = last < AHEAD ? last : AHEAD;                                         \
            draw_partners(random, (uint32_t)last, count, partner);                                 \
            for (ptrdiff_t i = 0; i < count; i++) PREFETCH(words + partner[i]);                    \
            for (ptrdiff_t i = 0; i < count; i++) {                                                \
                uint##BITS##_t word = words[last - i];                                             \
                words[last - i] = words[partner[i]];                                               \
                words[partner[i]] = word;                                                          \
            }                                                                                      \
        }                                                                                          \
    }
DEFINE_SHUFFLE(8)
DEFINE_SHUFFLE(16)
DEFINE_SHUFFLE(32)
DEFINE_SHUFFLE(64)

#endif
