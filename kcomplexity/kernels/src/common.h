/* What all loops share: how they are compiled, and sums in NumPy's order.
 *
 * Every float operation is one IEEE operation in the order written: no contraction, no fast-math,
 * no excess precision. Only then is a kernel equal to its NumPy twin in every bit.
 */
#ifndef KCOMPLEXITY_COMMON_H
#define KCOMPLEXITY_COMMON_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__FAST_MATH__)
#error "the kernels must not be compiled with fast-math"
#endif
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0
#error "the kernels need floats that are computed in their own precision"
#endif

/* Two versions of a loop, chosen when the module is loaded: both give the same bits. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__gnu_linux__)
#define DISPATCHED __attribute__((target_clones("avx2", "default")))
#else
#define DISPATCHED
#endif

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#define PREFETCH(address) __builtin_prefetch((address), 1)
#elif defined(_MSC_VER)
#define INLINE static __forceinline
#define PREFETCH(address) ((void)0)
#else
#define INLINE static inline
#define PREFETCH(address) ((void)0)
#endif

/* Weights whose error is one float. */
#define LEAF 65536

/* How stored weights are read. */
enum source { FLOAT32, FLOAT64, FLOAT16, BFLOAT16 };

INLINE float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

INLINE float from_float16(uint16_t bits)
{
    uint32_t size = bits & 0x7fffu, sign = (uint32_t)(bits & 0x8000u) << 16;
    /* The exponent is 112 too small as a float32; infinity and NaN keep the largest one. */
    float scaled = from_bits(size << 13) * 0x1p112f;
    uint32_t word;
    memcpy(&word, &scaled, sizeof word);
    return from_bits(sign | (size >= 0x7c00u ? 0x7f800000u | size << 13 : word));
}

/* Read `n` weights from number `at` on. */
INLINE void read_float32(enum source source, const void *weights, ptrdiff_t at, ptrdiff_t n,
                         float *out)
{
    if (source == FLOAT32) {
        memcpy(out, (const float *)weights + at, (size_t)n * sizeof *out);
    } else if (source == FLOAT16) {
        const uint16_t *words = (const uint16_t *)weights + at;
        for (ptrdiff_t i = 0; i < n; i++) out[i] = from_float16(words[i]);
    } else {
        const uint16_t *words = (const uint16_t *)weights + at;
        for (ptrdiff_t i = 0; i < n; i++) out[i] = from_bits((uint32_t)words[i] << 16);
    }
}

/* The same as float64; `n` is at most 256. */
INLINE void read_float64(enum source source, const void *weights, ptrdiff_t at, ptrdiff_t n,
                         double *out)
{
    float narrow[256];
    if (source == FLOAT64) {
        memcpy(out, (const double *)weights + at, (size_t)n * sizeof *out);
        return;
    }
    read_float32(source, weights, at, n, narrow);
    for (ptrdiff_t i = 0; i < n; i++) out[i] = narrow[i];
}

/* Nearest whole number, half to even, of a float below 2**22; larger ones stay as large. */
INLINE float rint_float32(float value)
{
    return (value + 0x1.8p23f) - 0x1.8p23f;
}

/* The same of any float64: from 2**52 on they are whole. */
INLINE double rint_float64(double value)
{
    const double shift = value < 0 ? -0x1p52 : 0x1p52;
    return fabs(value) < 0x1p52 ? (value + shift) - shift : value;
}

/* The sum of at most 128 numbers: the base of NumPy's pairwise sum. */
INLINE double base_sum(const double *values, ptrdiff_t n)
{
    double sums[8], total;
    ptrdiff_t i;
    if (n < 8) {
        total = 0;
        for (i = 0; i < n; i++) total += values[i];
        return total;
    }
    for (int j = 0; j < 8; j++) sums[j] = values[j];
    for (i = 8; i < n - n % 8; i += 8)
        for (int j = 0; j < 8; j++) sums[j] += values[i + j];
    total = ((sums[0] + sums[1]) + (sums[2] + sums[3]))
            + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    for (i = n - n % 8; i < n; i++) total += values[i];
    return total;
}

/* How many of `n` > 128 numbers NumPy's pairwise sum puts on the left. */
INLINE ptrdiff_t left_half(ptrdiff_t n)
{
    return n / 2 - n / 2 % 8;
}

static double pairwise_sum(const double *values, ptrdiff_t n)
{
    ptrdiff_t left = left_half(n);
    if (n <= 128) return base_sum(values, n);
    return pairwise_sum(values, left) + pairwise_sum(values + left, n - left);
}

#endif
