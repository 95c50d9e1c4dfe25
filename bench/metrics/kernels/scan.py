"""Compiled loops over replicates. Single-threaded: parallelise over submissions and targets instead.

Multiplicities come as blocks `[block, patient, LANES]`: for one patient the multiplicities in `LANES`
replicates lie side by side, so that every loop over replicates runs over neighbouring numbers. Each replicate
is one lane and sees the same operations in the same order whatever else is computed, so results have the same
bits on any number of threads.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.metrics.kernels.compiled import compiled_loop

LANES = 512
"""Replicates in one block: enough for long reads from memory, few enough to keep all sums in the cache."""

PAIRS, PRECISION, POINTS = 0, 1, 2
"""How much of a ranking a scan counts: discordant pairs, then also precision, then also operating points."""


DIGITS, DIGIT_BITS = 6, 11
"""Digits of a 64-bit number by which `falling_order` sorts, and bits of each."""


@compiled_loop()
def falling_order(score):  # type: ignore[no-untyped-def]
    """Rows by falling score, equal scores in the order of the rows: a radix sort from the last digit.

    The bits of a float64 are turned into a whole number that falls as the score rises.

    Args:
        score: (n,) finite float64.

    Returns:
        (n,) int64.
    """
    rows, sign, mask = len(score), np.uint64(1 << 63), np.uint64((1 << DIGIT_BITS) - 1)
    bits = (score + 0.0).view(np.uint64)  # -0.0 and 0.0 are equal
    keys, sorted_keys = np.empty(rows, np.uint64), np.empty(rows, np.uint64)
    order, sorted_order = np.arange(rows), np.empty(rows, np.int64)
    counts = np.zeros((DIGITS, 1 << DIGIT_BITS), np.int64)
    for i in range(rows):
        key = bits[i] if bits[i] & sign else bits[i] ^ ~sign
        keys[i] = key
        for d in range(DIGITS):
            counts[d, (key >> np.uint64(DIGIT_BITS * d)) & mask] += 1
    for d in range(DIGITS):
        shift, place, count = np.uint64(DIGIT_BITS * d), 0, counts[d]
        if rows == 0 or count[(keys[0] >> shift) & mask] == rows:
            continue  # the digit is the same everywhere
        for digit in range(len(count)):
            here = count[digit]
            count[digit] = place
            place += here
        for i in range(rows):
            key = keys[i]
            digit = (key >> shift) & mask
            to = count[digit]
            count[digit] = to + 1
            sorted_keys[to] = key
            sorted_order[to] = order[i]
        keys, sorted_keys = sorted_keys, keys
        order, sorted_order = sorted_order, order
    return order


@compiled_loop()
def tally(words, draws, counts):  # type: ignore[no-untyped-def]
    """Count which patients are drawn: two draws per 64-bit word, each a 32-bit half scaled to 0..draws-1.

    Args:
        words: (lanes, ceil(draws / 2)) uint64 random words.
        draws: Number of patients, and of draws per replicate.
        counts: (lanes, draws) unsigned, zeros on entry; multiplicities on return.
    """
    for lane in range(words.shape[0]):
        row = counts[lane]
        for k in range(draws // 2):
            word = words[lane, k]
            row[((word & np.uint64(0xFFFFFFFF)) * np.uint64(draws)) >> np.uint64(32)] += 1
            row[((word >> np.uint64(32)) * np.uint64(draws)) >> np.uint64(32)] += 1
        if draws % 2:
            word = words[lane, draws // 2]
            row[((word & np.uint64(0xFFFFFFFF)) * np.uint64(draws)) >> np.uint64(32)] += 1


@compiled_loop()
def interleave(counts, block):  # type: ignore[no-untyped-def]
    """Transpose (LANES, patients) uint8 into (patients, LANES), eight lanes in one 64-bit word.

    Args:
        counts: (LANES, patients) multiplicities.
        block: (patients, LANES / 8) uint64 view of the block, little-endian.
    """
    patients = counts.shape[1]
    for start in range(0, patients, 64):
        stop = min(start + 64, patients)
        for word in range(LANES // 8):
            for patient in range(start, stop):
                packed = np.uint64(0)
                for byte in range(8):
                    packed |= np.uint64(counts[8 * word + byte, patient]) << np.uint64(8 * byte)
                block[patient, word] = packed


@compiled_loop()
def add_rows(sums, counts, patient, start, stop, largest):  # type: ignore[no-untyped-def]
    """Add the multiplicities of some images' patients to (LANES,) 32-bit sums, several images at a time."""
    i = start
    while i + 7 < stop and largest < 32:  # eight of them fit in 8 bits, which are added fastest
        one, two, three, four = patient[i], patient[i + 1], patient[i + 2], patient[i + 3]
        five, six, seven, eight = patient[i + 4], patient[i + 5], patient[i + 6], patient[i + 7]
        for j in range(LANES):
            sums[j] += np.uint8(
                counts[one, j]
                + counts[two, j]
                + counts[three, j]
                + counts[four, j]
                + counts[five, j]
                + counts[six, j]
                + counts[seven, j]
                + counts[eight, j]
            )
        i += 8
    while i + 3 < stop:
        one, two, three, four = patient[i], patient[i + 1], patient[i + 2], patient[i + 3]
        for j in range(LANES):
            sums[j] += (
                np.int32(counts[one, j])
                + np.int32(counts[two, j])
                + np.int32(counts[three, j])
                + np.int32(counts[four, j])
            )
        i += 4
    while i < stop:
        one = patient[i]
        for j in range(LANES):
            sums[j] += counts[one, j]
        i += 1


