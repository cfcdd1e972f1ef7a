/* The boundary between Python and the loops: arguments are checked here, and the GIL is released.
 *
 * Each function takes C-contiguous buffers and numbers and fills buffers of its caller. A buffer of
 * another kind is a TypeError, one of another size a ValueError: no call can make a loop read or
 * write outside its arrays. Only Python's limited API is used, so one binary serves all versions
 * from 3.11 on, and NumPy is not needed to build it. The functions are described where they are
 * called, beside their NumPy twins (../levels.py, ../counts.py, ...).
 */
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "common.h"
#include "context.h"
#include "levels.h"
#include "nearest.h"
#include "symbols.h"

/* --- Buffers --- */

#define MOST_BUFFERS 10

struct buffers {
    Py_buffer view[MOST_BUFFERS];
    int count;
};

static PyObject *released(struct buffers *all, PyObject *result)
{
    while (all->count) PyBuffer_Release(&all->view[--all->count]);
    return result;
}

/* 'i', 'u' or 'f': the kind of NumPy's dtype; 0 if it is not in native order or something else. */
static char kind_of(const char *format)
{
    if (!format) return 'u';
    const uint16_t one = 1;
    const char native = *(const unsigned char *)&one ? '<' : '>';
    if (*format == '@' || *format == '=' || *format == native) format++;
    if (!format[0] || format[1]) return 0;
    if (strchr("bhilqn", *format)) return 'i';
    if (strchr("?BHILQN", *format)) return 'u';
    return strchr("efd", *format) ? 'f' : 0;
}

/* Open a buffer whose kind and item size are among `types`, e.g. "u1u2"; "+" first: writable.
 * Returns NULL with an exception set if it is not. */
static Py_buffer *open_buffer(struct buffers *all, PyObject *object, const char *name,
                              const char *types)
{
    int writable = *types == '+';
    Py_buffer *view = &all->view[all->count];
    char kind;
    if (PyObject_GetBuffer(object, view,
                           PyBUF_ND | PyBUF_C_CONTIGUOUS | PyBUF_FORMAT
                               | (writable ? PyBUF_WRITABLE : 0)))
        return NULL;
    all->count++;
    types += writable;
    kind = kind_of(view->format);
    for (const char *type = types; *type; type += 2) {
        if (type[0] != kind || type[1] - '0' != view->itemsize) continue;
        if ((uintptr_t)view->buf % (size_t)view->itemsize && view->len) {
            PyErr_Format(PyExc_ValueError, "%s: the array is not aligned", name);
            return NULL;
        }
        return view;
    }
    PyErr_Format(PyExc_TypeError, "%s: expected an array of %s, not of format '%s'", name, types,
                 view->format ? view->format : "B");
    return NULL;
}

static Py_ssize_t size_of(const Py_buffer *view)
{
    return view->len / view->itemsize;
}

/* Whether a buffer holds `size` items; sets a ValueError if not. */
static int has_size(const Py_buffer *view, const char *name, Py_ssize_t size)
{
    if (size_of(view) == size) return 1;
    PyErr_Format(PyExc_ValueError, "%s: %zd items where %zd are expected", name, size_of(view),
                 size);
    return 0;
}

static int has_axes(const Py_buffer *view, const char *name, int ndim)
{
    if (view->ndim == ndim) return 1;
    PyErr_Format(PyExc_ValueError, "%s: %d axes where %d are expected", name, view->ndim, ndim);
    return 0;
}

static int fits(int condition, const char *message)
{
    if (!condition) PyErr_SetString(PyExc_ValueError, message);
    return condition;
}

#define OPEN(VIEW, OBJECT, NAME, TYPES)                                                            \
    if (!(VIEW = open_buffer(&all, OBJECT, NAME, TYPES))) return released(&all, NULL)
#define CHECK(CONDITION)                                                                           \
    if (!(CONDITION)) return released(&all, NULL)
#define DONE                                                                                       \
    released(&all, NULL);                                                                          \
    Py_RETURN_NONE

/* bfloat16 has no format of its own: its words come as uint16, and `bfloat16` says so. */
static const char WEIGHTS[] = "f4f8f2u2";

static enum source source_of(const Py_buffer *weights)
{
    if (kind_of(weights->format) == 'u') return BFLOAT16;
    return weights->itemsize == 8 ? FLOAT64 : weights->itemsize == 4 ? FLOAT32 : FLOAT16;
}

