/* The hot loops, compiled: `kernels.py` calls them through ctypes, `plain.py` has the same functions in Python and NumPy.

A loop is handed one block of the file: `buf`, of which the first `end` bytes are whole records. It reads nothing outside `buf`,
takes no memory and keeps no state. What is rare (a word with spaces in it, a number of 30 digits, a damaged line) it does not
judge: it reports the line as odd, or the row as unsure, and Python reads that line the exact way.

Two loops take nearly all of the time, `line_end` and `parse_line`; of these there is a second version for processors with AVX2,
chosen when the library is loaded. Everything else is plain C11. Numbers are little-endian throughout. */

#if !defined(_WIN32)
#define _FILE_OFFSET_BITS 64
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <unistd.h>
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(_WIN32)
#define API __declspec(dllexport)
#elif defined(__GNUC__)
#define API __attribute__((visibility("default")))
#else
#define API
#endif

#if defined(__GNUC__)
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address) ((void)0)
#endif

#if defined(__x86_64__) && defined(__GNUC__)
#define HAS_AVX2 1
#include <cpuid.h>
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2,bmi,popcnt")))
#else
#define HAS_AVX2 0
#endif

enum {
    ABI = 3, /* `kernels.py` asks for it: another number, another library */
    TAB = 9, NEWLINE = 10, SPACE = 32,
    LENGTH_BITS = 23, /* of a span */
    BATCH = 32,       /* words that are looked up at the same time: their cache misses overlap */
    FIELDS = 512,     /* of a line, found before they are read */
};

#define FNV_BASIS UINT64_C(0xCBF29CE484222325)
#define FNV_PRIME UINT64_C(0x100000001B3)
#define LOW7 UINT64_C(0x7F7F7F7F7F7F7F7F)
#define HIGH UINT64_C(0x8080808080808080)
#define ONES UINT64_C(0x0101010101010101)
#define DIGITS (ONES * '0')

static uint64_t load8(const uint8_t *p)
{
    uint64_t w;
    memcpy(&w, p, 8);
    return w;
}

/* ── words ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

Anybody can make words whose keys are alike, in part or wholly, and send a vocabulary or a file of them. So where a key goes is
drawn anew for each table (`mixed`), and of words with one and the same key only the first is found by it; the others are in a
table of their own, by a hash that is itself drawn (`drawn_key`). What is found never depends on it. */

typedef struct {
    const uint8_t *blob;     /* the bytes of all words */
    const int64_t *begins;   /* where each begins, and the last one ends */
    const uint64_t *slots;   /* by their keys: the upper half of the mixed key, and the word's number + 1; 0: free */
    uint64_t n_slots;        /* a power of two, or 0: every word is wanted */
    const int32_t *others;   /* numbers + 1 of words whose key another one has, by their drawn keys; 0: free */
    uint64_t n_others;       /* a power of two, or 0 */
    const uint64_t *salt;    /* four numbers that are drawn; the last one is below PRIME */
} Table;

#define PRIME UINT64_C(0x7FFFFFFF)
#define NUMBER(slot) ((int64_t)(uint32_t)(slot) - 1)
#define MARK(h) ((h) & UINT64_C(0xFFFFFFFF00000000))

static uint64_t key_of(const uint8_t *p, const uint8_t *end)
{
    uint64_t key = FNV_BASIS;
    for (; p < end; p++)
        key = (key ^ *p) * FNV_PRIME;
    return key;
}

/* A key as 64 bits of which nobody who does not know the salt can tell which keys share any. */
static uint64_t mixed(uint64_t key, const uint64_t *salt)
{
    uint64_t h = (key ^ salt[0]) * salt[1];
    h = (h ^ (h >> 32)) * salt[2];
    return h ^ (h >> 32);
}

/* A hash of a word: its bytes as a polynomial at a place that is drawn, so that two words of n bytes share one by a chance of
n / 2^30. */
static uint64_t drawn_key(const uint8_t *p, const uint8_t *end, const uint64_t *salt)
{
    uint64_t h = 1;
    for (; p < end; p++)
        h = (h * salt[3] + *p) % PRIME;
    return h;
}

static bool is_word(const Table *table, int64_t word, const uint8_t *p, int64_t length)
{
    int64_t begin = table->begins[word];
    return table->begins[word + 1] - begin == length && memcmp(table->blob + begin, p, (size_t)length) == 0;
}

/* A record that was found, before it is known whether its word is wanted. */
typedef struct {
    uint64_t h, slot;
    int64_t record, begin, word_end, stop;
} Pending;

static int64_t look_up(const uint8_t *buf, const Pending *one, const Table *table)
{
    const uint8_t *p = buf + one->begin;
    int64_t length = one->word_end - one->begin;
    uint64_t mask = table->n_slots - 1;
    for (uint64_t slot = one->slot; table->slots[slot]; slot = (slot + 1) & mask)
        if (MARK(table->slots[slot]) == MARK(one->h) && is_word(table, NUMBER(table->slots[slot]), p, length))
            return NUMBER(table->slots[slot]);
    if (table->n_others) {
        mask = table->n_others - 1;
        uint64_t slot = drawn_key(p, p + length, table->salt) & mask;
        for (; table->others[slot]; slot = (slot + 1) & mask)
            if (is_word(table, table->others[slot] - 1, p, length))
                return table->others[slot] - 1;
    }
    return -1;
}