@compiled_loop()
def flush(total, recent):  # type: ignore[no-untyped-def]
    """Add the recent pairs to the total and empty them."""
    for j in range(LANES):
        total[j] += recent[j]
        recent[j] = 0


@compiled_loop()
def scan_auroc(blocks, negative, positive, first, above, level, largest):  # type: ignore[no-untyped-def]
    """Twice the number of pairs in which the negative image stands above the positive, ties counting once.

    Args:
        blocks: (k, patients, LANES) uint8 multiplicities.
        negative: (n,) patient of every negative image, by falling score.
        positive: (m,) patient of every positive image, by falling score.
        first: (g + 1,) where each group of positives with equal score starts.
        above: (g,) negatives scored above the group.
        level: (g,) negatives scored above the group or equal to it.
        largest: Largest multiplicity; n times its square must stay below 2**31.

    Returns:
        (k, LANES) int64, exact.
    """
    doubled = np.zeros((blocks.shape[0], LANES), np.int64)
    false = np.empty(LANES, np.int32)
    recent = np.zeros(LANES, np.uint32)
    for b in range(blocks.shape[0]):
        counts, total = blocks[b], doubled[b]
        false[:] = 0
        seen, bound = 0, 0
        for g in range(above.shape[0]):
            stop = above[g]
            times = 2 if level[g] == stop else 1
            while True:
                add_rows(false, counts, negative, seen, stop, largest)
                seen = stop
                for k in range(first[g], first[g + 1]):
                    # Recent pairs are counted in 32 bits, which is faster, and moved before they overflow.
                    most = times * seen * largest * largest
                    if bound + most > 0xFFFFFFFF:
                        flush(total, recent)
                        bound = 0
                    bound += most
                    row = counts[positive[k]]
                    for j in range(LANES):
                        recent[j] += np.uint32(times) * np.uint32(row[j]) * np.uint32(false[j])
                if stop == level[g]:
                    break
                stop = level[g]
        flush(total, recent)
    return doubled


@compiled_loop()
def add_labelled(sums, counts, patient, label, start, stop, largest):  # type: ignore[no-untyped-def]
    """Add the multiplicities of some images' patients to the (T, LANES) sums of their labels below T."""
    for i in range(start, stop):
        if label[i] < sums.shape[0]:
            add_rows(sums[label[i]], counts, patient, i, i + 1, largest)


@compiled_loop()
def scan_nested(blocks, patient, label, above, level, thresholds, largest):  # type: ignore[no-untyped-def]
    """`scan_auroc` for labels by several thresholds on one measurement, in one pass over the images.

    An image with label l is positive at the first l thresholds and negative at the others. Images are counted
    by label; where one is positive, the negatives of each threshold are summed up from these counts.

    Args:
        blocks: (k, patients, LANES) uint8 multiplicities.
        patient: (n,) patient of every image, by falling score.
        label: (n,) number of thresholds that lie below the measurement of the image, in the same order.
        above: (g,) images scored above each group of equal scores that holds a label above 0.
        level: (g,) images scored above the group or equal to it.
        thresholds: Number of thresholds T.
        largest: Largest multiplicity; n times its square must stay below 2**31.

    Returns:
        (T, k, LANES) int64, exact.
    """
    doubled = np.zeros((thresholds, blocks.shape[0], LANES), np.int64)
    of_label = np.empty((thresholds, LANES), np.int32)
    recent = np.zeros((thresholds, LANES), np.uint32)
    false = np.empty(LANES, np.uint32)
    for b in range(blocks.shape[0]):
        counts = blocks[b]
        of_label[:] = 0
        seen, bound = 0, 0
        for g in range(above.shape[0]):
            add_rows(of_label[0], counts, patient, seen, above[g], largest)
            seen = level[g]
            times = 2 if seen == above[g] + 1 else 1
            for turn in range(2):
                if turn == 1:
                    add_labelled(of_label, counts, patient, label, above[g], seen, largest)
                    if times == 2:
                        break
                for i in range(above[g], seen):
                    if label[i] == 0:
                        continue
                    most = times * seen * largest * largest
                    if bound + most > 0xFFFFFFFF:
                        for t in range(thresholds):
                            flush(doubled[t, b], recent[t])
                        bound = 0
                    bound += most
                    row = counts[patient[i]]
                    false[:] = 0
                    for t in range(label[i]):
                        own, pairs = of_label[t], recent[t]
                        for j in range(LANES):
                            false[j] += np.uint32(own[j])
                            pairs[j] += np.uint32(times) * np.uint32(row[j]) * false[j]
        for t in range(thresholds):
            flush(doubled[t, b], recent[t])
    return doubled


