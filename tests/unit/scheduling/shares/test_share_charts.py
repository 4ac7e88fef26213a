"""Charts of shares, in the units of the charts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from scheduling.shares.charts import HEIGHT, WIDTH, draw_index, draw_share, tabulate
from scheduling.shares.history import ShareHistory, ShareLine


def line(used: list[float], entitled: list[float]) -> ShareLine:
    return ShareLine(uuid4(), "acme", "Acme", "Team", 5, used, entitled, [1.0] * len(entitled))


def history(lines: list[ShareLine], jain: list[float | None]) -> ShareHistory:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    return ShareHistory(now, now - timedelta(hours=1), timedelta(minutes=1), lines, jain)


def test_chart_scales_from_zero_to_the_greatest_number() -> None:
    chart = draw_share(line([0.0, 2.0], [1.0, 4.0]))
    assert (WIDTH, HEIGHT) == (400, 44)
    assert chart.used_path == "M0 44.0 L0 44.0 H200.0V22.0H400.0 L400.0 44.0 Z"
    assert chart.entitled_path == "M0 33.0 H200.0V0.0H400.0"
    assert "used 1.0 slots on average, entitled to 2.5" in chart.summary


def test_steps_of_equal_height_are_joined() -> None:
    assert draw_share(line([1.0] * 60, [])).used_path.count("H") == 1
    assert draw_share(line([1.0] * 60, [])).entitled_path == ""


def test_index_line_has_a_gap_without_competition() -> None:
    chart = draw_index(history([], [1.0, 0.5, None, 0.75, None, 1.0, 1.0]))
    assert chart.path.count("M") == 2
    assert len(chart.dots) == 1
    assert "between 0.500 and 1.000" in chart.summary
    assert draw_index(history([], [None, None])).summary == "No competition."


def test_table_groups_bins() -> None:
    table = tabulate(history([line([float(n) for n in range(60)], [2.0] * 60)], [1.0] * 30 + [None] * 30))
    [(_, cells)] = table.rows
    assert len(table.starts) == len(cells) == 12
    assert (cells[0].used, cells[0].entitled) == (2.0, 2.0)
    assert table.jain == [1.0] * 6 + [None] * 6
