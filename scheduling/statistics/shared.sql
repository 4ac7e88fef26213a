-- Fragments of the rollups of ended executions.

-- fragment: add_wait
-- Sum of two histograms, bucket by bucket.
ARRAY[r.wait[1] + excluded.wait[1], r.wait[2] + excluded.wait[2], r.wait[3] + excluded.wait[3],
    r.wait[4] + excluded.wait[4], r.wait[5] + excluded.wait[5], r.wait[6] + excluded.wait[6],
    r.wait[7] + excluded.wait[7], r.wait[8] + excluded.wait[8], r.wait[9] + excluded.wait[9],
    r.wait[10] + excluded.wait[10], r.wait[11] + excluded.wait[11], r.wait[12] + excluded.wait[12],
    r.wait[13] + excluded.wait[13], r.wait[14] + excluded.wait[14], r.wait[15] + excluded.wait[15],
    r.wait[16] + excluded.wait[16], r.wait[17] + excluded.wait[17], r.wait[18] + excluded.wait[18],
    r.wait[19] + excluded.wait[19]]

-- fragment: add_run
-- Sum of two histograms, bucket by bucket.
ARRAY[r.run[1] + excluded.run[1], r.run[2] + excluded.run[2], r.run[3] + excluded.run[3],
    r.run[4] + excluded.run[4], r.run[5] + excluded.run[5], r.run[6] + excluded.run[6],
    r.run[7] + excluded.run[7], r.run[8] + excluded.run[8], r.run[9] + excluded.run[9],
    r.run[10] + excluded.run[10], r.run[11] + excluded.run[11], r.run[12] + excluded.run[12],
    r.run[13] + excluded.run[13], r.run[14] + excluded.run[14], r.run[15] + excluded.run[15],
    r.run[16] + excluded.run[16], r.run[17] + excluded.run[17], r.run[18] + excluded.run[18],
    r.run[19] + excluded.run[19]]

-- fragment: add_minute
-- Add the measures of new rows to a stored row ``r`` of a minute.
completed = r.completed + excluded.completed, failed = r.failed + excluded.failed,
dead_letters = r.dead_letters + excluded.dead_letters, busy_us = r.busy_us + excluded.busy_us,
wait =
-- include: add_wait
, run =
-- include: add_run