@compiled_loop(error_model="numpy")
def scan_joint(  # type: ignore[no-untyped-def]
    blocks, negative, positive, first, above, level, largest, most_false, least_true, depth
):
    """Count AUROC, average precision and both operating points in one pass by decreasing score.

    Many short loops instead of one, because each then runs over neighbouring lanes at full width.

    Args:
        blocks: As in `scan_auroc`, like the next six.
        negative: See there.
        positive: See there.
        first: See there.
        above: See there.
        level: See there.
        largest: Largest multiplicity; sums over n images of it must stay below 2**31.
        most_false: (k, LANES) int32, most false positives allowed where sensitivity is read.
        least_true: (k, LANES) int32, least true positives demanded where false positives are read.
        depth: `PAIRS`, `PRECISION` or `POINTS`: how much is counted; the rest stays 0.

    Returns:
        Twice the discordant pairs (int64), the sum of precision over positives (float64), true positives at
        `most_false` (int32), false positives at `least_true` (int32); each (k, LANES).
    """
    shape = (blocks.shape[0], LANES)
    doubled = np.zeros(shape, np.int64)
    precision = np.zeros(shape, np.float64)
    hits = np.zeros(shape, np.int32)
    alarms = np.zeros(shape, np.int32)
    false = np.empty(LANES, np.int32)
    true = np.empty(LANES, np.int32)
    gain = np.empty(LANES, np.int32)
    recent = np.zeros(LANES, np.uint32)
    for b in range(blocks.shape[0]):
        counts, pairs, shares, hit, alarm = blocks[b], doubled[b], precision[b], hits[b], alarms[b]
        most, least = most_false[b], least_true[b]
        false[:] = 0
        true[:] = 0
        seen, bound = 0, 0
        for g in range(above.shape[0]):
            gain[:] = 0
            add_rows(gain, counts, positive, first[g], first[g + 1], largest)
            stop = above[g]
            times = 2 if level[g] == stop else 1
            while True:
                add_rows(false, counts, negative, seen, stop, largest)
                seen = stop
                pairs_now = times * (first[g + 1] - first[g]) * seen * largest * largest
                if pairs_now > 0xFFFFFFFF:
                    for j in range(LANES):
                        pairs[j] += times * np.int64(gain[j]) * false[j]
                else:
                    if bound + pairs_now > 0xFFFFFFFF:
                        flush(pairs, recent)
                        bound = 0
                    bound += pairs_now
                    for j in range(LANES):
                        recent[j] += np.uint32(times) * np.uint32(gain[j]) * np.uint32(false[j])
                if stop == level[g]:
                    break
                stop = level[g]
            if depth >= POINTS:
                for j in range(LANES):
                    hit[j] += gain[j] * (false[j] <= most[j])
                for j in range(LANES):
                    # False positives only grow, so the last ones while too few are found stay the largest.
                    alarm[j] = max(alarm[j], np.int32(false[j] * (true[j] < least[j])))
            for j in range(LANES):
                true[j] += gain[j]
            if depth >= PRECISION:
                for j in range(LANES):
                    called = max(np.float64(true[j]) + np.float64(false[j]), 1.0)
                    shares[j] += np.float64(gain[j]) * (np.float64(true[j]) / called)
        flush(pairs, recent)
    return doubled, precision, hits, alarms