/* --- Levels --- */

static PyObject *affine_levels(PyObject *Py_UNUSED(module), PyObject *args)
{
    struct buffers all = {.count = 0};
    PyObject *o[4];
    Py_buffer *weights, *symbols, *errors, *squares;
    struct affine q;
    int wide;
    if (!PyArg_ParseTuple(args, "OOOOddddp", &o[0], &o[1], &o[2], &o[3], &q.zero, &q.step,
                          &q.lowest, &q.highest, &wide))
        return NULL;
    OPEN(weights, o[0], "weights", WEIGHTS);
    OPEN(symbols, o[1], "symbols", "+u1u2");
    OPEN(errors, o[2], "errors", "+f8");
    OPEN(squares, o[3], "squares", "+f8");
    const Py_ssize_t n = size_of(weights), n_leaves = (n + LEAF - 1) / LEAF;
    const enum source source = source_of(weights);
    CHECK(has_size(symbols, "symbols", n) && has_size(errors, "errors", n_leaves)
          && has_size(squares, "squares", n_leaves));
    CHECK(fits(q.step > 0 && q.highest >= q.lowest && q.lowest >= -65536 && q.highest <= 65536
                   && q.highest - q.lowest < (symbols->itemsize == 1 ? 256 : 65536),
               "a step above 0 and levels that the symbols hold are expected"));
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t leaf = 0; leaf < n_leaves; leaf++) {
        const Py_ssize_t start = leaf * LEAF, size = n - start < LEAF ? n - start : LEAF;
        struct sums sums =
            (wide || source == FLOAT64 ? affine_leaf64 : affine_leaf32)(
                source, weights->buf, start, size, q, symbols->buf, (int)symbols->itemsize);
        ((double *)errors->buf)[leaf] = sums.error;
        ((double *)squares->buf)[leaf] = sums.squares;
    }
    Py_END_ALLOW_THREADS
    DONE;
}

/* symbols: None where only sums are wanted; errors: None where only squares are. */
static PyObject *stepped_levels(PyObject *Py_UNUSED(module), PyObject *args)
{
    struct buffers all = {.count = 0};
    PyObject *o[4];
    Py_buffer *weights, *symbols = NULL, *errors = NULL, *squares;
    struct stepped q;
    if (!PyArg_ParseTuple(args, "OOOOddd", &o[0], &o[1], &o[2], &o[3], &q.step, &q.lowest,
                          &q.highest))
        return NULL;
    OPEN(weights, o[0], "weights", WEIGHTS);
    const Py_ssize_t n = size_of(weights), n_leaves = (n + LEAF - 1) / LEAF;
    OPEN(squares, o[3], "squares", "+f8");
    CHECK(has_size(squares, "squares", n_leaves));
    if (o[2] != Py_None) {
        OPEN(errors, o[2], "errors", "+f8");
        CHECK(has_size(errors, "errors", n_leaves));
    }
    if (o[1] != Py_None) {
        OPEN(symbols, o[1], "symbols", "+u1u2u4");
        CHECK(has_size(symbols, "symbols", n));
        CHECK(fits(errors && q.highest >= q.lowest && q.lowest >= -0x1p50 && q.highest <= 0x1p50
                       && q.highest - q.lowest < (symbols->itemsize == 1   ? 0x1p8
                                                  : symbols->itemsize == 2 ? 0x1p16
                                                                           : 0x1p32),
                   "levels that the symbols hold are expected"));
    }
    CHECK(fits(q.step > 0, "a step above 0 is expected"));
    q.source = source_of(weights);
    q.weights = weights->buf;
    q.errors = errors != NULL;
    q.symbols = symbols ? symbols->buf : NULL;
    q.width = symbols ? (int)symbols->itemsize : 0;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t leaf = 0; leaf < n_leaves; leaf++) {
        const Py_ssize_t start = leaf * LEAF;
        struct sums sums = stepped_part(&q, start, n - start < LEAF ? n - start : LEAF);
        if (errors) ((double *)errors->buf)[leaf] = sums.error;
        ((double *)squares->buf)[leaf] = sums.squares;
    }
    Py_END_ALLOW_THREADS
    DONE;
}

