/* Counting symbols and blocks of bits, moving words. Twins: ../counts.py, ../permutation.py. */
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

/* --- Blocks of bits --- */

INLINE uint64_t bytes_first_highest(const uint8_t *bytes, int n)
{
    uint64_t word = 0;
    for (int i = 0; i < n; i++) word = word << 8 | bytes[i];
    return word;
}

INLINE uint64_t two_rows(const uint8_t *upper, const uint8_t *lower)
{
    return bytes_first_highest(upper, 4) << 32 | bytes_first_highest(lower, 4);
}

/* Byte b of the result holds bit b of each of the eight bytes, in their order: an 8x8 transpose. */
INLINE uint64_t transposed(uint64_t x)
{
    uint64_t t = (x ^ x >> 7) & 0x00aa00aa00aa00aaull;
    x ^= t ^ t << 7;
    t = (x ^ x >> 14) & 0x0000cccc0000ccccull;
    x ^= t ^ t << 14;
    t = (x ^ x >> 28) & 0x00000000f0f0f0f0ull;
    return x ^ t ^ t << 28;
}

/* The lowest bits of eight bytes, the highest byte's first. */
INLINE uint64_t lowest_bits(uint64_t x)
{
    return (x & 0x0101010101010101ull) * 0x0102040810204080ull >> 56;
}

/* Blocks whose codes wait to be counted, plane after plane: tables of all planes are too large for
 * a cache. */
#define WAITING 32768

struct block_counts {
    int64_t *counts; /* n_codes a plane */
    ptrdiff_t n_codes;
    int planes;
    uint16_t *codes; /* WAITING a plane, and then a table of n_codes */
    ptrdiff_t n;
};

/* Add the counts of up to WAITING codes. Of many, in a small table first, which stays in a cache. */
static void count_codes(const uint16_t *codes, ptrdiff_t n, int64_t *counts, uint16_t *table,
                        ptrdiff_t n_codes)
{
    if (n < n_codes / 4) {
        for (ptrdiff_t i = 0; i < n; i++) counts[codes[i]]++;
        return;
    }
    memset(table, 0, (size_t)n_codes * sizeof *table);
    for (ptrdiff_t i = 0; i < n; i++) table[codes[i]]++;
    for (ptrdiff_t i = 0; i < n_codes; i++) counts[i] += table[i];
}

static void count_waiting(struct block_counts *blocks)
{
    for (ptrdiff_t plane = 0; plane < blocks->planes; plane++)
        count_codes(blocks->codes + plane * WAITING, blocks->n,
                    blocks->counts + plane * blocks->n_codes,
                    blocks->codes + blocks->planes * (ptrdiff_t)WAITING, blocks->n_codes);
    blocks->n = 0;
}

/* Add a block of up to 16 symbols: eight bytes, then `tail` of the next eight from the highest on.
 * Plane 0 is the highest of the lowest `planes` bits. */
INLINE void add_block(struct block_counts *blocks, uint64_t upper, uint64_t lower, int tail)
{
    if (blocks->planes == 1) {
        const uint64_t code = lowest_bits(upper) << tail | lowest_bits(lower) >> (8 - tail);
        blocks->counts[code]++;
        return;
    }
    upper = transposed(upper);
    lower = transposed(lower);
    for (int bit = 0; bit < blocks->planes; bit++) {
        const uint64_t code = (upper >> 8 * bit & 0xff) << tail
                              | (lower >> 8 * bit & 0xff) >> (8 - tail);
        blocks->codes[(ptrdiff_t)(blocks->planes - 1 - bit) * WAITING + blocks->n] =
            (uint16_t)code;
    }
    if (++blocks->n == WAITING) count_waiting(blocks);
}

/* 4x4 blocks. */
static void count_squares(const uint8_t *symbols, ptrdiff_t rows, ptrdiff_t columns,
                          struct block_counts *blocks)
{
    for (ptrdiff_t i = 0; i + 4 <= rows; i += 4)
        for (ptrdiff_t j = 0; j + 4 <= columns; j += 4) {
            const uint8_t *at = symbols + i * columns + j;
            add_block(blocks, two_rows(at, at + columns),
                      two_rows(at + 2 * columns, at + 3 * columns), 8);
        }
    count_waiting(blocks);
}

/* Blocks of 12 in a row. */
static void count_runs(const uint8_t *symbols, ptrdiff_t n, struct block_counts *blocks)
{
    for (ptrdiff_t i = 0; i + 12 <= n; i += 12)
        add_block(blocks, bytes_first_highest(symbols + i, 8),
                  bytes_first_highest(symbols + i + 8, 4) << 32, 4);
    count_waiting(blocks);
}

/* --- Words in another order --- */

/* out[i] = words[index[i]]. Returns the first i whose index is not below n_words, or n. */
#define DEFINE_TAKE(NAME, WORD, INDEX)                                                             \
    static ptrdiff_t NAME(const WORD *words, ptrdiff_t n_words, const INDEX *index, ptrdiff_t n,   \
                          WORD *out)                                                               \
    {                                                                                              \
        for (ptrdiff_t i = 0; i < n; i++) {                                                        \
            uint64_t place = (uint64_t)index[i];                                                   \
            if (place >= (uint64_t)n_words) return i;                                              \
            out[i] = words[place];                                                                 \
        }                                                                                          \
        return n;                                                                                  \
    }
#define DEFINE_TAKES(BITS)                                                                         \
    DEFINE_TAKE(take_##BITS##_by_8, uint##BITS##_t, uint8_t)                                       \
    DEFINE_TAKE(take_##BITS##_by_16, uint##BITS##_t, uint16_t)                                     \
    DEFINE_TAKE(take_##BITS##_by_32, uint##BITS##_t, uint32_t)                                     \
    DEFINE_TAKE(take_##BITS##_by_64, uint##BITS##_t, uint64_t)                                     \
    static ptrdiff_t take_##BITS(const void *words, ptrdiff_t n_words, const void *index,          \
                                 ptrdiff_t width, ptrdiff_t n, void *out)                          \
    {                                                                                              \
        switch (width) {                                                                           \
        case 1: return take_##BITS##_by_8(words, n_words, index, n, out);                          \
        case 2: return take_##BITS##_by_16(words, n_words, index, n, out);                         \
        case 4: return take_##BITS##_by_32(words, n_words, index, n, out);                         \
        default: return take_##BITS##_by_64(words, n_words, index, n, out);                        \
        }                                                                                          \
    }
DEFINE_TAKES(8)
DEFINE_TAKES(16)
DEFINE_TAKES(32)
DEFINE_TAKES(64)

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