@compiled_loop()
def add_weighted(sums, counts, patient, weight, start, stop):  # type: ignore[no-untyped-def]
    """Add multiplicity times weight of some images to (lanes,) sums, four images at a time."""
    i = start
    while i + 3 < stop:
        one, two, three, four = patient[i], patient[i + 1], patient[i + 2], patient[i + 3]
        a, b, c, d = weight[i], weight[i + 1], weight[i + 2], weight[i + 3]
        for j in range(len(sums)):
            sums[j] += a * counts[one, j] + b * counts[two, j] + c * counts[three, j] + d * counts[four, j]
        i += 4
    while i < stop:
        one, a = patient[i], weight[i]
        for j in range(len(sums)):
            sums[j] += a * counts[one, j]
        i += 1


@compiled_loop(error_model="numpy")
def scan_weighted(  # type: ignore[no-untyped-def]
    blocks, negative, positive, first, above, level, negative_weight, positive_weight, limits, depth
):
    """`scan_joint` with a weight for each image: the same pass in float64.

    Args:
        blocks: As in `scan_joint`, like the next five.
        negative: See there.
        positive: See there.
        first: See there.
        above: See there.
        level: See there.
        negative_weight: (n,) in the order of `negative`.
        positive_weight: (m,) in the order of `positive`.
        limits: (2, k, LANES): most false and least true weight.
        depth: As in `scan_joint`.

    Returns:
        The four figures of `scan_joint`, all float64: (4, k, LANES).
    """
    totals = np.zeros((4, blocks.shape[0], LANES))
    false, true, gain = np.empty(LANES), np.empty(LANES), np.empty(LANES)
    for b in range(blocks.shape[0]):
        counts, pairs, shares, hit, alarm = blocks[b], totals[0, b], totals[1, b], totals[2, b], totals[3, b]
        most, least = limits[0, b], limits[1, b]
        false[:] = 0
        true[:] = 0
        seen = 0
        for g in range(above.shape[0]):
            gain[:] = 0
            add_weighted(gain, counts, positive, positive_weight, first[g], first[g + 1])
            stop = above[g]
            times = 2 if level[g] == stop else 1
            while True:
                add_weighted(false, counts, negative, negative_weight, seen, stop)
                seen = stop
                for j in range(LANES):
                    pairs[j] += times * gain[j] * false[j]
                if stop == level[g]:
                    break
                stop = level[g]
            if depth < PRECISION:
                continue
            for j in range(LANES):
                hit[j] += gain[j] * (false[j] <= most[j])
                alarm[j] = np.maximum(alarm[j], false[j] * (true[j] < least[j]))
                true[j] += gain[j]
                shares[j] += gain[j] * (true[j] / max(true[j] + false[j], 1e-300))
    return totals


@compiled_loop()
def dense_sums(blocks, patient, worth):  # type: ignore[no-untyped-def]
    """Sums over patients of multiplicity times value.

    Args:
        blocks: (k, patients, LANES) multiplicities.
        patient: (e,) patients with values, the others count nothing.
        worth: (e, c) their values.

    Returns:
        (c, k * LANES) float64.
    """
    columns = worth.shape[1]
    sums = np.zeros((columns, blocks.shape[0] * LANES))
    for b in range(blocks.shape[0]):
        for c in range(columns):
            total = sums[c, b * LANES : (b + 1) * LANES]
            add_weighted(total, blocks[b], patient, worth[:, c], 0, len(patient))
    return sums


@compiled_loop()
def group_sums(blocks, start, patient, worth):  # type: ignore[no-untyped-def]
    """Each group's sum of multiplicity times value.

    Args:
        blocks: (k, patients, lanes) multiplicities; lanes need not be `LANES`.
        start: (g + 1,) where each group's entries start.
        patient: (e,) patient of every entry.
        worth: (e,) value of every entry.

    Returns:
        (g, k * lanes) float64.
    """
    lanes = blocks.shape[2]
    sums = np.zeros((len(start) - 1, blocks.shape[0] * lanes))
    for b in range(blocks.shape[0]):
        counts = blocks[b]
        for g in range(len(start) - 1):
            total = sums[g, b * lanes : (b + 1) * lanes]
            add_weighted(total, counts, patient, worth, start[g], start[g + 1])
    return sums


def compiled() -> bool:
    """Return whether these kernels are compiled on this machine; if not, their first use takes seconds."""
    line = scan_joint.py_func.__code__.co_firstlineno
    indexes = Path(str(scan_joint.stats.cache_path)).glob(f"scan.scan_joint-{line}.*.nbi")
    written = Path(__file__).stat().st_mtime
    return any(index.stat().st_mtime >= written for index in indexes)