static PyObject *magnitudes(PyObject *Py_UNUSED(module), PyObject *args)
{
    struct buffers all = {.count = 0};
    PyObject *o[3];
    Py_buffer *weights, *bins, *beyond;
    double span;
    Py_ssize_t n_beyond;
    if (!PyArg_ParseTuple(args, "OOOd", &o[0], &o[1], &o[2], &span)) return NULL;
    OPEN(weights, o[0], "weights", WEIGHTS);
    OPEN(bins, o[1], "bins", "+f8");
    OPEN(beyond, o[2], "beyond", "+f8");
    const Py_ssize_t n_bins = size_of(bins) / 3;
    CHECK(fits(n_bins > 0 && n_bins <= 1 << 24 && size_of(bins) % 3 == 0 && span > 0,
               "bins of shape (n, 3) and a span above 0 are expected"));
    CHECK(has_size(beyond, "beyond", size_of(weights)));
    Py_BEGIN_ALLOW_THREADS
    n_beyond = add_magnitudes(source_of(weights), weights->buf, size_of(weights), span, bins->buf,
                              n_bins, beyond->buf);
    Py_END_ALLOW_THREADS
    return released(&all, PyLong_FromSsize_t(n_beyond));
}

/* --- Symbols --- */

static PyObject *count(PyObject *Py_UNUSED(module), PyObject *args)
{
    struct buffers all = {.count = 0};
    PyObject *o[2];
    Py_buffer *symbols, *counts;
    int fit = 1;
    if (!PyArg_ParseTuple(args, "OO", &o[0], &o[1])) return NULL;
    OPEN(symbols, o[0], "symbols", "u1u2");
    OPEN(counts, o[1], "counts", "+i8");
    const Py_ssize_t n = size_of(symbols), size = size_of(counts);
    Py_BEGIN_ALLOW_THREADS
    if (symbols->itemsize == 1) {
        int64_t bytes[256] = {0};
        count_bytes(symbols->buf, n, bytes);
        for (Py_ssize_t i = size; i < 256; i++) fit &= !bytes[i];
        for (Py_ssize_t i = 0; fit && i < size && i < 256; i++)
            ((int64_t *)counts->buf)[i] += bytes[i];
    } else {
        fit = !n || largest_word(symbols->buf, n) < size;
        if (fit) count_words(symbols->buf, n, counts->buf);
    }
    Py_END_ALLOW_THREADS
    CHECK(fits(fit, "symbols: one is beyond the table of counts"));
    DONE;
}

static PyObject *shuffle(PyObject *Py_UNUSED(module), PyObject *args)
{
    struct buffers all = {.count = 0};
    PyObject *o[2];
    Py_buffer *words;
    const struct bit_generator *random;
    Py_ssize_t row;
    if (!PyArg_ParseTuple(args, "OOn", &o[0], &o[1], &row)) return NULL;
    random = PyCapsule_GetPointer(o[1], "BitGenerator");
    if (!random) return NULL;
    OPEN(words, o[0], "words", "+u1u2u4u8");
    const Py_ssize_t n = size_of(words);
    CHECK(fits(row > 0 && n % row == 0 && (uint64_t)row < UINT32_MAX,
               "words: whole rows of less than 2**32 - 1 words are expected"));
    Py_BEGIN_ALLOW_THREADS
    for (char *at = words->buf; at < (char *)words->buf + words->len; at += row * words->itemsize) {
        switch (words->itemsize) {
        case 1: shuffle_8(at, row, random); break;
        case 2: shuffle_16(at, row, random); break;
        case 4: shuffle_32(at, row, random); break;
        default: shuffle_64(at, row, random);
        }
    }
    Py_END_ALLOW_THREADS
    DONE;
}

/* --- Contexts --- */

/* Check a tile's levels and neighbours; every loop over it then stays in its arrays. */
static int open_tile(struct tile *tile, const Py_buffer *levels, const Py_buffer *near,
                     Py_ssize_t kernel, Py_ssize_t mean)
{
    const float *level = levels->buf;
    int bounded = 1;
    if (!has_axes(levels, "levels", 2) || !has_axes(near, "near", 2)) return 0;
    tile->levels = level;
    tile->rows = levels->shape[0];
    tile->columns = levels->shape[1];
    tile->kernel = kernel;
    tile->prior = 4 * (double)mean;
    tile->near = near->buf;
    tile->n_near = near->shape[0];
    if (!fits(kernel >= 1 && mean >= 0 && mean <= 2032 && tile->n_near <= 32
                  && size_of(near) == 2 * tile->n_near && tile->rows < 1 << 30
                  && tile->columns < 1 << 30,
              "a kernel of 1 or more, a mean of 0 to 2032, at most 32 neighbours are expected"))
        return 0;
    for (ptrdiff_t i = 0; i < tile->rows * tile->columns; i++)
        bounded &= level[i] <= 2032 && level[i] >= -2032;
    if (!fits(bounded, "levels: sixteenths from -2032 to 2032 are expected")) return 0;
    for (ptrdiff_t i = 0; i < tile->n_near; i++) {
        const int64_t up = tile->near[2 * i], left = tile->near[2 * i + 1];
        if (!fits(up >= 0 && (up > 0 || left > 0) && up < 1 << 30 && left < 1 << 30
                      && left > -(1 << 30),
                  "near: rows up and columns left, of what comes before, are expected"))
            return 0;
    }
    return 1;
}

