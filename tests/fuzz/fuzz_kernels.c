/* The compiled loops alone, without Python: a hundred times as many cases as `fuzz_hot_loops.py` tries, against loops that do it the
plain way, one byte after another, with the C library's strtod. `tests/fuzz/run.py` compiles this with libFuzzer and the sanitizers.

A case is one byte of switches and the bytes of a block, which lie in memory of exactly their length: what is read or written beside
it, the sanitizers catch. */

#include "../../w2v_embed/readers/scan/kernels.c"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What the fuzzer is to explore is the kernels, not what they are held against. */
#pragma clang attribute push(__attribute__((no_sanitize("coverage", "address", "undefined"))), apply_to = function)

#define MUST(condition)                                                                                                        \
    do                                                                                                                         \
        if (!(condition)) {                                                                                                    \
            fprintf(stderr, "line %d: %s does not hold\n", __LINE__, #condition);                                              \
            abort();                                                                                                           \
        }                                                                                                                      \
    while (0)

enum { WORDS = 7 };
static const char *const words[WORDS] = {"a", "b", "c", "word", "\xE4\xB8\xAD\xE5\x9B\xBD", "x", "-1"};
static const int32_t ids[WORDS] = {5, 0, 7, 1, 2, 9, 4};
static uint8_t blob[64];
static int64_t begins[WORDS + 1];
static uint64_t slots[16], salt[4] = {UINT64_C(0x9E3779B97F4A7C15), UINT64_C(0xD1B54A32D192ED03), UINT64_C(0x8CB92BA72F3D8DD7), 0x7FFFFFF1};
static int32_t no_others[1];
static Table some_words = {blob, begins, slots, 16, no_others, 0, salt}, every_word = {blob, begins, slots, 0, no_others, 0, salt};

static int64_t key_of_plain(const uint8_t *p, int64_t n)
{
    uint64_t key = UINT64_C(14695981039346656037);
    for (int64_t k = 0; k < n; k++)
        key = (key ^ p[k]) * UINT64_C(1099511628211);
    return (int64_t)key;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    int64_t keys[WORDS], alike[WORDS];
    for (int k = 0; k < WORDS; k++) {
        size_t n = strlen(words[k]);
        memcpy(blob + begins[k], words[k], n);
        begins[k + 1] = begins[k] + (int64_t)n;
        keys[k] = key_of_plain(blob + begins[k], (int64_t)n);
    }
    MUST(fill_slots(keys, WORDS, slots, 16, salt, alike) == 0);
    return 0;
}

static void *room(int64_t n, size_t size)
{
    void *p = malloc((size_t)n * size + !n);
    MUST(p);
    memset(p, 0xA5, (size_t)n * size);
    return p;
}

/* The number of a word, 0 where every word is wanted, or -1. */
static int64_t word_at(const uint8_t *p, int64_t n, bool all)
{
    if (all)
        return 0;
    for (int k = 0; k < WORDS; k++)
        if ((int64_t)strlen(words[k]) == n && memcmp(words[k], p, (size_t)n) == 0)
            return k;
    return -1;
}

typedef struct {
    int64_t n_hits, n_odd, n_noted, told[6], *hits, *odd, *keys, *spans;
} Found;

static Found found_room(int64_t hits, int64_t odd, int64_t notes)
{
    Found found = {0};
    found.hits = room(5 * hits, 8), found.odd = room(3 * odd, 8), found.keys = room(notes, 8), found.spans = room(notes, 8);
    return found;
}

static void release(Found *found)
{
    free(found->hits), free(found->odd), free(found->keys), free(found->spans);
}

static void same_found(const Found *a, const Found *b, int told)
{
    MUST(memcmp(a->told, b->told, 8 * (size_t)told) == 0);
    MUST(a->n_hits == b->n_hits && memcmp(a->hits, b->hits, 40 * (size_t)b->n_hits) == 0);
    MUST(a->n_odd == b->n_odd && memcmp(a->odd, b->odd, 24 * (size_t)b->n_odd) == 0);
    MUST(a->n_noted == b->n_noted && memcmp(a->keys, b->keys, 8 * (size_t)b->n_noted) == 0);
    MUST(memcmp(a->spans, b->spans, 8 * (size_t)b->n_noted) == 0);
}

static void take(Found *found, const uint8_t *buf, bool all, int64_t record, int64_t begin, int64_t word_end, int64_t stop, bool notes)
{
    int64_t word = word_at(buf + begin, word_end - begin, all);
    if (word >= 0) {
        int64_t row[5] = {word, record, begin, word_end, stop};
        memcpy(found->hits + 5 * found->n_hits++, row, sizeof row);
    }
    if (notes) {
        found->keys[found->n_noted] = key_of_plain(buf + begin, word_end - begin);
        found->spans[found->n_noted++] = (begin << 23) + (stop - begin);
    }
}

/* Whole lines, the plain way. */
static void scan_lines(Found *found, const uint8_t *buf, int64_t end, int64_t dim, bool all, bool notes)
{
    int64_t line = 0, blank = 0;
    for (int64_t begin = 0, newline; begin < end; begin = newline + 1, line++) {
        for (newline = begin; buf[newline] != '\n'; newline++)
            ;
        int64_t stop = newline, word_end = begin, inside = 0;
        bool zero = false;
        while (stop > begin && buf[stop - 1] <= ' ')
            zero |= buf[--stop] == 0;
        if (zero)
            stop = newline;
        while (word_end < stop && buf[word_end] > ' ')
            word_end++;
        for (int64_t k = begin; k < stop; k++)
            inside += buf[k] <= ' ';
        if (inside == dim && word_end > begin && !zero) {
            take(found, buf, all, line, begin, word_end, stop, notes);
        } else if (stop > begin) {
            int64_t row[3] = {line, begin, stop};
            memcpy(found->odd + 3 * found->n_odd++, row, sizeof row);
        } else {
            blank++;
        }
    }
    int64_t told[6] = {end, line, blank, found->n_hits, found->n_odd, found->n_noted};
    memcpy(found->told, told, sizeof told);
}

static void scan_records(Found *found, const uint8_t *buf, int64_t end, int64_t dim, bool all, bool notes)
{
    int64_t position = 0, record = 0;
    for (;; record++) {
        int64_t begin = position, word_end;
        while (begin < end && buf[begin] == '\n')
            begin++;
        for (word_end = begin; word_end < end && buf[word_end] != ' '; word_end++)
            ;
        if (word_end + 1 + 4 * dim > end)
            break;
        position = word_end + 1 + 4 * dim;
        take(found, buf, all, record, begin, word_end, position, notes);
    }
    int64_t told[4] = {position, record, found->n_hits, found->n_noted};
    memcpy(found->told, told, sizeof told);
}

/* A field as a sure row has it: its value, by strtod. `usual`: such as nobody may be unsure of. */
static float value_of(const uint8_t *p, int64_t n, bool *usual)
{
    char copy[4096], *stopped;
    MUST(n > 0 && n < (int64_t)sizeof copy);
    memcpy(copy, p, (size_t)n);
    copy[n] = 0;
    if (usual) {
        const char *digit = copy + (*copy == '-');
        int64_t left = (int64_t)strlen(digit);
        *usual = (int64_t)strlen(copy) == n && left >= 3 && left <= 9 && digit[1] == '.' && digit[0] >= '0' && digit[0] <= '9' &&
                 (int64_t)strspn(digit + 2, "0123456789") == left - 2;
        return 0;
    }
    MUST((int64_t)strspn(copy, "0123456789+-.eE") == n); /* no hexadecimal, no inf, no zero byte */
    double value = strtod(copy, &stopped);
    MUST(stopped == copy + n);
    return (float)value;
}

static void check_row(const uint8_t *buf, const int64_t *hit, int64_t dim, const float *row, bool unsure)
{
    bool all_usual = true;
    int64_t p = hit[3];
    for (int64_t column = 0; column < dim; column++) {
        bool usual = p < hit[4] && (buf[p] == ' ' || buf[p] == '\t');
        MUST(unsure || usual);
        int64_t begin = ++p;
        while (p < hit[4] && buf[p] > ' ')
            p++;
        if (usual && p > begin && p - begin < 4000)
            value_of(buf + begin, p - begin, &usual);
        else
            usual = false;
        all_usual &= usual;
        if (!unsure) {
            float value = value_of(buf + begin, p - begin, NULL);
            MUST(isfinite(value) && memcmp(&value, row + column, 4) == 0);
        }
    }
    MUST(!(all_usual && p == hit[4] && unsure));
}

/* The same, with room for so few that the loop stops many times, and goes on from where it came to. */
static void scan_by_pieces(Found *found, const uint8_t *buf, int64_t end, int64_t dim, bool binary, const Table *table, bool notes, int64_t few)
{
    Found some = found_room(few, few, notes ? few : 0);
    int64_t position = 0, record = 0, blank = 0;
    do {
        const uint8_t *at = buf + position;
        int64_t left = end - position, *told = some.told, moved[5] = {0, record, position, position, position};
        if (binary) {
            scan_binary(at, left, dim, table, some.hits, few, some.keys, some.spans, notes ? few : 0, told);
            some.n_hits = told[2], some.n_noted = told[3];
        } else {
            scan_text(at, left, dim, table, some.hits, few, some.odd, few, some.keys, some.spans, notes ? few : 0, told);
            blank += told[2], some.n_hits = told[3], some.n_odd = told[4], some.n_noted = told[5];
        }
        MUST(some.n_hits <= few && some.n_odd <= few && some.n_noted <= few);
        for (int64_t k = 0; k < 5 * some.n_hits; k++)
            found->hits[5 * found->n_hits + k] = some.hits[k] + moved[k % 5];
        for (int64_t k = 0; k < 3 * some.n_odd; k++)
            found->odd[3 * found->n_odd + k] = some.odd[k] + (k % 3 ? position : record);
        for (int64_t k = 0; k < some.n_noted; k++) {
            found->keys[found->n_noted + k] = some.keys[k];
            found->spans[found->n_noted + k] = some.spans[k] + (position << 23);
        }
        found->n_hits += some.n_hits, found->n_odd += some.n_odd, found->n_noted += some.n_noted;
        position += told[0], record += told[1];
    } while (some.told[0] && position < end);
    int64_t text[6] = {position, record, blank, found->n_hits, found->n_odd, found->n_noted};
    int64_t records[4] = {position, record, found->n_hits, found->n_noted};
    memcpy(found->told, binary ? records : text, binary ? sizeof records : sizeof text);
    release(&some);
}

static void check_block(const uint8_t *buf, int64_t end, int64_t dim, bool binary, bool all, bool notes)
{
    const Table *table = all ? &every_word : &some_words;
    int64_t most = end / dim + 2, most_odd = end / 2 + 2, noted = notes ? most : 0;
    Found got = found_room(most, most_odd, noted), twin = found_room(most, most_odd, noted), again = found_room(most, most_odd, noted);
    if (binary) {
        scan_binary(buf, end, dim, table, got.hits, most, got.keys, got.spans, noted, got.told);
        got.n_hits = got.told[2], got.n_noted = got.told[3];
        scan_records(&twin, buf, end, dim, all, notes);
    } else {
        scan_text(buf, end, dim, table, got.hits, most, got.odd, most_odd, got.keys, got.spans, noted, got.told);
        got.n_hits = got.told[3], got.n_odd = got.told[4], got.n_noted = got.told[5];
        scan_lines(&twin, buf, end, dim, all, notes);
    }
    same_found(&got, &twin, binary ? 4 : 6);
    scan_by_pieces(&again, buf, end, dim, binary, table, notes, 1 + end % 3);
    same_found(&again, &twin, binary ? 4 : 6);
    float *rows = room(got.n_hits * dim, 4);
    uint8_t *unsure = room(got.n_hits, 1);
    if (binary)
        parse_binary(buf, got.hits, got.n_hits, (uint32_t *)rows, dim, unsure);
    else
        parse_text(buf, end, got.hits, got.n_hits, rows, dim, unsure);
    for (int64_t k = 0; k < got.n_hits; k++) {
        const int64_t *hit = got.hits + 5 * k;
        if (binary) {
            bool finite = true;
            for (int64_t column = 0; column < dim; column++)
                finite &= isfinite(rows[k * dim + column]) != 0;
            MUST(memcmp(rows + k * dim, buf + hit[3] + 1, 4 * (size_t)dim) == 0 && unsure[k] == !finite);
        } else {
            check_row(buf, hit, dim, rows + k * dim, unsure[k]);
        }
    }
    uint8_t *joined = room(end + got.n_hits, 1);
    int64_t size = join_words(buf, got.hits, got.n_hits, joined), at = 0;
    for (int64_t k = 0; k < got.n_hits; k++) {
        int64_t n = got.hits[5 * k + 3] - got.hits[5 * k + 2];
        MUST(at + n + 1 <= size && memcmp(joined + at, buf + got.hits[5 * k + 2], (size_t)n) == 0 && joined[at + n] == '\n');
        at += n + 1;
    }
    MUST(at == size);
    free(joined), free(rows), free(unsure), release(&got), release(&twin), release(&again);
}

/* How long the white space at `p` is: what Python's str.split parts words at, as a list. */
static int64_t space_at(const uint8_t *p, int64_t left)
{
    if (*p > ' ' && *p < 0x80)
        return 0;
    static const char *const spaces[] = {
        "\t", "\n", "\v", "\f", "\r", "\x1C", "\x1D", "\x1E", "\x1F", " ", "\xC2\x85", "\xC2\xA0", "\xE1\x9A\x80",
        "\xE2\x80\x80", "\xE2\x80\x81", "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86",
        "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8", "\xE2\x80\xA9", "\xE2\x80\xAF",
        "\xE2\x81\x9F", "\xE3\x80\x80",
    };
    for (size_t k = 0; k < sizeof spaces / sizeof *spaces; k++) {
        int64_t n = (int64_t)strlen(spaces[k]);
        if (n <= left && memcmp(p, spaces[k], (size_t)n) == 0)
            return n;
    }
    return 0;
}

static void check_texts(const uint8_t *buf, int64_t end, bool none)
{
    int64_t texts = 0, most = end / 2 + 1;
    for (int64_t k = 0; k < end; k++)
        texts += buf[k] == '\n';
    int32_t *numbers = room(most, 4);
    int64_t *sizes = room(texts, 8), *unknown = room(2 * most, 8);
    int64_t total = number_words(buf, end, none ? &every_word : &some_words, ids, numbers, sizes, unknown);
    int64_t word = 0, text = 0, before = 0, n_unknown = 0;
    for (int64_t p = 0, space; p < end;) {
        if ((space = space_at(buf + p, end - p))) {
            if (buf[p] == '\n') {
                MUST(sizes[text++] == word - before);
                before = word;
            }
            p += space;
            continue;
        }
        int64_t begin = p;
        while (p < end && !space_at(buf + p, end - p))
            p++;
        int64_t known = none ? -1 : word_at(buf + begin, p - begin, false);
        MUST(word < total && numbers[word++] == (known < 0 ? -1 : ids[known]));
        if (known < 0) {
            MUST(unknown[2 * n_unknown] == begin && unknown[2 * n_unknown + 1] == p);
            n_unknown++;
        }
    }
    MUST(word == total && text == texts);
    free(numbers), free(sizes), free(unknown);
}

static void check_sets(const uint8_t *buf, int64_t end)
{
    int64_t n = end < 120 ? end / 3 : 40, n_slots = 16; /* compared each with each */
    while (n_slots < 4 * n)
        n_slots *= 2;
    int64_t *from = room(n, 8), *to = room(n, 8), *keys = room(n, 8);
    uint32_t *set = calloc((size_t)n_slots, 4);
    uint8_t *there = room(n, 1);
    for (int64_t k = 0; k < n; k++)
        from[k] = 3 * k, to[k] = 3 * k + 1 + (buf[3 * k] & 1);
    keys_of(buf, from, to, n, keys);
    for (int64_t k = 0; k < n; k++)
        MUST(keys[k] == key_of_plain(buf + from[k], to[k] - from[k]));
    add_keys(set, n_slots, salt, keys, n / 2);
    are_in(set, n_slots, salt, keys, n, there);
    for (int64_t k = 0; k < n; k++) {
        bool in = false;
        for (int64_t other = 0; other < n / 2 && !in; other++)
            in = keys[other] == keys[k];
        MUST(!in || there[k]);
    }
    free(from), free(to), free(keys), free(set), free(there);
}

/* Each row: as many bytes as its first one says are the numbers of the rows it is the mean of. */
static void check_means(const uint8_t *buf, int64_t end, int64_t dim)
{
    enum { ROWS = 5, MORE = 3 };
    float *matrix = room(ROWS * dim, 4), *more = room(MORE * dim, 4), *before = room(ROWS * dim, 4);
    for (int64_t k = 0; k < ROWS * dim; k++)
        matrix[k] = before[k] = (float)(buf[k % end] - 100) / (buf[0] & 1 ? 3 : -3); /* a −0.0 among them */
    for (int64_t k = 0; k < MORE * dim; k++)
        more[k] = (float)(buf[(k + 1) % end]) / 7;
    int64_t *lent = room(end, 8), bounds[2] = {0, end}, target[1] = {buf[0] % ROWS};
    for (int64_t k = 0; k < end; k++)
        lent[k] = buf[k] % (ROWS + MORE);
    mean_rows_float32(matrix, ROWS, more, dim, lent, bounds, target, 1);
    for (int64_t row = 0; row < ROWS; row++)
        for (int64_t column = 0; column < dim; column++) {
            float value = before[row * dim + column];
            if (row == target[0]) {
                double total = -0.0;
                for (int64_t k = 0; k < end; k++)
                    total += lent[k] < ROWS ? before[lent[k] * dim + column] : more[(lent[k] - ROWS) * dim + column];
                value = (float)(total / (double)end);
            }
            MUST(memcmp(&value, matrix + row * dim + column, 4) == 0);
        }
    free(matrix), free(more), free(before), free(lent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t dims[] = {1, 2, 3, 5};
    if (size < 2)
        return 0;
    uint8_t switches = *data++;
    int64_t end = (int64_t)size - 1, dim = dims[switches & 3];
    bool all = switches >> 2 & 1, binary = switches >> 3 & 1, notes = switches >> 4 & 1, longer = switches >> 7 && end < 40;
    static const char before[] = "a word of more than sixteen bytes\nb";
    enum { TIMES = 200, BEFORE = sizeof before - 1 };
    uint8_t *buf;
    if (longer) { /* one line of so many fields that the loops take them in several turns */
        dim *= TIMES;
        buf = room(BEFORE + TIMES * end + 1, 1);
        memcpy(buf, before, BEFORE);
        for (int k = 0; k < TIMES; k++)
            memcpy(buf + BEFORE + k * end, data, (size_t)end);
        end = BEFORE + TIMES * end;
        buf[end++] = '\n';
    } else {
        bool add = !binary && data[end - 1] != '\n';
        buf = room(end + add, 1);
        memcpy(buf, data, (size_t)end);
        if (add)
            buf[end++] = '\n';
    }
    static int wide = -1;
    if (wide != !(switches >> 6 & 1))
        use_avx2(wide = !(switches >> 6 & 1));
    check_block(buf, end, dim, binary, all, notes);
    if (switches >> 5 & 1) {
        check_sets(buf, end);
        check_means(buf, end, dim);
        if (!binary)
            check_texts(buf, end, all);
    }
    free(buf);
    return 0;
}

#pragma clang attribute pop