/* Find the slots of `n` words, and have what they name on its way to the cache. */
static void find_slots(Pending *pending, int n, const Table *table)
{
    if (!table->n_slots)
        return;
    for (int k = 0; k < n; k++) {
        uint64_t mask = table->n_slots - 1, slot = pending[k].h & mask;
        while (table->slots[slot] && MARK(table->slots[slot]) != MARK(pending[k].h))
            slot = (slot + 1) & mask;
        pending[k].slot = slot;
        if (table->slots[slot])
            PREFETCH(table->begins + NUMBER(table->slots[slot]));
    }
    for (int k = 0; k < n; k++)
        if (table->slots[pending[k].slot])
            PREFETCH(table->blob + table->begins[NUMBER(table->slots[pending[k].slot])]);
}

/* Look up the words of `n` records, and put those that are wanted to `hits`; returns how many these are. */
static int64_t find(const uint8_t *buf, Pending *pending, int n, const Table *table, int64_t *hits)
{
    int64_t found = 0;
    find_slots(pending, n, table);
    for (int k = 0; k < n; k++) {
        int64_t word = table->n_slots ? look_up(buf, pending + k, table) : 0;
        if (word >= 0) {
            int64_t *row = hits + 5 * found++;
            row[0] = word, row[1] = pending[k].record, row[2] = pending[k].begin;
            row[3] = pending[k].word_end, row[4] = pending[k].stop;
        }
    }
    return found;
}

/* Remember a record until `find`; its word's slot is on its way to the cache meanwhile. */
static void put_off(Pending *one, const Table *table, uint64_t key, int64_t record, int64_t begin, int64_t word_end, int64_t stop)
{
    one->record = record, one->begin = begin, one->word_end = word_end, one->stop = stop;
    if (table->n_slots) {
        one->h = mixed(key, table->salt);
        PREFETCH(table->slots + (one->h & (table->n_slots - 1)));
    }
}

/* Put words, by their keys, to the slots; returns how many have the key of an earlier one: these get none, and go to `alike`. */
API int64_t fill_slots(const int64_t *keys, int64_t n, uint64_t *slots, int64_t n_slots, const uint64_t *salt, int64_t *alike)
{
    int64_t n_alike = 0;
    uint64_t mask = (uint64_t)n_slots - 1;
    for (int64_t word = 0; word < n; word++) {
        if (word + BATCH < n)
            PREFETCH(slots + (mixed((uint64_t)keys[word + BATCH], salt) & mask));
        uint64_t h = mixed((uint64_t)keys[word], salt), slot = h & mask;
        while (slots[slot] && (MARK(slots[slot]) != MARK(h) || keys[NUMBER(slots[slot])] != keys[word]))
            slot = (slot + 1) & mask;
        if (slots[slot])
            alike[n_alike++] = word;
        else
            slots[slot] = MARK(h) | (uint64_t)(word + 1);
    }
    return n_alike;
}

API void fill_others(const uint8_t *blob, const int64_t *begins, const int64_t *words, int64_t n, int32_t *slots,
                     int64_t n_slots, const uint64_t *salt)
{
    uint64_t mask = (uint64_t)n_slots - 1;
    for (int64_t k = 0; k < n; k++) {
        uint64_t slot = drawn_key(blob + begins[words[k]], blob + begins[words[k] + 1], salt) & mask;
        while (slots[slot])
            slot = (slot + 1) & mask;
        slots[slot] = (int32_t)words[k] + 1;
    }
}

API void keys_of(const uint8_t *buf, const int64_t *begins, const int64_t *ends, int64_t n, int64_t *keys)
{
    for (int64_t k = 0; k < n; k++)
        keys[k] = (int64_t)key_of(buf + begins[k], buf + ends[k]);
}

/* Sets of keys: 32 bits of each mixed key, 0 where a slot is free. */

static uint32_t mark_of(uint64_t h)
{
    return h >> 32 ? (uint32_t)(h >> 32) : 1;
}

/* The slot that holds a mark, or the free one where it would go. */
static uint64_t slot_of(uint64_t h, const uint32_t *slots, uint64_t mask)
{
    uint64_t slot = h & mask;
    while (slots[slot] && slots[slot] != mark_of(h))
        slot = (slot + 1) & mask;
    return slot;
}

API void add_keys(uint32_t *slots, int64_t n_slots, const uint64_t *salt, const int64_t *keys, int64_t n)
{
    uint64_t mask = (uint64_t)n_slots - 1;
    for (int64_t k = 0; k < n; k++) {
        if (k + BATCH < n)
            PREFETCH(slots + (mixed((uint64_t)keys[k + BATCH], salt) & mask));
        uint64_t h = mixed((uint64_t)keys[k], salt);
        slots[slot_of(h, slots, mask)] = mark_of(h);
    }
}

API void are_in(const uint32_t *slots, int64_t n_slots, const uint64_t *salt, const int64_t *keys, int64_t n, uint8_t *there)
{
    uint64_t mask = (uint64_t)n_slots - 1;
    for (int64_t k = 0; k < n; k++) {
        if (k + BATCH < n)
            PREFETCH(slots + (mixed((uint64_t)keys[k + BATCH], salt) & mask));
        uint64_t h = mixed((uint64_t)keys[k], salt);
        there[k] = slots[slot_of(h, slots, mask)] != 0;
    }
}

