/* The compiled loops, with one more that looks for newlines only: no field is counted, no line is odd. See unchecked.py. */

#include "../w2v_embed/readers/scan/kernels.c"

static int64_t newline_from(const uint8_t *buf, int64_t p)
{
#if HAS_AVX2 && defined(__AVX2__)
    for (;; p += 32) {
        uint32_t found = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(LOAD32(buf + p), _mm256_set1_epi8(NEWLINE)));
        if (found)
            return p + __builtin_ctz(found);
    }
#endif
    return (const uint8_t *)memchr(buf + p, NEWLINE, SIZE_MAX / 2) - buf;
}

API void scan_unchecked(const uint8_t *buf, int64_t end, int64_t dim, const Table *table, int64_t *hits, int64_t room_hits, int64_t *odd,
                        int64_t room_odd, int64_t *keys, int64_t *spans, int64_t room_notes, int64_t *told)
{
    (void)dim, (void)room_hits, (void)odd, (void)room_odd, (void)keys, (void)spans, (void)room_notes;
    Pending pending[BATCH];
    int n_pending = 0;
    int64_t p = 0, line = 0, n_hits = 0;
    for (; p < end; line++) {
        if (n_pending == BATCH) {
            n_hits += find(buf, pending, n_pending, table, hits + 5 * n_hits);
            n_pending = 0;
        }
        int64_t begin = p;
        uint64_t key = FNV_BASIS;
        for (; buf[p] > SPACE; p++)
            key = (key ^ buf[p]) * FNV_PRIME;
        int64_t word_end = p, newline = newline_from(buf, p), stop = newline - (buf[newline - 1] == SPACE);
        put_off(pending + n_pending++, table, key, line, begin, word_end, stop);
        p = newline + 1;
    }
    n_hits += find(buf, pending, n_pending, table, hits + 5 * n_hits);
    told[0] = p, told[1] = line, told[2] = 0, told[3] = n_hits, told[4] = 0, told[5] = 0;
}