static int all_below(const Py_buffer *bytes, int limit)
{
    int most = 0;
    for (Py_ssize_t i = 0; i < bytes->len; i++)
        most = ((uint8_t *)bytes->buf)[i] > most ? ((uint8_t *)bytes->buf)[i] : most;
    return most < limit;
}

static PyObject *sample_contexts(PyObject *Py_UNUSED(module), PyObject *args)
{
    struct buffers all = {.count = 0};
    PyObject *o[4];
    Py_buffer *levels, *near, *scratch, *fields;
    struct tile tile;
    Py_ssize_t kernel, mean, down, across;
    if (!PyArg_ParseTuple(args, "OOnnnnOO", &o[0], &o[1], &kernel, &mean, &down, &across, &o[2],
                          &o[3]))
        return NULL;
    OPEN(levels, o[0], "levels", "f4");
    OPEN(near, o[1], "near", "i8");
    OPEN(scratch, o[2], "scratch", "+f8");
    OPEN(fields, o[3], "fields", "+f8");
    CHECK(open_tile(&tile, levels, near, kernel, mean));
    CHECK(fits(down > 0 && across > 0, "steps above 0 are expected"));
    CHECK(has_size(scratch, "scratch", 6 * tile.columns)
          && has_size(fields, "fields",
                      (7 + tile.n_near) * ((tile.rows + down - 1) / down)
                          * ((tile.columns + across - 1) / across)));
    Py_BEGIN_ALLOW_THREADS
    memset(fields->buf, 0, (size_t)fields->len);
    context_sample(&tile, down, across, scratch->buf, fields->buf);
    Py_END_ALLOW_THREADS
    DONE;
}

static PyObject *count_contexts(PyObject *Py_UNUSED(module), PyObject *args)
{
    struct buffers all = {.count = 0};
    PyObject *o[8];
    Py_buffer *levels, *near, *magnitude, *prediction, *m_cells, *mu_cells, *scratch, *table;
    struct tile tile;
    struct weights by;
    Py_ssize_t kernel, mean;
    int bounded = 1;
    if (!PyArg_ParseTuple(args, "OOnnOOOOiOO", &o[0], &o[1], &kernel, &mean, &o[2], &o[3], &o[4],
                          &o[5], &by.pattern, &o[6], &o[7]))
        return NULL;
    OPEN(levels, o[0], "levels", "f4");
    OPEN(near, o[1], "near", "i8");
    OPEN(magnitude, o[2], "magnitude", "i4");
    OPEN(prediction, o[3], "prediction", "i4");
    OPEN(m_cells, o[4], "magnitude_cells", "u1");
    OPEN(mu_cells, o[5], "prediction_cells", "u1");
    OPEN(scratch, o[6], "scratch", "+f8");
    OPEN(table, o[7], "table", "+i8");
    CHECK(open_tile(&tile, levels, near, kernel, mean));
    by.has_magnitude = magnitude->len > 0;
    by.has_prediction = prediction->len > 0;
    by.magnitude = magnitude->buf;
    by.prediction = prediction->buf;
    by.magnitude_cells = m_cells->buf;
    by.prediction_cells = mu_cells->buf;
    if (by.has_magnitude) CHECK(has_size(magnitude, "magnitude", 5 + tile.n_near));
    if (by.has_prediction) CHECK(has_size(prediction, "prediction", 3 + tile.n_near));
    for (Py_ssize_t i = 0; i < size_of(magnitude); i++)
        bounded &= by.magnitude[i] >= -128 && by.magnitude[i] <= 127;
    for (Py_ssize_t i = 0; i < size_of(prediction); i++)
        bounded &= by.prediction[i] >= -128 && by.prediction[i] <= 127;
    CHECK(fits(bounded, "coefficients from -128 to 127 are expected"));
    CHECK(has_size(m_cells, "magnitude_cells", CELL_TABLE)
          && has_size(mu_cells, "prediction_cells", CELL_TABLE));
    CHECK(fits(all_below(m_cells, 32) && all_below(mu_cells, 16),
               "cells below 32 and below 16 are expected"));
    CHECK(fits(by.pattern >= 0 && by.pattern <= PATTERN && by.pattern <= tile.n_near,
               "a pattern of at most five neighbours is expected"));
    CHECK(has_size(scratch, "scratch", 6 * tile.columns));
    const Py_ssize_t width = size_of(table) / N_CELLS;
    CHECK(fits(width % 2 == 1 && width < 256, "an odd number of levels is expected"));
    CHECK(has_size(table, "table", N_CELLS * width));
    Py_BEGIN_ALLOW_THREADS
    context_table(&tile, &by, (int)(width / 2), scratch->buf, table->buf);
    Py_END_ALLOW_THREADS
    DONE;
}