/* Copy the words of `hits` to `out`, a newline after each; returns the bytes written. */
API int64_t join_words(const uint8_t *buf, const int64_t *hits, int64_t n, uint8_t *out)
{
    uint8_t *p = out;
    for (int64_t k = 0; k < n; k++) {
        const uint8_t *word = buf + hits[5 * k + 2], *end = buf + hits[5 * k + 3];
        while (word < end)
            *p++ = *word++;
        *p++ = NEWLINE;
    }
    return p - out;
}

/* ── texts: the words between white space, as str.split finds them ──────────────────────────────────────────────────────────── */

/* Whether a byte may begin white space: 1 where it is one. */
static const uint8_t may_be_space[256] = {
    [9] = 1, [10] = 1, [11] = 1, [12] = 1, [13] = 1, [28] = 1, [29] = 1, [30] = 1, [31] = 1, [32] = 1,
    [0xC2] = 2, [0xE1] = 2, [0xE2] = 2, [0xE3] = 2,
};

/* The length of the white space of several bytes at `p`, or 0. */
static int wide_space(const uint8_t *p, const uint8_t *end)
{
    if (p[0] == 0xC2)
        return end - p >= 2 && (p[1] == 0x85 || p[1] == 0xA0) ? 2 : 0;
    if (end - p < 3)
        return 0;
    if (p[0] == 0xE1)
        return p[1] == 0x9A && p[2] == 0x80 ? 3 : 0;
    if (p[0] == 0xE3)
        return p[1] == 0x80 && p[2] == 0x80 ? 3 : 0;
    if (p[1] == 0x81)
        return p[2] == 0x9F ? 3 : 0;
    return p[1] == 0x80 && ((p[2] >= 0x80 && p[2] <= 0x8A) || p[2] == 0xA8 || p[2] == 0xA9 || p[2] == 0xAF) ? 3 : 0;
}

/* Look up words that were put off; returns how many are unknown by now. */
static int64_t number(const uint8_t *buf, Pending *pending, int n, const Table *table, const int32_t *ids, int32_t *numbers,
                      int64_t *unknown, int64_t n_unknown)
{
    find_slots(pending, n, table);
    for (int k = 0; k < n; k++) {
        int64_t word = table->n_slots ? look_up(buf, pending + k, table) : -1;
        numbers[pending[k].record] = word < 0 ? -1 : ids[word];
        if (word < 0) {
            unknown[2 * n_unknown] = pending[k].begin;
            unknown[2 * n_unknown++ + 1] = pending[k].word_end;
        }
    }
    return n_unknown;
}

/* Texts in UTF-8, each of which ends in a newline → the ids of their words, -1 for one that is not in the table; how many words
each text has; and where the unknown ones begin and end. There is room for a word in two bytes. Returns how many words there are. */
API int64_t number_words(const uint8_t *buf, int64_t size, const Table *table, const int32_t *ids, int32_t *numbers, int64_t *sizes,
                         int64_t *unknown)
{
    Pending pending[BATCH];
    int n = 0;
    int64_t words = 0, before = 0, n_unknown = 0;
    const uint8_t *p = buf, *end = buf + size;
    while (p < end) {
        int space = may_be_space[*p] == 2 ? wide_space(p, end) : may_be_space[*p];
        if (space) {
            if (*p == NEWLINE) {
                *sizes++ = words - before;
                before = words;
            }
            p += space;
            continue;
        }
        const uint8_t *begin = p;
        uint64_t key = FNV_BASIS;
        do {
            key = (key ^ *p++) * FNV_PRIME;
        } while (p < end && (!may_be_space[*p] || (may_be_space[*p] == 2 && !wide_space(p, end))));
        put_off(pending + n, table, key, words++, begin - buf, p - buf, 0);
        if (++n == BATCH) {
            n_unknown = number(buf, pending, n, table, ids, numbers, unknown, n_unknown);
            n = 0;
        }
    }
    number(buf, pending, n, table, ids, numbers, unknown, n_unknown);
    return words;
}

/* ── lines of text: where the words and numbers lie ────────────────────────────────────────────────────────────────────────── */

/* Where the newline from p on is (NULL: nowhere before `end`); to `blanks` is added how many bytes up to SPACE lie from p to it,
itself counted. */
typedef const uint8_t *LineEnd(const uint8_t *p, const uint8_t *end, int64_t *blanks);

static const uint8_t *line_end_of_rest(const uint8_t *p, const uint8_t *end, int64_t *blanks)
{
    for (; p < end; p++)
        if (*p <= SPACE) {
            ++*blanks;
            if (*p == NEWLINE)
                return p;
        }
    return NULL;
}

static const uint8_t *line_end_portable(const uint8_t *p, const uint8_t *end, int64_t *blanks)
{
    for (; end - p >= 128; p += 128) {
        uint64_t many = 0, newlines = 0; /* each byte of `many` counts the blanks of one column */
        for (int k = 0; k < 128; k += 8) {
            uint64_t w = load8(p + k), x = w ^ (ONES * NEWLINE);
            many += (~(((w & LOW7) + ONES * (0x7F - SPACE)) | w) & HIGH) >> 7;
            newlines |= ~(((x & LOW7) + LOW7) | x) & HIGH;
        }
        if (newlines)
            break;
        *blanks += (int64_t)((many * ONES) >> 56);
    }
    return line_end_of_rest(p, end, blanks);
}

