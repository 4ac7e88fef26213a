"""The predictor of costs as SQL: how the tick reads a prediction, and how it folds what ended into the sums.

The arithmetic is that of ``scheduling.fairness.prediction``, operation by operation.
"""

from __future__ import annotations

from scheduling.fairness.prediction import (
    KNOWN_SAMPLES,
    LEAST_REMAINDER,
    LEAST_SPREAD,
    LINE_EXPLAINS,
    LINE_SAMPLES,
    MEMORY,
    OUTLIER,
)

_WHOLE = """least(greatest({c}.sum_y / {c}.n + CASE
    WHEN {c}.n >= {line_samples}
        AND {c}.n * {c}.sum_xx - {c}.sum_x * {c}.sum_x > {least_spread}::float8 * {c}.n * {c}.sum_xx
        AND ({c}.n * {c}.sum_xy - {c}.sum_x * {c}.sum_y) * ({c}.n * {c}.sum_xy - {c}.sum_x * {c}.sum_y)
            >= {line_explains}::float8 * ({c}.n * {c}.sum_xx - {c}.sum_x * {c}.sum_x)
                * ({c}.n * {c}.sum_yy - {c}.sum_y * {c}.sum_y)
    THEN ({c}.n * {c}.sum_xy - {c}.sum_x * {c}.sum_y) / ({c}.n * {c}.sum_xx - {c}.sum_x * {c}.sum_x)
        * ({size} - {c}.sum_x / {c}.n)
    ELSE 0 END, {c}.least_us), {c}.most_us)"""


def _whole(costs: str, size: str) -> str:
    return _WHOLE.format(
        c=costs,
        size=size,
        line_samples=LINE_SAMPLES,
        least_spread=LEAST_SPREAD,
        line_explains=LINE_EXPLAINS,
    )


def predicted_us(job: str) -> str:
    """The slot time that ``job`` will still need, in microseconds, at least 1.

    ``job`` names a row with ``payload_bytes`` and ``used_us`` (``job_ready`` has both), ``q`` its queue; ``tc`` and
    ``kc`` are what ``prediction_joins`` joins.
    """
    size = f"{job}.payload_bytes::float8"
    whole = f"coalesce({_whole('tc', size)}, {_whole('kc', size)}, q.expected_seconds * 1000000)"
    remainder = f"greatest(p.whole - {job}.used_us, p.whole * {LEAST_REMAINDER}::float8)"
    return f"""(SELECT greatest(1, round({remainder}))::bigint
        FROM (SELECT ({whole})::float8 AS whole OFFSET 0) p)"""  # noqa: S608 - our own names


def prediction_joins(job: str) -> str:
    """What ``predicted_us`` needs beside a row with ``tenant_id`` and ``kind``: tc and kc.

    By OFFSET each is looked up for its row, also in a plan for any number of rows, which would rather read the costs of
    all tenants.
    """
    return f"""LEFT JOIN LATERAL (SELECT * FROM scheduling_tenant_kind_cost c
        WHERE c.tenant_id = {job}.tenant_id AND c.kind = {job}.kind OFFSET 0) tc ON true
    LEFT JOIN LATERAL (SELECT * FROM scheduling_kind_cost c WHERE c.kind = {job}.kind OFFSET 0) kc ON true"""  # noqa: S608 - our own names


_NUMBERS = """count(*) AS samples, sum(size) AS sum_x, sum(cost) AS sum_y, sum(size * size) AS sum_xx,
    sum(size * cost) AS sum_xy, sum(cost * cost) AS sum_yy, min(cost) AS least_us, max(cost) AS most_us,
    sum(abs(error_us)) AS error_us, sum(error_us) AS bias_us, sum(whole_us) AS total_us"""
_COLUMNS = """samples, n, mean_us, sum_x, sum_y, sum_xx, sum_xy, sum_yy, least_us, most_us, error_us, bias_us,
    total_us, updated_at"""
_FOLD = """
    INSERT INTO {table} AS c ({key}, {columns})
    SELECT {key}, samples, samples, greatest(1, round(sum_y / samples))::bigint, sum_x, sum_y, sum_xx, sum_xy, sum_yy,
        least_us, most_us, error_us, bias_us, total_us, now()
    FROM (SELECT {key}, {numbers} FROM samples GROUP BY {key} ORDER BY {key}) AS fresh
    ON CONFLICT ({key}) DO UPDATE SET
        samples = c.samples + excluded.samples,
        n = {n},
        mean_us = greatest(1, round(({sum_y}) / ({n})))::bigint,
        sum_x = {sum_x}, sum_y = {sum_y}, sum_xx = {sum_xx}, sum_xy = {sum_xy}, sum_yy = {sum_yy},
        error_us = {error_us}, bias_us = {bias_us}, total_us = {total_us},
        least_us = least(excluded.least_us,
            c.least_us + (c.sum_y / c.n - c.least_us) * least(1, excluded.n / {memory}::float8)),
        most_us = greatest(excluded.most_us,
            c.most_us + (c.sum_y / c.n - c.most_us) * least(1, excluded.n / {memory}::float8)),
        updated_at = excluded.updated_at
"""
_FADING = ("n", "sum_x", "sum_y", "sum_xx", "sum_xy", "sum_yy", "error_us", "bias_us", "total_us")


def _fold(table: str, key: str) -> str:
    faded = {
        name: f"c.{name} * least(1, {MEMORY}::float8 / c.n) + excluded.{name}"
        for name in _FADING  # the past fades, the sums of the same sample fade alike
    }
    return _FOLD.format(table=table, key=key, columns=_COLUMNS, numbers=_NUMBERS, memory=MEMORY, **faded)


# Some 11 days. At the least weight a charge of so much is still a tenth of what a clock holds.
MOST_SAMPLE_US = 10**12
# CTEs over `gone`, the settled rows that a tick folds. A sample is a whole job: `used_us` is the slot time of all its
# slices, and the last hand-out's prediction was of what was then left of it.
FOLD_SAMPLES = f"""samples AS (
    SELECT g.tenant_id, g.kind, g.payload_bytes::float8 AS size, g.used_us::float8 AS whole_us,
        g.expected_us - g.measured_us::float8 AS error_us,
        least({MOST_SAMPLE_US}::float8, CASE WHEN coalesce(k.samples, 0) < {KNOWN_SAMPLES} THEN g.used_us
            ELSE least(g.used_us, {OUTLIER} * (g.used_us - g.measured_us::float8 + g.expected_us)) END) AS cost
    FROM (SELECT *, coalesce(whole_us, predicted_us)::float8 AS expected_us FROM gone) g
        LEFT JOIN scheduling_kind_cost k ON k.kind = g.kind
    WHERE g.is_sample
), tenant_cost AS ({_fold("scheduling_tenant_kind_cost", "tenant_id, kind")}
), kind_cost AS ({_fold("scheduling_kind_cost", "kind")}
)"""  # noqa: S608 - our own names