static PyObject *count_flags(PyObject *Py_UNUSED(module), PyObject *args)
{
    struct buffers all = {.count = 0};
    PyObject *o[3];
    Py_buffer *table, *zeros, *ones;
    if (!PyArg_ParseTuple(args, "OOO", &o[0], &o[1], &o[2])) return NULL;
    OPEN(table, o[0], "table", "i8");
    OPEN(zeros, o[1], "zeros", "+i8");
    OPEN(ones, o[2], "ones", "+i8");
    const Py_ssize_t width = size_of(table) / N_CELLS;
    CHECK(has_size(table, "table", N_CELLS * width));
    CHECK(fits(width % 2 == 1 && width >= 3 && width < 256, "an odd number of levels is expected"));
    const Py_ssize_t size = (1 + width / 2) * 2 * N_CELLS;
    CHECK(has_size(zeros, "zeros", size) && has_size(ones, "ones", size));
    Py_BEGIN_ALLOW_THREADS
    memset(zeros->buf, 0, (size_t)zeros->len);
    memset(ones->buf, 0, (size_t)ones->len);
    flag_counts(table->buf, (int)(width / 2), zeros->buf, ones->buf);
    Py_END_ALLOW_THREADS
    DONE;
}

static PyObject *fill_trees(PyObject *Py_UNUSED(module), PyObject *args)
{
    struct buffers all = {.count = 0};
    PyObject *o[9];
    Py_buffer *zeros, *ones, *orders, *halves, *wholes, *empty, *scratch, *nodes, *large;
    Py_ssize_t n_large = 0, depth = 0;
    int bounded = 1;
    if (!PyArg_ParseTuple(args, "OOOOOOOOO", &o[0], &o[1], &o[2], &o[3], &o[4], &o[5], &o[6], &o[7],
                          &o[8]))
        return NULL;
    OPEN(zeros, o[0], "zeros", "i8");
    OPEN(ones, o[1], "ones", "i8");
    OPEN(orders, o[2], "orders", "i8");
    OPEN(halves, o[3], "halves", "f8");
    OPEN(wholes, o[4], "wholes", "f8");
    OPEN(empty, o[5], "empty", "f8");
    OPEN(scratch, o[6], "scratch", "+i8");
    OPEN(nodes, o[7], "nodes", "+f8");
    OPEN(large, o[8], "large", "+i8");
    CHECK(has_axes(zeros, "zeros", 2) && has_axes(orders, "orders", 2));
    const Py_ssize_t kinds = zeros->shape[0], leaves = zeros->shape[1];
    const Py_ssize_t n_orders = orders->shape[0];
    while ((Py_ssize_t)1 << depth < leaves) depth++;
    CHECK(fits((Py_ssize_t)1 << depth == leaves && leaves < 1 << 24 && kinds < 1 << 24 && n_orders < 256,
               "zeros: contexts are expected"));
    CHECK(has_size(ones, "ones", kinds * leaves) && has_size(orders, "orders", n_orders * leaves)
          && has_size(wholes, "wholes", size_of(halves))
          && has_size(empty, "empty", depth + 1) && has_size(scratch, "scratch", 4 * leaves)
          && has_size(nodes, "nodes", kinds * n_orders * 2 * leaves));
    for (Py_ssize_t i = 0; i < size_of(orders); i++)
        bounded &= ((int64_t *)orders->buf)[i] >= 0 && ((int64_t *)orders->buf)[i] < leaves;
    for (Py_ssize_t i = 0; i < size_of(zeros); i++) {
        const int64_t a = ((int64_t *)zeros->buf)[i], b = ((int64_t *)ones->buf)[i];
        bounded &= a >= 0 && b >= 0 && a < (int64_t)1 << 32 && b < (int64_t)1 << 32;
    }
    CHECK(fits(bounded, "counts from 0 to 2**32 and orders of the contexts are expected"));
    Py_BEGIN_ALLOW_THREADS
    n_large = tree_nodes(zeros->buf, ones->buf, kinds, leaves, orders->buf, n_orders, halves->buf,
                         wholes->buf, size_of(halves), empty->buf, scratch->buf, nodes->buf, large->buf,
                         size_of(large) / 3);
    Py_END_ALLOW_THREADS
    return released(&all, PyLong_FromSsize_t(n_large));
}