#if HAS_AVX2
/* Which of 64 bytes are `byte`. */
#define EQUAL64(low, high, byte)                                                                                               \
    ((uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, _mm256_set1_epi8(byte))) << 32 |                         \
     (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, _mm256_set1_epi8(byte))))

/* Which of 64 bytes are up to SPACE. */
#define BLANKS64(low, high)                                                                                                    \
    EQUAL64(_mm256_max_epu8(low, _mm256_set1_epi8(SPACE)), _mm256_max_epu8(high, _mm256_set1_epi8(SPACE)), SPACE)

#define LOAD32(p) _mm256_loadu_si256((const __m256i *)(p))

AVX2 static const uint8_t *line_end_avx2(const uint8_t *p, const uint8_t *end, int64_t *blanks)
{
    for (; end - p >= 64; p += 64) {
        __m256i low = LOAD32(p), high = LOAD32(p + 32);
        uint64_t blank = BLANKS64(low, high), newline = EQUAL64(low, high, NEWLINE);
        if (newline) {
            int k = __builtin_ctzll(newline);
            *blanks += __builtin_popcountll(blank & ((UINT64_C(2) << k) - 1));
            return p + k;
        }
        *blanks += __builtin_popcountll(blank);
    }
    return line_end_of_rest(p, end, blanks);
}
#endif

static LineEnd *line_end = line_end_portable;

/* Lines of `buf[:end]`; see `kernels.py`. To `told` go: the position reached, lines, blank ones among them, rows of `hits`, of
`odd`, numbers in each of the notes. */
API void scan_text(const uint8_t *buf, int64_t end, int64_t dim, const Table *table, int64_t *hits, int64_t room_hits, int64_t *odd,
                   int64_t room_odd, int64_t *keys, int64_t *spans, int64_t room_notes, int64_t *told)
{
    Pending pending[BATCH];
    int n_pending = 0;
    int64_t p = 0, line = 0, blank = 0, n_hits = 0, n_odd = 0, n_noted = 0;
    while (p < end && n_odd < room_odd && (!room_notes || n_noted < room_notes)) {
        if (n_pending == BATCH || n_hits + n_pending >= room_hits) {
            n_hits += find(buf, pending, n_pending, table, hits + 5 * n_hits);
            n_pending = 0;
            if (n_hits >= room_hits)
                break;
        }
        int64_t begin = p, blanks = 0;
        uint64_t key = FNV_BASIS;
        for (; p < end && buf[p] > SPACE; p++)
            key = (key ^ buf[p]) * FNV_PRIME;
        int64_t word_end = p;

        const uint8_t *found = line_end(buf + p, buf + end, &blanks);
        int64_t newline = found ? found - buf : end;
        blanks += !found; /* the caller ends a block with a newline; should it not, nothing past `end` is read */
        p = newline + 1 < end ? newline + 1 : end;

        int64_t stop = newline;
        bool zero = false;
        for (; stop > word_end && buf[stop - 1] <= SPACE; blanks--)
            zero |= buf[--stop] == 0;
        if (zero)
            stop = newline;
        if (blanks - 1 == dim && word_end > begin && !zero) {
            put_off(pending + n_pending++, table, key, line, begin, word_end, stop);
            if (room_notes) {
                keys[n_noted] = (int64_t)key;
                spans[n_noted++] = begin << LENGTH_BITS | (stop - begin);
            }
        } else if (stop > begin) {
            int64_t *row = odd + 3 * n_odd++;
            row[0] = line, row[1] = begin, row[2] = stop;
        } else {
            blank++;
        }
        line++;
    }
    n_hits += find(buf, pending, n_pending, table, hits + 5 * n_hits);
    told[0] = p, told[1] = line, told[2] = blank, told[3] = n_hits, told[4] = n_odd, told[5] = n_noted;
}

/* ── numbers ───────────────────────────────────────────────────────────────────────────────────────────────────────────────── */

#define TEN_POWERS(tens)                                                                                                       \
    1e##tens##0, 1e##tens##1, 1e##tens##2, 1e##tens##3, 1e##tens##4, 1e##tens##5, 1e##tens##6, 1e##tens##7, 1e##tens##8, 1e##tens##9

static const double POWERS[] = {
    TEN_POWERS(), TEN_POWERS(1), TEN_POWERS(2), TEN_POWERS(3), TEN_POWERS(4), TEN_POWERS(5), TEN_POWERS(6), TEN_POWERS(7),
    TEN_POWERS(8), TEN_POWERS(9), TEN_POWERS(10), TEN_POWERS(11), TEN_POWERS(12), TEN_POWERS(13), TEN_POWERS(14), TEN_POWERS(15),
    TEN_POWERS(16), TEN_POWERS(17), TEN_POWERS(18), TEN_POWERS(19), TEN_POWERS(20), TEN_POWERS(21), TEN_POWERS(22), TEN_POWERS(23),
    TEN_POWERS(24), TEN_POWERS(25), TEN_POWERS(26), TEN_POWERS(27), 1e280,
};
#define MOST_POWER 280

/* mantissa · 10^exponent as float32; returns whether it is surely what gensim (and a C cast of strtod) gives.

They round the decimal to a double and the double to float32. Up to 2^53 and 10^±22 one operation on doubles is exact (Clinger,
1990). Elsewhere the double found here is off by less than 4 units in the last place (mantissa, power and operation each by half a
one, digits past the 19th by less than that): the float32 is the same unless the double lies that close to the middle of two
float32, and only then, or outside the normal float32, the answer is no. */
static bool to_float32(uint64_t mantissa, int64_t exponent, float *value)
{
    *value = 0;
    if (mantissa == 0)
        return true;
    if (exponent < -MOST_POWER || exponent > MOST_POWER)
        return false;
    double x = exponent < 0 ? (double)mantissa / POWERS[-exponent] : (double)mantissa * POWERS[exponent];
    if (!(x < 3.4028234663852886e38)) /* the greatest float32; what is more has no float32, or needs another look */
        return false;
    *value = (float)x;
    if (mantissa <= UINT64_C(1) << 53 && exponent >= -22 && exponent <= 22)
        return true;
    uint64_t bits;
    memcpy(&bits, &x, 8);
    int64_t low = (int64_t)(bits & 0x1FFFFFFF) - 0x10000000;
    return x >= 1.17549435082228751e-38 && (low > 8 || low < -8); /* the least normal float32 */
}

/* Any number that is all of [p, end) → its value, and whether it is exact. */
static bool parse_number(const uint8_t *p, const uint8_t *end, float *value)
{
    bool negative = p < end && *p == '-', point = false, any_digit = false;
    p += negative || (p < end && *p == '+');
    uint64_t mantissa = 0;
    int64_t significant = 0, exponent = 0;
    for (; p < end; p++) {
        unsigned digit = (unsigned)*p - '0';
        if (digit <= 9) {
            any_digit = true;
            if (significant < 19) {
                mantissa = 10 * mantissa + digit;
                significant += mantissa != 0;
                exponent -= point;
            } else {
                exponent += !point;
            }
        } else if (*p == '.' && !point) {
            point = true;
        } else {
            break;
        }
    }
    if (any_digit && p < end && (*p == 'e' || *p == 'E')) {
        p++;
        bool minus = p < end && *p == '-';
        p += minus || (p < end && *p == '+');
        int64_t written = 0;
        any_digit = p < end;
        for (; p < end && (unsigned)*p - '0' <= 9; p++)
            written = written < 10000 ? 10 * written + (*p - '0') : 100000;
        exponent += minus ? -written : written;
    }
    bool exact = to_float32(mantissa, exponent, value);
    if (negative)
        *value = -*value;
    return any_digit && exact && p == end;
}

/* The decimal number that 8 bytes spell, each 0 to 9, the first one the most significant. */
static uint64_t number_of(uint64_t w)
{
    const uint64_t pairs = UINT64_C(0x000000FF000000FF);
    w = w * 10 + (w >> 8); /* pairs, then fours, then all eight */
    return ((w & pairs) * UINT64_C(0x000F424000000064) + ((w >> 16) & pairs) * UINT64_C(0x0000271000000001)) >> 32;
}

static bool all_digits(uint64_t w) /* w is already xor "00000000" */
{
    return !((((w & LOW7) + ONES * (0x7F - 9)) | w) & HIGH);
}

enum { LEAST_SHORT = 2, MOST_SHORT = 16 }; /* characters of a number of one digit, a point, and up to 14 digits */

/* One field [p, end), with 16 bytes before `end` that can be read. */
static bool parse_field(const uint8_t *p, const uint8_t *end, float *value)
{
    bool negative = p < end && *p == '-';
    const uint8_t *first = p + negative;
    ptrdiff_t width = end - first;
    if (width < LEAST_SHORT || width > MOST_SHORT || first[1] != '.')
        return parse_number(p, end, value);
    unsigned fraction = (unsigned)width - 2, lead = (unsigned)*first - '0';
    /* The last digits are the upper bytes of a word; what comes before them turns to zero. */
    uint64_t low = load8(end - 8) ^ DIGITS, high = load8(end - 16) ^ DIGITS;
    low &= fraction >= 8 ? ~UINT64_C(0) : ~(~UINT64_C(0) >> 8 * fraction);
    high &= fraction <= 8 ? 0 : ~(~UINT64_C(0) >> 8 * (fraction - 8));
    if (lead > 9 || !all_digits(low) || !all_digits(high))
        return parse_number(p, end, value);
    static const uint64_t whole[] = {
        1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000, 100000000000, 1000000000000,
        10000000000000, 100000000000000,
    };
    uint64_t mantissa = lead * whole[fraction] + number_of(high) * 100000000 + number_of(low);
    float positive = (float)((double)mantissa / POWERS[fraction]);
    *value = negative ? -positive : positive;
    return true;
}

/* The fields of a line, [word_end, stop) of `buf`, into `row`; returns whether they are `dim`, and each exact. A field is a blank,
which must be a space or a tab, and a number. */
typedef bool ParseLine(const uint8_t *buf, int64_t size, int64_t word_end, int64_t stop, float *row, int64_t dim);

static bool parse_line_portable(const uint8_t *buf, int64_t size, int64_t word_end, int64_t stop, float *row, int64_t dim)
{
    (void)size;
    const uint8_t *p = buf + word_end, *end = buf + stop;
    for (int64_t column = 0; column < dim; column++) {
        if (p >= end || (*p != SPACE && *p != TAB))
            return false;
        const uint8_t *first = ++p;
        while (p < end && *p > SPACE)
            p++;
        if (!(p - buf < 16 ? parse_number : parse_field)(first, p, row + column))
            return false;
    }
    return p == end;
}