static PyObject *list_level(PyObject *Py_UNUSED(module), PyObject *args)
{
    struct buffers all = {.count = 0};
    PyObject *o[4];
    Py_buffer *nodes, *own, *below, *place;
    Py_ssize_t level, listed;
    if (!PyArg_ParseTuple(args, "OnOOO", &o[0], &level, &o[1], &o[2], &o[3])) return NULL;
    OPEN(nodes, o[0], "nodes", "+f8");
    OPEN(own, o[1], "own", "+f8");
    OPEN(below, o[2], "below", "+f8");
    OPEN(place, o[3], "place", "+i8");
    CHECK(has_axes(nodes, "nodes", 2));
    const Py_ssize_t trees = nodes->shape[0], leaves = nodes->shape[1] / 2;
    CHECK(fits(level >= 1 && level < leaves && nodes->shape[1] % 2 == 0,
               "a level above the leaves is expected"));
    CHECK(fits(size_of(own) >= trees * level && size_of(below) >= trees * level
                   && size_of(place) >= trees * level,
               "room for a level of every tree is expected"));
    Py_BEGIN_ALLOW_THREADS
    listed = tree_level(nodes->buf, trees, leaves, level, own->buf, below->buf, place->buf);
    Py_END_ALLOW_THREADS
    return released(&all, PyLong_FromSsize_t(listed));
}

/* --- Distances --- */

static PyObject *find_two_lowest(PyObject *Py_UNUSED(module), PyObject *args)
{
    struct buffers all = {.count = 0};
    PyObject *o[4];
    Py_buffer *scores, *best, *lowest, *second;
    if (!PyArg_ParseTuple(args, "OOOO", &o[0], &o[1], &o[2], &o[3])) return NULL;
    OPEN(scores, o[0], "scores", "f4");
    OPEN(best, o[1], "best", "+i8");
    OPEN(lowest, o[2], "lowest", "+f4");
    OPEN(second, o[3], "second", "+f4");
    CHECK(has_axes(scores, "scores", 2));
    const Py_ssize_t rows = scores->shape[0], columns = scores->shape[1];
    CHECK(fits(columns > 0, "scores: at least one column is expected"));
    CHECK(has_size(best, "best", rows) && has_size(lowest, "lowest", rows)
          && has_size(second, "second", rows));
    Py_BEGIN_ALLOW_THREADS
    two_lowest(scores->buf, rows, columns, best->buf, lowest->buf, second->buf);
    Py_END_ALLOW_THREADS
    DONE;
}

/* --- The module --- */

static PyMethodDef methods[] = {
    {"affine_levels", affine_levels, METH_VARARGS, NULL},
    {"stepped_levels", stepped_levels, METH_VARARGS, NULL},
    {"magnitudes", magnitudes, METH_VARARGS, NULL},
    {"count", count, METH_VARARGS, NULL},
    {"shuffle", shuffle, METH_VARARGS, NULL},
    {"sample_contexts", sample_contexts, METH_VARARGS, NULL},
    {"count_contexts", count_contexts, METH_VARARGS, NULL},
    {"count_flags", count_flags, METH_VARARGS, NULL},
    {"fill_trees", fill_trees, METH_VARARGS, NULL},
    {"list_level", list_level, METH_VARARGS, NULL},
    {"find_two_lowest", find_two_lowest, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "kcomplexity.kernels._compiled",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__compiled(void)
{
    return PyModuleDef_Init(&definition);
}