#if HAS_AVX2
/* For each width of a short number, where its digits lie in the 16 bytes that end with it: to bring them, without the point, to the
end of 16 bytes, or, where they are up to 8, to the end of either half. */
static uint8_t shuffles[32][16], to_half[2][32][16];
static double divisors[32];

enum { MOST_HALF = 9 };

/* What numbers are compared with; in memory, for compilers make those that they know anew each time. */
enum { MINUS, POINT, A_BYTE, ONE, LEAST, MOST, HALF, NINE, ZERO, TENS, HUNDREDS, THOUSANDS, CONSTANTS };
static uint32_t constants[CONSTANTS][8];

static void make_shuffles(void)
{
    static const uint32_t each[CONSTANTS] = {
        '-', '.', 255, 1, LEAST_SHORT, MOST_SHORT - LEAST_SHORT, MOST_HALF - LEAST_SHORT,
        0x09090909, 0x30303030, 0x010A010A, 0x00010064, 0x00012710,
    };
    for (int one = 0; one < CONSTANTS; one++)
        for (int k = 0; k < 8; k++)
            constants[one][k] = each[one];
    memset(to_half, 0x80, sizeof to_half);
    for (int width = LEAST_SHORT; width <= MOST_SHORT; width++) {
        for (int k = 0; k < 16; k++)
            shuffles[width][k] = (uint8_t)(k < 17 - width ? 0x80 : k == 17 - width ? k - 1 : k);
        for (int half = 0; half < 2; half++)
            memcpy(to_half[half][width] + 8 * half, shuffles[width] + 8, 8);
        divisors[width] = POWERS[width - 2];
    }
}

#define LOAD16(p) _mm_loadu_si128((const __m128i *)(p))
#define K4(name) LOAD16(constants[name])
#define K8(name) LOAD32(constants[name])
#define BOTH(high, low) _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1)

/* The digits before `low` and before `high`, as their shuffles arrange them. */
#define DIGITS32(high, low, high_shuffle, low_shuffle)                                                                         \
    _mm256_shuffle_epi8(_mm256_sub_epi8(BOTH(LOAD16((high) - 16), LOAD16((low) - 16)), K8(ZERO)),                              \
                        BOTH(LOAD16(high_shuffle), LOAD16(low_shuffle)))

/* Digits → fours, as 32 bits each. */
#define FOURS(digits) _mm256_madd_epi16(_mm256_maddubs_epi16(digits, K8(TENS)), K8(HUNDREDS))

/* Fours → eights, as 32 bits each: of each half of 16 bytes two of `first`, then two of `second`. */
#define EIGHTS(first, second) _mm256_madd_epi16(_mm256_packus_epi32(first, second), K8(THOUSANDS))

static int32_t load4(const uint8_t *p)
{
    int32_t w;
    memcpy(&w, p, 4);
    return w;
}

/* The n fields between `at[k]` and `at[k + 1]` of a line, at least 16 bytes into the buffer, which goes on to `limit`; four at a time
where these are short. */
AVX2 static bool parse_fields(const uint8_t *line, const uint8_t *limit, const uint32_t *at, int64_t n, float *row)
{
    const __m128i minus = K4(MINUS), point = K4(POINT), byte = K4(A_BYTE), one = K4(ONE), least = K4(LEAST), most = K4(MOST);
    const __m128i most_half = K4(HALF);
    const __m256i nine = K8(NINE);
    const uint8_t *first = line + 1;
    int64_t k = 0;
    for (; k + 4 <= n && limit - line >= (int64_t)at[k + 3] + 5; k += 4) {
        __m128i begins = LOAD16(at + k), ends = LOAD16(at + k + 1);
        __m128i chars = _mm_setr_epi32(load4(first + at[k]), load4(first + at[k + 1]), load4(first + at[k + 2]),
                                       load4(first + at[k + 3]));
        __m128i negative = _mm_cmpeq_epi32(_mm_and_si128(chars, byte), minus);
        __m128i second = _mm_and_si128(_mm_srli_epi32(chars, 8), byte), third = _mm_and_si128(_mm_srli_epi32(chars, 16), byte);
        __m128i usual = _mm_cmpeq_epi32(_mm_blendv_epi8(second, third, negative), point);
        __m128i widths = _mm_add_epi32(_mm_sub_epi32(_mm_sub_epi32(ends, begins), one), negative);
        __m128i beyond = _mm_sub_epi32(widths, least);
        __m128i half = _mm_cmpeq_epi32(_mm_min_epu32(beyond, most_half), beyond);
        usual = _mm_and_si128(usual, _mm_cmpeq_epi32(_mm_min_epu32(beyond, most), beyond));
        if (_mm_movemask_epi8(usual) != 0xFFFF) {
            for (int j = 0; j < 4; j++)
                if (!parse_field(first + at[k + j], line + at[k + j + 1], row + k + j))
                    return false;
            continue;
        }
        uint32_t width[4];
        _mm_storeu_si128((__m128i *)width, widths);
        const uint8_t *end0 = line + at[k + 1], *end1 = line + at[k + 2], *end2 = line + at[k + 3], *end3 = line + at[k + 4];
        __m256d mantissas;
        __m256i above;
        if (_mm_movemask_epi8(half) == 0xFFFF) {
            __m256i digits = _mm256_or_si256(DIGITS32(end1, end0, to_half[0][width[1]], to_half[0][width[0]]),
                                             DIGITS32(end3, end2, to_half[1][width[3]], to_half[1][width[2]]));
            above = _mm256_subs_epu8(digits, nine);
            __m256i eights = EIGHTS(FOURS(digits), _mm256_setzero_si256()); /* 0, 2 and 1, 3 */
            __m128i upper = _mm256_extracti128_si256(eights, 1);
            mantissas = _mm256_cvtepi32_pd(_mm_unpacklo_epi32(_mm256_castsi256_si128(eights), upper));
        } else {
            __m256i even = DIGITS32(end2, end0, shuffles[width[2]], shuffles[width[0]]);
            __m256i uneven = DIGITS32(end3, end1, shuffles[width[3]], shuffles[width[1]]);
            above = _mm256_or_si256(_mm256_subs_epu8(even, nine), _mm256_subs_epu8(uneven, nine));
            __m256i eights = EIGHTS(FOURS(even), FOURS(uneven)); /* of each number two, the upper one below 10^7 */
            const __m256d weights = _mm256_setr_pd(1e8, 1, 1e8, 1);
            __m256d evens = _mm256_mul_pd(_mm256_cvtepi32_pd(_mm256_castsi256_si128(eights)), weights);
            __m256d unevens = _mm256_mul_pd(_mm256_cvtepi32_pd(_mm256_extracti128_si256(eights, 1)), weights);
            mantissas = _mm256_permute4x64_pd(_mm256_hadd_pd(evens, unevens), _MM_SHUFFLE(3, 1, 2, 0)); /* from 0, 2, 1, 3 */
        }
        __m256d by = _mm256_setr_pd(divisors[width[0]], divisors[width[1]], divisors[width[2]], divisors[width[3]]);
        __m128 values = _mm256_cvtpd_ps(_mm256_div_pd(mantissas, by));
        _mm_storeu_ps(row + k, _mm_xor_ps(values, _mm_castsi128_ps(_mm_slli_epi32(negative, 31))));
        if (!_mm256_testz_si256(above, above))
            for (int j = 0; j < 4; j++)
                if (!parse_field(first + at[k + j], line + at[k + j + 1], row + k + j))
                    return false;
    }
    for (; k < n; k++)
        if (!parse_field(line + at[k] + 1, line + at[k + 1], row + k))
            return false;
    return true;
}

AVX2 static bool parse_line_avx2(const uint8_t *buf, int64_t size, int64_t word_end, int64_t stop, float *row, int64_t dim)
{
    if (word_end < 16) /* what lies before a field is loaded with it */
        return parse_line_portable(buf, size, word_end, stop, row, dim);
    const uint8_t *line = buf + word_end;
    int64_t length = stop - word_end, column = 0;
    uint32_t at[FIELDS + 64 + 8]; /* where blanks are, counted from the line's first one */
    int64_t n = 0;
    for (int64_t q = 0; q < length; q += 64) {
        uint8_t rest[64];
        const uint8_t *p = line + q;
        if (size - word_end - q < 64) {
            memset(rest, 0, 64);
            p = memcpy(rest, p, (size_t)(size - word_end - q));
        }
        __m256i low = LOAD32(p), high = LOAD32(p + 32);
        uint64_t blanks = BLANKS64(low, high), usual = EQUAL64(low, high, SPACE) | EQUAL64(low, high, TAB);
        uint64_t inside = length - q < 64 ? (UINT64_C(1) << (length - q)) - 1 : ~UINT64_C(0);
        if ((blanks ^ usual) & inside)
            return false;
        blanks &= inside;
        uint32_t *next = at + n;
        n += __builtin_popcountll(blanks);
        do /* mostly once: how many there are is hard to foretell */
            for (int k = 0; k < 8; k++, blanks &= blanks - 1)
                *next++ = (uint32_t)q + (uint32_t)_tzcnt_u64(blanks);
        while (blanks);
        if (n > FIELDS) {
            if (column + n - 1 > dim || !parse_fields(line, buf + size, at, n - 1, row + column))
                return false;
            column += n - 1;
            at[0] = at[n - 1];
            n = 1;
        }
    }
    at[n] = (uint32_t)length;
    return column + n == dim && parse_fields(line, buf + size, at, n, row + column);
}
#endif

static ParseLine *parse_line = parse_line_portable;

API void parse_text(const uint8_t *buf, int64_t size, const int64_t *hits, int64_t n, float *rows, int64_t dim, uint8_t *unsure)
{
    for (int64_t k = 0; k < n; k++)
        unsure[k] = !parse_line(buf, size, hits[5 * k + 3], hits[5 * k + 4], rows + k * dim, dim);
}

/* ── binary records ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Records of `buf[:end]`; see `kernels.py`. To `told` go: the position reached, records, rows of `hits`, numbers in the notes. */
API void scan_binary(const uint8_t *buf, int64_t end, int64_t dim, const Table *table, int64_t *hits, int64_t room_hits,
                     int64_t *keys, int64_t *spans, int64_t room_notes, int64_t *told)
{
    Pending pending[BATCH];
    int n_pending = 0;
    int64_t position = 0, record = 0, n_hits = 0, n_noted = 0;
    while (!room_notes || n_noted < room_notes) {
        if (n_pending == BATCH || n_hits + n_pending >= room_hits) {
            n_hits += find(buf, pending, n_pending, table, hits + 5 * n_hits);
            n_pending = 0;
            if (n_hits >= room_hits)
                break;
        }
        int64_t p = position;
        while (p < end && buf[p] == NEWLINE)
            p++;
        int64_t begin = p;
        uint64_t key = FNV_BASIS;
        for (; p < end && buf[p] != SPACE; p++)
            key = (key ^ buf[p]) * FNV_PRIME;
        int64_t stop = p + 1 + 4 * dim;
        if (stop > end)
            break;
        put_off(pending + n_pending++, table, key, record, begin, p, stop);
        if (room_notes) {
            keys[n_noted] = (int64_t)key;
            spans[n_noted++] = begin << LENGTH_BITS | (stop - begin);
        }
        record++;
        position = stop;
    }
    n_hits += find(buf, pending, n_pending, table, hits + 5 * n_hits);
    told[0] = position, told[1] = record, told[2] = n_hits, told[3] = n_noted;
}

/* Copy vectors; `unsure` is set where one holds NaN or infinity. */
API void parse_binary(const uint8_t *buf, const int64_t *hits, int64_t n, uint32_t *rows, int64_t dim, uint8_t *unsure)
{
    for (int64_t k = 0; k < n; k++) {
        uint32_t *row = rows + k * dim, endless = 0;
        memcpy(row, buf + hits[5 * k + 3] + 1, 4 * (size_t)dim);
        for (int64_t column = 0; column < dim; column++)
            endless |= (row[column] & 0x7F800000) == 0x7F800000;
        unsure[k] = (uint8_t)endless;
    }
}

/* ── records that lie apart ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Read `n` stretches of a file one behind the other into `buf`, which has room for them and a newline behind each. Returns how many
came whole: what is wrong with the next one, Python says; on Windows it reads all of them. */
API int64_t read_stretches(int64_t file, const int64_t *begins, const int64_t *sizes, int64_t n, uint8_t *buf)
{
    int64_t k = 0;
#if !defined(_WIN32)
    for (; k < n; k++) {
        int64_t got = 0;
        while (got < sizes[k]) {
            ssize_t more = pread((int)file, buf + got, (size_t)(sizes[k] - got), (off_t)(begins[k] + got));
            if (more == 0 || (more < 0 && errno != EINTR))
                return k;
            got += more > 0 ? more : 0;
        }
        buf += got;
        *buf++ = NEWLINE;
    }
#endif
    return k;
}

/* ── means ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum { COLUMNS = 64 }; /* at a time */

#define MEAN_ROWS(name, real)                                                                                                  \
    API void name(real *matrix, int64_t n_matrix, const real *more, int64_t dim, const int64_t *lent, const int64_t *bounds,   \
                  const int64_t *targets, int64_t n)                                                                           \
    {                                                                                                                          \
        for (int64_t k = 0; k < n; k++)                                                                                        \
            for (int64_t first = 0; first < dim; first += COLUMNS) {                                                           \
                int64_t width = dim - first < COLUMNS ? dim - first : COLUMNS;                                                 \
                double total[COLUMNS];                                                                                         \
                for (int64_t j = 0; j < width; j++)                                                                            \
                    total[j] = -0.0; /* adds nothing, not even the sign that 0.0 would take from a −0.0 */                     \
                for (int64_t one = bounds[k]; one < bounds[k + 1]; one++) {                                                    \
                    int64_t row = lent[one];                                                                                   \
                    const real *from = (row < n_matrix ? matrix + row * dim : more + (row - n_matrix) * dim) + first;          \
                    for (int64_t j = 0; j < width; j++)                                                                        \
                        total[j] += from[j];                                                                                   \
                }                                                                                                              \
                real *target = matrix + targets[k] * dim + first;                                                              \
                for (int64_t j = 0; j < width; j++)                                                                            \
                    target[j] = (real)(total[j] / (double)(bounds[k + 1] - bounds[k]));                                        \
            }                                                                                                                  \
    }

MEAN_ROWS(mean_rows_float32, float)
MEAN_ROWS(mean_rows_float64, double)

/* ── the processor ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Use AVX2 where `wanted` and the processor and the system have it; returns whether it is used. Not while other loops run. */
API int use_avx2(int wanted)
{
#if HAS_AVX2
    uint32_t a, b, c, d, enabled = 0;
    const uint32_t popcnt = UINT32_C(1) << 23, osxsave = UINT32_C(1) << 27, avx = UINT32_C(1) << 28;
    bool has = wanted && __get_cpuid(1, &a, &b, &c, &d) && (c & popcnt) && (c & osxsave) && (c & avx);
    if (has)
        __asm__("xgetbv" : "=a"(enabled), "=d"(d) : "c"(0)); /* does the system keep the wide registers? */
    has = has && (enabled & 6) == 6 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2) && (b & bit_BMI);
    make_shuffles();
    line_end = has ? line_end_avx2 : line_end_portable;
    parse_line = has ? parse_line_avx2 : parse_line_portable;
    return has;
#else
    return wanted && 0;
#endif
}

API int abi(void)
{
    return ABI;
}
